"""The ledger's records: requests as rows, their changes as entries, and the reading of both.

A row changes only through `_change`, which checks the state that it expects, moves the row and
appends the entry in one transaction. Every transaction holds the write lock from its start, so what
it read stays true until it commits, whichever process it runs in.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from server.errors import LedgerUnavailable
from server.releases import schema
from server.releases.chain import Entry, Verification, check, link
from server.releases.models import Request, State, Usage
from server.text import plain

HOUR = 3_600_000
DAY = 24 * HOUR
_r = schema.requests.c


class Records:
    """The records at an SQLAlchemy URL, opened on first use. Every method blocks on the disk.

    Every method raises `LedgerUnavailable` where they cannot be read or written.
    """

    def __init__(self, url: str) -> None:
        self._engine = schema.open_engine(url)
        self._prepared = False

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def get(self, release_id: str, *, now: int | None = None) -> Request:
        """Return one request, expired if it is due `now`. Raises KeyError where there is none."""
        with self._transaction() as connection:
            if now is not None:
                self._expire(connection, now)
            return self._get(connection, release_id)

    def list(
        self,
        *,
        limit: int,
        now: int | None = None,
        release_id: str | None = None,
        username: str | None = None,
        states: Sequence[State] = (),
    ) -> Sequence[Request]:
        """Return the newest requests first, at most `limit`, expired if they are due `now`."""
        query = select(schema.requests).order_by(_r.created_at.desc(), _r.release_id).limit(limit)
        if release_id is not None:
            query = query.where(_r.release_id == release_id)
        if username is not None:
            query = query.where(_r.username == username)
        if states:
            query = query.where(_r.state.in_(states))
        with self._transaction() as connection:
            if now is not None:
                self._expire(connection, now)
            return [Request(**row) for row in connection.execute(query).mappings()]

    def recent(self, limit: int) -> Sequence[Request]:
        """Return the newest requests first, as they stand; nothing expires by looking."""
        return self.list(limit=limit)

    def waiting(self, portal: str | None, now: int) -> Sequence[Request]:
        """Return the open and approved requests of a portal, or of all, oldest first."""
        query = (
            select(schema.requests)
            .where(_r.state.in_(("open", "approved")))
            .order_by(_r.created_at, _r.release_id)
        )
        if portal is not None:
            query = query.where(_r.portal == portal)
        with self._transaction() as connection:
            self._expire(connection, now)
            return [Request(**row) for row in connection.execute(query).mappings()]

    def unsettled(self, now: int) -> Sequence[Request]:
        """Return the requests whose outcome is not known and that nobody is carrying out now."""
        query = select(schema.requests).where(
            or_(_r.state == "unknown", and_(_r.state == "sending", _r.lease_until <= now))
        )
        with self._transaction() as connection:
            return [Request(**row) for row in connection.execute(query).mappings()]

    def last_release(self, request: Request, since: int) -> Request | None:
        """Return the member's newest release of this product since then."""
        query = (
            select(schema.requests)
            .where(same_license(request), _r.state == "released", _r.finished_at >= since)
            .order_by(_r.finished_at.desc())
            .limit(1)
        )
        with self._transaction() as connection:
            row = connection.execute(query).mappings().first()
            return Request(**row) if row else None

    def usage(self, requester: str, portal: str, now: int) -> Usage:
        """Count the intents that the limits speak of; an unknown outcome counts like a release."""
        with self._transaction() as connection:
            return self._usage(connection, requester, portal, now)

    def entries(self, release_id: str | None = None) -> Sequence[Entry]:
        """Return all entries, or one request's, in their order."""
        query = select(schema.entries).order_by(schema.entries.c.seq)
        if release_id is not None:
            query = query.where(schema.entries.c.release_id == release_id)
        with self._transaction() as connection:
            return [Entry(**row) for row in connection.execute(query).mappings()]

    def verify(self) -> Verification:
        """Follow the whole chain and compare it with the requests."""
        with self._transaction() as connection:
            entries = (
                Entry(**row)
                for row in connection.execute(
                    select(schema.entries).order_by(schema.entries.c.seq)
                ).mappings()
            )
            rows = (dict(r) for r in connection.execute(select(schema.requests)).mappings())
            return check(entries, rows)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                if not self._prepared:
                    schema.prepare(connection)
                yield connection
            self._prepared = True
        except (SQLAlchemyError, OSError) as error:
            raise LedgerUnavailable(plain(getattr(error, "orig", None) or error)) from error

    def _get(self, connection: Connection, release_id: str) -> Request:
        query = select(schema.requests).where(_r.release_id == release_id)
        row = connection.execute(query).mappings().first()
        if row is None:
            raise KeyError(release_id)
        return Request(**row)

    def _usage(self, connection: Connection, requester: str, portal: str, now: int) -> Usage:
        def sent_since(since: int, whose: ColumnElement[bool]) -> int:
            query = select(func.count()).where(_r.sent_at > since, whose)
            return int(connection.execute(query).scalar_one())

        return Usage(
            requester_hour=sent_since(now - HOUR, _r.requester == requester),
            portal_day=sent_since(now - DAY, _r.portal == portal),
        )

    def _expire(self, connection: Connection, now: int) -> None:
        due = select(_r.release_id).where(_r.state.in_(("open", "approved")), _r.expires_at <= now)
        for release_id in connection.execute(due).scalars().all():
            changes = {"state": "not_released", "reason": "expired", "finished_at": now}
            self._change(connection, release_id, "expired", now, {"open", "approved"}, changes)

    def _change(
        self,
        connection: Connection,
        release_id: str,
        event: str,
        now: int,
        expected: set[State],
        changes: dict[str, Any],
    ) -> bool:
        moved = connection.execute(
            schema.requests.update()
            .where(_r.release_id == release_id, _r.state.in_(expected))
            .values(**changes)
        )
        if moved.rowcount == 1:
            self._append(connection, release_id, now, event, changes)
        return moved.rowcount == 1

    def _append(
        self, connection: Connection, release_id: str, at: int, event: str, changes: dict[str, Any]
    ) -> None:
        newest = select(schema.entries).order_by(schema.entries.c.seq.desc()).limit(1)
        row = connection.execute(newest).mappings().first()
        entry = link(Entry(**row) if row else None, release_id, at, event, changes)
        connection.execute(schema.entries.insert().values(**asdict(entry)))


def same_license(request: Request) -> ColumnElement[bool]:
    """Match the requests for the same portal, member and product."""
    return and_(
        _r.portal == request.portal,
        _r.username == request.username,
        _r.app_id == request.app_id,
    )
