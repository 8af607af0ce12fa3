"""The ledger: every request, every change of it, and who may go on.

It is the only memory that several instances share, so whatever must happen at most once is a
conditional change here: whoever finds another state than it expected changes nothing. A ledger that
cannot be written raises `LedgerUnavailable` before anything is sent.
"""

import secrets
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select
from sqlalchemy.exc import IntegrityError

from server.errors import LedgerUnavailable
from server.releases import schema
from server.releases.models import Reason, Refusal, Request, Route, State, Usage, Verdict
from server.releases.records import Records, same_license
from server.releases.transactions import Turn
from server.text import plain

_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_r = schema.requests.c
_OPEN: ColumnElement[bool] = _r.state == "open"
_UNSETTLED: ColumnElement[bool] = _r.state.in_(("sending", "unknown"))
_NO_EFFECT: ColumnElement[bool] = and_(_r.state == "not_released", _r.reason == "no_effect")
_BEFORE: dict[State, ColumnElement[bool]] = {
    "unknown": _r.state == "sending",
    "released": or_(_UNSETTLED, _NO_EFFECT),
}


def new_release_id() -> str:
    """Return an id to read out on the phone: eight of thirty characters, no look-alikes."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return f"R-{letters[:4]}-{letters[4:]}"


class Ledger(Records):
    """Everything that may happen to a request. Every method blocks on the database."""

    def __init__(
        self,
        url: str,
        *,
        same_clock: bool = True,
        new_id: Callable[[], str] = new_release_id,
    ) -> None:
        super().__init__(url, same_clock=same_clock)
        self._new_id = new_id

    def open(self, request: Request) -> Request:
        """Record a request, or return the live one that it repeats.

        A live request is an open one of the same requester, or one of anybody's for the same
        portal, member and product that is being sent or whose outcome is unknown.
        """
        with self._book.writing() as turn:
            self._check_clock(turn, request.created_at)
            self._expire(turn, request.created_at)
            mine = replace(request, requester_account=turn.session.account or request.requester)
            return self._live(turn.connection, mine) or self._insert(turn, mine)

    def live(self, request: Request) -> Request | None:
        """Return the live request that this one would repeat."""
        self._expire_due(request.created_at)
        with self._book.reading() as connection:
            account = self._book.account(connection) or request.requester
            return self._live(connection, replace(request, requester_account=account))

    def decide(
        self, release_id: str, verdict: Verdict, *, route: Route, approver: str, now: int
    ) -> Request:
        """Record a person's answer to an open request; the first one counts.

        Where a request needs four eyes, a yes of the account that asked does not count: it is
        noted, and the request stays open for somebody else.

        Raises:
            KeyError: there is no such request.
        """
        with self._book.writing() as turn:
            if verdict == "approved":
                self._check_clock(turn, now)
            self._expire(turn, now)
            request = self._get(turn.connection, release_id)
            account = turn.session.account or approver
            changes: dict[str, Any] = {
                "route": route,
                "approver": approver,
                "approver_account": account,
                "decided_at": now,
            }
            event: str = verdict
            if verdict != "approved":
                changes |= {"state": "not_released", "reason": verdict, "finished_at": now}
            elif request.four_eyes and account == request.requester_account:
                event, changes = "self_approval", {"reason": "self_approval", "remark": approver}
            else:
                changes |= {"state": "approved"}
            self._change(turn, release_id, event, now, _OPEN, changes)
            return self._get(turn.connection, release_id)

    def note(self, release_id: str, reason: Reason, *, now: int) -> Request:
        """Record why an open request was not answered; it stays open."""
        with self._book.writing() as turn:
            self._expire(turn, now)
            self._change(turn, release_id, reason, now, _OPEN, {"reason": reason})
            return self._get(turn.connection, release_id)

    def remark(self, release_id: str, event: str, remark: str, *, now: int) -> Request:
        """Append an entry to an open request that changes nothing of it."""
        with self._book.writing() as turn:
            self._expire(turn, now)
            request = self._get(turn.connection, release_id)
            if request.state == "open":
                self._append(turn, release_id, now, event, {"remark": plain(remark, 200)})
            return request

    def refuse(self, release_id: str, refusal: Refusal, *, now: int) -> Request:
        """Close a request that has not been sent."""
        with self._book.writing() as turn:
            self._refuse(turn, release_id, refusal, now)
            return self._get(turn.connection, release_id)

    def begin_sending(
        self, release_id: str, *, now: int, lease: int, may: Callable[[Usage], Refusal | None]
    ) -> Request | None:
        """Make the intent durable: move the request from `approved` to `sending`, or return None.

        In the same transaction `may` judges the limits by what all instances have sent, and no
        other request for the same portal, member and product may be under way, or have been
        released since this one was made. `lease` is for how many milliseconds nobody else settles
        it. After this returns a request, send once.
        """
        with self._book.writing() as turn:
            self._check_clock(turn, now)
            self._expire(turn, now)
            request = self._get(turn.connection, release_id)
            if request.state != "approved":
                return None
            usage = self._usage(turn.connection, request.requester_account, request.portal, now)
            refusal = self._under_way(turn.connection, request) or may(usage)
            if refusal is not None:
                self._refuse(turn, release_id, refusal, now)
                return None
            changes = {"state": "sending", "sent_at": now, "lease_until": now + lease}
            self._change(turn, release_id, "sending", now, _r.state == "approved", changes)
            return self._get(turn.connection, release_id)

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
        """Record the outcome of a request that was sent; a final one is not changed again.

        Only "no effect" gives way to a release: it was concluded from time that had passed, and a
        clock that was set forward can have made that wrong.
        """
        changes = {
            "state": state,
            "reason": reason,
            "verified": verified,
            "detail": plain(detail, 500),
            "finished_at": None if state == "unknown" else now,
        }
        with self._book.writing() as turn:
            self._change(turn, release_id, state, now, _BEFORE.get(state, _UNSETTLED), changes)
            return self._get(turn.connection, release_id)

    def _insert(self, turn: Turn, request: Request) -> Request:
        for _ in range(5):
            recorded = replace(request, release_id=self._new_id())
            try:
                with turn.connection.begin_nested():
                    turn.connection.execute(schema.requests.insert().values(**asdict(recorded)))
            except IntegrityError:
                continue
            event = "asked" if recorded.state == "open" else "refused"
            self._append(turn, recorded.release_id, recorded.created_at, event, asdict(recorded))
            return recorded
        raise LedgerUnavailable("it found no free release_id", "Try again.")

    def _refuse(self, turn: Turn, release_id: str, refusal: Refusal, now: int) -> None:
        changes = {
            "state": "not_released",
            "reason": refusal.reason,
            "detail": plain(refusal.detail, 500),
            "finished_at": now,
        }
        self._change(turn, release_id, "refused", now, or_(_OPEN, _r.state == "approved"), changes)

    def _live(self, connection: Connection, request: Request) -> Request | None:
        mine = and_(
            _OPEN,
            _r.requester == request.requester,
            _r.requester_account == request.requester_account,
        )
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
            or_(_UNSETTLED, _released_since(request)),
        )
        other = connection.execute(query.limit(1)).scalar()
        if other is None:
            return None
        return Refusal("under_way", f"Look at {other} with list_releases first.")


def _released_since(request: Request) -> ColumnElement[bool]:
    """Match what was released after a request was made: its person never heard of that.

    It goes by the chain's order and not by clocks.
    """
    entry = schema.entries.c
    asked = select(func.min(entry.seq)).where(entry.release_id == request.release_id)
    later = select(entry.seq).where(
        entry.release_id == _r.release_id,
        entry.event == "released",
        entry.seq > asked.scalar_subquery(),
    )
    return and_(_r.state == "released", later.exists())
