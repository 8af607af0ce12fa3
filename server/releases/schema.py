"""The ledger's two tables, and how a SQLite file is opened so that a commit is on the disk.

WAL lets a reader and a writer work at once; `synchronous=FULL` makes every commit wait for the
disk; every transaction takes the write lock at its start, so what it read stays true until it
commits, whichever process it runs in.
"""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    make_url,
)

from server.errors import LedgerUnavailable

SCHEMA = 1
BUSY_SECONDS = 5.0

metadata = MetaData()

requests = Table(
    "requests",
    metadata,
    Column("release_id", String(16), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("portal", Text, nullable=False),
    Column("portal_name", Text, nullable=False),
    Column("portal_version", Text, nullable=False),
    Column("username", Text, nullable=False),
    Column("full_name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("app_id", Text, nullable=False),
    Column("license", Text, nullable=False),
    Column("last_login", BigInteger),
    Column("read_at", BigInteger),
    Column("requester", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("ask_reason", Text, nullable=False),
    Column("ticket", Text, nullable=False),
    Column("notice", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("route", Text),
    Column("approver", Text),
    Column("decided_at", BigInteger),
    Column("sent_at", BigInteger),
    Column("lease_until", BigInteger),
    Column("verified", Boolean, nullable=False),
    Column("finished_at", BigInteger),
    Index("requests_by_member", "portal", "username", "app_id"),
    Index("requests_by_state", "state", "expires_at"),
    Index("requests_by_sending", "portal", "sent_at"),
)

entries = Table(
    "entries",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("release_id", String(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("changes", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("entries_by_request", "release_id"),
)


def open_engine(url: str) -> Engine:
    """Return an engine for `url`; nothing is opened before its first transaction."""
    path = make_url(url).database
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "do_connect", lambda *_: _create_privately(path))
    event.listen(engine, "connect", _make_durable)
    event.listen(engine, "begin", _lock_for_writing)
    return engine


def prepare(connection: Connection) -> None:
    """Create the tables in a new ledger.

    Raises:
        LedgerUnavailable: the file was written by a newer version of this program.
    """
    found = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    if found > SCHEMA:
        raise LedgerUnavailable("it was written by a newer version of arcgis-license-mcp")
    if found < SCHEMA:
        metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")


def _create_privately(path: str | None) -> None:
    file = Path(str(path))
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))


def _make_durable(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _lock_for_writing(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
