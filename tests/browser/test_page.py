"""The approval page in real Chromium, with a mouse, with the keyboard alone, and without script."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from playwright.async_api import BrowserContext, Page, expect

from server.app import milliseconds
from tests.chromium import ABSENT, CHROMIUM, chromium
from tests.office import Office, open_office

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason=ABSENT)]


@dataclass
class Window:
    """A browser window on an open request, and everything that it complained of or asked for."""

    office: Office
    told: dict[str, Any]
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        """The page's own origin."""
        return "/".join(self.page.url.split("/")[:3])

    async def type(self, name: str) -> None:
        """Type a name into the labelled field."""
        await self.page.get_by_label("To approve, type the member's username").fill(name)

    async def press(self, name: str) -> None:
        """Press a button."""
        await self.page.get_by_role("button", name=name).click()

    async def sees(self, heading: str) -> None:
        """Wait until a heading is shown."""
        await expect(self.page.get_by_role("heading", name=heading)).to_be_visible()

    def state(self) -> str:
        """Return where the request stands."""
        return self.office.ledger.get(self.told["release_id"]).state


@asynccontextmanager
async def window(folder: Path, links: list[str], **options: Any) -> AsyncGenerator[Window]:
    async with (
        open_office(folder, CONSENT_ROUTES="page", OPEN_BROWSER="true") as office,
        chromium() as browser,
    ):
        told = await office.release()
        context = await browser.new_context(**options)
        page = await context.new_page()
        opened = Window(office, told, context, page)
        page.on("console", lambda message: opened.complaints.append(message.text))
        page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        page.on("request", lambda request: opened.asked.append(request.url))
        await page.goto(links[0])
        yield opened
        assert opened.complaints == []
        assert all(url.startswith(f"{opened.origin}/") for url in opened.asked)


@pytest.mark.parametrize("script", [True, False])
async def test_approving_releases_and_shows_the_outcome_in_place(
    tmp_path: Path, links: list[str], script: bool
) -> None:
    async with window(tmp_path, links, java_script_enabled=script) as seen:
        await seen.sees("Release this offline license?")
        await expect(seen.page.get_by_text("Jane Smith")).to_be_visible()
        await seen.type("jsmith")
        await seen.press("Approve")
        await seen.sees("The license was released.")
        await expect(seen.page.get_by_role("row")).to_have_count(6)
    assert len(seen.office.portal.releases) == 1


async def test_declining_shows_that_nothing_was_released(tmp_path: Path, links: list[str]) -> None:
    async with window(tmp_path, links) as seen:
        await seen.press("Decline")
        await seen.sees("Nothing was released.")
    assert seen.office.portal.releases == []


async def test_the_keyboard_alone_is_enough(tmp_path: Path, links: list[str]) -> None:
    async with window(tmp_path, links) as seen:
        await expect(seen.page.get_by_role("textbox")).to_be_focused()
        await seen.page.keyboard.type("jsmith")
        await seen.page.keyboard.press("Tab")
        await expect(seen.page.get_by_role("button", name="Approve")).to_be_focused()
        await seen.page.keyboard.press("Enter")
        await seen.sees("The license was released.")


async def test_a_mistyped_name_is_refused_and_can_be_mended(
    tmp_path: Path, links: list[str]
) -> None:
    async with window(tmp_path, links) as seen:
        await seen.type("jsmith2")
        await seen.press("Approve")
        await expect(seen.page.get_by_role("alert")).to_contain_text("Nothing was released")
        assert seen.state() == "open"
        seen.complaints.clear()  # Chromium logs the status 422 of its own accord.
        await seen.type("jsmith")
        await seen.press("Approve")
        await seen.sees("The license was released.")


async def test_the_time_counts_down_and_an_expired_request_is_shown_as_such(
    tmp_path: Path, links: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with window(tmp_path, links) as seen:
        await expect(seen.page.get_by_text("59:5")).to_be_visible()
        later = milliseconds() + 3_600_000
        ledger = seen.office.ledger
        await anyio.to_thread.run_sync(lambda: ledger.get(seen.told["release_id"], now=later))
        await seen.sees("Nothing was released.")
        await expect(seen.page.get_by_role("status")).to_contain_text("Nobody said yes in time")
    assert seen.office.portal.releases == []


async def test_an_answer_given_elsewhere_is_shown_by_itself(
    tmp_path: Path, links: list[str]
) -> None:
    async with window(tmp_path, links) as seen:
        seen.office.ledger.decide(
            seen.told["release_id"],
            "approved",
            route="page",
            approver="ben@desk",
            now=milliseconds(),
        )
        await seen.sees("The license was released.")
    assert len(seen.office.portal.releases) == 1


@pytest.mark.promise("bound-consent")
async def test_of_two_windows_the_first_answer_counts(tmp_path: Path, links: list[str]) -> None:
    async with window(tmp_path, links) as seen:
        other = await seen.context.new_page()
        await other.route("**/page.js", lambda route: route.abort())
        await other.goto(seen.page.url)
        await seen.press("Decline")
        await seen.sees("Nothing was released.")
        await other.get_by_role("textbox").fill("jsmith")
        await other.get_by_role("button", name="Approve").click()
        await expect(other.get_by_role("alert")).to_contain_text("already answered")
    assert seen.office.portal.releases == []


@pytest.mark.promise("no-secrets")
async def test_the_key_leaves_the_address_bar_and_works_once(
    tmp_path: Path, links: list[str]
) -> None:
    async with window(tmp_path, links) as seen:
        key = links[0].rsplit("/", 1)[1]
        assert seen.page.url.endswith(f"/requests/{seen.told['release_id']}")
        assert key not in await seen.page.content()
        assert await seen.page.evaluate("document.cookie") == ""
        again = await seen.page.goto(links[0])
        assert again is not None
        assert again.status == 403
        seen.complaints.clear()
        await expect(seen.page.get_by_text("Jane Smith")).to_have_count(0)


@pytest.mark.promise("never-the-model")
async def test_a_foreign_page_in_the_same_browser_can_answer_nothing(
    tmp_path: Path, links: list[str]
) -> None:
    async with window(tmp_path, links) as seen:
        evil = await seen.context.new_page()
        await evil.route(
            "http://evil.example/",
            lambda route: route.fulfill(
                content_type="text/html",
                body=f"""<form method=post action="{seen.page.url}">
                <input name=verdict value=approve><input name=username value=jsmith>
                <button>Win a prize</button></form>""",
            ),
        )
        await evil.goto("http://evil.example/")
        async with evil.expect_navigation():
            await evil.get_by_role("button").click()
        assert seen.state() == "open"
        await expect(evil.get_by_text("Jane Smith")).to_have_count(0)
        await evil.close()
    assert seen.office.portal.releases == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_a_phone_nothing_is_cut_off_and_buttons_can_be_hit(
    tmp_path: Path, links: list[str], scheme: Any
) -> None:
    size = {"width": 360, "height": 740}
    async with window(tmp_path, links, viewport=size, color_scheme=scheme) as seen:
        wide = await seen.page.evaluate("document.documentElement.scrollWidth")
        box = await seen.page.get_by_role("button", name="Decline").bounding_box()
        ink = await seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert wide <= 360
    assert box is not None
    assert box["height"] >= 44
    assert (ink == "rgb(17, 21, 27)") is (scheme == "dark")
