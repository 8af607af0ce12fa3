"""A client that goes away: what was not sent stays unsent, what was sent is recorded.

The client cancels its call, ends the server's input, hangs up or sends SIGTERM, at every request to
the portal. The portal's own count of what it received is the judge.
"""

import contextlib
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import anyio
import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult, ErrorData

from server import app, settings
from server.releases.ledger import Ledger
from server.releases.models import State
from server.releases.outcomes import Timing, in_thread
from server.releases.policy import load
from server.watcher import Watcher
from tests.faults.child import Child
from tests.faults.client_matrix import MOMENTS, Moment
from tests.faults.holding import HoldingPortal
from tests.faults.test_kill import next_server
from tests.office import ERAS, RELEASE, Era, environment

pytestmark = pytest.mark.anyio


def named(moment: Moment) -> str:
    return moment.name


def left(ledger: Ledger) -> State | None:
    """Where the only request stands, None where there is none."""
    found = ledger.list(limit=9)
    assert len(found) <= 1
    assert ledger.verify().fault is None
    return found[0].state if found else None


def check(portal: HoldingPortal, moment: Moment) -> None:
    """Compare what the portal counted with the matrix."""
    assert portal.posts == moment.sent
    assert portal.is_offline is (moment.sent == 0)


@asynccontextmanager
async def server(env: dict[str, str], era: Era, portal: HoldingPortal) -> AsyncGenerator[Client]:
    """A server in this process that looks by itself at nothing, and a client of it."""

    async def answer(
        context: ClientRequestContext, params: ElicitRequestParams
    ) -> ElicitResult | ErrorData:
        portal.arm()
        if portal.moment.step == "question":
            portal.reached.set()
            await anyio.sleep_forever()
        return ElicitResult(action="accept", content={"username": RELEASE["username"]})

    chosen = settings.load(env)
    built = app.build(chosen, load(chosen.policy_file))
    with patch.object(Watcher, "run", _never):
        async with Client(built, mode=era, elicitation_callback=answer) as client:
            yield client


async def _never(_: Watcher) -> None:
    return None


@pytest.mark.promise("uncancelled")
@pytest.mark.promise("one-post")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("moment", MOMENTS, ids=named)
async def test_a_cancelled_call_sends_nothing_more_or_is_recorded(
    tmp_path: Path, ledger_url: str, ledger: Ledger, era: Era, moment: Moment
) -> None:
    portal = HoldingPortal(moment)
    scope = anyio.CancelScope()

    async def call(client: Client) -> None:
        with scope:
            await client.call_tool("release_license", RELEASE)

    async with portal.running() as url:
        env = environment(url, tmp_path, LEDGER_URL=ledger_url, CONSENT_ROUTES="form")
        async with server(env, era, portal) as client, anyio.create_task_group() as tasks:
            if not moment.yes:
                portal.arm()
            tasks.start_soon(call, client)
            await portal.reached.wait()
            scope.cancel()
            await client.list_tools()
            portal.go_on.set()
        check(portal, moment)
        assert left(ledger) in moment.left


class Caller(Child):
    """A client that goes away while a call is under way."""

    def ask(self) -> None:
        """Ask for a release."""
        self._say(
            id=2, method="tools/call", params={"name": "release_license", "arguments": RELEASE}
        )

    def question(self) -> int:
        """Wait for the form, and return its number."""
        return int(self._hear("elicitation/create")["id"])

    def answer(self, question: int) -> None:
        """Type the right name."""
        content = {"username": RELEASE["username"]}
        self._say(id=question, result={"action": "accept", "content": content})

    def search(self) -> None:
        """Search for members, which the portal never answers."""
        self._say(
            id=3, method="tools/call", params={"name": "find_members", "arguments": {"text": "ja"}}
        )

    def end_input(self) -> None:
        """Say nothing more, and go on listening."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.stdin = None

    def hang_up(self) -> None:
        """Neither speak nor listen any more."""
        self.end_input()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.stdout = None

    def ended(self) -> None:
        """Wait until the server has ended by itself."""
        self._process.wait()

    def terminate(self) -> None:
        """End the server as a service manager does."""
        self._process.send_signal(signal.SIGTERM)


Going = Callable[[Caller], None]
GOING: list[Going] = [Caller.end_input, Caller.hang_up]
if sys.platform != "win32":
    GOING.append(Caller.terminate)


@pytest.mark.promise("uncancelled")
@pytest.mark.promise("one-post")
@pytest.mark.promise("no-blind-retry")
@pytest.mark.thorough
@pytest.mark.parametrize("moment", MOMENTS, ids=named)
async def test_a_server_whose_client_is_gone_sends_nothing_more_or_records(
    tmp_path: Path, moment: Moment
) -> None:
    async with anyio.create_task_group() as tasks:
        for go in GOING:
            tasks.start_soon(gone, tmp_path, moment, go)


async def gone(folder: Path, moment: Moment, go: Going) -> None:
    """Let a client go away in this way, and compare what is left; then let a new server look."""
    portal = HoldingPortal(moment)
    ledger_url = f"sqlite:///{(folder / go.__name__).as_posix()}.db"
    async with portal.running() as url:
        env = environment(url, folder, LEDGER_URL=ledger_url, CONSENT_ROUTES="form")
        child = await in_thread(partial(Caller, env))
        try:
            with anyio.fail_after(30):
                await leave(child, portal, moment, go)
                await in_thread(child.ended)
        finally:
            child.kill()
            await in_thread(child.wait)
        with contextlib.closing(Ledger(ledger_url)) as ledger:
            check(portal, moment)
            assert left(ledger) in moment.left
            await looked_at_again(env, portal, moment)
            assert left(ledger) in (moment.later, *moment.left[1:])


async def looked_at_again(env: dict[str, str], portal: HoldingPortal, moment: Moment) -> None:
    """Let the next server settle by reading, and then carry out what was approved, once."""
    later = Timing().lease + 400_000
    async with next_server(env, lambda: app.milliseconds() + later) as following:
        await following.settle()
        assert portal.posts == moment.sent
        await following.carry_out_approved()
        assert portal.posts == (1 if moment.yes else 0)


async def leave(child: Caller, portal: HoldingPortal, moment: Moment, go: Going) -> None:
    """Let the client go at its moment, and the portal go on when the server has noticed."""
    if not moment.yes:
        portal.arm()
    child.ask()
    if moment.yes or moment.step == "question":
        question = await in_thread(child.question)
    if moment.yes:
        portal.arm()
        child.answer(question)
    if moment.step != "question":
        await portal.reached.wait()
    if moment.step == "sign_in":
        go(child)
    else:
        child.search()
        await portal.searched.wait()
        go(child)
        if go is not Caller.terminate or not moment.sent:
            await portal.gave_up.wait()
    portal.go_on.set()
