"""The ledger: every request, every change of it, and who may go on.

It is the only memory that several instances share, so whatever must happen at most once is a
conditional change here: one transaction checks the state, moves the row and appends the entry, and
whoever finds another state than it expected changes nothing. A ledger that cannot be written raises
`LedgerUnavailable` before anything is sent.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from server.errors import LedgerUnavailable
from server.releases import schema
from server.releases.chain import Entry, Verification, check, link
from server.releases.models import (
    Reason,
    Refusal,
    Request,
    Route,
    State,
    Usage,
    Verdict,
)
from server.text import plain

HOUR = 3_600_000
DAY = 24 * HOUR
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_r = schema.requests.c


def new_release_id() -> str:
    """Return an id to read out on the phone: eight of thirty characters, no look-alikes."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return f"R-{letters[:4]}-{letters[4:]}"


class Ledger:
    """A ledger at an SQLAlchemy URL, opened on its first use. Its methods block on the disk."""

    def __init__(self, url: str, *, new_id: Callable[[], str] = new_release_id) -> None:
        self._engine = schema.open_engine(url)
        self._new_id = new_id
        self._prepared = False

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

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

    def open(self, request: Request) -> Request:
        """Record a request, or return the live one that it repeats.

        A live request is an open one of the same requester, or one of anybody's for the same
        portal, member and product that is being sent or whose outcome is unknown.
        """
        with self._transaction() as connection:
            self._expire(connection, request.created_at)
            return self._live(connection, request) or self._insert(connection, request)

    def live(self, request: Request) -> Request | None:
        """Return the live request that this one would repeat."""
        with self._transaction() as connection:
            self._expire(connection, request.created_at)
            return self._live(connection, request)

    def decide(
        self, release_id: str, verdict: Verdict, *, route: Route, approver: str, now: int
    ) -> Request:
        """Record a person's answer to an open request; the first one counts.

        Raises:
            KeyError: there is no such request.
        """
        changes: dict[str, Any] = {"route": route, "approver": approver, "decided_at": now}
        if verdict == "approved":
            changes |= {"state": "approved"}
        else:
            changes |= {"state": "not_released", "reason": verdict, "finished_at": now}
        with self._transaction() as connection:
            self._expire(connection, now)
            self._change(connection, release_id, verdict, now, {"open"}, changes)
            return self._get(connection, release_id)

    def note(self, release_id: str, reason: Reason, *, now: int) -> Request:
        """Record why an open request was not answered; it stays open."""
        with self._transaction() as connection:
            self._expire(connection, now)
            self._change(connection, release_id, reason, now, {"open"}, {"reason": reason})
            return self._get(connection, release_id)

    def remark(self, release_id: str, event: str, remark: str, *, now: int) -> Request:
        """Append an entry to an open request that changes nothing of it."""
        with self._transaction() as connection:
            self._expire(connection, now)
            request = self._get(connection, release_id)
            if request.state == "open":
                self._append(connection, release_id, now, event, {"remark": plain(remark, 200)})
            return request

    def refuse(self, release_id: str, refusal: Refusal, *, now: int) -> Request:
        """Close a request that has not been sent."""
        with self._transaction() as connection:
            self._refuse(connection, release_id, refusal, now)
            return self._get(connection, release_id)

    def begin_sending(
        self, release_id: str, *, now: int, lease: int, may: Callable[[Usage], Refusal | None]
    ) -> Request | None:
        """Make the intent durable: move the request from `approved` to `sending`, or return None.

        In the same transaction `may` judges the limits by what all instances have sent, and no
        other request for the same portal, member and product may be under way. `lease` is for how
        many milliseconds nobody else settles it. After this returns a request, send once.
        """
        with self._transaction() as connection:
            self._expire(connection, now)
            request = self._get(connection, release_id)
            if request.state != "approved":
                return None
            refusal = self._under_way(connection, request) or may(
                self._usage(connection, request.requester, request.portal, now)
            )
            if refusal is not None:
                self._refuse(connection, release_id, refusal, now)
                return None
            changes = {"state": "sending", "sent_at": now, "lease_until": now + lease}
            self._change(connection, release_id, "sending", now, {"approved"}, changes)
            return self._get(connection, release_id)

    def finish(
        self,
        release_id: str,
        state: State,
        reason: Reason,
        *,
        now: int,
        verified: bool = False,
        detail: str = "",
    ) -> Request:
        """Record the outcome of a request that was sent; a final one is never changed again."""
        changes = {
            "state": state,
            "reason": reason,
            "verified": verified,
            "detail": detail,
            "finished_at": None if state == "unknown" else now,
        }
        with self._transaction() as connection:
            self._change(connection, release_id, state, now, {"sending", "unknown"}, changes)
            return self._get(connection, release_id)

    def get(self, release_id: str, *, now: int | None = None) -> Request:
        """Return one request, expired if it is due `now`. Raises KeyError where there is none."""
        with self._transaction() as connection:
            if now is not None:
                self._expire(connection, now)
            return self._get(connection, release_id)

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

    def list(
        self,
        *,
        now: int,
        limit: int,
        release_id: str | None = None,
        username: str | None = None,
        states: Sequence[State] = (),
    ) -> Sequence[Request]:
        """Return the newest requests first, at most `limit`."""
        query = select(schema.requests).order_by(_r.created_at.desc(), _r.release_id).limit(limit)
        if release_id is not None:
            query = query.where(_r.release_id == release_id)
        if username is not None:
            query = query.where(_r.username == username)
        if states:
            query = query.where(_r.state.in_(states))
        with self._transaction() as connection:
            self._expire(connection, now)
            return [Request(**row) for row in connection.execute(query).mappings()]

    def recent(self, limit: int) -> Sequence[Request]:
        """Return the newest requests first, as they stand, and change nothing."""
        query = select(schema.requests).order_by(_r.created_at.desc(), _r.release_id).limit(limit)
        with self._transaction() as connection:
            return [Request(**row) for row in connection.execute(query).mappings()]

    def last_release(self, request: Request, since: int) -> Request | None:
        """Return the member's newest release of this product since then."""
        query = (
            select(schema.requests)
            .where(_same_license(request), _r.state == "released", _r.finished_at >= since)
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

    def _insert(self, connection: Connection, request: Request) -> Request:
        for _ in range(5):
            recorded = replace(request, release_id=self._new_id())
            try:
                with connection.begin_nested():
                    connection.execute(schema.requests.insert().values(**asdict(recorded)))
            except IntegrityError:
                continue
            event = "asked" if recorded.state == "open" else "refused"
            self._append(
                connection, recorded.release_id, recorded.created_at, event, asdict(recorded)
            )
            return recorded
        raise LedgerUnavailable("it found no free release_id")

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

    def _refuse(self, connection: Connection, release_id: str, refusal: Refusal, now: int) -> None:
        changes = {
            "state": "not_released",
            "reason": refusal.reason,
            "detail": refusal.detail,
            "finished_at": now,
        }
        self._change(connection, release_id, "refused", now, {"open", "approved"}, changes)

    def _append(
        self, connection: Connection, release_id: str, at: int, event: str, changes: dict[str, Any]
    ) -> None:
        newest = select(schema.entries).order_by(schema.entries.c.seq.desc()).limit(1)
        row = connection.execute(newest).mappings().first()
        entry = link(Entry(**row) if row else None, release_id, at, event, changes)
        connection.execute(schema.entries.insert().values(**asdict(entry)))

    def _expire(self, connection: Connection, now: int) -> None:
        due = select(_r.release_id).where(_r.state.in_(("open", "approved")), _r.expires_at <= now)
        for release_id in connection.execute(due).scalars().all():
            changes = {"state": "not_released", "reason": "expired", "finished_at": now}
            self._change(connection, release_id, "expired", now, {"open", "approved"}, changes)

    def _get(self, connection: Connection, release_id: str) -> Request:
        query = select(schema.requests).where(_r.release_id == release_id)
        row = connection.execute(query).mappings().first()
        if row is None:
            raise KeyError(release_id)
        return Request(**row)

    def _live(self, connection: Connection, request: Request) -> Request | None:
        mine = and_(_r.state == "open", _r.requester == request.requester)
        under_way = _r.state.in_(("approved", "sending", "unknown"))
        query = (
            select(schema.requests)
            .where(_same_license(request), or_(mine, under_way))
            .order_by(_r.state == "open", _r.created_at)
            .limit(1)
        )
        row = connection.execute(query).mappings().first()
        return Request(**row) if row else None

    def _under_way(self, connection: Connection, request: Request) -> Refusal | None:
        query = select(_r.release_id).where(
            _same_license(request),
            _r.release_id != request.release_id,
            _r.state.in_(("sending", "unknown")),
        )
        other = connection.execute(query.limit(1)).scalar()
        if other is None:
            return None
        return Refusal("under_way", f"Look at {other} with list_releases first.")

    def _usage(self, connection: Connection, requester: str, portal: str, now: int) -> Usage:
        def sent_since(since: int, whose: ColumnElement[bool]) -> int:
            query = select(func.count()).where(_r.sent_at > since, whose)
            return int(connection.execute(query).scalar_one())

        return Usage(
            requester_hour=sent_since(now - HOUR, _r.requester == requester),
            portal_day=sent_since(now - DAY, _r.portal == portal),
        )


def _same_license(request: Request) -> ColumnElement[bool]:
    return and_(
        _r.portal == request.portal,
        _r.username == request.username,
        _r.app_id == request.app_id,
    )
