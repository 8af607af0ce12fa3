"""The approval page in real Chromium: a person answers, and sees what became of it."""

import re
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from playwright.async_api import Browser, expect

from server.app import milliseconds
from server.releases.service import Releases
from tests.browser.window import NAME, window

pytestmark = pytest.mark.anyio
script_or_none = pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])


@script_or_none
async def test_approving_releases_and_shows_the_outcome_in_place(
    browser: Browser, tmp_path: Path, links: list[str], script: bool
) -> None:
    async with window(browser, tmp_path, links, java_script_enabled=script) as seen:
        await seen.sees("Release this offline license?")
        await expect(seen.page.get_by_text("Jane Smith")).to_be_visible()
        await seen.type("jsmith")
        await seen.press("Approve")
        await seen.sees("The license was released.")
        await expect(seen.page.get_by_role("row")).to_have_count(1 + len(seen.events()))
        assert seen.page.url == seen.told["approval_url"]
    assert len(seen.office.portal.releases) == 1


@script_or_none
async def test_declining_with_the_field_left_empty_shows_that_nothing_was_released(
    browser: Browser, tmp_path: Path, links: list[str], script: bool
) -> None:
    async with window(browser, tmp_path, links, java_script_enabled=script) as seen:
        await seen.press("Decline")
        await seen.sees("Nothing was released.")
        await expect(seen.page.get_by_role("row").last).to_contain_text("declined")
    assert seen.office.portal.releases == []


@pytest.mark.promise("refusals-kept")
@script_or_none
async def test_a_mistyped_name_is_refused_in_place_and_can_be_mended(
    browser: Browser, tmp_path: Path, links: list[str], script: bool
) -> None:
    async with window(browser, tmp_path, links, java_script_enabled=script) as seen:
        await seen.type("jsmith2")
        await seen.press("Approve")
        await expect(seen.page.get_by_role("alert")).to_contain_text("Nothing was released")
        await expect(seen.page.get_by_label(NAME)).to_be_focused()
        assert seen.page.url == seen.told["approval_url"]
        assert (seen.state(), seen.events()[-1]) == ("open", "mistyped")
        seen.complaints.clear()  # Chromium logs the status 422 of its own accord.
        await seen.type("jsmith")
        await seen.press("Approve")
        await seen.sees("The license was released.")
    assert len(seen.office.portal.releases) == 1


async def test_an_answer_elsewhere_is_shown_without_sending_a_mistyped_form_again(
    browser: Browser, tmp_path: Path, links: list[str]
) -> None:
    async with window(browser, tmp_path, links) as seen:
        await seen.type("jsmith2")
        await seen.press("Approve")
        await expect(seen.page.get_by_role("alert")).to_be_visible()
        ledger, name = seen.office.ledger, seen.told["release_id"]
        ledger.decide(name, "declined", route="page", approver="ben@desk", now=milliseconds())
        await seen.sees("Nothing was released.")
        await expect(seen.page.get_by_role("alert")).to_have_count(0)
        assert seen.events() == ["asked", "no_form", "mistyped", "declined"]
        seen.complaints.clear()


async def test_an_approval_elsewhere_is_followed_to_its_outcome(
    browser: Browser, tmp_path: Path, links: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, carry_out = anyio.Event(), Releases.carry_out_approved

    async def later(self: Releases) -> bool:
        await may_go_on.wait()
        return await carry_out(self)

    monkeypatch.setattr(Releases, "carry_out_approved", later)
    async with window(browser, tmp_path, links) as seen:
        ledger, name = seen.office.ledger, seen.told["release_id"]
        ledger.decide(name, "approved", route="page", approver="ben@desk", now=milliseconds())
        await seen.sees("Nothing has been released so far.")
        may_go_on.set()
        await seen.sees("The license was released.")
    assert len(seen.office.portal.releases) == 1


async def test_the_time_counts_down_and_an_expired_request_is_shown_as_such(
    browser: Browser, tmp_path: Path, links: list[str]
) -> None:
    async with window(browser, tmp_path, links) as seen:
        left = seen.page.get_by_role("timer")
        await expect(left).to_have_text(re.compile(r"^59:\d\d left$"))
        await expect(left).not_to_have_text(await left.inner_text())
        later = milliseconds() + 3_600_000
        ledger = seen.office.ledger
        await anyio.to_thread.run_sync(lambda: ledger.get(seen.told["release_id"], now=later))
        await seen.sees("Nothing was released.")
        await expect(seen.page.get_by_role("status")).to_contain_text("Nobody said yes in time")
        await expect(seen.page.get_by_role("button")).to_have_count(0)
    assert seen.office.portal.releases == []


@pytest.mark.promise("bound-consent")
@pytest.mark.parametrize("late", ["answered", "expired"])
async def test_an_answer_in_a_window_that_is_out_of_date_is_refused(
    browser: Browser, tmp_path: Path, links: list[str], late: str
) -> None:
    async with window(browser, tmp_path, links) as seen:
        other = await seen.context.new_page()
        await other.route("**/page.js", lambda route: route.abort())
        await other.goto(seen.page.url)
        if late == "answered":
            await seen.press("Decline")
        else:
            later = milliseconds() + 3_600_000
            seen.office.ledger.get(seen.told["release_id"], now=later)
        await seen.sees("Nothing was released.")
        await other.get_by_label(NAME).fill("jsmith")
        await other.get_by_role("button", name="Approve").click()
        words = "already answered" if late == "answered" else "the time had run out"
        await expect(other.get_by_role("alert")).to_contain_text(words)
        await expect(other.get_by_role("heading", name="Nothing was released.")).to_be_visible()
    assert seen.office.portal.releases == []


async def test_all_requests_and_the_member_s_history_can_be_reached(
    browser: Browser, tmp_path: Path, links: list[str]
) -> None:
    async with window(browser, tmp_path, links) as seen:
        await seen.press("Decline")
        await seen.sees("Nothing was released.")
        waiting = await seen.office.release()
        await seen.page.get_by_role("link", name="All requests").click()
        await seen.page.get_by_role("link", name=waiting["release_id"]).click()
        await seen.sees("Release this offline license?")
        await seen.page.get_by_role("link", name=seen.told["release_id"]).click()
        await seen.sees("Nothing was released.")


async def test_a_server_that_is_gone_is_said_to_be(
    browser: Browser, tmp_path: Path, links: list[str]
) -> None:
    async with window(browser, tmp_path, links) as seen:
        await seen.context.set_offline(True)
        await expect(seen.page.get_by_role("status")).to_contain_text("The server does not answer")
        await seen.context.set_offline(False)
        await expect(seen.page.get_by_role("status")).to_have_count(0)
        seen.complaints.clear()  # Chromium logs what it could not fetch.
