"""How a database is opened, so that a commit is durable and writers take turns.

What a writing transaction has read stays true until it commits, whichever process or machine it
runs on; a reading one sees a single moment and keeps nobody waiting.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Connection, create_engine, event, make_url, text
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

LOCK_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Session:
    """What the database itself says: the version of its tables, our account there, its time in ms.

    The version is 0 where there are no tables. SQLite has neither accounts nor a clock.
    """

    version: int
    account: str | None = None
    time: int | None = None
    waits_for_disk: bool = True


class Database(ABC):
    """A database at an SQLAlchemy URL; nothing is opened before the first transaction.

    `advice` says what to look at where it cannot be used.
    """

    advice: str

    def __init__(self, url: str, **options: Any) -> None:
        self._engine = create_engine(url, **options)
        self._reader = self._engine.execution_options(reading=True)
        event.listen(self._engine, "begin", self._begin)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Be alone in writing; what is done is durable when this ends without an error."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See a single moment, and keep nobody waiting."""
        with self._reader.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @abstractmethod
    def session(self, connection: Connection) -> Session:
        """Ask the database for what it knows of this session."""

    @abstractmethod
    def set_version(self, connection: Connection, version: int) -> None:
        """Note the version of the tables."""

    @abstractmethod
    def _begin(self, connection: Connection) -> None: ...


class SQLite(Database):
    """A file of this machine: WAL, a commit waits for the disk, and `BEGIN IMMEDIATE`."""

    advice = "Check the disk and the permissions of LEDGER_URL, then try again."

    def __init__(self, url: str) -> None:
        super().__init__(url, connect_args={"timeout": LOCK_SECONDS})
        self._path = Path(str(make_url(url).database))
        self._creating = Lock()
        event.listen(self._engine, "do_connect", self._create)
        event.listen(self._engine, "connect", self._connected)
        event.listen(self._engine, "checkout", self._check_out)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Be alone in writing; what is done is durable, and in its place, when this ends."""
        with super().writing() as connection:
            opened = connection.info["files"]
            yield connection
        if self._files() != opened:
            raise FileNotFoundError("its file was removed or replaced while it was written")

    def session(self, connection: Connection) -> Session:
        """Return the version alone."""
        return Session(int(connection.exec_driver_sql("PRAGMA user_version").scalar_one()))

    def set_version(self, connection: Connection, version: int) -> None:
        """Note the version in the file's header."""
        connection.exec_driver_sql(f"PRAGMA user_version = {version:d}")

    def _begin(self, connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    def _create(self, *_: object) -> None:
        with self._creating:
            _create_privately(self._path)

    def _connected(self, connection: Any, record: ConnectionPoolEntry) -> None:
        _make_durable(connection)
        record.info["files"] = self._files()

    def _check_out(self, _: object, record: ConnectionPoolEntry, __: object) -> None:
        """Open anew what was removed or replaced: what is written there is gone with it."""
        if record.info["files"] != self._files():
            raise InvalidatePoolError("the file is another one")

    def _files(self) -> list[tuple[int, int] | None]:
        """Tell which files have the names of the ledger and of its log, if any."""
        return [_identity(Path(f"{self._path}{end}")) for end in ("", "-wal")]


class PostgreSQL(Database):
    """A server that a team shares: a commit waits for the disk, and an advisory lock is the turn.

    The server ends a transaction whose client has vanished, so that nobody waits for it for long.
    """

    advice = "Check that the database of LEDGER_URL runs and lets this account in, then try again."

    _WRITING = f"""
        SET LOCAL lock_timeout = '{LOCK_SECONDS}s';
        SET LOCAL statement_timeout = '{2 * LOCK_SECONDS}s';
        SET LOCAL idle_in_transaction_session_timeout = '{LOCK_SECONDS // 2}s';
        SET LOCAL synchronous_commit = on;
        SELECT pg_advisory_xact_lock(hashtext('arcgis-license-mcp'));
    """
    _READING = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"

    def __init__(self, url: str) -> None:
        network = {"connect_timeout": 5, "keepalives_idle": 10, "tcp_user_timeout": 20_000}
        super().__init__(url, pool_pre_ping=True, connect_args=network)

    def session(self, connection: Connection) -> Session:
        """Return the version of the tables, `session_user`, and the server's time."""
        account, time, fsync, has_tables = connection.exec_driver_sql(
            "SELECT session_user::text, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, "
            "current_setting('fsync'), EXISTS (SELECT FROM pg_catalog.pg_tables "
            "WHERE tablename = 'ledger_version' AND schemaname = ANY(current_schemas(false)))"
        ).one()
        version = 0
        if has_tables:
            newest = connection.exec_driver_sql("SELECT max(version) FROM ledger_version")
            version = int(newest.scalar_one())
        return Session(version, str(account), int(time), waits_for_disk=fsync == "on")

    def set_version(self, connection: Connection, version: int) -> None:
        """Note the version in a table of its own."""
        connection.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS ledger_version (version integer PRIMARY KEY)"
        )
        connection.execute(
            text("INSERT INTO ledger_version VALUES (:version)"), {"version": version}
        )

    def _begin(self, connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        statements = self._READING if reading else self._WRITING
        connection.exec_driver_sql(statements, execution_options={"no_parameters": True})


def open_database(url: str) -> Database:
    """Return the database at an SQLAlchemy URL."""
    return PostgreSQL(url) if url.startswith("postgresql") else SQLite(url)


def _create_privately(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Closing a file that exists would end the locks that SQLite holds on it in this process.
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _make_durable(connection: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA user_version")  # Reads, and so opens the log.
    cursor.close()
