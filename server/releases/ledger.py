"""The ledger: every request, every change of it, and who may go on.

It is the only memory that several instances share, so whatever must happen at most once is a
conditional change here: whoever finds another state than it expected changes nothing. A ledger that
cannot be written raises `LedgerUnavailable` before anything is sent.
"""

import secrets
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, and_, or_, select
from sqlalchemy.exc import IntegrityError

from server.errors import LedgerUnavailable
from server.releases import schema
from server.releases.models import Reason, Refusal, Request, Route, State, Usage, Verdict
from server.releases.records import Records, same_license
from server.text import plain

_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_r = schema.requests.c


def new_release_id() -> str:
    """Return an id to read out on the phone: eight of thirty characters, no look-alikes."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return f"R-{letters[:4]}-{letters[4:]}"


class Ledger(Records):
    """Everything that may happen to a request. Every method blocks on the disk."""

    def __init__(self, url: str, *, new_id: Callable[[], str] = new_release_id) -> None:
        super().__init__(url)
        self._new_id = new_id

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

    def _refuse(self, connection: Connection, release_id: str, refusal: Refusal, now: int) -> None:
        changes = {
            "state": "not_released",
            "reason": refusal.reason,
            "detail": refusal.detail,
            "finished_at": now,
        }
        self._change(connection, release_id, "refused", now, {"open", "approved"}, changes)

    def _live(self, connection: Connection, request: Request) -> Request | None:
        mine = and_(_r.state == "open", _r.requester == request.requester)
        under_way = _r.state.in_(("approved", "sending", "unknown"))
        query = (
            select(schema.requests)
            .where(same_license(request), or_(mine, under_way))
            .order_by(_r.state == "open", _r.created_at)
            .limit(1)
        )
        row = connection.execute(query).mappings().first()
        return Request(**row) if row else None

    def _under_way(self, connection: Connection, request: Request) -> Refusal | None:
        query = select(_r.release_id).where(
            same_license(request),
            _r.release_id != request.release_id,
            _r.state.in_(("sending", "unknown")),
        )
        other = connection.execute(query.limit(1)).scalar()
        if other is None:
            return None
        return Refusal("under_way", f"Look at {other} with list_releases first.")
