"""One release, walked step by step, with a ledger that fails at one of them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

import anyio

from server.consent.routes import Routes
from server.errors import LedgerUnavailable, NoClearAnswer
from server.releases.models import Request
from server.releases.outcomes import Timing
from server.releases.service import Releases
from server.releases.wording import LAST_SENTENCE, message
from tests.conftest import ASK, Clock, Desk, FakePortal, MakeDesk
from tests.faults.ledger_matrix import Ends, Step

Failing = Callable[[], AbstractContextManager[None]]
NOBODY_ELSE = Timing().lease
ANSWERED_BY_NOW = Timing().settles


class NoPage:
    """No approval page."""

    async def ask(self, request: Request) -> None:
        raise AssertionError("nobody asks for a page here")

    def address(self, release_id: str) -> str | None:
        return None


@dataclass
class Walk:
    """Walks to a step, lets the ledger fail there, mends it, and lets another server go on.

    `durable` tells, when a request to release arrives, whether the ledger holds its intent.
    """

    make_desk: MakeDesk
    portal: FakePortal
    clock: Clock
    failing: Failing
    durable: Callable[[], bool]
    mended: ExitStack = field(default_factory=ExitStack)
    arrived_durably: list[bool] = field(default_factory=list)
    _then: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.portal.before_answer = self._arrived

    async def at(self, step: Step) -> str:
        """Return what the caller was told at the step during which the ledger failed."""
        desk = self.make_desk()
        try:
            told = await self._walk(desk, step)
        except LedgerUnavailable:
            return "unusable"
        finally:
            self.mended.close()
        assert message(told).endswith(LAST_SENTENCE[told.status])
        return told.status

    async def go_on(self) -> None:
        """Let another server find what is left: at once, after the lease, and much later."""
        self._then = lambda: None
        ben = self.make_desk(requester="ben@desk")
        self.portal.fail.clear()
        sending = len(ben.ledger.list(limit=9, states=["sending"]))
        await ben.releases.settle()
        assert len(ben.ledger.list(limit=9, states=["sending"])) == sending
        await ben.releases.carry_out_approved()
        for passed in (NOBODY_ELSE, ANSWERED_BY_NOW):
            self.clock.now += passed
            await ben.releases.settle()
            await ben.releases.carry_out_approved()

    def judge(self, desk: Desk, ends: Ends) -> None:
        """Compare what is left, after mending, with what was expected."""
        assert len(self.portal.released) == ends.posts
        assert self._kept(desk) == ends.kept

    def judge_end(self, desk: Desk, ends: Ends) -> None:
        """Compare how it ended with what was expected."""
        assert self.arrived_durably == [True] * ends.all_posts
        assert len(self.portal.released) == ends.all_posts
        assert self._kept(desk) == ends.ends
        assert desk.ledger.verify().fault is None

    def _kept(self, desk: Desk) -> str | None:
        found = desk.ledger.recent(9)
        assert len(found) <= 1
        return found[0].state if found else None

    def _arrived(self) -> None:
        self.arrived_durably.append(self.durable())
        self._then()

    def _fail(self) -> None:
        self.mended.enter_context(self.failing())

    async def _walk(self, desk: Desk, step: Step) -> Request:
        if step == "ask":
            self._fail()
            return await desk.releases.request(ASK)
        request = await desk.releases.request(ASK)
        if step == "answer":
            self._fail()
            return await _answered(desk.releases, request)
        if step == "intent":
            await desk.releases.decide(
                request.release_id, "approved", route="form", approver="ana@desk"
            )
            return await self._reading_fails_it(desk, request)
        if step == "outcome":
            self._then = self._fail
            return await _answered(desk.releases, request)
        self.portal.fail["release"] = NoClearAnswer("timeout")
        self.portal.acts = False
        unknown = await _answered(desk.releases, request)
        assert unknown.status == "unknown"
        if step == "settle":
            self.portal.license_state = "not_offline"
        self._fail()
        try:
            (found,) = await desk.releases.find(limit=9)
        finally:
            self.portal.license_state = "not_offline"
        return found

    async def _reading_fails_it(self, desk: Desk, request: Request) -> Request:
        """Fail after the request was looked up, between the last reading and the intent."""
        read = self.portal.license

        async def then_fail(username: str, app_id: object) -> str:
            state = await read(username, "arcgisprodesktop")
            if not self.portal.released:
                self._fail()
            return state

        self.portal.license = then_fail  # type: ignore[method-assign, assignment]
        try:
            return await desk.releases.carry_out(request.release_id)
        finally:
            self.portal.license = read  # type: ignore[method-assign]


async def _answered(releases: Releases, request: Request) -> Request:
    """Say yes as every route does."""

    async def opened() -> Releases:
        return releases

    async with anyio.create_task_group() as tasks:
        routes = Routes(
            enabled=("form",),
            seconds=0,
            releases=opened,
            page=NoPage(),
            approver="ana@desk",
            tasks=tasks,
            wake=lambda: None,
        )
        told = await routes.decide(request, "approved", "form")
    return told  # noqa: RET504  to mypy a task group may swallow what is raised
