"""Makes the README's pictures from the running product: `python -m tests.screenshots docs`."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import anyio
from playwright.async_api import Browser, Page

from server.consent import browser as browsers
from tests.chromium import chromium
from tests.office import open_office

REASON = "The laptop was stolen on the train"


def collecting(links: list[str]) -> Callable[..., Callable[[str], bool]]:
    """Return a stand-in for what finds the browser, which keeps the links instead."""

    def open_link(link: str) -> bool:
        links.append(link)
        return True

    return lambda *_: open_link


async def page_pictures(browser: Browser, folder: Path, into: Path) -> None:
    """Picture a request on the approval page, and its outcome."""
    links: list[str] = []
    kept, browsers.opener = browsers.opener, collecting(links)
    try:
        async with open_office(folder, CONSENT_ROUTES="page", OPEN_BROWSER="true") as office:
            await office.release(reason=REASON, ticket="INC-2041")
            page = await browser.new_page(viewport={"width": 900, "height": 760})
            await page.goto(links[0])
            await picture(page, into / "page-request.png")
            await page.get_by_role("textbox").fill("jsmith")
            await page.get_by_role("button", name="Approve").click()
            await page.get_by_role("status").wait_for()
            await picture(page, into / "page-outcome.png")
            await page.close()
    finally:
        browsers.opener = kept


async def picture(page: Page, file: Path) -> None:
    """Save what the page shows."""
    await page.screenshot(path=str(file), full_page=True)


async def main(into: Path) -> None:
    """Make every picture."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        async with chromium() as browser:
            await page_pictures(browser, Path(name), into)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    anyio.run(main, target)
