"""Plays a short helpdesk conversation against the embedded portal, with the real server as a child.

The part of the assistant is a script; everything else is the product: the server over stdio, the
question to the person, the one request to the portal, and the ledger.
"""

import os
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import click
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp_types import (
    CallToolResult,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
    Implementation,
)

from server import __version__, audit
from server.releases.ledger import Ledger
from server.sandbox.portal import SandboxPortal
from server.sandbox.runner import running
from server.serving import sandbox_environment

MEMBER, PRODUCT = "jsmith", "arcgisprodesktop"
WIDTH = 92
LABEL = "  Username (Enter alone declines)"


def main(*, yes: bool) -> int:
    """Play the conversation; return 0 where it ended in a release that the portal confirmed."""
    if not yes and not sys.stdin.isatty():
        click.echo("demo asks you to type a username: use a terminal, or --yes.", err=True)
        return 2
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return anyio.run(_play, yes, Path(folder) / "ledger.db")


async def _play(yes: bool, file: Path) -> int:
    portal = SandboxPortal()
    ledger_url = f"sqlite:///{file.as_posix()}"
    async with running(portal) as url, _client(url, ledger_url, yes) as client:
        _say("You", "A laptop with ArcGIS Pro was stolen. The colleague is called Smith.")
        found = await _call(client, "find_members", text="smith")
        _say("Assistant", f"{_text(found)}\nTwo fit. Jane or John?")
        _say("You", "Jane. The ticket is INC-2041.")
        checked = await _call(client, "check_license", username=MEMBER, app_id=PRODUCT)
        _say("Assistant", f"{_text(checked)} I ask for the release; a person has to agree.")
        result = await _call(
            client,
            "release_license",
            username=MEMBER,
            app_id=PRODUCT,
            reason="The laptop was stolen",
            ticket="INC-2041",
        )
        _say("Assistant", _text(result))
        answer: dict[str, Any] = result.structured_content or {}
        _show_proof(portal, Ledger(ledger_url), str(answer.get("release_id")))
        return 0 if answer.get("status") == "released" and answer.get("verified") else 1


@asynccontextmanager
async def _client(url: str, ledger_url: str, yes: bool) -> AsyncIterator[Client]:
    child = StdioServerParameters(
        command=sys.executable,
        args=["-m", "server", "serve"],
        env=sandbox_environment({**os.environ, "LEDGER_URL": ledger_url}, url),
        cwd=Path(__file__).parent.parent,
    )

    async def asked(
        context: ClientRequestContext, params: ElicitRequestParams
    ) -> ElicitResult | ErrorData:
        return await anyio.to_thread.run_sync(_ask, params.message, yes)

    name = Implementation(name="demo", version=__version__)
    async with Client(child, client_info=name, elicitation_callback=asked) as client:
        yield client


def wrapped(question: str) -> Iterator[str]:
    """Break a question's lines to the width of the terminal."""
    for line in question.splitlines():
        yield from textwrap.wrap(line, WIDTH - 4, subsequent_indent="  ") or [""]


def _ask(question: str, yes: bool) -> ElicitResult:
    click.echo()
    for part in wrapped(question):
        click.echo(click.style("  | ", fg="yellow") + part)
    if yes:
        click.echo(f"{LABEL}: {MEMBER}")
        return ElicitResult(action="accept", content={"username": MEMBER})
    try:
        typed = click.prompt(LABEL, default="", show_default=False)
    except click.Abort:
        return ElicitResult(action="cancel")
    if not typed:
        return ElicitResult(action="decline")
    return ElicitResult(action="accept", content={"username": typed})


async def _call(client: Client, tool: str, **arguments: Any) -> CallToolResult:
    shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    click.echo(click.style(f"\n  {tool}({shown})", dim=True))
    return await client.call_tool(tool, arguments)


def _text(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")


def _say(who: str, words: str) -> None:
    colour = "cyan" if who == "You" else "green"
    click.echo("\n" + click.style(who, fg=colour, bold=True))
    for line in words.splitlines():
        click.echo(textwrap.fill(line, WIDTH, initial_indent="  ", subsequent_indent="  "))


def _show_proof(portal: SandboxPortal, ledger: Ledger, release_id: str) -> None:
    sent = [f"{request.method} {request.path}" for request in portal.releases]
    click.echo(f"\nRequests to release that the portal received: {', '.join(sent) or 'none'}")
    click.echo("The ledger:\n")
    audit.show_one(ledger, release_id)
    click.echo()
    audit.verify(ledger, None)
    ledger.close()
