"""One server for many calls, over the real protocol, and what every answer of it must be."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, CallToolResult, Request

from server.consent.card import META
from server.releases.wording import LAST_SENTENCE, REASONS
from server.sandbox.portal import PASSWORD
from server.text import has_unseen
from tests.fuzz.test_replies import SECRETS
from tests.office import Era, Office, open_office, structured, text

SECONDS = 20
TEXT, STRUCTURED, ONE = 64_000, 256_000, 4_000
OUTCOMES = ("release_license", "decide_release")
INSIDE = ("Traceback", "pydantic", "failed unexpectedly", "Error executing tool", 'File "')


@dataclass
class Served:
    """A server, a client that shows cards and no forms, and the loop that they run in."""

    office: Office
    loop: BlockingPortal

    def call(self, tool: str, arguments: Any) -> CallToolResult | MCPError:
        result: CallToolResult | MCPError = self.loop.call(self._call, tool, arguments)
        return result

    async def _call(self, tool: str, arguments: Any) -> CallToolResult | MCPError:
        with anyio.fail_after(SECONDS):
            try:
                if isinstance(arguments, dict):
                    return await self.office.client.call_tool(tool, arguments)
                shapeless = Request[Any, str](
                    method="tools/call", params={"name": tool, "arguments": arguments}
                )
                return await self.office.client.session.send_request(shapeless, CallToolResult)
            except MCPError as error:
                return error


@contextmanager
def serving(era: Era, routes: str) -> Iterator[Served]:
    """Start all of it. At the end nothing was released, and the chain verifies."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder, start_blocking_portal() as loop:
        opening = open_office(Path(folder), era=era, apps=True, CONSENT_ROUTES=routes)
        with loop.wrap_async_context_manager(opening) as office:
            yield Served(office, loop)
            assert office.portal.releases == []
            assert office.ledger.verify().fault is None


def judged(served: Served, tool: str, arguments: Any, tally: Counter[str]) -> CallToolResult | None:
    """Call a tool; whatever it was given, its answer is in its shape and harmless."""
    result = served.call(tool, arguments)
    tally["calls"] += 1
    if isinstance(result, MCPError):
        tally[f"MCP error {result.error.code}"] += 1
        assert result.error.code != INTERNAL_ERROR
        harmless(result.error.message)
        return None
    shown = text(result)
    assert shown.strip() or not result.is_error
    assert len(shown) <= TEXT
    harmless(shown)
    if result.structured_content is not None:
        bounded(structured(result))
    if tool in OUTCOMES:
        is_an_outcome(result)
    assert not has_key(result, shown)
    tally["refused or failed" if result.is_error else "answered"] += 1
    return result


def harmless(shown: str) -> None:
    assert not has_unseen(shown.replace("\n", ""))
    assert not [word for word in (*INSIDE, PASSWORD, *SECRETS) if word in shown]


def bounded(content: dict[str, Any]) -> None:
    assert len(json.dumps(content)) <= STRUCTURED
    waiting: list[Any] = [content]
    while waiting:
        match waiting.pop():
            case dict() as inner:
                waiting += inner.values()
            case list() as inner:
                waiting += inner
            case str() as inner:
                assert len(inner) <= ONE
                harmless(inner)
            case inner:
                assert inner is None or abs(inner) < 1 << 53


def is_an_outcome(result: CallToolResult) -> None:
    told = structured(result)
    assert told["status"] in ("not_released", "awaiting_approval")
    assert told["message"].endswith(LAST_SENTENCE[told["status"]])
    assert text(result) == told["message"]
    assert bool(result.is_error) is REASONS[told["reason"]].is_error


def has_key(result: CallToolResult, shown: str) -> bool:
    card = (result.meta or {}).get(META)
    return card is not None and card["key"] in shown + json.dumps(result.structured_content)
