"""A person answers at a terminal, in another process than the server that asked."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.office import RELEASE, Office, open_office, text

pytestmark = pytest.mark.anyio


def at_a_terminal(url: str, command: str, release_id: str, typed: str) -> tuple[int, str]:
    """Run `approvals` on a terminal of its own, type a line, and return what it printed."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "server", "approvals", command, release_id],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "LEDGER_URL": url},
    )
    os.close(theirs)
    if typed:
        os.write(ours, typed.encode() + b"\n")
    printed = b""
    try:
        while chunk := os.read(ours, 4096):
            printed += chunk
    except OSError:
        pass
    os.close(ours)
    return child.wait(), printed.decode()


async def answer(office: Office, command: str, release_id: str, typed: str = "") -> tuple[int, str]:
    return await anyio.to_thread.run_sync(
        at_a_terminal, office.env["LEDGER_URL"], command, release_id, typed
    )


@pytest.mark.promise("one-post")
async def test_a_yes_at_a_terminal_is_sent_by_the_running_server(tmp_path: Path) -> None:
    async with open_office(tmp_path, CONSENT_ROUTES="page") as office:
        asked = await office.call("release_license", **RELEASE)
        told: dict[str, Any] = asked.structured_content or {}
        status, printed = await answer(office, "approve", told["release_id"], "jsmith")
        listed = await office.call("list_releases", release_id=told["release_id"])
    assert (told["status"], told["reason"]) == ("awaiting_approval", "no_form")
    assert f"approvals approve {told['release_id']}" in told["message"]
    assert status == 0, printed
    assert "The license was released." in printed
    assert "Jane Smith" in printed
    assert "The license was released." in text(listed)
    (released,) = (listed.structured_content or {})["releases"]
    assert released["consent"]["route"] == "page"
    assert len(office.portal.releases) == 1


@pytest.mark.promise("refusals-kept")
async def test_a_mistyped_name_leaves_the_request_open(tmp_path: Path) -> None:
    async with open_office(tmp_path, CONSENT_ROUTES="page") as office:
        told = await office.release()
        status, printed = await answer(office, "approve", told["release_id"], "jsmith2")
        events = [entry.event for entry in office.ledger.entries(told["release_id"])]
        state = office.ledger.get(told["release_id"]).state
    assert status == 1
    assert "Nothing was released" in printed
    assert (state, events) == ("open", ["asked", "no_form", "mistyped"])
    assert office.portal.releases == []


async def test_a_no_at_a_terminal_closes_the_request(tmp_path: Path) -> None:
    async with open_office(tmp_path, CONSENT_ROUTES="page") as office:
        told = await office.release()
        status, printed = await answer(office, "decline", told["release_id"])
        again, second = await answer(office, "approve", told["release_id"], "jsmith")
    assert (status, again) == (0, 1)
    assert "The person said no" in printed
    assert "not waiting" in re.sub(r"\s+", " ", second)
    assert office.portal.releases == []


async def test_without_a_terminal_nobody_answers(tmp_path: Path) -> None:
    async with open_office(tmp_path, CONSENT_ROUTES="page") as office:
        told = await office.release()
        refused = await anyio.run_process(
            [sys.executable, "-m", "server", "approvals", "approve", told["release_id"]],
            input=b"jsmith\n",
            env={**os.environ, "LEDGER_URL": office.env["LEDGER_URL"]},
            check=False,
        )
        assert refused.returncode == 2
        assert office.ledger.get(told["release_id"]).state == "open"
    assert office.portal.releases == []
