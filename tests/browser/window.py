"""A browser window on an open request, and everything that it complained of or asked for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, Response, expect

from tests.office import RELEASE, Office, open_office

NAME = "To approve, type the member's username"


@dataclass
class Window:
    """What a person has before them."""

    office: Office
    told: dict[str, Any]
    link: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        """The page's own origin."""
        return self.link.split("/enter/")[0]

    async def type(self, name: str) -> None:
        """Type a name into the labelled field."""
        await self.page.get_by_label(NAME).fill(name)

    async def press(self, name: str) -> None:
        """Press a button."""
        await self.page.get_by_role("button", name=name).click()

    async def sees(self, heading: str) -> None:
        """Wait until a heading is shown."""
        await expect(self.page.get_by_role("heading", name=heading)).to_be_visible()

    async def is_refused(self, answer: Response | None) -> None:
        """Check that an answer shows nothing of the request, and forget Chromium's complaint."""
        assert answer is not None
        assert answer.status == 403
        shown = await answer.text()
        assert not [part for part in ("Jane", "jsmith", "stolen") if part in shown]
        self.complaints.clear()

    def state(self) -> str:
        """Return where the request stands."""
        return self.office.ledger.get(self.told["release_id"]).state

    def events(self) -> list[str]:
        """Return what the ledger holds of the request."""
        return [entry.event for entry in self.office.ledger.entries(self.told["release_id"])]


@asynccontextmanager
async def window(
    browser: Browser, folder: Path, links: list[str], ask: dict[str, str] = RELEASE, **options: Any
) -> AsyncGenerator[Window]:
    """Ask for a release, and open its link in a profile of its own.

    At the end the page must have complained of nothing, and asked nobody but its own server.
    """
    async with open_office(folder, CONSENT_ROUTES="page", OPEN_BROWSER="true") as office:
        told = await office.release(**ask)
        context = await browser.new_context(**options)
        page = await context.new_page()
        seen = Window(office, told, links[0], context, page)
        page.on("console", lambda message: seen.complaints.append(message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("request", lambda request: seen.asked.append(request.url))
        try:
            await page.goto(links[0])
            yield seen
        finally:
            await context.close()
        assert seen.complaints == []
        assert not [url for url in seen.asked if not url.startswith(f"{seen.origin}/")]
