"""The way of a release as an assistant, a person and an auditor see it."""

from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from server.errors import (
    LedgerUnavailable,
    NoClearAnswer,
    NoSuchMember,
    PortalUnreachable,
    SignInFailed,
)
from server.releases.ledger import Ledger
from server.releases.models import AppId, Ask, LicenseState, Reason, Request, Verdict
from server.releases.outcomes import Timing
from server.releases.policy import Limits, Policy
from tests.conftest import ASK, PORTAL_URL, Clock, Desk, FakePortal, MakeDesk

pytestmark = pytest.mark.anyio


async def answer(desk: Desk, request: Request, verdict: Verdict = "approved") -> Request:
    decided = await desk.releases.decide(
        request.release_id, verdict, route="form", approver="ana@desk"
    )
    return await desk.releases.carry_out(decided.release_id)


def events(desk: Desk, request: Request) -> list[str]:
    return [entry.event for entry in desk.ledger.entries(request.release_id)]


async def test_a_yes_releases_the_license_once_and_a_reading_confirms_it(desk: Desk) -> None:
    request = await desk.releases.request(ASK, "claude-code 2.1")
    assert (request.status, desk.portal.released) == ("awaiting_approval", [])
    outcome = await answer(desk, request)
    assert (outcome.status, outcome.reason, outcome.verified) == ("released", "confirmed", True)
    assert (outcome.route, outcome.approver) == ("form", "ana@desk")
    assert desk.portal.released == [("mlopez", "arcgisprodesktop")]
    assert events(desk, outcome) == ["asked", "approved", "sending", "released"]


@pytest.mark.promise("refusals-kept")
@pytest.mark.parametrize("verdict", ["declined", "cancelled", "mistyped"])
async def test_any_other_answer_releases_nothing_and_is_kept(desk: Desk, verdict: Verdict) -> None:
    outcome = await answer(desk, await desk.releases.request(ASK), verdict)
    assert (outcome.status, outcome.reason) == ("not_released", verdict)
    assert desk.portal.released == []
    assert events(desk, outcome) == ["asked", verdict]


@pytest.mark.promise("bound-consent")
async def test_a_yes_after_the_request_expired_counts_for_nothing(desk: Desk) -> None:
    request = await desk.releases.request(ASK)
    desk.clock.pass_seconds(3600)
    outcome = await answer(desk, request)
    assert (outcome.status, outcome.reason, outcome.route) == ("not_released", "expired", None)
    assert desk.portal.released == []


@pytest.mark.promise("bound-consent")
async def test_a_yes_that_was_not_carried_out_in_time_expires(desk: Desk) -> None:
    request = await desk.releases.request(ASK)
    await desk.releases.decide(request.release_id, "approved", route="form", approver="ana@desk")
    desk.clock.pass_seconds(3600)
    outcome = await desk.releases.carry_out(request.release_id)
    assert (outcome.status, outcome.reason) == ("not_released", "expired")
    assert desk.portal.released == []


@pytest.mark.promise("bound-consent")
async def test_a_yes_counts_once(desk: Desk) -> None:
    request = await desk.releases.request(ASK)
    await answer(desk, request)
    desk.portal.license_state = "offline"
    await answer(desk, request)
    await desk.releases.carry_out(request.release_id)
    assert len(desk.portal.released) == 1


@pytest.mark.promise("bound-consent")
async def test_the_first_answer_counts(desk: Desk) -> None:
    request = await desk.releases.request(ASK)
    await answer(desk, request, "declined")
    outcome = await answer(desk, request, "approved")
    assert (outcome.status, outcome.reason) == ("not_released", "declined")
    assert desk.portal.released == []


@pytest.mark.promise("one-post")
async def test_a_repeated_call_finds_the_open_request_and_asks_the_portal_nothing(
    desk: Desk,
) -> None:
    first = await desk.releases.request(ASK)
    asked = len(desk.portal.asked)
    assert await desk.releases.request(ASK) == first
    assert await desk.releases.request(replace(ASK, reason="another reason")) == first
    assert len(desk.portal.asked) == asked


@pytest.mark.promise("one-post")
async def test_calls_that_looked_at_the_same_time_become_one_request(desk: Desk) -> None:
    first = await desk.releases.request(ASK)
    assert desk.ledger.open(replace(first, release_id="")) == first
    assert len(desk.ledger.recent(9)) == 1


async def test_another_requester_gets_a_request_of_its_own(make_desk: MakeDesk) -> None:
    first = await make_desk().releases.request(ASK)
    second = await make_desk(requester="ben@desk").releases.request(ASK)
    assert first.release_id != second.release_id


async def test_after_an_outcome_the_same_call_is_a_new_request(desk: Desk) -> None:
    first = await answer(desk, await desk.releases.request(ASK), "declined")
    second = await desk.releases.request(ASK)
    assert (second.state, second.release_id != first.release_id) == ("open", True)


@pytest.mark.promise("one-post")
async def test_parallel_carrying_out_sends_once(make_desk: MakeDesk) -> None:
    one, two = make_desk(), make_desk()
    request = await one.releases.request(ASK)
    await one.releases.decide(request.release_id, "approved", route="form", approver="ana@desk")
    async with anyio.create_task_group() as group:
        for desk in (one, two, one, two):
            group.start_soon(desk.releases.carry_out, request.release_id)
    assert len(one.portal.released) == 1
    assert one.ledger.get(request.release_id).status == "released"


@pytest.mark.promise("one-post")
async def test_two_requests_for_one_license_are_not_under_way_together(
    make_desk: MakeDesk,
) -> None:
    ana, ben = make_desk(), make_desk(requester="ben@desk")
    first, second = await ana.releases.request(ASK), await ben.releases.request(ASK)
    for request in (first, second):
        await ana.releases.decide(request.release_id, "approved", route="form", approver="ana@desk")
    ana.portal.fail["release"], ana.portal.acts = NoClearAnswer("timeout"), False
    assert (await ana.releases.carry_out(first.release_id)).status == "unknown"
    outcome = await ben.releases.carry_out(second.release_id)
    assert (outcome.status, outcome.reason) == ("not_released", "under_way")
    assert len(ana.portal.released) == 1


async def test_an_approved_request_is_carried_out_by_the_next_call(desk: Desk) -> None:
    request = await desk.releases.request(ASK)
    await desk.releases.decide(request.release_id, "approved", route="form", approver="ana@desk")
    outcome = await desk.releases.request(ASK)
    assert (outcome.release_id, outcome.status) == (request.release_id, "released")


@pytest.mark.promise("refusals-kept")
async def test_what_the_policy_forbids_is_recorded_and_nobody_is_asked(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk(Policy(read_only=True))
    request = await desk.releases.request(ASK)
    assert (request.status, request.reason) == ("not_released", "read_only")
    assert desk.portal.asked == []
    assert events(desk, request) == ["refused"]


@pytest.mark.promise("refusals-kept")
@pytest.mark.parametrize(
    ("where", "error", "reason"),
    [
        ("member", NoSuchMember("no member"), "no_such_member"),
        ("facts", PortalUnreachable("no route"), "portal_unreachable"),
        ("facts", SignInFailed("rejected"), "sign_in_failed"),
    ],
)
async def test_evidence_that_cannot_be_read_ends_the_request(
    desk: Desk, where: str, error: Exception, reason: Reason
) -> None:
    desk.portal.fail[where] = error
    request = await desk.releases.request(ASK)
    assert (request.status, request.reason) == ("not_released", reason)
    assert events(desk, request) == ["refused"]


@pytest.mark.promise("re-checked")
@pytest.mark.parametrize(
    ("change", "value", "reason"),
    [
        ("license_state", "not_offline", "not_checked_out"),
        ("license_state", "not_licensed", "not_licensed"),
        ("role", "org_admin", "policy"),
        ("may_release", False, "missing_privilege"),
        ("is_enterprise", False, "not_an_enterprise_portal"),
    ],
)
async def test_what_changed_since_the_question_stops_the_release(
    desk: Desk, change: str, value: object, reason: Reason
) -> None:
    request = await desk.releases.request(ASK)
    setattr(desk.portal, change, value)
    outcome = await answer(desk, request)
    assert (outcome.status, outcome.reason) == ("not_released", reason)
    assert desk.portal.released == []


@pytest.mark.promise("re-checked")
async def test_a_portal_that_cannot_be_read_after_the_yes_stops_the_release(desk: Desk) -> None:
    request = await desk.releases.request(ASK)
    desk.portal.fail["license"] = PortalUnreachable("gone")
    outcome = await answer(desk, request)
    assert (outcome.status, outcome.reason) == ("not_released", "portal_unreachable")
    assert desk.portal.released == []


@pytest.mark.promise("bound-consent")
async def test_a_watcher_that_cannot_read_the_portal_leaves_the_request_to_others(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk()
    request = await desk.releases.request(ASK)
    await desk.releases.decide(request.release_id, "approved", route="page", approver="ben@desk")
    desk.portal.fail["license"] = PortalUnreachable("not from here")
    assert await desk.releases.carry_out_approved()
    assert desk.ledger.get(request.release_id).state == "approved"
    del desk.portal.fail["license"]
    await desk.releases.carry_out_approved()
    assert desk.ledger.get(request.release_id).state == "released"
    assert not await desk.releases.carry_out_approved()
    assert len(desk.portal.released) == 1


@pytest.mark.promise("four-outcomes")
async def test_an_answer_is_carried_out_by_who_took_it_and_not_by_the_watcher_beside(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await desk.releases.request(ASK)
    before = len(desk.portal.asked)
    read = desk.portal.license

    async def watched(username: str, app_id: AppId) -> LicenseState:
        await desk.releases.carry_out_approved()
        return await read(username, app_id)

    monkeypatch.setattr(desk.portal, "license", watched)
    outcome = await desk.releases.answer(
        request.release_id, "approved", route="form", approver="ana@desk"
    )
    assert (outcome.status, outcome.verified) == ("released", True)
    assert desk.portal.asked[before:] == ["facts", "member", "license", "release", "license"]


@pytest.mark.promise("bound-consent")
async def test_a_request_is_sent_to_its_own_portal_alone(make_desk: MakeDesk) -> None:
    desk, other = make_desk(), make_desk(portal_url="https://other.example.com/portal")
    request = await desk.releases.request(ASK)
    elsewhere = await other.releases.request(ASK)
    assert elsewhere.release_id != request.release_id
    await desk.releases.decide(request.release_id, "approved", route="page", approver="ben@desk")
    await other.releases.carry_out(request.release_id)
    await other.releases.carry_out_approved()
    await other.releases.answer(request.release_id, "approved", route="page", approver="ben@desk")
    await other.releases.request(ASK)
    assert desk.portal.released == []
    assert desk.ledger.get(request.release_id).state == "approved"
    assert (await desk.releases.carry_out(request.release_id)).status == "released"


@pytest.mark.promise("four-outcomes")
async def test_what_another_instance_is_sending_is_waited_for(make_desk: MakeDesk) -> None:
    desk = make_desk(timing=Timing(patience=20_000))
    request = await desk.releases.request(ASK)
    await desk.releases.decide(request.release_id, "approved", route="page", approver="ben@desk")
    desk.ledger.begin_sending(request.release_id, now=desk.clock(), lease=9, may=lambda _: None)
    outcomes: list[Request] = []

    async def ask() -> None:
        outcomes.append(await desk.releases.carry_out(request.release_id))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.lowlevel.checkpoint()
        desk.ledger.finish(
            request.release_id, "released", "confirmed", now=desk.clock(), verified=True
        )
    assert [outcome.status for outcome in outcomes] == ["released"]
    assert desk.portal.released == []


@pytest.mark.promise("re-checked")
async def test_the_limits_are_counted_again_at_the_intent(make_desk: MakeDesk) -> None:
    desk = make_desk(Policy(limits=Limits(requester_per_hour=1)))
    waiting = [await desk.releases.request(Ask(name, "arcgisprodesktop", "lost")) for name in "ab"]
    first = await answer(desk, waiting[0])
    desk.portal.license_state = "offline"
    second = await answer(desk, waiting[1])
    assert (first.status, second.status, second.reason) == ("released", "not_released", "limit")
    assert len(desk.portal.released) == 1


async def test_the_limits_are_per_requester_and_hour_and_per_portal_and_day(
    make_desk: MakeDesk,
) -> None:
    policy = Policy(limits=Limits(requester_per_hour=1, portal_per_day=2))
    ana, ben, eve = (make_desk(policy, name) for name in ("ana", "ben", "eve"))

    async def release(desk: Desk, name: str) -> Reason:
        desk.portal.license_state = "offline"
        request = await desk.releases.request(Ask(name, "arcgisprodesktop", "lost"))
        return (await answer(desk, request)).reason

    assert await release(ana, "a") == "confirmed"
    assert await release(ana, "b") == "limit"
    assert await release(ben, "c") == "confirmed"
    assert await release(eve, "d") == "limit"
    ana.clock.pass_seconds(24 * 3600 + 1)
    assert await release(ana, "e") == "confirmed"


async def test_a_fresh_reading_is_shown_again_and_a_stale_one_is_not(desk: Desk) -> None:
    await desk.releases.look(ASK.username, ASK.app_id)
    before = len(desk.portal.asked)
    await desk.releases.request(ASK)
    assert desk.portal.asked[before:] == []
    desk.clock.pass_seconds(60)
    other = replace(ASK, username="other")
    await desk.releases.look(other.username, other.app_id)
    desk.clock.pass_seconds(60)
    before = len(desk.portal.asked)
    await desk.releases.request(other)
    assert desk.portal.asked[before:] == ["facts", "member", "license"]


async def test_a_recent_release_of_the_same_license_is_noticed(desk: Desk) -> None:
    first = await answer(desk, await desk.releases.request(ASK))
    desk.portal.license_state = "offline"
    desk.clock.pass_seconds(3 * 24 * 3600)
    second = await desk.releases.request(ASK)
    assert first.release_id in second.notice
    assert "3 days" in second.notice
    await answer(desk, second, "declined")
    desk.clock.pass_seconds(8 * 24 * 3600)
    assert (await desk.releases.request(ASK)).notice == ""


@pytest.mark.promise("not-fooled")
async def test_foreign_text_is_bounded_and_shows_all_it_contains(desk: Desk) -> None:
    ask = Ask("mlopez", "arcgisprodesktop", "a\u202eb\x1b[31m\n" + "x" * 900, "T\u200b1")
    request = await desk.releases.request(ask, "client\u202e")
    assert len(request.ask_reason) == 500
    assert request.ask_reason.startswith("ab[31m x")
    assert (request.ticket, request.client) == ("T1", "client")


@pytest.mark.promise("durable-intent")
async def test_a_ledger_that_cannot_be_written_records_nothing_and_asks_nobody(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise LedgerUnavailable("database or disk is full", "Mend it.")

    monkeypatch.setattr(desk.ledger, "open", full)
    with pytest.raises(LedgerUnavailable):
        await desk.releases.request(ASK)
    assert desk.portal.released == []


async def test_requests_are_found_by_what_they_are(
    desk: Desk, portal: FakePortal, clock: Clock
) -> None:
    first = await answer(desk, await desk.releases.request(ASK))
    clock.pass_seconds(1)
    portal.license_state = "offline"
    second = await desk.releases.request(replace(ASK, username="other"))
    assert [r.release_id for r in await desk.releases.find(limit=9)] == [
        second.release_id,
        first.release_id,
    ]
    assert await desk.releases.find(limit=9, release_id=first.release_id) == [first]
    assert await desk.releases.find(limit=9, username="other") == [second]
    assert await desk.releases.find(limit=9, states=("released",)) == [first]
    assert await desk.releases.find(limit=9, ticket="INC-1", since=second.created_at) == [second]
    assert await desk.releases.find(limit=9, ticket="INC-2") == []
    assert len(await desk.releases.find(limit=1)) == 1


async def test_a_request_remembers_what_the_person_was_shown(desk: Desk) -> None:
    request = await desk.releases.request(ASK, "claude-code 2.1")
    assert request.portal == PORTAL_URL
    assert (request.full_name, request.email) == ("Maria Lopez", "mlopez@example.com")
    assert (request.license, request.portal_version) == ("offline", "11.5")
    assert request.expires_at - request.created_at == Timing().expires


@pytest.mark.promise("four-outcomes")
async def test_a_ledger_that_fails_after_the_yes_is_not_told_as_nothing_released(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await desk.releases.request(ASK)

    def away(*_: object, **__: object) -> None:
        raise LedgerUnavailable("the connection was cut", "Try again.")

    with monkeypatch.context() as patched:
        patched.setattr(desk.ledger, "begin_sending", away)
        told = await desk.releases.answer(
            request.release_id, "approved", route="page", approver="ben@desk"
        )
    assert (told.status, told.reason) == ("unknown", "ledger_unavailable")
    assert desk.portal.released == []
    assert (await desk.releases.carry_out(request.release_id)).status == "released"


async def test_a_server_leaves_what_its_own_policy_forbids_to_others(make_desk: MakeDesk) -> None:
    desk, strict = make_desk(), make_desk(Policy(read_only=True), requester="ben@desk")
    request = await desk.releases.request(ASK)
    await desk.releases.decide(request.release_id, "approved", route="page", approver="c")
    assert await strict.releases.carry_out_approved()
    assert desk.ledger.get(request.release_id).state == "approved"
    await desk.releases.carry_out_approved()
    assert desk.ledger.get(request.release_id).state == "released"


@pytest.mark.promise("re-checked")
async def test_the_requester_s_own_server_refuses_what_its_policy_forbids_by_now(
    make_desk: MakeDesk,
) -> None:
    desk, stricter = make_desk(), make_desk(Policy(read_only=True))
    request = await desk.releases.request(ASK)
    await desk.releases.decide(request.release_id, "approved", route="page", approver="c")
    await stricter.releases.carry_out_approved()
    assert desk.ledger.get(request.release_id).reason == "read_only"
    assert desk.portal.released == []


async def test_an_id_that_is_taken_is_not_used_twice(ledger_url: str, desk: Desk) -> None:
    first = await desk.releases.request(ASK)
    ids = [first.release_id, "R-NEWW-NEWW"]
    other = Ledger(ledger_url, same_clock=False, new_id=lambda: ids.pop(0))
    second = other.open(replace(first, username="other"))
    taken = Ledger(ledger_url, same_clock=False, new_id=lambda: first.release_id)
    with pytest.raises(LedgerUnavailable, match="no free release_id"):
        taken.open(replace(first, username="third"))
    assert second.release_id == "R-NEWW-NEWW"
    assert desk.ledger.verify().fault is None
    other.close()
    taken.close()
