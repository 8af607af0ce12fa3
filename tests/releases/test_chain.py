"""The chain: whoever changes, removes or reorders an entry, or a row, is found and named."""

import pytest
from sqlalchemy import create_engine, text

from server.errors import PortalRefused
from server.releases.chain import digest
from server.releases.ledger import Ledger
from server.releases.models import Ask
from tests.conftest import ASK, Desk

pytestmark = [pytest.mark.anyio, pytest.mark.promise("tamper-evident")]


async def two_releases(desk: Desk) -> list[str]:
    ids = []
    for _ in range(2):
        desk.portal.license_state = "offline"
        request = await desk.releases.request(ASK)
        await desk.releases.decide(request.release_id, "approved", route="form", approver="ana")
        await desk.releases.carry_out(request.release_id)
        desk.clock.pass_seconds(61)
        ids.append(request.release_id)
    return ids


def tamper(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


async def test_an_untouched_ledger_verifies(desk: Desk) -> None:
    await two_releases(desk)
    found = desk.ledger.verify()
    assert found.fault is None
    assert found.entries == 8
    assert found.head == desk.ledger.entries()[-1].hash


async def test_an_empty_ledger_verifies(ledger: Ledger) -> None:
    assert ledger.verify().fault is None


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE entries SET changes = replace(changes, 'ana', 'eve') WHERE seq = 2", "entry 2"),
        ("UPDATE entries SET at = at + 1 WHERE seq = 5", "entry 5"),
        ("UPDATE entries SET event = 'declined' WHERE seq = 3", "entry 3"),
        ("UPDATE entries SET release_id = 'R-2222-2222' WHERE seq = 8", "entry 8"),
        ("UPDATE entries SET hash = previous WHERE seq = 8", "entry 8"),
        ("DELETE FROM entries WHERE seq = 1", "entry 1"),
        ("DELETE FROM entries WHERE seq = 4", "entry 4"),
        ("DELETE FROM entries WHERE seq = 8", "entry 7"),
        ("DELETE FROM entries WHERE seq > 4", "no entries"),
        ("DELETE FROM entries", "no entries"),
        ("DELETE FROM requests", "was removed"),
        ("UPDATE requests SET approver = 'eve'", "approver"),
        ("UPDATE requests SET state = 'not_released', reason = 'declined'", "reason, state"),
    ],
)
async def test_a_change_is_found_and_named(
    desk: Desk, ledger_url: str, statement: str, named: str
) -> None:
    await two_releases(desk)
    tamper(ledger_url, statement)
    fault = desk.ledger.verify().fault
    assert fault is not None
    assert named in fault


@pytest.mark.parametrize(("head", "holds"), [(2, True), (None, True), ("f" * 64, False)])
async def test_a_head_that_was_noted_must_still_be_in_the_chain(
    desk: Desk, head: int | str | None, holds: bool
) -> None:
    await two_releases(desk)
    noted = desk.ledger.entries()[head].hash if isinstance(head, int) else head
    found = desk.ledger.verify(noted)
    assert (found.fault is None) is holds
    if not holds:
        assert "noted head" in str(found.fault)


async def test_a_link_that_was_made_anew_does_not_fit_the_entry_before(
    desk: Desk, ledger_url: str
) -> None:
    await two_releases(desk)
    last = desk.ledger.entries()[-1]
    hashed = digest(last.seq, last.release_id, last.at, last.event, last.changes, "e" * 64)
    tamper(
        ledger_url,
        f"UPDATE entries SET previous = '{'e' * 64}', hash = '{hashed}' WHERE seq = {last.seq}",
    )
    assert desk.ledger.verify().fault == "entry 8 does not follow entry 7"


async def test_an_export_holds_every_entry(desk: Desk) -> None:
    await two_releases(desk)
    assert list(desk.ledger.export()) == desk.ledger.entries()


def test_a_ledger_is_told_from_a_database_without_one(ledger: Ledger) -> None:
    assert not ledger.exists()
    ledger.prepare()
    assert ledger.exists()


async def test_two_entries_that_changed_places_are_found(desk: Desk, ledger_url: str) -> None:
    await two_releases(desk)
    tamper(
        ledger_url,
        "UPDATE entries SET seq = 99 WHERE seq = 2",
        "UPDATE entries SET seq = 2 WHERE seq = 3",
        "UPDATE entries SET seq = 3 WHERE seq = 99",
    )
    fault = desk.ledger.verify().fault
    assert fault is not None
    assert "entry 2" in fault


@pytest.mark.promise("no-secrets")
async def test_entries_hold_what_was_asked_and_answered_and_no_more(desk: Desk) -> None:
    (first, _) = await two_releases(desk)
    events = [entry.event for entry in desk.ledger.entries(first)]
    assert events == ["asked", "approved", "sending", "released"]
    names = {name for entry in desk.ledger.entries(first) for name in entry.changed}
    assert not {name for name in names if "token" in name or "password" in name or "key" in name}


@pytest.mark.promise("no-secrets")
@pytest.mark.promise("not-fooled")
async def test_entries_are_bounded_whatever_is_said(desk: Desk) -> None:
    long = "\u202e" + "\N{GRINNING FACE}" * 5_000
    ask = Ask("m" * 128, "arcgisprodesktop", long, long)
    request = await desk.releases.request(ask, long)
    desk.portal.fail["release"] = PortalRefused(long, code=400)
    await desk.releases.remark(request.release_id, "mistyped", long)
    await desk.releases.answer(request.release_id, "approved", route="page", approver="ben@desk")
    entries = desk.ledger.entries()
    assert [entry.event for entry in entries] == [
        "asked",
        "mistyped",
        "approved",
        "sending",
        "not_released",
    ]
    assert max(len(entry.changes) for entry in entries) < 16_000
    assert all("\u202e" not in str(entry.changed) for entry in entries)
