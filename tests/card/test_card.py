"""The card in real Chromium, inside a host whose side of the protocol is AppBridge's."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from server.app import milliseconds
from server.consent.card import META
from server.releases.models import Verdict
from tests.card import host
from tests.card.host import Chat
from tests.chromium import ABSENT, CHROMIUM, chromium
from tests.office import PRO, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(CHROMIUM is None, reason=ABSENT),
    pytest.mark.skipif(host.NPM is None, reason="npm is not installed"),
    pytest.mark.timeout(240),
]
OpenChat = Callable[..., AbstractAsyncContextManager[Chat]]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundled = host.bundle(tmp_path_factory.mktemp("host"))
    if bundled is None:
        pytest.skip("npm could not install the host's side of MCP Apps")
    return bundled


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run the module's tests in one event loop, where its browser lives."""
    return "asyncio"


@pytest.fixture(scope="module")
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as opened:
        yield opened


@pytest.fixture
def chat(browser: Browser, script: Path, tmp_path: Path) -> OpenChat:
    return partial(watched_chat, tmp_path, browser, script)


@asynccontextmanager
async def watched_chat(
    folder: Path, browser: Browser, script: Path, **options: Any
) -> AsyncGenerator[Chat]:
    async with host.chat(folder, browser, script, **options) as seen:
        yield seen
        assert seen.complaints == []
        assert seen.asked == []


async def approve(seen: Chat, name: str) -> None:
    await seen.card.get_by_label("To approve, type the member's username").fill(name)
    await seen.card.get_by_role("button", name="Approve").click()


def answer_elsewhere(seen: Chat, verdict: Verdict) -> None:
    seen.office.ledger.decide(
        seen.told["release_id"], verdict, route="page", approver="ben", now=milliseconds()
    )


async def sees(seen: Chat, heading: str) -> None:
    # Exact: "It is not known whether the license was released." would fit as well.
    await expect(seen.card.get_by_role("heading", name=heading, exact=True)).to_be_visible()


async def test_the_card_shows_what_the_page_shows_and_approves(chat: OpenChat) -> None:
    async with chat() as seen:
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


async def test_the_card_declines(chat: OpenChat) -> None:
    async with chat() as seen:
        await seen.card.get_by_role("button", name="Decline").click()
        await sees(seen, "Nothing was released.")
        assert seen.state() == "not_released"
    assert seen.office.portal.releases == []


@pytest.mark.promise("refusals-kept")
async def test_a_mistyped_name_is_refused_in_place_and_can_be_mended(chat: OpenChat) -> None:
    async with chat() as seen:
        await approve(seen, "jsmith2")
        await expect(seen.card.get_by_role("alert")).to_contain_text("Nothing was released")
        assert seen.state() == "open"
        await approve(seen, "jsmith")
        await sees(seen, "The license was released.")
        events = [e.event for e in seen.office.ledger.entries(seen.told["release_id"])]
    assert "mistyped" in events
    assert len(seen.office.portal.releases) == 1


async def test_the_keyboard_alone_is_enough(chat: OpenChat) -> None:
    async with chat() as seen:
        await seen.card.get_by_role("textbox").focus()
        await seen.page.keyboard.type("jsmith")
        await seen.page.keyboard.press("Enter")
        await sees(seen, "The license was released.")


async def test_an_answer_given_elsewhere_is_shown(chat: OpenChat) -> None:
    async with chat() as seen:
        await sees(seen, "Release this offline license?")
        answer_elsewhere(seen, "declined")
        await seen.pass_seconds(3)
        await sees(seen, "Nothing was released.")
        await expect(seen.card.get_by_role("status")).to_contain_text("The person said no")
    assert seen.office.portal.releases == []


@pytest.mark.promise("four-outcomes")
async def test_a_release_that_is_being_sent_elsewhere_is_followed_to_its_outcome(
    chat: OpenChat,
) -> None:
    async with chat() as seen:
        await sees(seen, "Release this offline license?")
        ledger, release_id = seen.office.ledger, seen.told["release_id"]
        answer_elsewhere(seen, "approved")
        ledger.begin_sending(release_id, now=milliseconds(), lease=60_000, may=lambda _: None)
        before = len(seen.answers)
        await seen.pass_seconds(3)
        await until(lambda: len(seen.answers) > before)
        assert seen.answers[-1]["structuredContent"]["releases"][0]["status"] == "unknown"
        await sees(seen, "Release this offline license?")
        ledger.finish(release_id, "released", "confirmed", verified=True, now=milliseconds())
        await seen.pass_seconds(3)
        await sees(seen, "The license was released.")


@pytest.mark.promise("four-outcomes")
async def test_an_unknown_outcome_is_looked_at_until_it_is_settled(chat: OpenChat) -> None:
    async with chat() as seen:
        await sees(seen, "Release this offline license?")
        ledger, release_id = seen.office.ledger, seen.told["release_id"]
        now = milliseconds()
        answer_elsewhere(seen, "approved")
        ledger.begin_sending(release_id, now=now, lease=60_000, may=lambda _: None)
        ledger.finish(release_id, "unknown", "outcome_unknown", now=now)
        await seen.pass_seconds(3)
        await sees(seen, "It is not known whether the license was released.")
        seen.office.portal.hand_back("jsmith", PRO)
        await seen.pass_seconds(15)
        await sees(seen, "The license was released.")
    assert seen.office.portal.releases == []


@pytest.mark.promise("four-outcomes")
async def test_a_reply_that_the_host_lost_is_not_called_an_answer_that_was_not_sent(
    chat: OpenChat,
) -> None:
    async with chat() as seen:
        seen.loses.add("decide_release")
        await approve(seen, "jsmith")
        await sees(seen, "The license was released.")
    assert len(seen.office.portal.releases) == 1


async def test_a_host_that_carries_nothing_is_named_as_the_trouble(chat: OpenChat) -> None:
    async with chat() as seen:
        await sees(seen, "Release this offline license?")
        seen.loses |= {"decide_release", "list_releases"}
        await approve(seen, "jsmith")
        await expect(seen.card.get_by_role("alert")).to_contain_text("No reply came")
        await expect(seen.card.get_by_role("button", name="Approve")).to_be_enabled()


async def test_an_old_result_shows_what_became_of_it(chat: OpenChat) -> None:
    async with chat() as seen:
        await seen.card.get_by_role("button", name="Decline").click()
        await sees(seen, "Nothing was released.")
        await seen.page.evaluate(
            "(result) => window.bridge.sendToolResult(result)", host.as_json(seen.result)
        )
        # On the same way after the result, so that the result has been shown.
        await seen.page.evaluate("window.bridge.sendHostContextChange({theme: 'dark'})")
        await expect(seen.card.locator("html")).to_have_attribute("style", "color-scheme: dark;")
        await sees(seen, "Nothing was released.")
        await expect(seen.card.get_by_role("button")).to_have_count(0)


async def test_time_runs_out_before_the_eyes_and_then_on_the_server(chat: OpenChat) -> None:
    async with chat() as seen:
        await expect(seen.card.get_by_text("59:")).to_be_visible()
        await seen.page.clock.fast_forward(3_600_000)
        await expect(seen.card.get_by_text("expired")).to_be_visible()
        seen.office.ledger.get(seen.told["release_id"], now=milliseconds() + 3_600_000)
        await seen.pass_seconds(3)
        await sees(seen, "Nothing was released.")
        await expect(seen.card.get_by_role("status")).to_contain_text("Nobody said yes in time")


async def test_a_closed_card_looks_no_more(chat: OpenChat) -> None:
    async with chat() as seen:
        await sees(seen, "Release this offline license?")
        await seen.page.evaluate("window.bridge.teardownResource({})")
        before = len(seen.calls)
        await seen.pass_seconds(30)
        assert len(seen.calls) == before


async def test_the_handshake_comes_first_and_nothing_else_is_said(chat: OpenChat) -> None:
    async with chat() as seen:
        await sees(seen, "Release this offline license?")
        heard = await seen.page.evaluate("window.heard")
    assert heard[:2] == ["ui/initialize", "ui/notifications/initialized"]
    assert set(heard[2:]) == {"ui/notifications/size-changed", "tools/call"}


@pytest.mark.promise("not-fooled")
async def test_only_the_host_is_heard(chat: OpenChat) -> None:
    async with chat() as seen:
        await sees(seen, "Release this offline license?")
        await seen.page.evaluate("window.forge('No request is open.')")
        # The host's own message comes after the forged one, on the same way.
        await seen.page.evaluate("window.bridge.sendHostContextChange({theme: 'dark'})")
        await expect(seen.card.locator("html")).to_have_attribute("style", "color-scheme: dark;")
        await expect(seen.card.get_by_text("No request is open.")).to_have_count(0)
        await sees(seen, "Release this offline license?")


async def test_the_focus_is_where_a_person_goes_on(chat: OpenChat) -> None:
    async with chat() as seen:
        field = seen.card.get_by_role("textbox")
        await approve(seen, "jsmith2")
        await expect(field).to_be_focused()
        await expect(field).to_have_attribute("aria-invalid", "true")
        await approve(seen, "jsmith")
        await expect(seen.card.get_by_role("heading")).to_be_focused()
        await sees(seen, "The license was released.")


@pytest.mark.promise("bound-consent")
async def test_a_second_answer_changes_nothing(chat: OpenChat) -> None:
    async with chat() as seen:
        await sees(seen, "Release this offline license?")
        seen.loses.add("list_releases")  # Else the card may show the answer before the click.
        answer_elsewhere(seen, "declined")
        await approve(seen, "jsmith")
        await sees(seen, "Nothing was released.")
    assert seen.office.portal.releases == []


@pytest.mark.promise("never-the-model")
async def test_a_card_without_the_right_key_answers_nothing(chat: OpenChat) -> None:
    def guess(result: dict[str, Any]) -> None:
        result["_meta"][META]["key"] = "0" * 64

    async with chat(change=guess) as seen:
        await approve(seen, "jsmith")
        await expect(seen.card.get_by_role("alert")).to_contain_text("Only the card answers")
        assert seen.state() == "open"
    assert seen.office.portal.releases == []


@pytest.mark.promise("not-fooled")
async def test_foreign_text_is_text(chat: OpenChat) -> None:
    def hostile(result: dict[str, Any]) -> None:
        result["_meta"][META]["facts"].append(["Note", "<img src=x onerror=alert(1)>"])

    async with chat(change=hostile) as seen:
        await expect(seen.card.get_by_text("<img src=x onerror=alert(1)>")).to_be_visible()
        await expect(seen.card.locator("img")).to_have_count(0)


@pytest.mark.promise("no-secrets")
async def test_the_key_is_not_shown(chat: OpenChat) -> None:
    async with chat() as seen:
        await sees(seen, "Release this offline license?")
        key = (seen.result.meta or {})[META]["key"]
        shown = await seen.frame.evaluate("document.body.innerText + document.body.innerHTML")
    assert key not in shown


async def test_a_result_without_a_question_shows_its_message(chat: OpenChat) -> None:
    def without(result: dict[str, Any]) -> None:
        del result["_meta"]

    async with chat(change=without) as seen:
        await expect(seen.card.get_by_role("status")).to_contain_text(seen.told["release_id"])
        await expect(seen.card.get_by_role("button")).to_have_count(0)


@pytest.mark.parametrize(("theme", "ground"), [("light", "255, 255, 255"), ("dark", "26, 32, 41")])
async def test_the_host_s_theme_is_followed_and_nothing_is_cut_off(
    chat: OpenChat, theme: str, ground: str
) -> None:
    size = {"width": 320, "height": 900}
    async with chat(theme=theme, viewport=size) as seen:
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
