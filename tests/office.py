"""A helpdesk's desk for tests: the sandbox portal, the server, and a client in either era."""

import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext, advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, ErrorData

from server import app, settings
from server.releases.ledger import Ledger
from server.releases.policy import load
from server.sandbox.portal import ADMINISTRATOR, PASSWORD, SandboxPortal
from server.sandbox.runner import running

Era = Literal["auto", "legacy"]
ERAS: tuple[Era, ...] = ("auto", "legacy")
Answer = Callable[[str], Awaitable[ElicitResult | ErrorData]]
PRO = "arcgisprodesktop"
RELEASE = {"username": "jsmith", "app_id": PRO, "reason": "laptop stolen", "ticket": "INC-1"}
NOTHING = "Nothing was released."
CARDS = advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})


@dataclass
class Office:
    """Everything at hand: what the portal received, what the client sees, what the ledger holds."""

    portal: SandboxPortal
    client: Client
    ledger: Ledger
    questions: list[str]
    env: dict[str, str]

    async def call(self, tool: str, **arguments: Any) -> CallToolResult:
        """Call a tool."""
        return await self.client.call_tool(tool, arguments)

    async def release(self, **changes: Any) -> dict[str, Any]:
        """Ask for a release, and return what the tool answered."""
        return structured(await self.call("release_license", **{**RELEASE, **changes}))


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds, at most 20 seconds."""
    with anyio.fail_after(20):
        while not holds():  # noqa: ASYNC110  another process or thread changes it
            await anyio.sleep(0.005)


def structured(result: CallToolResult) -> dict[str, Any]:
    """Return a result's structured content, which must be there."""
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def text(result: CallToolResult) -> str:
    """Return a result's text."""
    return "\n".join(block.text for block in result.content if block.type == "text")


def typing(name: object = "jsmith") -> Answer:
    """Answer the form with this as the username."""
    return content({"username": name})


def content(fields: Any) -> Answer:
    """Accept the form with these fields."""

    async def answer(_: str) -> ElicitResult:
        return ElicitResult.model_construct(action="accept", content=fields)

    return answer


def action(name: Literal["decline", "cancel"]) -> Answer:
    """Answer the form without a name."""

    async def answer(_: str) -> ElicitResult:
        return ElicitResult(action=name)

    return answer


def environment(url: str, folder: Path, **more: str) -> dict[str, str]:
    """Return the settings for a sandbox at this address."""
    return {
        "PORTAL_URL": url,
        "PORTAL_USERNAME": ADMINISTRATOR,
        "PORTAL_PASSWORD": PASSWORD,
        "LEDGER_URL": f"sqlite:///{(folder / 'ledger.db').as_posix()}",
        "OPEN_BROWSER": "false",
        **more,
    }


@asynccontextmanager
async def open_office(
    folder: Path,
    answer: Answer | None = None,
    *,
    era: Era = "auto",
    stdio: bool = False,
    portal: SandboxPortal | None = None,
    apps: bool = False,
    **more: str,
) -> AsyncGenerator[Office]:
    """Start the sandbox, the server (in this process, or as a child over pipes) and a client.

    `apps` is whether the client negotiates MCP Apps.
    """
    portal = portal or SandboxPortal()
    questions: list[str] = []

    async def asked(
        context: ClientRequestContext, params: ElicitRequestParams
    ) -> ElicitResult | ErrorData:
        questions.append(params.message)
        assert answer is not None
        return await answer(params.message)

    async with running(portal) as url:
        env = environment(url, folder, **more)
        chosen = settings.load(env)
        child = StdioServerParameters(
            command=sys.executable, args=["-m", "server"], env={**os.environ, **env}
        )
        server = (
            child
            if stdio
            else app.build(chosen, load(chosen.policy_file, shared=chosen.ledger_is_shared))
        )
        callback = asked if answer is not None else None
        async with Client(
            server, mode=era, elicitation_callback=callback, extensions=[CARDS] if apps else None
        ) as client:
            ledger = Ledger(env["LEDGER_URL"])
            try:
                yield Office(portal, client, ledger, questions, env)
            finally:
                ledger.close()
