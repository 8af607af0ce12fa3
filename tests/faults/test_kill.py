"""SIGKILL in the middle of a release: at every request to the portal, before and after it acts."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from starlette.types import Message, Receive, Scope, Send

from server import settings
from server.app import milliseconds
from server.portal.client import PortalClient
from server.releases.ledger import Ledger
from server.releases.models import State
from server.releases.outcomes import Timing
from server.releases.policy import Policy
from server.releases.service import Releases
from server.sandbox.app import create_app
from server.sandbox.portal import SandboxPortal
from server.sandbox.runner import running
from tests.faults.child import Child
from tests.office import PRO, environment

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

# After the yes: the member and the license are read, the release is sent, the license is read.
# Each with what the ledger then holds, what it is settled to, and how many releases the portal got.
STEPS: list[tuple[int, str, State, State, int]] = [
    (1, "before", "approved", "approved", 0),
    (1, "after", "approved", "approved", 0),
    (2, "before", "approved", "approved", 0),
    (2, "after", "approved", "approved", 0),
    (3, "before", "sending", "unknown", 0),
    (3, "after", "sending", "released", 1),
    (4, "before", "sending", "released", 1),
    (4, "after", "sending", "released", 1),
]


class DeadlyPortal:
    """A sandbox that kills the server at its `step`-th request after the yes."""

    def __init__(self, step: int, when: str) -> None:
        self.portal = SandboxPortal()
        self.child: Child | None = None
        self.killed = anyio.Event()
        self._inner = create_app(self.portal)
        self._left, self._when = step, when

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.child is None or self.killed.is_set():
            await self._inner(scope, receive, send)
            return
        self._left -= 1
        if self._left > 0:
            await self._inner(scope, receive, send)
            return
        if self._when == "after":
            await self._inner(scope, receive, _swallowed)
        self.child.kill()
        self.killed.set()


async def _swallowed(_: Message) -> None:
    return None


@asynccontextmanager
async def next_server(env: dict[str, str], clock: Callable[[], int]) -> AsyncGenerator[Releases]:
    """The use case as the next server opens it, by this clock."""
    chosen = settings.load(env)
    ledger = Ledger(chosen.ledger_url, same_clock=False)
    async with PortalClient(chosen) as client:
        yield Releases(
            portal=client,
            portal_url=chosen.portal_url,
            ledger=ledger,
            policy=Policy(),
            caller=settings.caller(),
            clock=clock,
            timing=Timing(),
        )
    ledger.close()


@pytest.mark.promise("one-post")
@pytest.mark.promise("durable-intent")
@pytest.mark.promise("no-blind-retry")
@pytest.mark.parametrize(("step", "when", "left", "settled", "sent"), STEPS)
async def test_a_killed_server_leaves_a_ledger_that_the_next_one_settles_by_reading(
    tmp_path: Path, step: int, when: str, left: State, settled: State, sent: int
) -> None:
    deadly = DeadlyPortal(step, when)
    async with running(deadly, context="portal") as url:
        env = environment(url, tmp_path)
        child = await anyio.to_thread.run_sync(Child, env)
        try:
            await anyio.to_thread.run_sync(child.ask_and_say_yes)
            deadly.child = child
            with anyio.fail_after(20):
                await deadly.killed.wait()
        finally:
            child.kill()
            await anyio.to_thread.run_sync(child.wait)
        ledger = Ledger(env["LEDGER_URL"])
        (found,) = ledger.recent(1)
        assert (found.state, ledger.verify().fault) == (left, None)
        assert len(deadly.portal.releases) == sent
        later = Timing().lease + 400_000
        async with next_server(env, lambda: milliseconds() + later) as releases:
            (after,) = await releases.find(limit=1)
        assert (after.state, ledger.verify().fault) == (settled, None)
        assert len(deadly.portal.releases) == sent
        ledger.close()
    assert deadly.portal.is_offline("jsmith", PRO) is (sent == 0)
