"""Requests, answers, delays, crashes and portals at random, against a small model of the promises.

`PROMISE_STEPS` is how many random steps are taken on each database; the default fits an ordinary
test run.
"""

import os
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import anyio
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from server.errors import LedgerUnavailable, NoClearAnswer, PortalRefused, PortalUnreachable
from server.releases.ledger import Ledger
from server.releases.models import Ask, Caller, Request, Verdict
from server.releases.outcomes import Timing
from server.releases.policy import Limits, Policy, refusal
from server.releases.records import CLOCKS_DIFFER
from server.releases.service import Releases
from tests.conftest import PORTAL_URL, Clock, FakePortal

T = TypeVar("T")
STEPS_A_RUN = 50
STEPS = int(os.environ.get("PROMISE_STEPS", "400"))
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # What a commit costs is not the point.
LIMIT = 2
POLICY = Policy(limits=Limits(requester_per_hour=LIMIT, portal_per_day=2 * LIMIT))

Manner = Literal["success", "refuses", "unreachable", "acts_in_silence", "silent"]
MEMBERS = st.sampled_from(["ana", "ben"])
REQUESTERS = st.sampled_from(["helpdesk@a", "agent@b"])


class Portal(FakePortal):
    """A portal that answers a release in a chosen manner, and counts what it did."""

    manner: Manner = "success"
    acted: int = 0

    async def release(self, username: str, app_id: Any) -> None:
        """Receive a release: maybe act, maybe answer."""
        self.released.append((username, app_id))
        if self.manner in ("success", "acts_in_silence"):
            self.acted += 1
            self.license_state = "not_offline"
        if self.manner == "refuses":
            raise PortalRefused("no", code=400)
        if self.manner == "unreachable":
            self.released.pop()
            raise PortalUnreachable("no route")
        if self.manner in ("acts_in_silence", "silent"):
            raise NoClearAnswer("silence")


class Promises(RuleBasedStateMachine):
    """Two requesters with a server each, one ledger, one portal, one clock."""

    new_ledger: ClassVar[Callable[[], str]]

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(type(self).new_ledger(), same_clock=False)
        self.portal, self.clock = Portal(), Clock()
        self.latest = self.clock.now
        self.seen: list[str] = []
        self.yes: dict[str, int] = {}

    def server(self, requester: str) -> Releases:
        return Releases(
            portal=self.portal,
            portal_url=PORTAL_URL,
            ledger=self.ledger,
            policy=POLICY,
            caller=Caller(requester),
            clock=self.clock,
            timing=Timing(),
        )

    def run_now(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it; only a clock that was set back may make the ledger refuse."""

        async def go() -> T:
            return await work

        self.latest = max(self.latest, self.clock.now)
        try:
            return anyio.run(go)
        except LedgerUnavailable:
            assert self.clock.now < self.latest - CLOCKS_DIFFER
            raise

    def keep(self, request: Request) -> None:
        if request.release_id not in self.seen:
            self.seen.append(request.release_id)

    @rule(member=MEMBERS, requester=REQUESTERS)
    def ask(self, member: str, requester: str) -> None:
        ask = Ask(member, "arcgisprodesktop", "lost")
        with suppress(LedgerUnavailable):
            self.keep(self.run_now(self.server(requester).request(ask)))

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), verdict=st.sampled_from(["approved", "approved", "declined", "mistyped"]))
    def answer(self, data: st.DataObject, verdict: Verdict) -> None:
        self.decide(data.draw(st.sampled_from(self.seen)), verdict)

    @rule(member=MEMBERS, requester=REQUESTERS, seconds=st.sampled_from([0, 0, 0, 3_600]))
    def ask_and_say_yes(self, member: str, requester: str, seconds: int) -> None:
        self.ask(member, requester)
        if self.seen:
            self.decide(self.seen[-1], "approved")
        self.clock.pass_seconds(seconds)

    @precondition(lambda self: self.seen)
    @rule(requester=REQUESTERS)
    def carry_out_the_newest(self, requester: str) -> None:
        self.run_now(self.server(requester).carry_out(self.seen[-1]))

    def decide(self, release_id: str, verdict: Verdict) -> None:
        before = self.ledger.get(release_id)
        server = self.server("helpdesk@a")
        try:
            after = self.run_now(server.decide(release_id, verdict, route="page", approver="p"))
        except LedgerUnavailable:
            assert verdict == "approved"
            return
        if before.state == "open" and after.state == "approved":
            self.yes[release_id] = self.clock.now

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), requester=REQUESTERS)
    def carry_out(self, data: st.DataObject, requester: str) -> None:
        release_id = data.draw(st.sampled_from(self.seen))
        self.run_now(self.server(requester).carry_out(release_id))

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def crash_after_the_intent(self, data: st.DataObject) -> None:
        release_id = data.draw(st.sampled_from(self.seen))
        ask = self.ledger.get(release_id).ask
        with suppress(LedgerUnavailable):
            self.ledger.begin_sending(
                release_id,
                now=self.clock.now,
                lease=Timing().lease,
                may=lambda usage: refusal(POLICY, ask, usage, None),
            )

    @rule(requester=REQUESTERS)
    def look(self, requester: str) -> None:
        with suppress(LedgerUnavailable):
            self.run_now(self.server(requester).find(limit=50))

    @rule(requester=REQUESTERS)
    def watch(self, requester: str) -> None:
        with suppress(LedgerUnavailable):
            self.run_now(self.server(requester).carry_out_approved())

    @rule(seconds=st.sampled_from([1, 30, 121, 601, 3_601, 90_000]))
    def time_passes(self, seconds: int) -> None:
        self.clock.pass_seconds(seconds)

    @rule(seconds=st.sampled_from([10, 7_200]))
    def the_clock_is_set_back(self, seconds: int) -> None:
        self.clock.pass_seconds(-seconds)

    @rule()
    def the_clock_is_corrected(self) -> None:
        self.clock.now = self.latest = max(self.latest, self.clock.now)

    @rule(manner=st.sampled_from(Manner.__args__))  # type: ignore[attr-defined]
    def the_portal_changes_its_manner(self, manner: Manner) -> None:
        self.portal.manner = manner

    @precondition(lambda self: not self.ledger.unsettled())
    @rule()
    def the_license_is_checked_out_again(self) -> None:
        self.portal.license_state = "offline"

    @invariant()
    def nothing_is_sent_without_a_yes_in_time_and_never_twice(self) -> None:
        rows = self.ledger.list(limit=1000)
        sent = [row for row in rows if row.sent_at is not None]
        assert len(self.portal.released) <= len(sent)
        for row in sent:
            assert row.approver == "p"
            assert row.sent_at is not None
            yes = self.yes[row.release_id]
            assert row.created_at - CLOCKS_DIFFER <= yes <= row.sent_at + CLOCKS_DIFFER
            assert row.sent_at < row.expires_at

    @invariant()
    def an_outcome_is_one_of_four_and_true(self) -> None:
        for row in self.ledger.list(limit=1000):
            if row.status in ("released", "unknown"):
                assert row.sent_at is not None
            if row.status == "released" and row.verified:
                assert self.portal.acted > 0

    @invariant()
    def the_chain_verifies(self) -> None:
        assert self.ledger.verify().fault is None

    @invariant()
    def the_limits_hold(self) -> None:
        for requester in ("helpdesk@a", "agent@b"):
            usage = self.ledger.usage(requester, PORTAL_URL, self.latest)
            assert usage.requester_hour <= LIMIT
            assert usage.portal_day <= 2 * LIMIT

    def teardown(self) -> None:
        self.ledger.close()


@pytest.fixture
def new_ledger(ledger_url: str, request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    if ledger_url.startswith("postgresql"):
        yield request.getfixturevalue("postgres").new_ledger
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, ignore_cleanup_errors=True) as folder:
        numbers = count()
        yield lambda: f"sqlite:///{(Path(folder) / f'{next(numbers)}.db').as_posix()}"


@pytest.mark.timeout(max(60, STEPS))
def test_the_promises_hold_whatever_happens(new_ledger: Callable[[], str]) -> None:
    where = {"new_ledger": staticmethod(new_ledger)}
    run_state_machine_as_test(
        type("PromisesThere", (Promises,), where),
        settings=settings(
            max_examples=max(1, STEPS // STEPS_A_RUN),
            stateful_step_count=STEPS_A_RUN,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize="PROMISE_STEPS" not in os.environ,
        ),
    )
