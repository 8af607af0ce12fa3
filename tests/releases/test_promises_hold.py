"""Requests, answers, delays, crashes and portals at random, against a small model of the promises.

`PROMISE_STEPS` is how many random steps are taken in all; the default fits an ordinary test run.
"""

import os
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal, TypeVar

import anyio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.errors import NoClearAnswer, PortalRefused, PortalUnreachable
from server.releases.ledger import Ledger
from server.releases.models import Ask, Caller, Request, Verdict
from server.releases.outcomes import Timing
from server.releases.policy import Limits, Policy, refusal
from server.releases.service import Releases
from tests.conftest import PORTAL_URL, Clock, FakePortal

T = TypeVar("T")
STEPS_A_RUN = 50
STEPS = int(os.environ.get("PROMISE_STEPS", "1000"))
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

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY, ignore_cleanup_errors=True)
        self.ledger = Ledger(f"sqlite:///{(Path(self.folder.name) / 'l.db').as_posix()}")
        self.portal, self.clock = Portal(), Clock()
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
        async def go() -> T:
            return await work

        return anyio.run(go)

    def keep(self, request: Request) -> None:
        if request.release_id not in self.seen:
            self.seen.append(request.release_id)

    @rule(member=MEMBERS, requester=REQUESTERS)
    def ask(self, member: str, requester: str) -> None:
        ask = Ask(member, "arcgisprodesktop", "lost")
        self.keep(self.run_now(self.server(requester).request(ask)))

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), verdict=st.sampled_from(["approved", "approved", "declined", "mistyped"]))
    def answer(self, data: st.DataObject, verdict: Verdict) -> None:
        self.decide(data.draw(st.sampled_from(self.seen)), verdict)

    @rule(member=MEMBERS, requester=REQUESTERS, seconds=st.sampled_from([0, 0, 0, 3_600]))
    def ask_and_say_yes(self, member: str, requester: str, seconds: int) -> None:
        self.ask(member, requester)
        self.decide(self.seen[-1], "approved")
        self.clock.pass_seconds(seconds)

    @precondition(lambda self: self.seen)
    @rule(requester=REQUESTERS)
    def carry_out_the_newest(self, requester: str) -> None:
        self.run_now(self.server(requester).carry_out(self.seen[-1]))

    def decide(self, release_id: str, verdict: Verdict) -> None:
        before = self.ledger.get(release_id)
        server = self.server("helpdesk@a")
        after = self.run_now(server.decide(release_id, verdict, route="page", approver="p"))
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
        self.ledger.begin_sending(
            release_id,
            now=self.clock.now,
            lease=Timing().lease,
            may=lambda usage: refusal(POLICY, ask, usage, None),
        )

    @rule(requester=REQUESTERS)
    def look(self, requester: str) -> None:
        self.run_now(self.server(requester).find(limit=50))

    @rule(requester=REQUESTERS)
    def watch(self, requester: str) -> None:
        self.run_now(self.server(requester).carry_out_approved())

    @rule(seconds=st.sampled_from([1, 30, 121, 601, 3_601, 90_000]))
    def time_passes(self, seconds: int) -> None:
        self.clock.pass_seconds(seconds)

    @rule(manner=st.sampled_from(Manner.__args__))  # type: ignore[attr-defined]
    def the_portal_changes_its_manner(self, manner: Manner) -> None:
        self.portal.manner = manner

    @precondition(lambda self: not self.ledger.unsettled())
    @rule()
    def the_license_is_checked_out_again(self) -> None:
        self.portal.license_state = "offline"

    @invariant()
    def nothing_is_sent_without_a_yes_in_time_and_never_twice(self) -> None:
        if not hasattr(self, "ledger"):
            return
        rows = self.ledger.list(limit=1000)
        sent = [row for row in rows if row.sent_at is not None]
        assert len(self.portal.released) <= len(sent)
        for row in sent:
            assert row.approver == "p"
            assert row.sent_at is not None
            assert row.created_at <= self.yes[row.release_id] <= row.sent_at < row.expires_at

    @invariant()
    def an_outcome_is_one_of_four_and_true(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for row in self.ledger.list(limit=1000):
            if row.status in ("released", "unknown"):
                assert row.sent_at is not None
            if row.status == "released" and row.verified:
                assert self.portal.acted > 0

    @invariant()
    def the_chain_verifies(self) -> None:
        if hasattr(self, "ledger"):
            assert self.ledger.verify().fault is None

    @invariant()
    def the_limits_hold(self) -> None:
        if hasattr(self, "ledger"):
            for requester in ("helpdesk@a", "agent@b"):
                usage = self.ledger.usage(requester, PORTAL_URL, self.clock.now)
                assert usage.requester_hour <= LIMIT
                assert usage.portal_day <= 2 * LIMIT

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()


TestPromises = Promises.TestCase
TestPromises.settings = settings(
    max_examples=max(1, STEPS // STEPS_A_RUN),
    stateful_step_count=STEPS_A_RUN,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize="PROMISE_STEPS" not in os.environ,
)
