"""Every failure of the portal at every step of a release ends as the matrix says.

The judge is the portal's own count of what it received, beside the ledger and what is told.
"""

import socket
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import pytest
import stamina
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.session import ElicitationFnT
from mcp_types import (
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
)

from server import app, catalogue, settings
from server.releases.ledger import Ledger
from server.releases.models import Ask
from server.releases.policy import load
from server.releases.wording import LAST_SENTENCE
from tests.conftest import MakeDesk
from tests.faults.faulty import FaultyPortal
from tests.faults.portal_matrix import ANYWHERE, COLUMNS, MATRIX, Column, Ends, Fault
from tests.office import RELEASE, environment, structured

pytestmark = pytest.mark.anyio

TOOLS = catalogue.tools()
ASK = Ask(RELEASE["username"], "arcgisprodesktop", RELEASE["reason"], RELEASE["ticket"])


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Retries do not wait, and httpx does not search the disk for `sniffio` at every step."""
    monkeypatch.setitem(sys.modules, "sniffio", None)
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


def cells(columns: tuple[Column, ...]) -> list[Any]:
    """The cells of these columns that exist; an ordinary run tries those of the release itself."""
    return [
        pytest.param(
            fault,
            column,
            cell,
            id=f"{fault}-{column}",
            marks=() if column in ("release", "acted", "verify") else pytest.mark.thorough,
        )
        for fault, row in MATRIX.items()
        for column, cell in zip(COLUMNS, row, strict=True)
        if column in columns and isinstance(cell, Ends)
    ]


def person(portal: FaultyPortal) -> ElicitationFnT:
    """Somebody who arms the portal, and then answers the form with the right name."""

    async def answer(
        context: ClientRequestContext, params: ElicitRequestParams
    ) -> ElicitResult | ErrorData:
        portal.arm()
        return ElicitResult(action="accept", content={"username": RELEASE["username"]})

    return answer


@asynccontextmanager
async def server(env: dict[str, str], portal: FaultyPortal) -> AsyncGenerator[Client]:
    """A new server for these settings, and a client of it that shows forms."""
    chosen = settings.load(env)
    with patch.object(app, "tools", lambda: TOOLS):
        built = app.build(chosen, load(chosen.policy_file))
    async with Client(built, mode="legacy", elicitation_callback=person(portal)) as client:
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> CallToolResult:
    """Call a tool, and leave the schema of the result to the tests of the tools."""
    params = CallToolRequestParams(name=tool, arguments=arguments)
    return await client.session.send_request(CallToolRequest(params=params), CallToolResult)


@asynccontextmanager
async def reachable(
    portal: FaultyPortal, folder: Path, ledger_url: str
) -> AsyncGenerator[dict[str, str]]:
    """The settings of a server that reaches this portal, while it runs."""
    more = portal.settings(folder) | {"CONSENT_ROUTES": "form", "LEDGER_URL": ledger_url}
    async with portal.running() as url:
        with patch.object(socket, "getaddrinfo", portal.resolve):
            yield environment(url, folder, **more)


@dataclass
class Judge:
    """Compares what was told, what the portal counted and what the ledger holds with a cell."""

    ledger: Ledger
    log: pytest.LogCaptureFixture

    def judge(self, portal: FaultyPortal, result: CallToolResult, ends: Ends) -> None:
        told = structured(result)
        ended = told["status"], told["reason"], told["verified"]
        assert ended == (ends.status, ends.reason, ends.verified), told["message"]
        assert told["message"].endswith(f" {LAST_SENTENCE[ends.status]}")
        assert result.is_error is (ends.status != "released")
        assert (portal.posts, portal.is_offline, portal.strays) == (ends.posts, ends.offline, 0)
        (kept,) = self.ledger.list(limit=9)
        assert (kept.status, kept.reason, kept.verified) == ended
        assert self.ledger.verify().fault is None
        logged = [vars(record) for record in self.log.records]
        written = repr([result, kept, self.ledger.entries(), logged])
        assert [secret for secret in portal.secrets if secret in written] == []

    async def settles(self, portal: FaultyPortal, client: Client, ends: Ends) -> None:
        """The next look, by a portal that is well again, sends nothing."""
        await portal.heal()
        (later,) = structured(await call(client, "list_releases"))["releases"]
        assert later["status"] == (ends.later or ends.status)
        assert (portal.posts, portal.strays) == (ends.posts, 0)
        assert self.ledger.verify().fault is None


@pytest.fixture
def judge(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> Judge:
    return Judge(ledger, caplog)


@pytest.mark.parametrize("fault", get_args(Fault))
def test_no_cell_is_left_out_without_a_reason(fault: Fault) -> None:
    row = MATRIX[fault]
    assert len(row) == len(COLUMNS)
    assert all(isinstance(cell, Ends) or len(cell.split()) > 3 for cell in row)


@pytest.mark.promise("one-post")
@pytest.mark.promise("four-outcomes")
@pytest.mark.promise("refusals-kept")
@pytest.mark.promise("no-secrets")
@pytest.mark.parametrize(("fault", "column", "ends"), cells(ANYWHERE))
async def test_a_fault_before_the_question_ends_as_the_matrix_says(
    tmp_path: Path, ledger_url: str, judge: Judge, fault: Fault, column: Column, ends: Ends
) -> None:
    portal = FaultyPortal(fault, column)
    async with reachable(portal, tmp_path, ledger_url) as env, server(env, portal) as client:
        portal.arm()
        result = await call(client, "release_license", **RELEASE)
        judge.judge(portal, result, ends)


@pytest.mark.promise("one-post")
@pytest.mark.promise("four-outcomes")
@pytest.mark.promise("no-blind-retry")
@pytest.mark.promise("re-checked")
@pytest.mark.promise("no-secrets")
@pytest.mark.parametrize(("fault", "column", "ends"), cells(COLUMNS))
async def test_a_fault_after_the_yes_ends_as_the_matrix_says(
    tmp_path: Path,
    ledger_url: str,
    make_desk: MakeDesk,
    judge: Judge,
    fault: Fault,
    column: Column,
    ends: Ends,
) -> None:
    portal = FaultyPortal(fault, column)
    async with reachable(portal, tmp_path, ledger_url) as env:
        await asked_before(make_desk, env)
        async with server(env, portal) as client:
            result = await call(client, "release_license", **RELEASE)
            judge.judge(portal, result, ends)
            if ends.status == "unknown":
                await judge.settles(portal, client, ends)


async def asked_before(make_desk: MakeDesk, env: dict[str, str]) -> None:
    """An earlier server asked for this release, so this one has read nothing yet."""
    desk = make_desk(requester=settings.caller().requester, portal_url=env["PORTAL_URL"])
    desk.clock.now = app.milliseconds()
    assert (await desk.releases.request(ASK)).state == "open"
