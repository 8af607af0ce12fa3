"""HTTP on this machine alone: a uvicorn server that belongs to its caller, not to the process.

It never takes over signals inside somebody else's loop, is ready when it says so, and stops at
once instead of at the next tick.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Generator

import anyio
import uvicorn
from starlette.types import ASGIApp

HOST = "127.0.0.1"
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
async def served(config: uvicorn.Config, listening: socket.socket) -> AsyncGenerator[None]:
    """Serve in the current event loop for as long as the context is open."""
    with contextlib.closing(listening):
        server = _Embedded(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await _until_ready(server, serving)
            yield
        finally:
            server.stopping.set()
            with anyio.CancelScope(shield=True):
                await serving


def listener(port: int = 0) -> socket.socket:
    """Bind a port of this machine; 0 takes a free one. `OSError` when it is taken."""
    # asyncio switches Nagle's delay off (40 ms a reply) only where the protocol is named.
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((HOST, port))
    except OSError:
        opened.close()
        raise
    return opened


def quiet(app: ASGIApp) -> uvicorn.Config:
    """Return a configuration that logs nothing, so that no address with a key is ever logged."""
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=1,
    )


async def _until_ready(server: _Embedded, serving: asyncio.Task[None]) -> None:
    """Returns when requests are answered; raises what kept the server from it."""
    ready = asyncio.create_task(server.ready.wait())
    await asyncio.wait({ready, serving}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if serving.done():
        serving.result()
