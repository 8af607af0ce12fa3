"""Running inside somebody else's event loop without leaving a trace in it."""

import asyncio
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trustme
from starlette.types import ASGIApp, Receive, Scope, Send

from server.sandbox.app import create_app
from server.sandbox.portal import SandboxPortal
from server.sandbox.runner import running

pytestmark = pytest.mark.anyio


async def told_by(base: str, verify: ssl.SSLContext | bool = True) -> str:
    async with httpx.AsyncClient(trust_env=False, verify=verify) as http:
        return (await http.get(f"{base}/sharing/rest", params={"f": "json"})).text


async def test_it_is_ready_at_once_and_gone_afterwards() -> None:
    async with running(SandboxPortal()) as base:
        assert base.startswith("http://127.0.0.1:")
        assert base.endswith("/portal")
        assert "currentVersion" in await told_by(base)
    with pytest.raises(httpx.ConnectError):
        await told_by(base)


async def test_an_app_can_be_given_and_the_context_followed() -> None:
    async with running(create_app(SandboxPortal(context="arcgis"))) as base:
        assert base.endswith("/arcgis")
        assert "currentVersion" in await told_by(base)


async def test_several_can_run_side_by_side() -> None:
    async with running(SandboxPortal(version="10.9.1")) as one, running(SandboxPortal()) as other:
        assert "9.2" in await told_by(one)
        assert "2025.1" in await told_by(other)


async def test_a_taken_port_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            async with running(SandboxPortal(), port=port):
                pass


async def test_signals_stay_with_their_owner() -> None:
    before = signal.getsignal(signal.SIGINT)
    async with running(SandboxPortal()):
        assert signal.getsignal(signal.SIGINT) is before


async def test_a_broken_certificate_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("not a certificate")
    with pytest.raises(ssl.SSLError):
        async with running(SandboxPortal(), ssl_certfile=str(broken)):
            pass


async def test_a_client_certificate_can_be_demanded(tmp_path: Path) -> None:
    authority = trustme.CA()
    root, server, client = (str(tmp_path / name) for name in ("root", "server", "client"))
    authority.cert_pem.write_to_path(root)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(server)
    authority.issue_cert("someone").private_key_and_cert_chain_pem.write_to_path(client)
    trusting, known = (
        ssl.create_default_context(cafile=root),
        ssl.create_default_context(cafile=root),
    )
    known.load_cert_chain(client)
    demanding = running(
        SandboxPortal(),
        ssl_certfile=server,
        ssl_ca_certs=root,
        ssl_cert_reqs=ssl.CERT_REQUIRED,
    )
    async with demanding as base:
        assert base.startswith("https://127.0.0.1:")
        assert "currentVersion" in await told_by(base, known)
        with pytest.raises(httpx.TransportError):
            await told_by(base, trusting)


async def test_a_request_that_hangs_does_not_hold_up_the_end() -> None:
    reached = asyncio.Event()

    async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
        reached.set()
        await asyncio.Event().wait()

    app: ASGIApp = hanging
    async with httpx.AsyncClient(trust_env=False) as http:
        async with running(app) as base:
            asking = asyncio.create_task(http.get(base))
            await reached.wait()
        with pytest.raises(httpx.HTTPError):
            await asking


_INTERRUPTED = """
import contextlib, os, signal, socket, sys, threading
from server.sandbox.portal import SandboxPortal
from server.sandbox.runner import serve_forever

port = int(sys.argv[1])

def interrupt():
    refused = contextlib.suppress(ConnectionRefusedError)
    while True:
        with refused, socket.create_connection(("127.0.0.1", port)):
            os.kill(os.getpid(), signal.SIGINT)
            return

threading.Thread(target=interrupt, daemon=True).start()
serve_forever(SandboxPortal(), port)
sys.exit(7)
"""


def test_serving_forever_is_silent_and_ends_by_an_interrupt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", _INTERRUPTED, str(port)]
    ended = subprocess.run(command, check=False, capture_output=True, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, b"", b"")


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = "import sys, server.sandbox; sys.exit('starlette' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
