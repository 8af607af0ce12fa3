"""After the intent: what the portal's answer and a reading prove, and what they do not."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
import stamina

from server.errors import (
    LedgerUnavailable,
    MissingPrivilege,
    NoClearAnswer,
    PortalRefused,
    PortalUnreachable,
    TokenRejected,
)
from server.releases.ledger import Ledger
from server.releases.models import Ask, Reason, Request, Status
from server.releases.outcomes import Timing
from server.releases.wording import message
from tests.conftest import ASK, Desk, FakePortal, MakeDesk

pytestmark = pytest.mark.anyio


async def approved(desk: Desk, ask: Ask = ASK) -> Request:
    request = await desk.releases.request(ask)
    return await desk.releases.decide(
        request.release_id, "approved", route="form", approver="ana@desk"
    )


async def carried_out(desk: Desk, ask: Ask = ASK) -> Request:
    return await desk.releases.carry_out((await approved(desk, ask)).release_id)


@pytest.mark.promise("four-outcomes")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PortalUnreachable("refused"), "portal_unreachable"),
        (PortalRefused("no", code=400), "portal_refused"),
        (MissingPrivilege("no", code=403), "missing_privilege"),
        (TokenRejected("no", code=498), "sign_in_failed"),
    ],
)
async def test_a_clear_no_is_not_released(desk: Desk, error: Exception, reason: Reason) -> None:
    desk.portal.fail["release"], desk.portal.acts = error, False
    outcome = await carried_out(desk)
    assert (outcome.status, outcome.reason) == ("not_released", reason)
    assert len(desk.portal.released) == 1


@pytest.mark.promise("four-outcomes")
@pytest.mark.promise("no-blind-retry")
@pytest.mark.parametrize(
    ("acts", "status", "reason"),
    [(True, "released", "confirmed"), (False, "unknown", "outcome_unknown")],
)
async def test_no_clear_answer_is_settled_by_reading(
    desk: Desk, acts: bool, status: Status, reason: Reason
) -> None:
    desk.portal.fail["release"], desk.portal.acts = NoClearAnswer("timeout"), acts
    outcome = await carried_out(desk)
    assert (outcome.status, outcome.reason, outcome.verified) == (status, reason, acts)
    assert len(desk.portal.released) == 1


@pytest.mark.promise("four-outcomes")
async def test_a_fault_of_our_own_while_sending_is_unknown(desk: Desk) -> None:
    desk.portal.fail["release"], desk.portal.acts = RuntimeError("a bug"), False
    outcome = await carried_out(desk)
    assert (outcome.status, outcome.reason) == ("unknown", "outcome_unknown")
    assert "a bug" not in outcome.detail


@pytest.mark.promise("four-outcomes")
@pytest.mark.parametrize("reading", ["not_licensed", None])
async def test_a_reading_that_proves_nothing_leaves_it_unknown(
    desk: Desk, reading: str | None
) -> None:
    request = await approved(desk)

    def then() -> None:
        if reading is None:
            desk.portal.fail["license"] = PortalUnreachable("gone")
        desk.portal.license_state = "not_licensed"

    desk.portal.before_answer, desk.portal.acts = then, False
    desk.portal.fail["release"] = NoClearAnswer("dropped")
    outcome = await desk.releases.carry_out(request.release_id)
    assert outcome.status == "unknown"


async def test_success_without_a_confirming_reading_is_released_but_not_verified(
    desk: Desk,
) -> None:
    desk.portal.acts = False
    outcome = await carried_out(desk)
    assert (outcome.status, outcome.verified) == ("released", False)


@pytest.mark.promise("four-outcomes")
async def test_a_product_whose_reading_is_not_reliable_is_never_proven_by_one(
    desk: Desk,
) -> None:
    desk.portal.license_state = "not_offline"
    desk.portal.fail["release"] = NoClearAnswer("timeout")
    outcome = await carried_out(desk, Ask("mlopez", "drone2map", "lost"))
    assert (outcome.status, outcome.verified) == ("unknown", False)
    assert "cannot settle it: an administrator looks" in message(outcome)


@pytest.mark.promise("no-blind-retry")
async def test_an_unknown_outcome_is_settled_later_and_nothing_is_sent_meanwhile(
    desk: Desk,
) -> None:
    desk.portal.fail["release"], desk.portal.acts = NoClearAnswer("timeout"), False
    unknown = await carried_out(desk)
    again = await desk.releases.request(ASK)
    assert (again.release_id, again.status) == (unknown.release_id, "unknown")
    desk.portal.license_state = "not_offline"
    (settled,) = await desk.releases.find(limit=1)
    assert (settled.status, settled.reason, settled.verified) == ("released", "confirmed", True)
    assert len(desk.portal.released) == 1


@pytest.mark.promise("no-blind-retry")
async def test_still_checked_out_settles_only_after_the_portal_must_have_answered(
    desk: Desk,
) -> None:
    desk.portal.fail["release"], desk.portal.acts = NoClearAnswer("timeout"), False
    await carried_out(desk)
    desk.clock.pass_seconds(599)
    (still,) = await desk.releases.find(limit=1)
    assert still.status == "unknown"
    desk.clock.pass_seconds(1)
    (settled,) = await desk.releases.find(limit=1)
    assert (settled.status, settled.reason) == ("not_released", "no_effect")
    assert len(desk.portal.released) == 1


@pytest.mark.promise("four-outcomes")
async def test_looking_at_an_unknown_outcome_again_and_again_adds_no_entries(desk: Desk) -> None:
    desk.portal.fail["release"], desk.portal.acts = NoClearAnswer("timeout"), False
    await carried_out(desk)
    entries = len(desk.ledger.entries())
    for _ in range(3):
        await desk.releases.find(limit=1)
    assert len(desk.ledger.entries()) == entries


@pytest.mark.promise("uncancelled")
async def test_a_cancelled_caller_does_not_stop_what_was_sent(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk()
    request = await approved(desk)
    scope = anyio.CancelScope()
    sent = desk.portal.release

    async def cancelled_meanwhile(username: str, app_id: object) -> None:
        scope.cancel()
        await anyio.lowlevel.checkpoint()
        await sent(username, "arcgisprodesktop")

    monkeypatch.setattr(desk.portal, "release", cancelled_meanwhile)
    with scope:
        await desk.releases.carry_out(request.release_id)
    kept = desk.ledger.get(request.release_id)
    assert (kept.status, kept.verified) == ("released", True)


async def test_a_caller_cancelled_before_the_intent_sends_nothing(desk: Desk) -> None:
    request = await approved(desk)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await desk.releases.carry_out(request.release_id)
    assert desk.portal.released == []


@pytest.mark.promise("durable-intent")
async def test_the_intent_is_committed_when_the_request_arrives(
    desk: Desk, ledger_url: str
) -> None:
    request = await approved(desk)
    seen: list[str] = []

    def look() -> None:
        other = Ledger(ledger_url)
        seen.append(other.get(request.release_id).state)
        other.close()

    desk.portal.before_answer = look
    await desk.releases.carry_out(request.release_id)
    assert seen == ["sending"]


async def test_an_outcome_that_cannot_be_recorded_is_told_and_settled_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await approved(desk)

    def full(*_: object, **__: object) -> None:
        raise LedgerUnavailable("database or disk is full", "Mend it.")

    with monkeypatch.context() as patched:
        patched.setattr(desk.ledger, "finish", full)
        told = await desk.releases.carry_out(request.release_id)
    assert (told.status, told.verified) == ("released", True)
    assert desk.ledger.get(request.release_id).state == "sending"
    desk.clock.pass_seconds(Timing().lease / 1000)
    (settled,) = await desk.releases.find(limit=1)
    assert (settled.status, settled.verified) == ("released", True)
    assert len(desk.portal.released) == 1


@pytest.mark.promise("no-blind-retry")
async def test_a_request_that_is_being_sent_is_settled_by_nobody_else_before_its_lease_ends(
    make_desk: MakeDesk, portal: FakePortal
) -> None:
    desk = make_desk()
    request = await approved(desk)
    desk.ledger.begin_sending(
        request.release_id, now=desk.clock(), lease=120_000, may=lambda _: None
    )
    portal.license_state = "not_offline"
    (still,) = await make_desk(requester="ben").releases.find(limit=1)
    assert (still.state, still.status) == ("sending", "unknown")
    desk.clock.pass_seconds(120)
    (settled,) = await make_desk(requester="ben").releases.find(limit=1)
    assert (settled.status, settled.reason) == ("released", "confirmed")
    assert portal.released == []


async def test_a_request_whose_server_died_becomes_unknown_when_nothing_is_proven(
    desk: Desk,
) -> None:
    request = await approved(desk)
    desk.ledger.begin_sending(request.release_id, now=desk.clock(), lease=1000, may=lambda _: None)
    desk.clock.pass_seconds(2)
    (found,) = await desk.releases.find(limit=1)
    assert (found.state, found.reason) == ("unknown", "outcome_unknown")


async def test_a_settled_outcome_is_never_changed_again(desk: Desk) -> None:
    outcome = await carried_out(desk)
    kept = desk.ledger.finish(
        outcome.release_id, "not_released", "no_effect", now=desk.clock(), detail="late"
    )
    assert kept == outcome


async def test_a_late_answer_of_the_sender_wins_over_no_effect(desk: Desk) -> None:
    request = await approved(desk)
    desk.ledger.begin_sending(request.release_id, now=desk.clock(), lease=1, may=lambda _: None)
    desk.clock.pass_seconds(3600)
    (settled,) = await desk.releases.find(limit=1)
    late = desk.ledger.finish(
        request.release_id, "released", "confirmed", now=desk.clock(), verified=True
    )
    assert (settled.status, settled.reason) == ("not_released", "no_effect")
    assert (late.status, late.verified) == ("released", True)
    unchanged = desk.ledger.finish(request.release_id, "unknown", "outcome_unknown", now=1)
    assert unchanged == late
    assert desk.ledger.verify().fault is None


@pytest.mark.promise("uncancelled")
async def test_a_ledger_that_fails_for_a_moment_still_gets_the_outcome(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk(timing=Timing(recording=20_000))
    request = await approved(desk)
    finish, failures = desk.ledger.finish, [1, 2]

    def away(*given: Any, **more: Any) -> Request:
        if failures:
            failures.pop()
            raise LedgerUnavailable("the server is restarting", "Wait.")
        return finish(*given, **more)

    monkeypatch.setattr(desk.ledger, "finish", away)
    with stamina.set_testing(True, attempts=10):
        told = await desk.releases.carry_out(request.release_id)
    assert (told.status, told.detail) == ("released", "")
    assert desk.ledger.get(request.release_id).state == "released"


@pytest.mark.parametrize("again", ["carry out", "ask"])
async def test_the_outcome_of_a_request_that_another_instance_is_sending_is_waited_for(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    desk = make_desk(timing=Timing(patience=20_000))
    request = await approved(desk)
    desk.ledger.begin_sending(
        request.release_id, now=desk.clock(), lease=120_000, may=lambda _: None
    )
    pauses: list[float] = []

    async def other(seconds: float) -> None:
        """While we pause, the other instance gets its answer."""
        pauses.append(seconds)
        desk.ledger.finish(request.release_id, "released", "confirmed", now=desk.clock())

    monkeypatch.setattr("server.releases.outcomes.anyio.sleep", other)
    if again == "ask":
        told = await desk.releases.request(ASK)
    else:
        told = await desk.releases.carry_out(request.release_id)
    assert (told.release_id, told.status) == (request.release_id, "released")
    assert len(pauses) == 1
    assert desk.portal.released == []


async def test_asking_again_settles_first_what_a_reading_proves(desk: Desk) -> None:
    desk.portal.fail["release"], desk.portal.acts = NoClearAnswer("timeout"), False
    unknown = await carried_out(desk)
    desk.portal.license_state = "not_offline"
    again = await desk.releases.request(ASK)
    assert desk.ledger.get(unknown.release_id).status == "released"
    assert (again.status, again.reason) == ("not_released", "not_checked_out")
    assert len(desk.portal.released) == 1


async def test_an_unknown_outcome_of_another_portal_is_left_to_its_own_servers(
    make_desk: MakeDesk, portal: FakePortal
) -> None:
    desk = make_desk()
    request = await approved(desk)
    desk.ledger.begin_sending(request.release_id, now=desk.clock(), lease=1, may=lambda _: None)
    desk.clock.pass_seconds(3600)
    asked = len(portal.asked)
    assert not await make_desk(portal_url="https://other.example.com/portal").releases.settle()
    assert len(portal.asked) == asked
    assert desk.ledger.get(request.release_id).state == "sending"


async def test_a_server_gives_up_looking_at_what_no_reading_settles(desk: Desk) -> None:
    desk.portal.fail["release"] = NoClearAnswer("timeout")
    desk.portal.license_state = "not_offline"
    await carried_out(desk, Ask("mlopez", "drone2map", "lost"))
    assert await desk.releases.settle()
    desk.clock.pass_seconds(Timing().gives_up / 1000)
    assert not await desk.releases.settle()
