"""The ledger's records: requests as rows, their changes as entries, and the reading of both.

A row changes only through `_change`, which checks the state that it expects, moves the row and
appends the entry in one transaction, alone in writing. Reading keeps nobody waiting.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, Unpack

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select

from server.errors import LedgerUnavailable
from server.releases import schema
from server.releases.chain import Entry, Verification, check
from server.releases.models import Request, State, Usage, Wanted
from server.releases.transactions import Transactions, Turn

HOUR = 3_600_000
DAY = 24 * HOUR
CLOCKS_DIFFER = 30_000
_r = schema.requests.c


class Records:
    """The records at an SQLAlchemy URL, opened on first use. Every method blocks on the database.

    `same_clock` is whether the database's clock, where it has one, must agree with `now`. Every
    method raises `LedgerUnavailable` where the records cannot be read or written.
    """

    def __init__(self, url: str, *, same_clock: bool = True) -> None:
        self._book = Transactions(url)
        self._same_clock = same_clock

    def close(self) -> None:
        """Close every connection."""
        self._book.close()

    def exists(self) -> bool:
        """Tell whether the database has a ledger's tables; makes none."""
        return self._book.exists()

    def prepare(self) -> None:
        """Make the tables where there are none, and bring old ones up to date."""
        self._book.prepare()

    def get(self, release_id: str, *, now: int | None = None) -> Request:
        """Return one request, expired if it is due `now`. Raises KeyError where there is none."""
        self._expire_due(now)
        with self._book.reading() as connection:
            return self._get(connection, release_id)

    def list(
        self, *, limit: int, now: int | None = None, **wanted: Unpack[Wanted]
    ) -> Sequence[Request]:
        """Return the newest requests first, at most `limit`, expired if they are due `now`."""
        query = select(schema.requests).order_by(_r.created_at.desc(), _r.release_id).limit(limit)
        for name in ("release_id", "username", "ticket"):
            if name in wanted:
                query = query.where(_r[name] == wanted[name])
        if "states" in wanted:
            query = query.where(_r.state.in_(wanted["states"]))
        if "since" in wanted:
            query = query.where(_r.created_at >= wanted["since"])
        self._expire_due(now)
        return self._requests(query)

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
        self._expire_due(now)
        return self._requests(query)

    def unsettled(self) -> Sequence[Request]:
        """Return the requests that were sent and whose outcome is not known."""
        return self._requests(select(schema.requests).where(_in("sending", "unknown")))

    def last_release(self, request: Request, since: int) -> Request | None:
        """Return the member's newest release of this product since then."""
        query = (
            select(schema.requests)
            .where(same_license(request), _r.state == "released", _r.finished_at >= since)
            .order_by(_r.finished_at.desc())
            .limit(1)
        )
        return next(iter(self._requests(query)), None)

    def usage(self, requester: str, portal: str, now: int) -> Usage:
        """Count the intents that the limits speak of; an unknown outcome counts like a release.

        A database that knows who is signed in counts by that account, whatever name was given.
        """
        with self._book.reading() as connection:
            account = self._book.account(connection) or requester
            return self._usage(connection, account, portal, now)

    def entries(self, release_id: str | None = None) -> Sequence[Entry]:
        """Return all entries, or one request's, in their order."""
        with self._book.reading() as connection:
            return list(self._entries(connection, release_id))

    def export(self) -> Iterator[Entry]:
        """Return all entries as they stand at one moment, without holding them all."""
        with (
            self._book.reading() as connection,
            closing(self._entries(connection)) as entries,
        ):
            yield from entries

    def verify(self, head: str | None = None) -> Verification:
        """Follow the whole chain, compare it with the requests, and look for a noted head."""
        with (
            self._book.reading() as connection,
            closing(self._entries(connection)) as entries,
            closing(_rows(connection, select(schema.requests))) as rows,
        ):
            return check(entries, rows, head=head)

    def _requests(self, query: Select[Any]) -> Sequence[Request]:
        with self._book.reading() as connection:
            return [Request(**row) for row in connection.execute(query).mappings()]

    def _entries(
        self, connection: Connection, release_id: str | None = None
    ) -> Generator[Entry, None, None]:
        query = select(schema.entries).order_by(schema.entries.c.seq)
        if release_id is not None:
            query = query.where(schema.entries.c.release_id == release_id)
        with closing(_rows(connection, query)) as rows:
            for row in rows:
                yield Entry(**row)

    def _get(self, connection: Connection, release_id: str) -> Request:
        query = select(schema.requests).where(_r.release_id == release_id)
        row = connection.execute(query).mappings().first()
        if row is None:
            raise KeyError(release_id)
        return Request(**row)

    def _usage(self, connection: Connection, account: str, portal: str, now: int) -> Usage:
        def sent_since(since: int, whose: ColumnElement[bool]) -> int:
            query = select(func.count()).where(_r.sent_at > since, whose)
            return int(connection.execute(query).scalar_one())

        return Usage(
            requester_hour=sent_since(now - HOUR, _r.requester_account == account),
            portal_day=sent_since(now - DAY, _r.portal == portal),
        )

    def _expire_due(self, now: int | None) -> None:
        if now is None:
            return
        with self._book.reading() as connection:
            due = connection.execute(_due(now).limit(1)).first()
        if due is not None:
            with self._book.writing() as turn:
                self._check_clock(turn, now)
                self._expire(turn, now)

    def _expire(self, turn: Turn, now: int) -> None:
        for release_id in turn.connection.execute(_due(now)).scalars().all():
            changes = {"state": "not_released", "reason": "expired", "finished_at": now}
            self._change(turn, release_id, "expired", now, _in("open", "approved"), changes)

    def _check_clock(self, turn: Turn, now: int) -> None:
        """Refuse a clock by which requests would live too long, or end too early for others."""
        time, newest = turn.session.time, schema.newest_entry(turn.connection)
        if self._same_clock and time is not None and abs(now - time) > CLOCKS_DIFFER:
            why = f"this machine's clock is {abs(now - time) // 1000} s off its database's"
        elif newest is not None and newest.at - now > CLOCKS_DIFFER:
            why = f"its newest entry is {(newest.at - now) // 1000} s ahead of this clock"
        else:
            return
        raise LedgerUnavailable(why, "Correct the clock of this machine, then try again.")

    def _change(
        self,
        turn: Turn,
        release_id: str,
        event: str,
        now: int,
        expected: ColumnElement[bool],
        changes: dict[str, Any],
    ) -> None:
        row = {name: value for name, value in changes.items() if name in _r}
        moved = turn.connection.execute(
            schema.requests.update().where(_r.release_id == release_id, expected).values(**row)
        )
        if moved.rowcount == 1:
            self._append(turn, release_id, now, event, changes)

    def _append(
        self, turn: Turn, release_id: str, at: int, event: str, changes: dict[str, Any]
    ) -> None:
        turn.appended.append(schema.append(turn.connection, release_id, at, event, changes))


def same_license(request: Request) -> ColumnElement[bool]:
    """Match the requests for the same portal, member and product."""
    return and_(
        _r.portal == request.portal,
        _r.username == request.username,
        _r.app_id == request.app_id,
    )


def _rows(connection: Connection, query: Select[Any]) -> Generator[dict[str, Any], None, None]:
    """Read row by row, without holding them all."""
    with connection.execute(query, execution_options={"yield_per": 1000}) as found:
        for row in found.mappings():
            yield dict(row)


def _in(*states: State) -> ColumnElement[bool]:
    return _r.state.in_(states)


def _due(now: int) -> Select[Any]:
    return select(_r.release_id).where(_in("open", "approved"), _r.expires_at <= now)
