"""The main job as it is used: the real command over real pipes, in both eras."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp_types import ElicitResult
from starlette.types import Receive, Scope, Send

from server.releases.ledger import Ledger
from server.sandbox.app import create_app
from server.sandbox.portal import SandboxPortal
from server.sandbox.runner import running
from tests.office import (
    ERAS,
    NOTHING,
    PRO,
    RELEASE,
    Era,
    action,
    environment,
    open_office,
    text,
    typing,
)

pytestmark = pytest.mark.anyio


@pytest.mark.promise("one-post")
@pytest.mark.parametrize("era", ERAS)
async def test_the_main_job(tmp_path: Path, era: Era) -> None:
    async with open_office(tmp_path, typing(), era=era, stdio=True) as office:
        expected = "2026-07-28" if era == "auto" else "2025-11-25"
        assert office.client.protocol_version == expected
        found = await office.call("find_members", text="Jane Smith")
        checked = await office.call("check_license", username="jsmith", app_id=PRO)
        released = await office.release()
        listed = await office.call("list_releases", release_id=released["release_id"])
        verification = office.ledger.verify()
    assert "jsmith" in text(found)
    assert "checked out" in text(checked)
    assert (released["status"], released["reason"]) == ("released", "confirmed")
    assert released["consent"]["route"] == "form"
    assert released["verified"] is True
    assert released["message"].endswith("The license was released.")
    assert "The license was released." in text(listed)
    (post,) = office.portal.releases
    assert (post.method, post.path) == ("POST", "/portal/portaladmin/license/releaseLicense")
    assert post.query == {}
    assert set(post.form) == {"username", "appId", "f", "token"}
    assert (post.form["username"], post.form["appId"], post.form["f"]) == ("jsmith", PRO, "json")
    assert verification.fault is None


@pytest.mark.promise("never-the-model")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("answer", [action("decline"), typing("jsmith2"), None])
async def test_without_the_right_answer_nothing_reaches_the_portal(
    tmp_path: Path, era: Era, answer: Any
) -> None:
    async with open_office(tmp_path, answer, era=era, stdio=True) as office:
        result = await office.call("release_license", **RELEASE)
        confirmed = await office.call("release_license", **RELEASE, confirm=True)
    assert text(result).endswith(NOTHING if answer else "Nothing has been released so far.")
    assert text(confirmed).endswith(NOTHING)
    assert office.portal.releases == []


async def test_prompts_come_over_the_pipe(tmp_path: Path) -> None:
    async with open_office(tmp_path, stdio=True) as office:
        names = {prompt.name for prompt in (await office.client.list_prompts()).prompts}
        got = await office.client.get_prompt("release_request", {"request": "help"})
    assert {"release_request", "triage_ticket"} <= names
    assert "> help" in got.messages[0].content.model_dump()["text"]


@pytest.mark.promise("one-post")
@pytest.mark.promise("refusals-kept")
async def test_a_restarted_server_goes_on_with_the_same_ledger(tmp_path: Path) -> None:
    portal = SandboxPortal()
    async with open_office(tmp_path, action("decline"), stdio=True, portal=portal) as office:
        declined = await office.release()
    async with open_office(tmp_path, typing(), stdio=True, portal=portal) as office:
        listed = await office.call("list_releases", release_id=declined["release_id"])
    assert "The person said no" in text(listed)
    assert portal.releases == []


@pytest.mark.promise("durable-intent")
@pytest.mark.promise("one-post")
async def test_a_server_killed_while_sending_leaves_its_intent_behind(tmp_path: Path) -> None:
    held, acted = anyio.Event(), anyio.Event()
    portal = SandboxPortal()
    inner = create_app(portal)

    async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
        releasing = scope["path"].endswith("releaseLicense")
        await inner(scope, receive, _swallow if releasing else send)
        if releasing:
            acted.set()
            await held.wait()

    async with running(hanging, context="portal") as url:
        env = environment(url, tmp_path)
        child = await anyio.to_thread.run_sync(_start, env)
        try:
            await anyio.to_thread.run_sync(_ask_and_say_yes, child)
            await acted.wait()
        finally:
            child.kill()
            child.communicate()
            held.set()
    ledger = Ledger(env["LEDGER_URL"])
    (left,) = ledger.recent(1)
    ledger.close()
    assert (left.state, left.status, len(portal.releases)) == ("sending", "unknown", 1)


def _start(env: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **env},
    )


async def _swallow(_: Any) -> None:
    return None


def _ask_and_say_yes(child: "subprocess.Popen[bytes]") -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    info = {"name": "raw", "version": "1"}
    opening = {
        "protocolVersion": "2025-11-25",
        "capabilities": {"elicitation": {}},
        "clientInfo": info,
    }
    for message in (
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": opening},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "release_license", "arguments": RELEASE},
        },
    ):
        child.stdin.write(json.dumps(message).encode() + b"\n")
    child.stdin.flush()
    for line in child.stdout:
        message = json.loads(line)
        if message.get("method") == "elicitation/create":
            answer = ElicitResult(action="accept", content={"username": "jsmith"})
            reply = {
                "jsonrpc": "2.0",
                "id": message["id"],
                "result": answer.model_dump(mode="json"),
            }
            child.stdin.write(json.dumps(reply).encode() + b"\n")
            child.stdin.flush()
            return
