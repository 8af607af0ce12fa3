"""Runs the sandbox on loopback: inside the current event loop, or as the whole process."""

import contextlib
import ssl
from collections.abc import AsyncGenerator

import uvicorn
from starlette.types import ASGIApp

from server.loopback import HOST, listener, quiet, served
from server.sandbox.app import create_app
from server.sandbox.portal import SandboxPortal


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
    listening = listener(port)
    async with served(config, listening):
        yield f"{scheme}://{HOST}:{listening.getsockname()[1]}/{path}".rstrip("/")


def serve_forever(portal: SandboxPortal, port: int) -> None:
    """Blocks until interrupted. `OSError` when the port is taken."""
    with contextlib.closing(listener(port)) as listening, contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(_config(portal)).run(sockets=[listening])


def _config(app_or_portal: ASGIApp | SandboxPortal) -> uvicorn.Config:
    app = create_app(app_or_portal) if isinstance(app_or_portal, SandboxPortal) else app_or_portal
    return quiet(app)


def _context(app_or_portal: ASGIApp | SandboxPortal) -> str:
    if isinstance(app_or_portal, SandboxPortal):
        return app_or_portal.context
    portal = getattr(getattr(app_or_portal, "state", None), "portal", None)
    return portal.context if isinstance(portal, SandboxPortal) else "portal"
