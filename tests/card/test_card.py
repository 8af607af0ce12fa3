"""The card in real Chromium, inside a host whose side of the protocol is AppBridge's."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from server.app import milliseconds
from server.consent.card import META
from tests.card import host
from tests.card.host import Chat
from tests.chromium import ABSENT, CHROMIUM, chromium

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(CHROMIUM is None, reason=ABSENT),
    pytest.mark.skipif(host.NPM is None, reason="npm is not installed"),
    pytest.mark.timeout(240),
]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundled = host.bundle(tmp_path_factory.mktemp("host"))
    if bundled is None:
        pytest.skip("npm could not install the host's side of MCP Apps")
    return bundled


@asynccontextmanager
async def chat(folder: Path, script: Path, **options: Any) -> AsyncGenerator[Chat]:
    async with chromium() as browser, host.chat(folder, browser, script, **options) as seen:
        yield seen
        assert seen.complaints == []
        assert seen.asked == []


async def approve(seen: Chat, name: str) -> None:
    await seen.card.get_by_label("To approve, type the member's username").fill(name)
    await seen.card.get_by_role("button", name="Approve").click()


async def sees(seen: Chat, heading: str) -> None:
    await expect(seen.card.get_by_role("heading", name=heading)).to_be_visible()


async def test_the_card_shows_what_the_page_shows_and_approves(
    tmp_path: Path, script: Path
) -> None:
    async with chat(tmp_path, script) as seen:
        await sees(seen, "Release this offline license?")
        for shown in (
            seen.told["release_id"],
            "Jane Smith",
            "ArcGIS Pro",
            "laptop stolen",
            "checked out for offline use",
            "may keep working until its license file ends",
        ):
            await expect(seen.card.get_by_text(shown).first).to_be_visible()
        await approve(seen, "jsmith")
        await sees(seen, "The license was released.")
        kept = seen.office.ledger.get(seen.told["release_id"])
        sizes = await seen.page.evaluate("window.sizes")
    assert (kept.state, kept.route) == ("released", "card")
    assert len(seen.office.portal.releases) == 1
    assert max(size["height"] for size in sizes) > 300


async def test_the_card_declines(tmp_path: Path, script: Path) -> None:
    async with chat(tmp_path, script) as seen:
        await seen.card.get_by_role("button", name="Decline").click()
        await sees(seen, "Nothing was released.")
        assert seen.state() == "not_released"
    assert seen.office.portal.releases == []


@pytest.mark.promise("refusals-kept")
async def test_a_mistyped_name_is_refused_in_place_and_can_be_mended(
    tmp_path: Path, script: Path
) -> None:
    async with chat(tmp_path, script) as seen:
        await approve(seen, "jsmith2")
        await expect(seen.card.get_by_role("alert")).to_contain_text("Nothing was released")
        assert seen.state() == "open"
        await approve(seen, "jsmith")
        await sees(seen, "The license was released.")
        events = [e.event for e in seen.office.ledger.entries(seen.told["release_id"])]
    assert "mistyped" in events
    assert len(seen.office.portal.releases) == 1


async def test_the_keyboard_alone_is_enough(tmp_path: Path, script: Path) -> None:
    async with chat(tmp_path, script) as seen:
        await seen.card.get_by_role("textbox").focus()
        await seen.page.keyboard.type("jsmith")
        await seen.page.keyboard.press("Enter")
        await sees(seen, "The license was released.")


async def test_an_answer_given_elsewhere_is_shown(tmp_path: Path, script: Path) -> None:
    async with chat(tmp_path, script) as seen:
        release_id = seen.told["release_id"]
        now = milliseconds()
        seen.office.ledger.decide(release_id, "declined", route="page", approver="ben", now=now)
        await sees(seen, "Nothing was released.")
        await expect(seen.card.get_by_role("status")).to_contain_text("The person said no")
    assert seen.office.portal.releases == []


async def test_an_expired_request_is_shown_as_such(tmp_path: Path, script: Path) -> None:
    async with chat(tmp_path, script) as seen:
        seen.office.ledger.get(seen.told["release_id"], now=milliseconds() + 3_600_000)
        await sees(seen, "Nothing was released.")
        await expect(seen.card.get_by_role("status")).to_contain_text("Nobody said yes in time")


@pytest.mark.promise("bound-consent")
async def test_a_second_answer_changes_nothing(tmp_path: Path, script: Path) -> None:
    async with chat(tmp_path, script) as seen:
        release_id = seen.told["release_id"]
        await sees(seen, "Release this offline license?")
        now = milliseconds()
        seen.office.ledger.decide(release_id, "declined", route="page", approver="ben", now=now)
        await approve(seen, "jsmith")
        await sees(seen, "Nothing was released.")
    assert seen.office.portal.releases == []


@pytest.mark.promise("never-the-model")
async def test_a_card_without_the_right_key_answers_nothing(tmp_path: Path, script: Path) -> None:
    def guess(result: dict[str, Any]) -> None:
        result["_meta"][META]["key"] = "0" * 64

    async with chat(tmp_path, script, change=guess) as seen:
        await approve(seen, "jsmith")
        await expect(seen.card.get_by_role("alert")).to_contain_text("Only the card answers")
        assert seen.state() == "open"
    assert seen.office.portal.releases == []


@pytest.mark.promise("not-fooled")
async def test_foreign_text_is_text(tmp_path: Path, script: Path) -> None:
    def hostile(result: dict[str, Any]) -> None:
        result["_meta"][META]["facts"].append(["Note", "<img src=x onerror=alert(1)>"])

    async with chat(tmp_path, script, change=hostile) as seen:
        await expect(seen.card.get_by_text("<img src=x onerror=alert(1)>")).to_be_visible()
        await expect(seen.card.locator("img")).to_have_count(0)


@pytest.mark.promise("no-secrets")
async def test_the_key_is_not_shown(tmp_path: Path, script: Path) -> None:
    async with chat(tmp_path, script) as seen:
        await sees(seen, "Release this offline license?")
        key = (seen.result.meta or {})[META]["key"]
        shown = await seen.frame.evaluate("document.body.innerText + document.body.innerHTML")
    assert key not in shown


async def test_a_result_without_a_question_shows_its_message(tmp_path: Path, script: Path) -> None:
    def without(result: dict[str, Any]) -> None:
        del result["_meta"]

    async with chat(tmp_path, script, change=without) as seen:
        await expect(seen.card.get_by_role("status")).to_contain_text(seen.told["release_id"])
        await expect(seen.card.get_by_role("button")).to_have_count(0)


@pytest.mark.parametrize(("theme", "ground"), [("light", "255, 255, 255"), ("dark", "26, 32, 41")])
async def test_the_host_s_theme_is_followed_and_nothing_is_cut_off(
    tmp_path: Path, script: Path, theme: str, ground: str
) -> None:
    size = {"width": 320, "height": 900}
    async with chat(tmp_path, script, theme=theme, viewport=size) as seen:
        await sees(seen, "Release this offline license?")
        colour = await seen.frame.evaluate("getComputedStyle(document.body).backgroundColor")
        wide = await seen.frame.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        await seen.page.evaluate(
            "window.bridge.sendHostContextChange("
            "{styles: {variables: {'--color-background-primary': 'rgb(1, 2, 3)'}}})"
        )
        await expect(seen.card.locator("body")).to_have_css("background-color", "rgb(1, 2, 3)")
    assert colour == f"rgb({ground})"
    assert wide <= 0
