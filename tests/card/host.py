"""A host for the card: AppBridge in Chromium on one side, a real client and server on the other."""

import shutil
import subprocess
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp_types import CallToolResult, TextResourceContents
from playwright.async_api import Browser, ConsoleMessage, Frame, FrameLocator, Page

from server.consent.card import URI
from tests.office import RELEASE, Office, open_office, structured

HERE = Path(__file__).parent
NPM = shutil.which("npm")


def bundle(folder: Path) -> Path | None:
    """Install AppBridge and bundle the host page's script; None where npm cannot install it."""
    for name in ("package.json", "host.js"):
        shutil.copy(HERE / name, folder)
    out = folder / "bundle.js"
    for command in (
        [str(NPM), "install", "--no-audit", "--no-fund", "--silent"],
        ["node_modules/.bin/esbuild", "host.js", "--bundle", "--format=iife", f"--outfile={out}"],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=200, check=False)
        if done.returncode != 0:
            return None
    return out


@dataclass
class Chat:
    """The card in a chat, and everything that it complained of or asked the network for.

    The server's replies to the tools in `loses` do not reach the card.
    """

    office: Office
    page: Page
    told: dict[str, Any]
    result: CallToolResult
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    loses: set[str] = field(default_factory=set)

    def hear(self, message: ConsoleMessage) -> None:
        """Keep what is worse than the bridge's own debugging."""
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    @property
    def card(self) -> FrameLocator:
        """The card's document."""
        return self.page.frame_locator("iframe[title=card]")

    @property
    def frame(self) -> Frame:
        """The card's frame."""
        return self.page.frames[1]

    async def pass_seconds(self, seconds: int) -> None:
        """Let time pass for the host and the card, though not for the server."""
        await self.page.clock.run_for(seconds * 1000)

    def state(self) -> str:
        """Return where the request stands."""
        return self.office.ledger.get(self.told["release_id"]).state


async def html(office: Office) -> str:
    """Read the card as a host does."""
    (contents,) = (await office.client.read_resource(URI)).contents
    assert isinstance(contents, TextResourceContents)
    return contents.text


@asynccontextmanager
async def chat(
    folder: Path,
    browser: Browser,
    script: Path,
    *,
    change: Callable[[dict[str, Any]], None] = lambda _: None,
    theme: str = "light",
    **options: Any,
) -> AsyncGenerator[Chat]:
    """Ask for a release, and show its card; `change` may alter the result that the card gets.

    The clock of the host and the card stands still until `pass_seconds`.
    """
    async with open_office(folder, apps=True, CONSENT_ROUTES="card") as office:
        result = await office.call("release_license", **RELEASE)
        page = await browser.new_page(**options)
        await page.clock.install()
        await page.clock.pause_at(time.time() + 1)
        seen = Chat(office, page, structured(result), result)
        page.on("console", seen.hear)
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("request", lambda request: seen.asked.append(request.url))

        async def call_tool(params: dict[str, Any]) -> dict[str, Any]:
            seen.calls.append(params)
            answer = as_json(await office.client.call_tool(params["name"], params["arguments"]))
            seen.answers.append(answer)
            if params["name"] in seen.loses:
                raise TimeoutError("the host waited no longer")
            return answer

        await page.expose_function("callTool", call_tool)
        await page.add_script_tag(path=str(script))
        shown = as_json(result)
        change(shown)
        await page.evaluate(
            "(card) => window.openCard(card)",
            {
                "html": await html(office),
                "input": RELEASE,
                "result": shown,
                "hostContext": {"theme": theme},
            },
        )
        try:
            yield seen
        finally:
            await page.close()


def as_json(result: CallToolResult) -> dict[str, Any]:
    """Return a result as it travels."""
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)
