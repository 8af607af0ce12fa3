"""The ledger's own rules, one conditional change at a time and without a portal."""

from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
from sqlalchemy import Connection

from server.errors import LedgerUnavailable
from server.releases.database import Session
from server.releases.ledger import Ledger
from server.releases.models import Reason, Refusal, Request, State, Usage, Verdict
from tests.conftest import PORTAL_URL, START, LedgerOf

HOUR = 3_600_000
Ask = Callable[[Connection], Session]
DAY = 24 * HOUR
ANA = Request(
    release_id="",
    created_at=START,
    portal=PORTAL_URL,
    portal_name="GIS",
    portal_version="11.5",
    username="mlopez",
    full_name="Maria Lopez",
    email="mlopez@example.com",
    app_id="arcgisprodesktop",
    license="offline",
    last_login=None,
    read_at=START,
    requester="ana@desk",
    client="",
    ask_reason="laptop stolen",
    ticket="INC-1",
    notice="",
    expires_at=START + HOUR,
    state="open",
    reason="waiting",
)
BEN = replace(ANA, requester="ben@desk")


def of_ana(**changes: object) -> Request:
    return Request(**{**asdict(ANA), **changes})


def approve(ledger: Ledger, request: Request, now: int = START) -> Request:
    return ledger.decide(request.release_id, "approved", route="page", approver="eve", now=now)


def send(ledger: Ledger, request: Request, now: int = START) -> Request | None:
    return ledger.begin_sending(request.release_id, now=now, lease=1000, may=lambda _: None)


def bring(ledger: Ledger, request: Request, state: State, now: int = START) -> Request:
    """Open a request and bring it to a state."""
    opened = ledger.open(request)
    if state == "open":
        return opened
    if state == "not_released":
        return ledger.decide(opened.release_id, "declined", route="page", approver="eve", now=now)
    approve(ledger, opened, now)
    if state != "approved":
        assert send(ledger, opened, now)
    if state == "released":
        return ledger.finish(opened.release_id, "released", "confirmed", now=now)
    if state == "unknown":
        return ledger.finish(opened.release_id, "unknown", "outcome_unknown", now=now)
    return ledger.get(opened.release_id)


def events(ledger: Ledger, request: Request) -> list[str]:
    return [entry.event for entry in ledger.entries(request.release_id)]


@pytest.mark.promise("one-post")
@pytest.mark.parametrize("state", ["approved", "sending", "unknown"])
def test_who_asks_for_what_is_under_way_is_told_of_it(ledger: Ledger, state: State) -> None:
    there = bring(ledger, ANA, state)
    assert ledger.live(BEN) == there
    assert ledger.open(BEN) == there


@pytest.mark.promise("one-post")
def test_what_is_under_way_comes_before_a_request_of_one_s_own(ledger: Ledger) -> None:
    own = ledger.open(BEN)
    there = bring(ledger, of_ana(created_at=START + 1), "approved", START + 1)
    assert ledger.live(replace(BEN, created_at=START + 2)) == there
    assert own.state == "open"


@pytest.mark.parametrize(
    "other",
    [
        {"portal": "https://other.example.com/portal"},
        {"username": "other"},
        {"app_id": "drone2map"},
    ],
)
@pytest.mark.parametrize("state", ["open", "unknown"])
def test_another_portal_member_or_product_is_another_license(
    ledger: Ledger, other: dict[str, object], state: State
) -> None:
    there = bring(ledger, ANA, state)
    assert ledger.live(of_ana(**other)) is None
    opened = bring(ledger, of_ana(**other), "approved")
    assert opened.release_id != there.release_id
    assert send(ledger, opened) is not None


@pytest.mark.promise("bound-consent")
def test_a_name_that_another_account_gives_finds_no_request_of_the_first(
    ledger_of: LedgerOf, ledger_url: str
) -> None:
    there = ledger_of("ana@desk").open(ANA)
    assert ledger_of("ana@desk").live(ANA) == there
    shared = ledger_url.startswith("postgresql")
    again = ledger_of("ben@desk").open(ANA)
    assert (again.release_id != there.release_id) is shared


def test_another_name_of_one_account_gets_a_request_of_its_own(ledger: Ledger) -> None:
    assert ledger.open(ANA).release_id != ledger.open(BEN).release_id
    assert len(ledger.recent(9)) == 2


@pytest.mark.promise("one-post")
@pytest.mark.promise("bound-consent")
def test_a_request_from_before_the_license_was_released_sends_nothing(
    ledger: Ledger,
) -> None:
    mine, other = ledger.open(ANA), ledger.open(BEN)
    approve(ledger, other)
    assert send(ledger, other)
    ledger.finish(other.release_id, "released", "confirmed", now=START)
    ledger.note(mine.release_id, "no_answer", now=START + 1)
    approve(ledger, mine, START + 1)
    assert send(ledger, mine, START + 1) is None
    kept = ledger.get(mine.release_id)
    assert (kept.state, kept.reason, kept.finished_at) == ("not_released", "under_way", START + 1)
    assert other.release_id in kept.detail


@pytest.mark.promise("one-post")
@pytest.mark.parametrize(
    ("state", "sent"), [("released", True), ("unknown", False), ("not_released", True)]
)
def test_a_request_made_after_another_one_ended_may_be_sent(
    ledger: Ledger, state: State, sent: bool
) -> None:
    mine = replace(BEN, username="mlopez")
    if state == "unknown":
        opened = ledger.open(mine)
        bring(ledger, ANA, state)
    else:
        bring(ledger, ANA, state)
        opened = ledger.open(mine)
    approve(ledger, opened)
    assert (send(ledger, opened) is not None) is sent


@pytest.mark.promise("durable-intent")
def test_an_intent_says_when_it_was_sent_and_who_may_settle_it_when(ledger: Ledger) -> None:
    opened = bring(ledger, ANA, "approved")
    sending = ledger.begin_sending(opened.release_id, now=START + 5, lease=1000, may=lambda _: None)
    assert sending == ledger.get(opened.release_id)
    assert sending is not None
    assert (sending.state, sending.sent_at, sending.lease_until) == (
        "sending",
        START + 5,
        START + 1005,
    )


@pytest.mark.promise("one-post")
@pytest.mark.parametrize("state", ["open", "sending", "released", "not_released", "unknown"])
def test_only_what_was_approved_is_sent(ledger: Ledger, state: State) -> None:
    there = bring(ledger, ANA, state)
    asked: list[Usage] = []
    before = events(ledger, there)
    assert ledger.begin_sending(there.release_id, now=START, lease=1, may=asked.append) is None
    assert (asked, events(ledger, there), ledger.get(there.release_id)) == ([], before, there)


@pytest.mark.promise("refusals-kept")
def test_what_the_limits_forbid_at_the_intent_is_recorded(ledger: Ledger) -> None:
    bring(ledger, replace(ANA, username="a"), "released")
    opened = bring(ledger, ANA, "approved")
    seen: list[Usage] = []

    def may(usage: Usage) -> Refusal:
        seen.append(usage)
        return Refusal("limit", "x" * 600)

    assert ledger.begin_sending(opened.release_id, now=START, lease=1, may=may) is None
    kept = ledger.get(opened.release_id)
    assert (kept.state, kept.reason, kept.detail) == ("not_released", "limit", "x" * 499 + "…")
    assert seen == [Usage(1, 1)]
    assert events(ledger, opened) == ["asked", "approved", "refused"]


@pytest.mark.parametrize(
    ("after", "usage"),
    [
        (HOUR - 1, Usage(1, 1)),
        (HOUR, Usage(0, 1)),
        (DAY - 1, Usage(0, 1)),
        (DAY, Usage(0, 0)),
    ],
)
def test_an_intent_counts_for_an_hour_and_for_a_day(
    ledger: Ledger, after: int, usage: Usage
) -> None:
    bring(ledger, ANA, "unknown")
    assert ledger.usage("ana@desk", PORTAL_URL, START + after) == usage


def test_limits_count_by_requester_and_by_portal(ledger: Ledger, ledger_url: str) -> None:
    bring(ledger, ANA, "released")
    bring(ledger, replace(BEN, username="b"), "unknown")
    bring(ledger, replace(ANA, username="c"), "approved")
    bring(ledger, replace(ANA, username="d", portal="https://other.example.com"), "released")
    mine = 3 if ledger_url.startswith("postgresql") else 2  # There both names are one account.
    assert ledger.usage("ana@desk", PORTAL_URL, START) == Usage(mine, 2)
    assert Usage() == Usage(0, 0)


@pytest.mark.promise("refusals-kept")
@pytest.mark.parametrize("verdict", ["declined", "cancelled", "mistyped"])
def test_an_answer_is_kept_with_its_person_route_and_time(
    ledger: Ledger, ledger_url: str, verdict: Verdict
) -> None:
    opened = ledger.open(ANA)
    told = ledger.decide(
        opened.release_id, verdict, route="card", approver="eve@desk", now=START + 7
    )
    assert (told.state, told.reason, told.route, told.approver) == (
        "not_released",
        verdict,
        "card",
        "eve@desk",
    )
    assert (told.decided_at, told.finished_at, told.sent_at) == (START + 7, START + 7, None)
    if ledger_url.startswith("sqlite"):
        assert told.approver_account == "eve@desk"
    assert told == ledger.get(opened.release_id)


def test_a_yes_is_no_end(ledger: Ledger) -> None:
    told = bring(ledger, ANA, "approved")
    assert (told.state, told.reason) == ("approved", "waiting")
    assert (told.decided_at, told.finished_at, told.four_eyes) == (START, None, False)


@pytest.mark.promise("refusals-kept")
def test_a_refused_self_approval_names_who_tried(ledger: Ledger) -> None:
    opened = ledger.open(replace(ANA, four_eyes=True))
    ledger.decide(opened.release_id, "approved", route="form", approver="ana@desk", now=START)
    kept = ledger.get(opened.release_id)
    assert kept == replace(opened, reason="self_approval")
    assert ledger.entries(opened.release_id)[-1].changed == {
        "reason": "self_approval",
        "remark": "ana@desk",
    }


Change = Callable[[Ledger, str], object]
CHANGES: dict[str, Change] = {
    "decide": lambda ledger, name: ledger.decide(
        name, "approved", route="page", approver="eve", now=START
    ),
    "note": lambda ledger, name: ledger.note(name, "no_answer", now=START),
    "remark": lambda ledger, name: ledger.remark(name, "mistyped", "m", now=START),
    "refuse": lambda ledger, name: ledger.refuse(name, Refusal("policy", "No."), now=START),
    "finish": lambda ledger, name: ledger.finish(name, "released", "confirmed", now=START),
}
TOUCHES: dict[str, set[State]] = {
    "decide": {"open"},
    "note": {"open"},
    "remark": {"open"},
    "refuse": {"open", "approved"},
    "finish": {"sending", "unknown"},
}


@pytest.mark.promise("one-post")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "state", ["open", "approved", "sending", "released", "not_released", "unknown"]
)
def test_a_change_expects_a_state_and_leaves_every_other_alone(
    ledger: Ledger, change: str, state: State
) -> None:
    there = bring(ledger, ANA, state)
    before = events(ledger, there)
    CHANGES[change](ledger, there.release_id)
    touched = len(events(ledger, there)) == len(before) + 1
    assert touched is (state in TOUCHES[change])
    if not touched:
        assert (ledger.get(there.release_id), events(ledger, there)) == (there, before)
    assert ledger.verify().fault is None


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_request_that_is_not_there_says_so(ledger: Ledger, change: str) -> None:
    with pytest.raises(KeyError, match="R-0000-0000"):
        CHANGES[change](ledger, "R-0000-0000")
    with pytest.raises(KeyError, match="R-0000-0000"):
        send(ledger, replace(ANA, release_id="R-0000-0000"))
    assert ledger.entries() == []


@pytest.mark.promise("four-outcomes")
@pytest.mark.parametrize(
    ("reason", "state", "changed"),
    [
        ("no_effect", "released", True),
        ("no_effect", "unknown", False),
        ("no_effect", "not_released", False),
        ("portal_refused", "released", False),
    ],
)
def test_only_no_effect_gives_way_and_only_to_a_release(
    ledger: Ledger, reason: Reason, state: State, changed: bool
) -> None:
    there = bring(ledger, ANA, "sending")
    ledger.finish(there.release_id, "not_released", reason, now=START)
    told = ledger.finish(there.release_id, state, "confirmed", now=START)
    assert (told.reason == "confirmed") is changed


def test_an_outcome_says_what_is_known_and_no_more(ledger: Ledger) -> None:
    there = bring(ledger, ANA, "sending")
    told = ledger.finish(there.release_id, "unknown", "outcome_unknown", now=START, detail="d")
    assert (told.verified, told.detail, told.finished_at) == (False, "d", None)
    told = ledger.finish(
        there.release_id, "not_released", "no_effect", now=START + 9, detail="y" * 600
    )
    assert (told.verified, told.detail, told.finished_at) == (False, "y" * 499 + "…", START + 9)
    told = ledger.finish(there.release_id, "released", "confirmed", now=START + 9, verified=True)
    assert (told.verified, told.detail) == (True, "")


@pytest.mark.promise("not-fooled")
def test_a_remark_is_bounded_and_changes_nothing(ledger: Ledger) -> None:
    opened = ledger.open(ANA)
    assert ledger.remark(opened.release_id, "mistyped", "z" * 300, now=START) == opened
    assert ledger.get(opened.release_id) == opened
    assert ledger.entries()[-1].changed == {"remark": "z" * 199 + "…"}
    assert ledger.verify().fault is None


def test_a_refusal_closes_with_its_reason_and_time(ledger: Ledger) -> None:
    opened = bring(ledger, ANA, "approved")
    told = ledger.refuse(opened.release_id, Refusal("policy", "No."), now=START + 3)
    assert (told.state, told.reason, told.detail) == ("not_released", "policy", "No.")
    assert told.finished_at == START + 3
    assert events(ledger, opened) == ["asked", "approved", "refused"]


LATER: dict[str, Callable[[Ledger, str, int], object]] = {
    "live": lambda ledger, _, now: ledger.live(replace(BEN, created_at=now)),
    "open": lambda ledger, _, now: ledger.open(of_ana(username="other", created_at=now)),
    "waiting": lambda ledger, _, now: ledger.waiting(None, now),
    "list": lambda ledger, _, now: ledger.list(limit=9, now=now),
    "get": lambda ledger, name, now: ledger.get(name, now=now),
    "remark": lambda ledger, name, now: ledger.remark(name, "mistyped", "m", now=now),
    "note": lambda ledger, name, now: ledger.note(name, "no_answer", now=now),
    "begin_sending": lambda ledger, name, now: ledger.begin_sending(
        name, now=now, lease=1, may=lambda _: None
    ),
    "decide": lambda ledger, name, now: ledger.decide(
        name, "declined", route="page", approver="eve", now=now
    ),
}


@pytest.mark.promise("bound-consent")
@pytest.mark.promise("refusals-kept")
@pytest.mark.parametrize("state", ["open", "approved"])
@pytest.mark.parametrize("later", LATER)
def test_a_request_expires_to_the_millisecond_by_whatever_is_done_next(
    ledger: Ledger, state: State, later: str
) -> None:
    there = bring(ledger, ANA, state)
    assert ledger.get(there.release_id, now=START + HOUR - 1).state == state
    LATER[later](ledger, there.release_id, START + HOUR)
    kept = ledger.get(there.release_id)
    assert (kept.state, kept.reason) == ("not_released", "expired")
    assert kept.finished_at == START + HOUR
    assert events(ledger, there)[-1] == "expired"


def test_what_is_looked_at_without_a_time_does_not_expire(ledger: Ledger) -> None:
    there = ledger.open(replace(ANA, expires_at=0))
    assert ledger.get(there.release_id) == there
    assert ledger.recent(9) == [there]


def test_looking_at_what_is_not_due_writes_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ledger.open(ANA)

    def none(*_: object) -> None:
        raise AssertionError("it was written")

    monkeypatch.setattr(ledger._book, "writing", none)
    assert ledger.list(limit=9, now=START) == [there]
    assert ledger.waiting(None, START) == [there]
    assert ledger.get(there.release_id, now=START) == there
    assert ledger.live(ANA) == there


@pytest.mark.promise("bound-consent")
@pytest.mark.parametrize(("back", "refused"), [(30_000, False), (30_001, True)])
def test_a_clock_may_be_half_a_minute_behind_the_newest_entry(
    ledger: Ledger, back: int, refused: bool
) -> None:
    opened = ledger.open(ANA)
    behind = START - back
    changes: list[Callable[[], object]] = [
        lambda: ledger.open(of_ana(username="other", created_at=behind)),
        lambda: approve(ledger, opened, behind),
        lambda: send(ledger, opened, behind),
    ]
    for change in changes:
        if refused:
            with pytest.raises(LedgerUnavailable, match=r"is 30 s ahead .* Correct the clock"):
                change()
        else:
            change()
    assert ledger.get(opened.release_id).state == ("open" if refused else "sending")


@pytest.mark.promise("bound-consent")
@pytest.mark.parametrize(
    ("off", "why"),
    [
        (30_000, None),
        (-30_000, None),
        (30_001, "clock is 30 s off its database's"),
        (-3_600_000, "clock is 3600 s off its database's"),
    ],
)
def test_a_clock_may_be_half_a_minute_off_the_database_s(
    ledger: Ledger, ledger_url: str, monkeypatch: pytest.MonkeyPatch, off: int, why: str | None
) -> None:
    strict = Ledger(ledger_url)
    for each in (strict, ledger):
        ask = each._book._database.session

        def told(connection: Connection, ask: Ask = ask) -> Session:
            return replace(ask(connection), time=START + off)

        monkeypatch.setattr(each._book._database, "session", told)
    if why is None:
        strict.open(ANA)
    else:
        with pytest.raises(LedgerUnavailable, match=f"{why}.*Correct the clock"):
            strict.open(ANA)
    assert ledger.open(BEN).state == "open"
    strict.close()


def test_requests_are_listed_newest_first_and_within_a_moment_by_their_ids(
    ledger: Ledger,
) -> None:
    same = [ledger.open(of_ana(username=name)) for name in "abc"]
    newer = ledger.open(of_ana(username="d", created_at=START + 1))
    same.sort(key=lambda request: request.release_id)
    assert ledger.list(limit=9) == [newer, *same]
    assert ledger.recent(2) == [newer, same[0]]
    assert ledger.waiting(PORTAL_URL, START) == [*same, newer]
    assert ledger.list(limit=9, since=START + 1) == [newer]
    assert ledger.list(limit=9, since=START + 2) == []
    assert ledger.list(limit=9, states=("open", "released"), username="d") == [newer]
    assert ledger.list(limit=9, states=("released",)) == []


def test_what_waits_is_open_or_approved_and_of_one_portal_or_of_all(ledger: Ledger) -> None:
    states: list[State] = ["open", "approved", "sending", "released", "not_released", "unknown"]
    kept = [
        bring(ledger, of_ana(username=state, created_at=START + at), state, START + at)
        for at, state in enumerate(states)
    ]
    elsewhere = ledger.open(of_ana(portal="https://other.example.com", created_at=START + 9))
    assert ledger.waiting(PORTAL_URL, START) == kept[:2]
    assert ledger.waiting(None, START) == [*kept[:2], elsewhere]
    assert {each.state for each in ledger.unsettled()} == {"sending", "unknown"}


def test_the_last_release_is_this_license_s_newest_since_then(ledger: Ledger) -> None:
    assert ledger.last_release(ANA, 0) is None
    bring(ledger, replace(ANA, username="other"), "released")
    bring(ledger, ANA, "not_released")
    first = bring(ledger, ANA, "released", START + 5)
    assert ledger.last_release(BEN, START + 5) == first
    assert ledger.last_release(BEN, START + 6) is None
    second = bring(ledger, replace(ANA, created_at=START + 7), "released", START + 7)
    assert ledger.last_release(BEN, START) == second


def test_entries_are_of_all_or_of_one_request_and_in_their_order(ledger: Ledger) -> None:
    one = bring(ledger, ANA, "released")
    other = bring(ledger, replace(ANA, username="other"), "not_released")
    everything = ledger.entries()
    assert [entry.seq for entry in everything] == [1, 2, 3, 4, 5, 6]
    assert ledger.entries(one.release_id) == everything[:4]
    assert ledger.entries(other.release_id) == everything[4:]
    assert everything[0].changed["requester_account"] == one.requester_account
    assert everything[3].changed == {
        "state": "released",
        "reason": "confirmed",
        "verified": False,
        "detail": "",
        "finished_at": START,
    }


def test_an_entry_is_never_older_than_the_one_before(ledger: Ledger) -> None:
    opened = ledger.open(ANA)
    ledger.note(opened.release_id, "no_answer", now=START - 5)
    ledger.note(opened.release_id, "no_form", now=START + 5)
    assert [entry.at for entry in ledger.entries()] == [START, START, START + 5]


@pytest.mark.parametrize(("taken", "found"), [(4, True), (5, False)])
def test_a_free_id_is_looked_for_five_times(
    ledger: Ledger, ledger_url: str, taken: int, found: bool
) -> None:
    first = ledger.open(ANA)
    ids = iter([first.release_id] * taken + ["R-FREE-FREE"])
    other = Ledger(ledger_url, same_clock=False, new_id=lambda: next(ids))
    if found:
        assert other.open(replace(ANA, username="b")).release_id == "R-FREE-FREE"
    else:
        with pytest.raises(LedgerUnavailable, match=r"no free release_id.*Try again"):
            other.open(replace(ANA, username="b"))
        assert [r.release_id for r in ledger.recent(9)] == [first.release_id]
    other.close()


@pytest.mark.promise("no-secrets")
def test_every_entry_is_logged_by_what_became_of_the_request(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "server.releases.transactions")
    opened = bring(ledger, ANA, "released")
    told = [
        (record.message, {name: vars(record).get(name) for name in ("entry", "state", "route")})
        for record in caplog.records
    ]
    assert told == [
        ("asked", {"entry": 1, "state": "open", "route": None}),
        ("approved", {"entry": 2, "state": "approved", "route": "page"}),
        ("sending", {"entry": 3, "state": "sending", "route": None}),
        ("released", {"entry": 4, "state": "released", "route": None}),
    ]
    assert {vars(record)["release_id"] for record in caplog.records} == {opened.release_id}
    assert [vars(record).get("reason") for record in caplog.records][::3] == [
        "waiting",
        "confirmed",
    ]
    assert not any(hasattr(record, "email") for record in caplog.records)


def test_what_was_not_committed_is_not_logged(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    opened = bring(ledger, ANA, "approved")
    caplog.clear()
    caplog.set_level("INFO", "server.releases.transactions")
    with pytest.raises(LedgerUnavailable, match="went away"):
        note_and_fail(ledger, opened)
    assert caplog.records == []
    assert "lost" not in events(ledger, opened)


def note_and_fail(ledger: Ledger, request: Request) -> None:
    with ledger._book.writing() as turn:
        ledger._append(turn, request.release_id, START, "lost", {})
        raise OSError("the disk went away")
