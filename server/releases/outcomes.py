"""From a durable intent to an outcome: one POST, a reading, and what the two prove.

The intent is committed before a byte leaves; from then on a cancelled caller no longer interrupts.
A request is sent once. Where no clear answer came, only a reading settles it: "no longer checked
out" proves a release; "still checked out" proves nothing until the portal must have answered or
dropped the request. Nothing is ever sent to find out.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread
import stamina

from server.errors import LedgerUnavailable, NoClearAnswer, PortalError
from server.releases.ledger import Ledger
from server.releases.models import (
    AppId,
    LicenseState,
    Member,
    PortalFacts,
    Reason,
    Refusal,
    Request,
    State,
    Usage,
)
from server.releases.undisturbed import Undisturbed

T = TypeVar("T")
LOOK_SECONDS = 0.1
logger = logging.getLogger(__name__)


async def in_thread(call: Callable[[], T]) -> T:
    """Run a call that blocks on the ledger without blocking the event loop."""
    return await anyio.to_thread.run_sync(call)


class Portal(Protocol):
    """What a release needs of a portal. Every method may raise `PortalError`."""

    async def facts(self) -> PortalFacts:
        """Say which portal this is."""
        ...

    async def member(self, username: str) -> Member:
        """Return the member of exactly this username."""
        ...

    async def license(self, username: str, app_id: AppId) -> LicenseState:
        """Read the member's license for a product."""
        ...

    async def release(self, username: str, app_id: AppId) -> None:
        """Send the one request to release; returning means that the portal said success."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things count, in milliseconds.

    `expires`: an unanswered request stays open. `fresh`: a reading may be shown to a person; right
    before sending everything is read anew. `lease`: nobody else settles a request that is being
    sent. `settles`: after it, a license that is still checked out was not released (an assumption:
    by then the portal has answered or dropped the request). `patience`: the outcome of a request
    that another instance is sending is waited for. `recording`: a ledger that fails is tried again
    when an outcome is to be recorded. `gives_up`: a server stops looking by itself at an unknown
    outcome that no reading has settled.
    """

    expires: int = 3_600_000
    fresh: int = 60_000
    lease: int = 120_000
    settles: int = 600_000
    patience: int = 0
    recording: int = 0
    gives_up: int = 86_400_000


class Outcomes:
    """Sends approved requests and settles unknown ones."""

    def __init__(
        self, *, portal: Portal, ledger: Ledger, clock: Callable[[], int], timing: Timing
    ) -> None:
        self._portal = portal
        self._ledger = ledger
        self._clock = clock
        self._timing = timing
        self._undisturbed = Undisturbed()

    async def send(self, release_id: str, *, may: Callable[[Usage], Refusal | None]) -> Request:
        """Make the intent durable, send once, and record the outcome whatever the caller does.

        `may` judges the limits in the intent's own transaction. Where another instance was first,
        or `may` refuses, nothing is sent and the request is returned as it stands.
        """
        with anyio.CancelScope(shield=True), self._undisturbed.while_sending():
            sending = await in_thread(
                partial(
                    self._ledger.begin_sending,
                    release_id,
                    now=self._clock(),
                    lease=self._timing.lease,
                    may=may,
                )
            )
            if sending is not None:
                return await self._send(sending)
        return await in_thread(partial(self._ledger.get, release_id))

    async def arrived(self, request: Request) -> Request:
        """Wait for the outcome of a request that another instance is sending, for `patience`."""
        with anyio.move_on_after(self._timing.patience / 1000):
            while request.state == "sending":
                await anyio.sleep(LOOK_SECONDS)
                request = await in_thread(partial(self._ledger.get, request.release_id))
        return request

    async def settle(self, portal_url: str) -> bool:
        """Settle unknown outcomes on this portal by reading; tell whether a later one may help."""
        left = False
        for request in await in_thread(self._ledger.unsettled):
            if request.portal == portal_url:
                settled = await self._settle(request)
                left = left or self._may_settle_later(settled)
        return left

    async def _settle(self, request: Request) -> Request:
        if request.state == "sending" and self._clock() < (request.lease_until or 0):
            return request
        reading = await self._read(request)
        if self._proves_release(request, reading):
            return await self._finish(request, "released", "confirmed", verified=True)
        if self._proves_no_effect(request, reading):
            return await self._finish(request, "not_released", "no_effect")
        if request.state == "sending":
            detail = "The server that sent it stopped before it recorded an answer."
            return await self._finish(request, "unknown", "outcome_unknown", detail=detail)
        return request

    def _may_settle_later(self, request: Request) -> bool:
        age = self._clock() - (request.sent_at or 0)
        return request.state in ("sending", "unknown") and age < self._timing.gives_up

    async def _send(self, request: Request) -> Request:
        try:
            await self._portal.release(request.username, request.app_id)
        except NoClearAnswer as error:
            return await self._settle_by_reading(request, str(error))
        except PortalError as error:
            return await self._finish(request, "not_released", error.reason, detail=str(error))
        except Exception:  # Whatever it is, the request may have left.
            told = {"release_id": request.release_id}
            logger.exception("sending failed unexpectedly", extra=told)
            return await self._settle_by_reading(request, "The server failed unexpectedly.")
        reading = await self._read(request)
        verified = self._proves_release(request, reading)
        return await self._finish(request, "released", "confirmed", verified=verified)

    async def _settle_by_reading(self, request: Request, why: str) -> Request:
        reading = await self._read(request)
        if self._proves_release(request, reading):
            return await self._finish(request, "released", "confirmed", verified=True)
        return await self._finish(request, "unknown", "outcome_unknown", detail=why)

    async def _finish(
        self,
        request: Request,
        state: State,
        reason: Reason,
        *,
        verified: bool = False,
        detail: str = "",
    ) -> Request:
        call = partial(self._ledger.finish, verified=verified, detail=detail, now=self._clock())
        seconds = self._timing.recording / 1000
        patiently = stamina.AsyncRetryingCaller(
            attempts=None if seconds else 1, timeout=seconds or None
        )
        try:
            return await patiently(
                LedgerUnavailable, in_thread, partial(call, request.release_id, state, reason)
            )
        except (LedgerUnavailable, KeyError) as error:  # A KeyError: it is not in there any more.
            told = {"release_id": request.release_id, "state": state, "why": str(error)}
            logger.error("the outcome was not recorded", extra=told)
        kept = f"{detail} The ledger could not record this outcome; mend it.".strip()
        return replace(request, state=state, reason=reason, verified=verified, detail=kept)

    async def _read(self, request: Request) -> LicenseState | None:
        try:
            return await self._portal.license(request.username, request.app_id)
        except PortalError as error:
            told = {"release_id": request.release_id, "why": str(error)}
            logger.warning("the reading after it failed", extra=told)
            return None

    def _proves_release(self, request: Request, reading: LicenseState | None) -> bool:
        return request.reading_settles and reading == "not_offline"

    def _proves_no_effect(self, request: Request, reading: LicenseState | None) -> bool:
        waited = self._clock() - (request.sent_at or 0) >= self._timing.settles
        return waited and reading == "offline"
