"""Makes the README's pictures from the running product: `python -m tests.screenshots docs`."""

import sys
import tempfile
from collections.abc import Callable
from html import escape
from pathlib import Path
from unittest.mock import patch

import anyio
import anyio.to_thread
from playwright.async_api import Browser, Page, ViewportSize

from server import demo
from server.consent import browser as browsers
from server.releases.models import Caller
from tests.card import host
from tests.chromium import chromium
from tests.office import open_office, typing

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


async def card_picture(browser: Browser, folder: Path, into: Path) -> None:
    """Picture the card in a host."""
    script = await anyio.to_thread.run_sync(host.bundle, folder)
    if script is None:
        sys.exit("npm could not install the host's side of MCP Apps")
    size: ViewportSize = {"width": 640, "height": 700}
    async with host.chat(folder, browser, script, viewport=size) as seen:
        await seen.card.get_by_role("button", name="Approve").wait_for()
        await picture(seen.page, into / "card.png")


async def form_picture(browser: Browser, folder: Path, into: Path) -> None:
    """Picture the form as `demo`, a client at a terminal, shows it."""
    async with open_office(folder, typing()) as office:
        await office.release(reason=REASON, ticket="INC-2041")
    (question,) = office.questions
    lines = [f"  | {line}" for line in demo.wrapped(question)]
    lines.append(f"{demo.LABEL}: jsmith")
    page = await browser.new_page(viewport={"width": 860, "height": 400})
    await page.set_content(
        "<body style='margin:0;background:#11151b'><pre style='margin:0;padding:18px 20px;"
        "color:#e8ecf2;font:15px/1.5 ui-monospace,Consolas,monospace'>"
        + escape("\n".join(lines))
        + "</pre></body>"
    )
    await picture(page, into / "form.png")
    await page.close()


async def picture(page: Page, file: Path) -> None:
    """Save what the page shows."""
    await page.screenshot(path=str(file), full_page=True)


async def main(into: Path) -> None:
    """Make every picture."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        for part in ("page", "form", "card"):
            await anyio.Path(name, part).mkdir()
        async with chromium() as browser:
            await page_pictures(browser, Path(name) / "page", into)
            await form_picture(browser, Path(name) / "form", into)
        async with chromium() as browser:
            await card_picture(browser, Path(name) / "card", into)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with patch("server.app.caller", lambda: Caller("helpdesk@gis-desk")):
        anyio.run(main, target)
