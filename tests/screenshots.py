"""Makes the README's pictures from the running product: `python -m tests.screenshots docs`."""

import re
import sys
import tempfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import anyio
import anyio.to_thread
import click
from click.testing import CliRunner
from playwright.async_api import Browser, Page, ViewportSize
from rich.console import Console
from rich.text import Text

from server import cli, demo
from server.consent import browser as browsers
from server.releases.models import Caller
from server.settings import caller
from tests.card import host
from tests.chromium import chromium
from tests.office import open_office, typing

WHO = "helpdesk@gis-desk"
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


async def form_picture(folder: Path, into: Path) -> None:
    """Draw the form as `demo`, a client at a terminal, shows it."""
    async with open_office(folder, typing()) as office:
        await office.release(reason=REASON, ticket="INC-2041")
    (question,) = office.questions
    lines = [click.style("  | ", fg="yellow") + line for line in demo.wrapped(question)]
    terminal("\n".join([*lines, f"{demo.LABEL}: jsmith"]), "The form", into / "form.svg")


def demo_picture(into: Path) -> None:
    """Draw what `demo --yes` prints, up to what the portal received."""
    printed = CliRunner().invoke(cli.commands, ["demo", "--yes"], color=True).output
    shown = printed.partition("\nThe ledger:")[0].strip("\n")
    shown = shown.replace(caller().requester, WHO)  # The demo's server is a process of its own.
    terminal(shown, "arcgis-license-mcp demo", into / "demo.svg")


def terminal(text: str, title: str, file: Path) -> None:
    """Draw a terminal as SVG. It names no font from elsewhere, which a page would not load."""
    console = Console(record=True, width=98, file=StringIO(), color_system="truecolor")
    console.print(Text.from_ansi(text))
    drawn = console.export_svg(title=title, unique_id="terminal")
    file.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL), "utf-8")


async def picture(page: Page, file: Path) -> None:
    """Save what the page shows."""
    await page.screenshot(path=str(file), full_page=True)


async def main(into: Path) -> None:
    """Make every picture."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        for part in ("page", "form", "card"):
            await anyio.Path(name, part).mkdir()
        await form_picture(Path(name) / "form", into)
        async with chromium() as browser:
            await page_pictures(browser, Path(name) / "page", into)
        async with chromium() as browser:
            await card_picture(browser, Path(name) / "card", into)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with patch("server.app.caller", lambda: Caller(WHO)):
        anyio.run(main, target)
    demo_picture(target)
