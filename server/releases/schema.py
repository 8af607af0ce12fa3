"""The ledger's two tables: a request is a row, and every change of it an entry of the chain."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    select,
)

from server.releases.chain import Entry, link

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
    Column("requester_account", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("ask_reason", Text, nullable=False),
    Column("ticket", Text, nullable=False),
    Column("notice", Text, nullable=False),
    Column("four_eyes", Boolean, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("route", Text),
    Column("approver", Text),
    Column("approver_account", Text),
    Column("decided_at", BigInteger),
    Column("sent_at", BigInteger),
    Column("lease_until", BigInteger),
    Column("verified", Boolean, nullable=False),
    Column("finished_at", BigInteger),
    Index("requests_by_member", "portal", "username", "app_id"),
    Index("requests_by_state", "state", "expires_at"),
    Index("requests_by_portal", "portal", "state"),
    Index("requests_by_age", "created_at"),
    Index("requests_by_username", "username", "created_at"),
    Index("requests_by_sending", "portal", "sent_at"),
    Index("requests_by_requester", "requester_account", "sent_at"),
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


def newest_entry(connection: Connection) -> Entry | None:
    """Return the chain's last entry."""
    query = select(entries).order_by(entries.c.seq.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return Entry(**row) if row else None


def append(
    connection: Connection, release_id: str, at: int, event: str, changes: dict[str, Any]
) -> Entry:
    """Add an entry to the chain, whose times never go back."""
    newest = newest_entry(connection)
    entry = link(newest, release_id, max(at, newest.at if newest else 0), event, changes)
    connection.execute(entries.insert().values(**asdict(entry)))
    return entry
