"""Ledgers of other versions: an older one goes on in place, a newer one is left alone."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from server.errors import LedgerUnavailable
from server.releases.ledger import Ledger
from tests.conftest import ASK, PORTAL_URL, START, Desk, LedgerOf, MakeDesk

pytestmark = [pytest.mark.anyio, pytest.mark.promise("tamper-evident")]
OLD = Path(__file__).parent / "ledger_v1.sql"


@pytest.fixture
def old_url(tmp_path: Path) -> str:
    file = tmp_path / "old.db"
    connection = sqlite3.connect(file)
    connection.executescript(OLD.read_text(encoding="utf-8"))
    connection.close()
    return f"sqlite:///{file.as_posix()}"


def run(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def test_an_old_ledger_is_migrated_in_place_and_verifies(old_url: str) -> None:
    ledger = Ledger(old_url)
    released, declined, still_open = reversed(ledger.recent(9))
    found = ledger.verify()
    events = [entry.event for entry in ledger.entries(released.release_id)]
    ledger.close()
    assert found.fault is None
    assert events == ["asked", "approved", "sending", "released", "migrated"]
    assert (released.requester_account, released.approver_account) == ("ana@desk", "ana@desk")
    assert (declined.approver_account, declined.four_eyes) == ("ben@desk", False)
    assert (still_open.state, still_open.approver_account) == ("open", None)


def test_a_head_noted_before_a_migration_is_still_in_the_chain(old_url: str) -> None:
    connection = sqlite3.connect(old_url.removeprefix("sqlite:///"))
    (head,) = connection.execute("SELECT hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
    connection.close()
    ledger = Ledger(old_url)
    assert ledger.verify(head).fault is None
    ledger.close()


def test_what_was_sent_before_a_migration_still_counts(old_url: str) -> None:
    ledger = Ledger(old_url)
    usage = ledger.usage("ana@desk", PORTAL_URL, START + 1000)
    ledger.close()
    assert (usage.requester_hour, usage.portal_day) == (1, 1)


def test_a_migration_that_fails_leaves_the_old_ledger(old_url: str) -> None:
    run(old_url, "CREATE VIEW requests_by_requester AS SELECT 1")
    ledger = Ledger(old_url)
    with pytest.raises(LedgerUnavailable):
        ledger.verify()
    ledger.close()
    connection = sqlite3.connect(old_url.removeprefix("sqlite:///"))
    columns = {row[1] for row in connection.execute("PRAGMA table_info(requests)")}
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()
    assert "four_eyes" not in columns


def newer(url: str) -> None:
    sqlite = url.startswith("sqlite")
    run(url, "PRAGMA user_version = 99" if sqlite else "INSERT INTO ledger_version VALUES (99)")


@pytest.mark.parametrize("use", [Ledger.verify, lambda ledger: ledger.recent(1)])
def test_a_ledger_of_a_newer_version_is_refused(
    ledger: Ledger, ledger_url: str, use: Callable[[Ledger], object]
) -> None:
    ledger.prepare()
    newer(ledger_url)
    other = Ledger(ledger_url)
    with pytest.raises(LedgerUnavailable, match=r"newer version.*Install that version"):
        use(other)
    other.close()


@pytest.mark.promise("durable-intent")
async def test_a_ledger_that_becomes_newer_while_a_server_runs_releases_nothing(
    desk: Desk, ledger_url: str
) -> None:
    request = await desk.releases.request(ASK)
    newer(ledger_url)
    with pytest.raises(LedgerUnavailable, match="newer version"):
        await desk.releases.answer(
            request.release_id, "approved", route="page", approver="ben@desk"
        )
    assert desk.portal.released == []


async def test_an_account_that_owns_no_tables_uses_those_that_the_owner_made(
    make_desk: MakeDesk, ledger_of: LedgerOf
) -> None:
    request = await make_desk(requester="ben@desk").releases.request(ASK)
    assert ledger_of("ana@desk").get(request.release_id).requester == "ben@desk"


@pytest.mark.promise("durable-intent")
async def test_tables_that_were_replaced_by_older_ones_are_not_written_to(
    desk: Desk, ledger_url: str
) -> None:
    await desk.releases.request(ASK)
    sqlite = ledger_url.startswith("sqlite")
    run(
        ledger_url, "PRAGMA user_version = 1" if sqlite else "UPDATE ledger_version SET version = 1"
    )
    with pytest.raises(LedgerUnavailable, match="Start the server anew"):
        await desk.releases.request(replace(ASK, username="other"))
