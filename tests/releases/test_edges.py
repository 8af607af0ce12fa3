"""The edges of the rules: the moment before, the moment itself, and what is nearly the same."""

import re
from dataclasses import replace
from typing import Any

import pytest
import stamina

from server.errors import LedgerUnavailable, NoClearAnswer, PortalUnreachable
from server.releases.ledger import new_release_id
from server.releases.models import (
    AppId,
    Ask,
    LicenseState,
    Member,
    PortalFacts,
    Request,
    Version,
)
from server.releases.outcomes import Timing
from server.releases.policy import Policy
from tests.conftest import ASK, PORTAL_URL, START, Clock, Desk, FakePortal, MakeDesk

pytestmark = pytest.mark.anyio
HOUR = 3600


async def approved(desk: Desk, ask: Ask = ASK) -> Request:
    request = await desk.releases.request(ask)
    return await desk.releases.decide(
        request.release_id, "approved", route="page", approver="ben@desk"
    )


async def released(desk: Desk, ask: Ask = ASK) -> Request:
    desk.portal.license_state = "offline"
    return await desk.releases.carry_out((await approved(desk, ask)).release_id)


@pytest.mark.promise("no-blind-retry")
@pytest.mark.parametrize("reading", ["not_licensed", None])
async def test_only_a_license_that_is_still_checked_out_proves_that_it_had_no_effect(
    desk: Desk, reading: LicenseState | None
) -> None:
    desk.portal.fail["release"], desk.portal.acts = NoClearAnswer("timeout"), False
    request = await released(desk)
    desk.clock.pass_seconds(HOUR)
    if reading is None:
        desk.portal.fail["license"] = PortalUnreachable("gone")
    else:
        desk.portal.license_state = reading
    assert await desk.releases.settle()
    assert desk.ledger.get(request.release_id) == request
    assert request.state == "unknown"


@pytest.mark.promise("no-blind-retry")
async def test_a_reading_that_is_not_reliable_proves_no_release_even_where_it_changed(
    desk: Desk,
) -> None:
    desk.portal.fail["release"] = NoClearAnswer("timeout")
    told = await released(desk, Ask("mlopez", "drone2map", "lost"))
    assert desk.portal.license_state == "not_offline"
    assert (told.license, told.state, told.verified) == ("offline", "unknown", False)


@pytest.mark.parametrize(
    ("app_id", "read", "settles"),
    [
        ("arcgisprodesktop", "offline", True),
        ("arcgisprodesktop", "not_offline", False),
        ("arcgisprodesktop", "unread", False),
        ("arcgisallsource", "offline", True),
        ("drone2map", "offline", False),
    ],
)
async def test_a_reading_settles_what_it_had_shown_as_checked_out(
    desk: Desk, app_id: AppId, read: str, settles: bool
) -> None:
    request = await desk.releases.request(ASK)
    assert replace(request, app_id=app_id, license=read).reading_settles is settles


async def test_a_server_gives_up_on_an_unknown_outcome_after_a_day_and_not_before(
    desk: Desk,
) -> None:
    desk.portal.fail["release"] = NoClearAnswer("timeout")
    await released(desk, Ask("mlopez", "drone2map", "lost"))
    desk.clock.pass_seconds(24 * HOUR - 0.001)
    assert await desk.releases.settle()
    desk.clock.pass_seconds(0.001)
    assert not await desk.releases.settle()


async def test_what_was_settled_needs_no_later_look(desk: Desk) -> None:
    desk.portal.fail["release"], desk.portal.acts = NoClearAnswer("timeout"), False
    await released(desk)
    assert await desk.releases.settle()
    desk.portal.license_state = "not_offline"
    assert not await desk.releases.settle()
    assert not await desk.releases.settle()


async def test_one_outcome_that_stays_unknown_is_reason_enough_for_a_later_look(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.portal.fail["release"], desk.portal.acts = NoClearAnswer("timeout"), False
    for name in ("amy", "bob"):
        desk.portal.license_state = "offline"
        request = await approved(desk, replace(ASK, username=name))
        await desk.releases.carry_out(request.release_id)
    readings: dict[str, LicenseState] = {"amy": "offline", "bob": "not_offline"}

    async def license_of(username: str, _: AppId) -> LicenseState:
        return readings[username]

    monkeypatch.setattr(desk.portal, "license", license_of)
    assert await desk.releases.settle()
    assert [r.state for r in desk.ledger.list(limit=9, username="bob")] == ["released"]


@pytest.mark.promise("four-outcomes")
async def test_the_why_of_an_outcome_is_kept(desk: Desk) -> None:
    desk.portal.fail["release"], desk.portal.acts = NoClearAnswer("no reply in 30 s"), False
    assert (await released(desk)).detail == "no reply in 30 s"
    desk.portal.fail["release"] = PortalUnreachable("no route")
    told = await released(desk, replace(ASK, username="other"))
    assert (told.detail, told.finished_at) == ("no route", desk.clock())


async def test_an_unknown_outcome_has_no_end_until_it_is_settled(desk: Desk) -> None:
    desk.portal.fail["release"], desk.portal.acts = NoClearAnswer("timeout"), False
    assert (await released(desk)).finished_at is None
    desk.clock.pass_seconds(600)
    (settled,) = await desk.releases.find(limit=1)
    assert settled.finished_at == desk.clock()


async def test_a_server_that_died_is_said_to_have_stopped(desk: Desk) -> None:
    request = await approved(desk)
    desk.ledger.begin_sending(request.release_id, now=desk.clock(), lease=1000, may=lambda _: None)
    desk.clock.pass_seconds(1)
    (found,) = await desk.releases.find(limit=1)
    assert "stopped before it recorded an answer" in found.detail


@pytest.mark.promise("uncancelled")
async def test_an_outcome_that_no_ledger_takes_is_told_with_what_was_known(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise LedgerUnavailable("disk is full", "Mend it.")

    request = await approved(desk)
    desk.portal.fail["release"], desk.portal.acts = NoClearAnswer("no reply"), False
    monkeypatch.setattr(desk.ledger, "finish", full)
    told = await desk.releases.carry_out(request.release_id)
    assert (told.state, told.reason, told.verified) == ("unknown", "outcome_unknown", False)
    assert told.detail == "no reply The ledger could not record this outcome; mend it."
    (said,) = [r for r in caplog.records if r.message == "the outcome was not recorded"]
    assert vars(said)["release_id"] == request.release_id


async def test_an_outcome_is_recorded_once_where_no_time_is_given_to_try_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[object] = []

    def full(*given: object, **_: object) -> None:
        tries.append(given)
        raise LedgerUnavailable("disk is full", "Mend it.")

    request = await approved(desk)
    monkeypatch.setattr(desk.ledger, "finish", full)
    await desk.releases.carry_out(request.release_id)
    assert tries == [(request.release_id, "released", "confirmed")]


async def test_without_patience_what_another_instance_is_sending_is_told_as_it_stands(
    desk: Desk,
) -> None:
    request = await approved(desk)
    desk.ledger.begin_sending(request.release_id, now=desk.clock(), lease=9, may=lambda _: None)
    assert (await desk.releases.carry_out(request.release_id)).state == "sending"


@pytest.mark.parametrize(("age", "asks"), [(59.999, False), (60, True), (-0.001, True)])
async def test_a_reading_is_fresh_for_a_minute_and_none_is_from_the_future(
    desk: Desk, age: float, asks: bool
) -> None:
    await desk.releases.look(ASK.username, ASK.app_id)
    before = len(desk.portal.asked)
    desk.clock.now += round(age * 1000)
    await desk.releases.request(ASK)
    assert desk.portal.asked[before:] == (["facts", "member", "license"] if asks else [])


async def test_a_reading_of_another_product_is_not_this_one_s(desk: Desk) -> None:
    await desk.releases.look(ASK.username, "drone2map")
    before = len(desk.portal.asked)
    await desk.releases.request(ASK)
    assert desk.portal.asked[before:] == ["facts", "member", "license"]


@pytest.mark.promise("re-checked")
async def test_after_a_release_the_license_is_read_anew_for_the_next_request(desk: Desk) -> None:
    await released(desk)
    told = await desk.releases.request(ASK)
    assert (told.state, told.reason) == ("not_released", "not_checked_out")


def test_the_times_are_those_that_are_promised() -> None:
    assert Timing() == Timing(
        expires=3_600_000,
        fresh=60_000,
        lease=120_000,
        settles=600_000,
        patience=0,
        recording=0,
        gives_up=86_400_000,
    )


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (0, "less than two hours"),
        (1.9, "less than two hours"),
        (2, "2 hours"),
        (47.9, "47 hours"),
        (48, "2 days"),
        (7 * 24, "7 days"),
    ],
)
async def test_a_notice_says_how_long_ago_and_why(desk: Desk, hours: float, said: str) -> None:
    first = await released(desk)
    desk.portal.license_state = "offline"
    desk.clock.pass_seconds(max(hours * HOUR, 60))
    second = await desk.releases.request(ASK)
    assert second.notice == (
        f'This license was already released {said} ago ({first.release_id}, "laptop stolen").'
    )


async def test_a_release_of_more_than_a_week_ago_is_no_longer_noticed(desk: Desk) -> None:
    await released(desk)
    desk.portal.license_state = "offline"
    desk.clock.pass_seconds(7 * 24 * HOUR + 1)
    assert (await desk.releases.request(ASK)).notice == ""


async def test_only_a_release_of_the_same_license_is_noticed(desk: Desk) -> None:
    await released(desk, replace(ASK, username="other"))
    await released(desk, replace(ASK, app_id="arcgisallsource"))
    desk.portal.license_state = "offline"
    declined = await desk.releases.request(ASK)
    await desk.releases.decide(declined.release_id, "declined", route="page", approver="ben")
    assert (await desk.releases.request(ASK)).notice == ""


async def test_the_newest_of_several_releases_is_noticed(desk: Desk) -> None:
    await released(desk)
    desk.clock.pass_seconds(5 * HOUR)
    second = await released(desk)
    desk.clock.pass_seconds(3 * HOUR)
    desk.portal.license_state = "offline"
    notice = (await desk.releases.request(ASK)).notice
    assert second.release_id in notice
    assert "3 hours" in notice


def test_a_release_id_can_be_read_out() -> None:
    ids = {new_release_id() for _ in range(200)}
    assert len(ids) == 200
    spelt = re.compile(r"R-[2-9A-HJKMNPQRSTVWXYZ]{4}-[2-9A-HJKMNPQRSTVWXYZ]{4}")
    assert [each for each in ids if not spelt.fullmatch(each)] == []
    halves = {part for each in ids for part in each.split("-")[1:]}
    assert len(halves) > 390


@pytest.mark.parametrize(
    ("version", "written"),
    [((11, 5, 0), "11.5"), ((10, 9, 1), "10.9.1"), (None, "unknown")],
)
def test_a_version_is_written_as_people_write_it(version: Version | None, written: str) -> None:
    facts = PortalFacts(PORTAL_URL, "GIS", version, True, True)
    assert (facts.version_text, facts.old_path) == (written, False)


@pytest.mark.parametrize(
    ("approver", "account", "written"),
    [
        (None, None, None),
        ("ben@desk", None, "ben@desk"),
        ("ben@desk", "ben@desk", "ben@desk"),
        ("ben@desk", "ben", "ben@desk (account ben)"),
    ],
)
async def test_who_answered_is_written_with_an_account_only_where_it_differs(
    desk: Desk, approver: str | None, account: str | None, written: str | None
) -> None:
    request = await desk.releases.request(ASK)
    answered = replace(request, approver=approver, approver_account=account)
    assert answered.answered_by == written
    asked = replace(request, requester="ana@desk", requester_account=account or "")
    expected = "ana@desk" if account is None else f"ana@desk (account {account})"
    assert asked.asked_by == expected


async def test_a_request_holds_what_was_asked_and_read(
    portal: FakePortal, desk: Desk, clock: Clock
) -> None:
    clock.pass_seconds(5)
    request = await desk.releases.request(ASK, "c" * 81)
    assert request.ask == ASK
    assert (request.portal_name, request.last_login) == ("GIS", START)
    assert (request.created_at, request.read_at) == (clock(), clock())
    assert request.client == "c" * 79 + "…"
    assert (request.requester, request.requester_account[:3]) == ("ana@desk", "ana")
    assert (request.reason, request.detail, request.four_eyes) == ("waiting", "", False)


async def test_a_refused_request_ends_when_it_was_made_and_says_why(
    desk: Desk, clock: Clock
) -> None:
    desk.portal.fail["facts"] = PortalUnreachable("no route")
    refused = await desk.releases.request(ASK)
    assert (refused.detail, refused.finished_at) == ("no route", clock())
    assert (refused.license, refused.portal_version, refused.read_at) == ("unread", "unknown", None)
    assert (refused.portal_name, refused.full_name, refused.email) == ("", "", "")


async def test_what_the_facts_forbid_is_recorded_with_the_facts(desk: Desk) -> None:
    desk.portal.license_state = "not_offline"
    refused = await desk.releases.request(ASK)
    assert (refused.reason, refused.full_name) == ("not_checked_out", "Maria Lopez")


@pytest.mark.parametrize(
    ("route", "verdict", "minutes", "turned_away"),
    [
        ("form", "declined", 60, True),
        ("form", "cancelled", 0, True),
        ("form", "declined", 60.1, False),
        ("form", "mistyped", 0, False),
        ("page", "declined", 0, False),
    ],
)
async def test_a_form_that_was_declined_is_remembered_for_an_hour(
    desk: Desk, route: str, verdict: str, minutes: float, turned_away: bool
) -> None:
    first = await desk.releases.request(ASK)
    await desk.releases.decide(
        first.release_id,
        verdict,  # type: ignore[arg-type]
        route=route,  # type: ignore[arg-type]
        approver="ana@desk",
    )
    desk.clock.pass_seconds(minutes * 60)
    again = await desk.releases.request(ASK)
    assert await desk.releases.turned_away(again) is turned_away
    assert not await desk.releases.turned_away(replace(again, app_id="arcgisallsource"))
    assert not await desk.releases.turned_away(replace(again, requester="ben@desk"))
    before = replace(again, created_at=first.created_at - 1)
    assert not await desk.releases.turned_away(before)


async def test_a_member_s_history_is_of_this_portal_and_of_the_last_days(
    make_desk: MakeDesk,
) -> None:
    desk, other = make_desk(), make_desk(portal_url="https://other.example.com/portal")
    first = await desk.releases.request(ASK)
    await other.releases.request(ASK)
    await desk.releases.request(replace(ASK, username="other"))
    desk.clock.pass_seconds(2 * 24 * HOUR)
    (found,) = await desk.releases.history("mlopez", 2)
    assert (found.release_id, found.reason) == (first.release_id, "expired")
    desk.clock.pass_seconds(1)
    assert await desk.releases.history("mlopez", 2) == []


async def test_open_requests_are_this_portal_s_that_nobody_has_answered(
    make_desk: MakeDesk,
) -> None:
    desk, other = make_desk(), make_desk(portal_url="https://other.example.com/portal")
    first = await desk.releases.request(ASK)
    desk.clock.pass_seconds(1)
    second = await desk.releases.request(replace(ASK, username="b"))
    await approved(desk, replace(ASK, username="c"))
    await other.releases.request(ASK)
    assert await desk.releases.open_requests() == [first, second]
    desk.clock.pass_seconds(Timing().expires / 1000 - 1)
    assert await desk.releases.open_requests() == [second]


async def test_a_request_that_is_looked_up_when_it_is_due_has_expired(desk: Desk) -> None:
    request = await desk.releases.request(ASK)
    desk.clock.pass_seconds(Timing().expires / 1000 - 0.001)
    assert (await desk.releases.get(request.release_id)).state == "open"
    desk.clock.pass_seconds(0.001)
    found = await desk.releases.get(request.release_id)
    assert (found.state, found.reason, found.finished_at) == (
        "not_released",
        "expired",
        desk.clock(),
    )
    assert found.detail == ""
    with pytest.raises(KeyError, match="R-0000-0000"):
        await desk.releases.get("R-0000-0000")


@pytest.mark.promise("re-checked")
async def test_another_requester_s_facts_are_refused_by_any_server(make_desk: MakeDesk) -> None:
    desk, ben = make_desk(), make_desk(requester="ben@desk")
    request = await approved(desk)
    desk.portal.license_state = "not_offline"
    await ben.releases.carry_out_approved()
    assert desk.ledger.get(request.release_id).reason == "not_checked_out"


async def test_what_is_left_to_others_is_logged(
    make_desk: MakeDesk, caplog: pytest.LogCaptureFixture
) -> None:
    desk = make_desk()
    request = await approved(desk)
    desk.portal.fail["license"] = PortalUnreachable("not from here")
    await desk.releases.carry_out_approved()
    (said,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert said.message == "cannot be sent from here"
    assert vars(said)["release_id"] == request.release_id
    assert vars(said)["why"] == "not from here"


async def test_an_answer_that_is_no_yes_is_not_carried_out_again_and_frees_the_request(
    desk: Desk,
) -> None:
    request = await desk.releases.request(ASK)
    told = await desk.releases.answer(
        request.release_id, "declined", route="page", approver="ben@desk"
    )
    assert (told.state, told.reason, told.approver) == ("not_released", "declined", "ben@desk")
    assert desk.portal.released == []


async def test_an_answer_that_failed_leaves_the_request_to_the_watcher(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise LedgerUnavailable("the connection was cut", "Try again.")

    request = await desk.releases.request(ASK)
    with monkeypatch.context() as patched:
        patched.setattr(desk.ledger, "begin_sending", away)
        await desk.releases.answer(
            request.release_id, "approved", route="page", approver="ben@desk"
        )
    await desk.releases.carry_out_approved()
    assert desk.ledger.get(request.release_id).state == "released"


@pytest.mark.promise("re-checked")
@pytest.mark.parametrize("policy", [Policy(read_only=True), Policy(products=["drone2map"])])
async def test_what_another_server_s_policy_forbids_stays_approved_and_is_logged(
    make_desk: MakeDesk, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    desk, strict = make_desk(), make_desk(policy, requester="ben@desk")
    request = await approved(desk)
    assert await strict.releases.carry_out_approved()
    assert desk.ledger.get(request.release_id).state == "approved"
    assert "is left to another server" in caplog.messages
    assert desk.portal.released == []


async def test_a_call_repeated_after_minutes_still_asks_the_portal_nothing(desk: Desk) -> None:
    first = await desk.releases.request(ASK)
    before = len(desk.portal.asked)
    desk.clock.pass_seconds(HOUR - 1)
    assert await desk.releases.request(ASK) == first
    assert len(desk.portal.asked) == before


@pytest.mark.promise("not-fooled")
async def test_what_a_request_takes_from_others_is_bounded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def member(username: str) -> Member:
        return Member(username, "f" * 200, "e" * 200, "org_user", False, None)

    async def facts() -> PortalFacts:
        return PortalFacts(PORTAL_URL, "p" * 200, (11, 5, 0), True, True)

    monkeypatch.setattr(desk.portal, "member", member)
    monkeypatch.setattr(desk.portal, "facts", facts)
    ask = replace(ASK, reason="r" * 600, ticket="t" * 200)
    request = await desk.releases.request(ask, "c" * 200)
    assert request.full_name == "f" * 79 + "…"
    assert request.email == "e" * 119 + "…"
    assert request.portal_name == "p" * 79 + "…"
    assert request.ask_reason == "r" * 499 + "…"
    assert request.ticket == "t" * 63 + "…"
    assert request.last_login is None
    desk.portal.license_state = "offline"
    await desk.releases.answer(request.release_id, "approved", route="page", approver="ben@desk")
    desk.portal.license_state = "offline"
    desk.clock.pass_seconds(61)
    assert f'"{"r" * 119}…")' in (await desk.releases.request(ASK)).notice


@pytest.mark.promise("bound-consent")
async def test_what_nobody_has_approved_is_neither_read_for_sending_nor_closed(
    desk: Desk,
) -> None:
    request = await desk.releases.request(ASK)
    before = len(desk.portal.asked)
    desk.portal.license_state = "not_offline"
    assert await desk.releases.carry_out(request.release_id) == request
    assert len(desk.portal.asked) == before
    assert desk.ledger.get(request.release_id).state == "open"


@pytest.mark.promise("uncancelled")
@pytest.mark.parametrize(
    ("recording", "tries"),
    [(20_000, {"attempts": None, "timeout": 20.0}), (0, {"attempts": 1, "timeout": None})],
)
async def test_an_outcome_is_tried_to_be_recorded_for_as_long_as_the_setting_says(
    make_desk: MakeDesk,
    monkeypatch: pytest.MonkeyPatch,
    recording: int,
    tries: dict[str, object],
) -> None:
    given: list[dict[str, object]] = []
    caller = stamina.AsyncRetryingCaller

    def seen(**options: Any) -> stamina.AsyncRetryingCaller:
        given.append(options)
        return caller(**options)

    monkeypatch.setattr("server.releases.outcomes.stamina.AsyncRetryingCaller", seen)
    await released(make_desk(timing=Timing(recording=recording)))
    assert given == [tries]


async def test_whatever_is_noted_of_a_request_is_told_at_once(desk: Desk) -> None:
    request = await desk.releases.request(ASK)
    name = request.release_id
    noted = await desk.releases.note(name, "no_answer")
    assert (noted.state, noted.reason) == ("open", "no_answer")
    assert await desk.releases.remark(name, "mistyped", "m") == noted
    assert [entry.event for entry in await desk.releases.entries(name)] == [
        "asked",
        "no_answer",
        "mistyped",
    ]
