"""A ledger with a long past, made at once: a valid chain and rows that agree with it."""

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import create_engine

from server.releases import schema
from server.releases.chain import Entry, link
from server.releases.ledger import Ledger
from server.releases.models import Request

PORTAL = "https://gis.example.com/portal"
ENTRIES_A_RELEASE = 4
HALF_AN_HOUR = 1_800_000
_DIGITS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"


def asked(username: str, at: int) -> Request:
    """A request as it is asked for, with facts of an ordinary length."""
    return Request(
        release_id="",
        created_at=at,
        portal=PORTAL,
        portal_name="GIS of the city",
        portal_version="11.5",
        username=username,
        full_name="Jane Smith",
        email="jsmith@example.com",
        app_id="arcgisprodesktop",
        license="offline",
        last_login=at - HALF_AN_HOUR,
        read_at=at,
        requester="agent@helpdesk",
        requester_account="agent@helpdesk",
        client="Claude Code 2.1",
        ask_reason="The laptop was stolen at the weekend, and Pro is checked out on it.",
        ticket="INC-20418",
        notice="",
        expires_at=at + 3_600_000,
        state="open",
        reason="waiting",
    )


def fill(url: str, entries: int) -> None:
    """Make a ledger with so many entries: releases in the past, one every half an hour."""
    ledger = Ledger(url)
    ledger.prepare()
    ledger.close()
    chain: list[Entry] = []
    rows: list[dict[str, Any]] = []
    count = entries // ENTRIES_A_RELEASE
    begun = time.time_ns() // 1_000_000 - (count + 1) * HALF_AN_HOUR
    for number in range(count):
        row: dict[str, Any] = {}
        for event, at, changes in _changes(number, begun + number * HALF_AN_HOUR):
            row |= changes
            last = chain[-1] if chain else None
            chain.append(link(last, row["release_id"], at, event, changes))
        rows.append(row)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(schema.requests.insert(), rows)
        connection.execute(schema.entries.insert(), [asdict(entry) for entry in chain])
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE")  # Its autovacuum does so; SQLite never does.
    engine.dispose()


def _changes(number: int, at: int) -> Iterator[tuple[str, int, dict[str, Any]]]:
    request = replace(asked(f"member{number:05d}", at), release_id=release_id(number))
    yield "asked", at, asdict(request)
    decision = {"state": "approved", "route": "page", "approver": "ana@desk"}
    yield "approved", at, {**decision, "approver_account": "ana@desk", "decided_at": at}
    yield "sending", at, {"state": "sending", "sent_at": at, "lease_until": at + 120_000}
    outcome = {"state": "released", "reason": "confirmed", "verified": True, "detail": ""}
    yield "released", at, {**outcome, "finished_at": at}


def release_id(number: int) -> str:
    """The id of the release of this number, from 0."""
    letters = ""
    for _ in range(8):
        number, digit = divmod(number, len(_DIGITS))
        letters = _DIGITS[digit] + letters
    return f"R-{letters[:4]}-{letters[4:]}"
