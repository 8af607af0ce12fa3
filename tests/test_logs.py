"""What an operator sees: JSON lines on stderr, the facts in fields, and no secret among them."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from server import logs
from server.sandbox.portal import PASSWORD, Received, SandboxPortal
from server.sandbox.runner import running
from tests.office import RELEASE, environment

pytestmark = pytest.mark.anyio


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def secrets(received: Received) -> list[str]:
    """Return the tokens that a request carried."""
    header = received.headers.get("x-esri-authorization", "").removeprefix("Bearer ")
    return [t for t in (header, received.form.get("token"), received.query.get("token")) if t]


def one_refusal(env: dict[str, str]) -> tuple[str, str]:
    """Ask over real pipes where no route is open; return what came on stdout and stderr."""
    client = {"name": "raw", "version": "1"}
    start = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
    call = {"name": "release_license", "arguments": RELEASE}
    with subprocess.Popen(
        [sys.executable, "-m", "server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for message in (
            {"id": 1, "method": "initialize", "params": start},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/call", "params": call},
        ):
            child.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        child.stdin.flush()
        said = child.stdout.readline() + child.stdout.readline()
        rest, logged = child.communicate()
    return said + rest, logged


@pytest.mark.promise("no-secrets")
async def test_every_event_is_one_line_and_stdout_is_the_protocol_s_alone(tmp_path: Path) -> None:
    portal = SandboxPortal()
    async with running(portal) as url:
        env = environment(url, tmp_path, LOG_LEVEL="DEBUG", CONSENT_ROUTES="form")
        said, logged = await anyio.to_thread.run_sync(one_refusal, env)
    assert [message["id"] for message in lines(said)] == [1, 2]
    events = [event for event in lines(logged) if event["logger"].startswith("server.")]
    assert [event["event"] for event in events if "entry" in event] == ["asked", "refused"]
    asked, refused = (event for event in events if "entry" in event)
    assert (asked["level"], asked["state"], asked["release_id"]) == (
        "INFO",
        "open",
        refused["release_id"],
    )
    assert refused["reason"] == "no_route"
    assert PASSWORD not in logged
    tokens = {secret for received in portal.requests for secret in secrets(received)}
    assert tokens
    assert not [token for token in tokens if token in logged]


async def test_the_level_decides_what_is_told(tmp_path: Path) -> None:
    async with running(SandboxPortal()) as url:
        env = environment(url, tmp_path, CONSENT_ROUTES="form")
        _, logged = await anyio.to_thread.run_sync(one_refusal, env)
    assert logged == ""


def test_an_exception_is_one_line_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    logs.start("WARNING")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("server.test").exception("it failed", extra={"release_id": "R-1"})
    (line,) = lines(capsys.readouterr().err)
    assert (line["event"], line["release_id"], line["level"]) == ("it failed", "R-1", "ERROR")
    assert "two\nlines" in line["exc_info"]
    assert line["time"].startswith("20")
