"""Runs the sandbox on loopback: inside the current event loop, or as the whole process.

It never takes over signals inside somebody else's loop, is ready when it says so, and stops at
once instead of at the next tick.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, Generator

import anyio
import uvicorn
from starlette.types import ASGIApp

from server.sandbox.app import create_app
from server.sandbox.portal import SandboxPortal

_HOST = "127.0.0.1"
_GRACE = 0.2


class _Embedded(uvicorn.Server):
    """A uvicorn server that belongs to its caller rather than to the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready, self.stopping = asyncio.Event(), asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but without its pause of a tenth of a second."""
        for listening in self.servers:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with anyio.move_on_after(_GRACE):
            while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110
                # uvicorn signals nothing when a connection ends.
                await asyncio.sleep(0.001)
        for task in self.server_state.tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()


@contextlib.asynccontextmanager
async def running(
    app_or_portal: ASGIApp | SandboxPortal,
    *,
    port: int = 0,
    context: str | None = None,
    ssl_certfile: str | None = None,
    ssl_keyfile: str | None = None,
    ssl_ca_certs: str | None = None,
    ssl_cert_reqs: int = ssl.CERT_NONE,
) -> AsyncGenerator[str]:
    """Yields the base URL, such as `http://127.0.0.1:50123/portal`; port 0 takes a free one.

    `context` is needed only for an application that wraps one made by `create_app`.
    """
    config = _config(app_or_portal)
    config.ssl_certfile, config.ssl_keyfile = ssl_certfile, ssl_keyfile
    config.ssl_ca_certs, config.ssl_cert_reqs = ssl_ca_certs, ssl_cert_reqs
    scheme = "https" if config.is_ssl else "http"
    path = _context(app_or_portal) if context is None else context
    with contextlib.closing(_listener(port)) as listener:
        async with _serving(config, listener):
            yield f"{scheme}://{_HOST}:{listener.getsockname()[1]}/{path}".rstrip("/")


def serve_forever(portal: SandboxPortal, port: int) -> None:
    """Blocks until interrupted. `OSError` when the port is taken."""
    with contextlib.closing(_listener(port)) as listener, contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(_config(portal)).run(sockets=[listener])


@contextlib.asynccontextmanager
async def _serving(config: uvicorn.Config, listener: socket.socket) -> AsyncGenerator[None]:
    server = _Embedded(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await _until_ready(server, serving)
        yield
    finally:
        server.stopping.set()
        with anyio.CancelScope(shield=True):
            await serving


async def _until_ready(server: _Embedded, serving: asyncio.Task[None]) -> None:
    """Returns when requests are answered; raises what kept the server from it."""
    ready = asyncio.create_task(server.ready.wait())
    await asyncio.wait({ready, serving}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if serving.done():
        serving.result()


def _listener(port: int) -> socket.socket:
    # asyncio switches Nagle's delay off (40 ms a reply) only where the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
    except OSError:
        listener.close()
        raise
    return listener


def _config(app_or_portal: ASGIApp | SandboxPortal) -> uvicorn.Config:
    app = create_app(app_or_portal) if isinstance(app_or_portal, SandboxPortal) else app_or_portal
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=1,
    )


def _context(app_or_portal: ASGIApp | SandboxPortal) -> str:
    if isinstance(app_or_portal, SandboxPortal):
        return app_or_portal.context
    portal = getattr(getattr(app_or_portal, "state", None), "portal", None)
    return portal.context if isinstance(portal, SandboxPortal) else "portal"
