"""Brings an existing ledger to this version's tables, in place and in one transaction.

What a migration sets in a request is an entry of the chain like any other change. A ledger of a
newer version is refused, since writing to it without knowing its rules could break them.
"""

from collections.abc import Callable
from time import time_ns

from sqlalchemy import Connection, select, text

from server.errors import LedgerUnavailable
from server.releases import schema
from server.releases.database import Database, Session

VERSION = 2


def prepare(database: Database) -> None:
    """Create or migrate the tables where that is needed.

    Raises:
        LedgerUnavailable: the ledger is of a newer version.
    """
    with database.reading() as connection:
        found = database.session(connection).version
    if found != VERSION:
        with database.writing() as connection:
            _migrate(database, connection)


def check(session: Session) -> None:
    """Refuse to write to tables of another version, or to a database that forgets.

    Either can change while this process runs.

    Raises:
        LedgerUnavailable: says what to do.
    """
    if session.version > VERSION:
        raise LedgerUnavailable(
            "it was written by a newer version of arcgis-license-mcp",
            "Install that version here too.",
        )
    if session.version < VERSION:
        raise LedgerUnavailable("its tables were replaced by older ones", "Start the server anew.")
    if not session.waits_for_disk:
        raise LedgerUnavailable("its database does not wait for the disk", "Set fsync = on there.")


def _migrate(database: Database, connection: Connection) -> None:
    session = database.session(connection)  # Another process may have been first.
    if session.version >= VERSION:
        check(session)
        return
    if session.version == 0:
        schema.metadata.create_all(connection)
    else:
        for step in _STEPS[session.version - 1 :]:
            step(connection)
    database.set_version(connection, VERSION)


def _add_accounts(connection: Connection) -> None:
    """Version 2: the accounts as the database knows them, and the rule of four eyes."""
    for column in ("requester_account TEXT NOT NULL DEFAULT ''", "approver_account TEXT"):
        connection.execute(text(f"ALTER TABLE requests ADD COLUMN {column}"))
    connection.execute(
        text("ALTER TABLE requests ADD COLUMN four_eyes BOOLEAN NOT NULL DEFAULT FALSE")
    )
    # Version 1 was SQLite alone, which has no accounts: there the names given stand for them.
    connection.execute(
        text("UPDATE requests SET requester_account = requester, approver_account = approver")
    )
    for index in schema.requests.indexes:
        index.create(connection, checkfirst=True)
    names = ("requester_account", "approver_account", "four_eyes")
    columns = [schema.requests.c[name] for name in names]
    for row in connection.execute(select(schema.requests.c.release_id, *columns)).all():
        changes = dict(zip(names, row[1:], strict=True))
        schema.append(connection, row[0], time_ns() // 1_000_000, "migrated", changes)


_STEPS: list[Callable[[Connection], None]] = [_add_accounts]
