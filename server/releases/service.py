"""The way of a release: request, policy, evidence, consent, and then its outcome.

What may happen at most once is decided by the ledger; what is true is read from the portal; what is
allowed is asked of the policy twice. It knows neither MCP nor HTTP: portal, ledger and clock are
given to it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Unpack

from server.errors import LedgerUnavailable, PortalError
from server.releases import drafts
from server.releases.chain import Entry
from server.releases.ledger import Ledger
from server.releases.models import (
    AppId,
    Ask,
    Caller,
    Evidence,
    Reason,
    Refusal,
    Request,
    Route,
    Usage,
    Verdict,
    Wanted,
)
from server.releases.outcomes import Outcomes, Portal, Timing, in_thread
from server.releases.policy import Policy, refusal, self_approval
from server.releases.readings import Readings
from server.releases.records import DAY, HOUR

logger = logging.getLogger(__name__)


class Releases:
    """Everything that can be done with requests for releases, for one portal and one caller."""

    def __init__(
        self,
        *,
        portal: Portal,
        portal_url: str,
        ledger: Ledger,
        policy: Policy,
        caller: Caller,
        clock: Callable[[], int],
        timing: Timing,
    ) -> None:
        self._portal_url = portal_url
        self._ledger = ledger
        self._policy = policy
        self._caller = caller
        self._clock = clock
        self._timing = timing
        self._outcomes = Outcomes(portal=portal, ledger=ledger, clock=clock, timing=timing)
        self._readings = Readings(portal, clock, timing.fresh)
        self._answering: set[str] = set()

    async def look(self, username: str, app_id: AppId) -> Evidence:
        """Read what the portal says of a member and a product. Raises PortalError."""
        return await self._readings.anew(username, app_id)

    async def request(self, ask: Ask, client: str = "") -> Request:
        """Record what is asked for, or return the live request that it repeats.

        What the policy or the facts forbid is recorded as refused; otherwise the request is open
        for a person's answer.

        Raises:
            LedgerUnavailable: it could not be recorded.
        """
        draft = self._draft(ask, client)
        await self.settle()
        live = await in_thread(partial(self._ledger.live, draft))
        if live is None:
            live = await in_thread(partial(self._ledger.open, await self._examined(draft)))
        under_way = live.state in ("approved", "sending")
        return await self.carry_out(live.release_id) if under_way else live

    async def decide(
        self, release_id: str, verdict: Verdict, *, route: Route, approver: str
    ) -> Request:
        """Record a person's answer; the first one to an open request counts. Releases nothing."""
        call = partial(self._ledger.decide, route=route, approver=approver, now=self._clock())
        return await in_thread(partial(call, release_id, verdict))

    async def answer(
        self, release_id: str, verdict: Verdict, *, route: Route, approver: str
    ) -> Request:
        """Record a person's answer and carry out a yes, before anything else here may do it."""
        self._answering.add(release_id)
        try:
            decided = await self.decide(release_id, verdict, route=route, approver=approver)
            return await self._carried_out(decided)
        finally:
            self._answering.discard(release_id)

    async def note(self, release_id: str, reason: Reason) -> Request:
        """Record why an open request was not answered; it stays open."""
        return await in_thread(partial(self._ledger.note, release_id, reason, now=self._clock()))

    async def refuse(self, release_id: str, refused: Refusal) -> Request:
        """Close a request that has not been sent."""
        return await in_thread(partial(self._ledger.refuse, release_id, refused, now=self._clock()))

    async def remark(self, release_id: str, event: str, remark: str) -> Request:
        """Record something that happened to an open request and changes nothing of it."""
        return await in_thread(
            partial(self._ledger.remark, release_id, event, remark, now=self._clock())
        )

    async def get(self, release_id: str) -> Request:
        """Return one request as it stands; one that is due has expired. Raises KeyError."""
        return await in_thread(partial(self._ledger.get, release_id, now=self._clock()))

    async def entries(self, release_id: str) -> Sequence[Entry]:
        """Return everything that happened to a request."""
        return await in_thread(partial(self._ledger.entries, release_id))

    async def open_requests(self) -> Sequence[Request]:
        """Return the requests on this portal that a person may still answer, oldest first."""
        waiting = await in_thread(partial(self._ledger.waiting, self._portal_url, self._clock()))
        return [request for request in waiting if request.state == "open"]

    async def history(self, username: str, days: int) -> Sequence[Request]:
        """Return a member's requests of the last days on this portal, newest first."""
        found = await in_thread(
            partial(self._ledger.list, now=self._clock(), limit=50, username=username)
        )
        since = self._clock() - days * DAY
        return [r for r in found if r.portal == self._portal_url and r.created_at >= since]

    async def turned_away(self, request: Request) -> bool:
        """Tell whether a form for the same license was declined or closed within the last hour.

        Some clients do that by themselves, so the next question takes another route.
        """
        return any(
            earlier.route == "form"
            and earlier.reason in ("declined", "cancelled")
            and (earlier.app_id, earlier.requester) == (request.app_id, request.requester)
            and 0 <= request.created_at - earlier.created_at <= HOUR
            for earlier in await self.history(request.username, 1)
        )

    async def carry_out_approved(self) -> bool:
        """Carry out what was approved elsewhere; tell whether anything is still waiting.

        Where the portal cannot be read from here, or this server's own policy forbids what another
        one asked for, the request is left to another instance or to a later look.
        """
        waiting = await in_thread(partial(self._ledger.waiting, self._portal_url, self._clock()))
        for request in waiting:
            if request.state == "approved" and request.release_id not in self._answering:
                try:
                    await self._carry_out(request)
                except PortalError as error:
                    _tell("cannot be sent from here", request, str(error))
        return bool(waiting)

    async def carry_out(self, release_id: str) -> Request:
        """Send an approved request, once, after everything about it was looked at again.

        Where another instance is sending it just now, its outcome is waited for.
        """
        return await self._carried_out(await in_thread(partial(self._ledger.get, release_id)))

    async def _carried_out(self, request: Request) -> Request:
        try:
            try:
                request = await self._carry_out(request)
            except PortalError as error:
                return await self.refuse(request.release_id, Refusal(error.reason, str(error)))
            return await self._outcomes.arrived(request)
        except LedgerUnavailable as error:
            # It was approved, so another server may be sending it, or may have sent it.
            return replace(request, state="unknown", reason=error.reason, detail=str(error))

    async def _carry_out(self, request: Request) -> Request:
        if request.state != "approved" or request.portal != self._portal_url:
            # A ledger may serve several portals; each request is sent to its own alone.
            return request
        evidence = await self._readings.anew(request.username, request.app_id)
        refused = self._may(request, Usage(), evidence)
        if refused is not None:
            return await self._refuse_or_leave(request, refused)
        self._readings.forget(request.username, request.app_id)
        return await self._outcomes.send(request.release_id, may=partial(self._may, request))

    async def _refuse_or_leave(self, request: Request, refused: Refusal) -> Request:
        foreign = request.requester != self._caller.requester
        if foreign and refused.reason in ("policy", "read_only"):
            _tell("is left to another server", request, refused.detail)
            return request
        return await self.refuse(request.release_id, refused)

    async def find(self, *, limit: int, **wanted: Unpack[Wanted]) -> Sequence[Request]:
        """Settle what can be settled, then return the newest requests first."""
        await self.settle()
        return await in_thread(partial(self._ledger.list, now=self._clock(), limit=limit, **wanted))

    async def settle(self) -> bool:
        """Settle unknown outcomes on this portal by reading, never by sending.

        Tells whether a later reading may settle what is left.
        """
        return await self._outcomes.settle(self._portal_url)

    def _may(
        self, request: Request, usage: Usage, evidence: Evidence | None = None
    ) -> Refusal | None:
        return self_approval(self._policy, request) or refusal(
            self._policy, request.ask, usage, evidence
        )

    async def _examined(self, asked: Request) -> Request:
        usage = await in_thread(
            partial(self._ledger.usage, asked.requester, asked.portal, asked.created_at)
        )
        forbidden = refusal(self._policy, asked.ask, usage, None)
        if forbidden is not None:
            return drafts.refused(asked, forbidden)
        try:
            evidence = await self._readings.recent(asked.username, asked.app_id)
        except PortalError as error:
            return drafts.refused(asked, Refusal(error.reason, str(error)))
        since = asked.created_at - self._policy.limits.notice_days * DAY
        before = await in_thread(partial(self._ledger.last_release, asked, since))
        shown = drafts.with_evidence(asked, evidence, before)
        forbidden = refusal(self._policy, asked.ask, usage, evidence)
        return shown if forbidden is None else drafts.refused(shown, forbidden)

    def _draft(self, ask: Ask, client: str) -> Request:
        asked = drafts.draft(
            ask,
            portal_url=self._portal_url,
            requester=self._caller.requester,
            client=client,
            now=self._clock(),
            expires=self._timing.expires,
        )
        return replace(asked, four_eyes=self._policy.four_eyes)


def _tell(what: str, request: Request, why: str) -> None:
    logger.warning(what, extra={"release_id": request.release_id, "why": why})
