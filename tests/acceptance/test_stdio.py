"""The main job as it is used: the real command over real pipes, in both eras."""

from pathlib import Path
from typing import Any

import pytest

from server.sandbox.portal import SandboxPortal
from tests.office import (
    ERAS,
    NOTHING,
    PRO,
    RELEASE,
    Era,
    action,
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
