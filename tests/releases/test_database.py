"""How a ledger's database is opened: privately, durably, and with writers taking turns."""

import os
import sqlite3
import stat
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError

from server.app import milliseconds
from server.errors import LedgerUnavailable
from server.releases import database, migrations
from server.releases.database import PostgreSQL, Session, SQLite, open_database
from server.releases.ledger import Ledger
from server.releases.migrations import VERSION
from tests.conftest import START

OLD = Path(__file__).parent / "ledger_v1.sql"


@pytest.fixture
def nobody_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.02)
    short = PostgreSQL._WRITING.replace("lock_timeout = '10s'", "lock_timeout = '50ms'")
    monkeypatch.setattr(PostgreSQL, "_WRITING", short)


def of_sqlite(ledger_url: str) -> Path:
    if not ledger_url.startswith("sqlite"):
        pytest.skip("a server keeps its own files")
    return Path(ledger_url.removeprefix("sqlite:///"))


def of_postgres(ledger_url: str) -> PostgreSQL:
    if not ledger_url.startswith("postgresql"):
        pytest.skip("a setting of PostgreSQL")
    return PostgreSQL(ledger_url)


@pytest.mark.promise("no-secrets")
def test_a_new_ledger_s_file_and_folder_are_its_owner_s_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "deep" / "ledger.db"
    before = os.umask(0)
    try:
        ledger = Ledger(f"sqlite:///{file.as_posix()}")
        ledger.prepare()
        ledger.close()
    finally:
        os.umask(before)
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_ledger_goes_into_a_folder_that_is_there_and_a_file_that_is_there(
    tmp_path: Path,
) -> None:
    file = tmp_path / "ledger.db"
    file.touch()
    ledger = Ledger(f"sqlite:///{file.as_posix()}")
    assert ledger.recent(1) == []
    ledger.close()


@pytest.mark.promise("durable-intent")
def test_every_connection_to_a_file_waits_for_the_disk(ledger_url: str) -> None:
    of_sqlite(ledger_url)
    opened = SQLite(ledger_url)
    with opened.reading() as one, opened.writing() as two:
        for connection in (one, two):
            said = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous")
            ]
            assert said == ["wal", 2]
    opened.close()


@pytest.mark.promise("durable-intent")
def test_the_log_is_there_as_soon_as_a_connection_is(ledger_url: str) -> None:
    file = of_sqlite(ledger_url)
    ledger = Ledger(ledger_url)
    ledger.prepare()
    ledger.close()
    opened = SQLite(ledger_url)
    assert opened._files()[1] is None
    with opened.reading():
        assert file.with_name(f"{file.name}-wal").exists()
        files = opened._files()
    assert None not in files
    assert len(set(files)) == 2
    opened.close()


@pytest.mark.promise("one-post")
def test_writers_take_turns_from_their_first_moment_on(
    ledger: Ledger, ledger_url: str, nobody_waits_long: None
) -> None:
    ledger.prepare()
    one, two = open_database(ledger_url), open_database(ledger_url)
    with one.writing(), pytest.raises(DBAPIError), two.writing():
        pass
    with two.writing() as connection:
        assert two.session(connection).version == VERSION
    one.close()
    two.close()


def test_a_reader_waits_for_no_writer_and_sees_a_single_moment(
    ledger: Ledger, ledger_url: str, nobody_waits_long: None
) -> None:
    ledger.prepare()
    one, two = open_database(ledger_url), open_database(ledger_url)
    count = text("SELECT count(*) FROM entries")
    row = "INSERT INTO entries VALUES (1, 'R', 1, 'e', '{}', 'p', 'h')"
    with one.reading() as looks:
        assert looks.execute(count).scalar_one() == 0
        with two.writing() as writes, one.reading() as beside:
            writes.execute(text(row))
            assert beside.execute(count).scalar_one() == 0
        assert looks.execute(count).scalar_one() == 0
    with one.reading() as looks:
        assert looks.execute(count).scalar_one() == 1
    one.close()
    two.close()


def test_what_fails_is_undone(ledger: Ledger, ledger_url: str) -> None:
    ledger.prepare()
    opened = open_database(ledger_url)
    row = "INSERT INTO entries VALUES (1, 'R', 1, 'e', '{}', 'p', 'h')"
    with pytest.raises(RuntimeError), opened.writing() as connection:  # noqa: PT012
        connection.execute(text(row))
        raise RuntimeError
    with opened.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM entries")).scalar_one() == 0
    opened.close()


def test_a_database_says_what_it_knows_of_a_session(ledger: Ledger, ledger_url: str) -> None:
    opened = open_database(ledger_url)
    with opened.reading() as connection:
        before = opened.session(connection)
    ledger.prepare()
    with opened.reading() as connection:
        after = opened.session(connection)
    assert (before.version, after.version) == (0, VERSION)
    assert after.waits_for_disk
    if ledger_url.startswith("sqlite"):
        assert after == Session(VERSION, None, None)
    else:
        assert after.account
        assert after.time is not None
        assert before.time is not None
        assert 0 <= after.time - before.time < 60_000
        assert abs(after.time - milliseconds()) < 60_000
    opened.close()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lock_timeout", "10s"),
        ("statement_timeout", "20s"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("synchronous_commit", "on"),
        ("transaction_read_only", "off"),
    ],
)
@pytest.mark.promise("durable-intent")
def test_a_server_s_writer_waits_for_a_bounded_time_and_for_the_disk(
    ledger_url: str, setting: str, value: str
) -> None:
    opened = of_postgres(ledger_url)
    with opened.writing() as connection:
        assert connection.exec_driver_sql(f"SHOW {setting}").scalar_one() == value
    with opened.reading() as connection:
        changed = connection.exec_driver_sql(f"SHOW {setting}").scalar_one() == value
    opened.close()
    assert changed is (setting == "synchronous_commit")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("transaction_isolation", "repeatable read"), ("transaction_read_only", "on")],
)
def test_a_server_s_reader_sees_one_moment_and_writes_nothing(
    ledger_url: str, setting: str, value: str
) -> None:
    opened = of_postgres(ledger_url)
    with opened.reading() as connection:
        assert connection.exec_driver_sql(f"SHOW {setting}").scalar_one() == value
    opened.close()


def test_a_server_that_does_not_answer_is_noticed(ledger_url: str) -> None:
    opened = of_postgres(ledger_url)
    given: dict[str, Any] = {}

    def connecting(_: object, __: object, ___: object, options: dict[str, Any]) -> None:
        given.update(options)

    event.listen(opened._engine, "do_connect", connecting)
    with opened.reading():
        pass
    opened.close()
    wanted = {"connect_timeout": 5, "keepalives_idle": 10, "tcp_user_timeout": 20_000}
    assert {name: given.get(name) for name in wanted} == wanted


@pytest.mark.promise("bound-consent")
def test_an_account_is_who_signed_in_whatever_role_it_takes(ledger_url: str) -> None:
    opened = of_postgres(ledger_url)
    with opened.writing() as connection:
        before = opened.session(connection).account
        connection.exec_driver_sql("SET LOCAL ROLE pg_monitor")
        assert opened.session(connection).account == before
    opened.close()


def test_tables_in_another_schema_are_not_the_ledger_s(
    ledger: Ledger, ledger_url: str, request: pytest.FixtureRequest
) -> None:
    of_postgres(ledger_url).close()
    ledger.prepare()
    elsewhere = Ledger(request.getfixturevalue("postgres").new_ledger())
    assert ledger.exists()
    assert not elsewhere.exists()
    elsewhere.close()


@pytest.mark.parametrize(
    ("session", "why"),
    [
        (Session(VERSION + 1), "newer version"),
        (Session(VERSION - 1), "Start the server anew"),
        (Session(VERSION, waits_for_disk=False), "Set fsync = on"),
        (Session(VERSION), None),
    ],
)
@pytest.mark.promise("durable-intent")
def test_tables_of_another_version_and_a_forgetful_database_are_refused(
    session: Session, why: str | None
) -> None:
    with nullcontext() if why is None else pytest.raises(LedgerUnavailable, match=why):
        migrations.check(session)


@pytest.mark.parametrize("version", [VERSION, VERSION + 1])
def test_a_ledger_that_another_process_has_just_prepared_is_left_alone(
    ledger: Ledger, ledger_url: str, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    ledger.prepare()
    opened = open_database(ledger_url)
    if version != VERSION:
        with opened.writing() as connection:
            opened.set_version(connection, version)
    ask, asked = opened.session, []

    def none_at_first(connection: Connection) -> Session:
        asked.append(connection)
        return Session(0) if len(asked) == 1 else ask(connection)

    def set_version(*_: object) -> None:
        raise AssertionError("it was migrated twice")

    monkeypatch.setattr(opened, "session", none_at_first)
    monkeypatch.setattr(opened, "set_version", set_version)
    newer = pytest.raises(LedgerUnavailable, match="newer version")
    with nullcontext() if version == VERSION else newer:
        migrations.prepare(opened)
    assert len(asked) == 2
    opened.close()


def test_a_ledger_is_prepared_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.recent(1)

    def again(_: object) -> None:
        raise AssertionError("it was prepared again")

    monkeypatch.setattr(migrations, "prepare", again)
    assert ledger.recent(1) == []


@pytest.fixture
def old(tmp_path: Path) -> Path:
    file = tmp_path / "old.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(OLD.read_text(encoding="utf-8"))
    return file


@pytest.mark.promise("tamper-evident")
def test_a_migration_is_an_entry_of_every_request_with_its_time_and_changes(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = START + 10_000_000
    monkeypatch.setattr(migrations, "time_ns", lambda: now * 1_000_000)
    ledger = Ledger(f"sqlite:///{old.as_posix()}")
    entries = [entry for entry in ledger.entries() if entry.event == "migrated"]
    requests = {request.release_id: request for request in ledger.recent(9)}
    ledger.close()
    assert {entry.release_id for entry in entries} == set(requests)
    assert {entry.at for entry in entries} == {now}
    for entry in entries:
        request = requests[entry.release_id]
        assert entry.changed == {
            "requester_account": request.requester,
            "approver_account": request.approver,
            "four_eyes": False,
        }


def test_an_old_ledger_is_one_before_it_is_migrated(old: Path) -> None:
    ledger = Ledger(f"sqlite:///{old.as_posix()}")
    assert ledger.exists()
    ledger.close()
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_migrated_ledger_has_what_a_new_one_has(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    for file in (old, new):
        ledger = Ledger(f"sqlite:///{file.as_posix()}")
        ledger.prepare()
        ledger.close()
    assert names(old) == names(new)


def names(file: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(file)) as connection:
        indexes = connection.execute("SELECT type, name FROM sqlite_master")
        found = {(kind, name) for kind, name in indexes if not name.startswith("sqlite_")}
        for table in ("requests", "entries"):
            found |= {(table, row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    return found


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite:///x.db", SQLite),
        ("postgresql+psycopg://h/x", PostgreSQL),
        ("postgresql://h/x", PostgreSQL),
    ],
)
def test_the_url_says_which_database_it_is(
    url: str, kind: type[database.Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "create_engine", lambda *_, **__: Engine())
    monkeypatch.setattr(event, "listen", lambda *_: None)
    opened = open_database(url)
    assert type(opened) is kind
    assert "LEDGER_URL" in opened.advice


class Engine:
    """Stands for an engine, so that no driver is needed."""

    def execution_options(self, **_: object) -> "Engine":
        return self
