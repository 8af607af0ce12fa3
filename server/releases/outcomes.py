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
    that another instance is sending is waited for.
    """

    expires: int = 3_600_000
    fresh: int = 60_000
    lease: int = 120_000
    settles: int = 600_000
    patience: int = 0


class Outcomes:
    """Sends approved requests and settles unknown ones."""

    def __init__(
        self, *, portal: Portal, ledger: Ledger, clock: Callable[[], int], timing: Timing
    ) -> None:
        self._portal = portal
        self._ledger = ledger
        self._clock = clock
        self._timing = timing

    async def send(self, release_id: str, *, may: Callable[[Usage], Refusal | None]) -> Request:
        """Make the intent durable, send once, and record the outcome whatever the caller does.

        `may` judges the limits in the intent's own transaction. Where another instance was first,
        or `may` refuses, nothing is sent and the request is returned as it stands.
        """
        with anyio.CancelScope(shield=True):
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

    async def settle(self, portal_url: str) -> None:
        """Settle unknown outcomes on this portal by reading."""
        for request in await in_thread(partial(self._ledger.unsettled, self._clock())):
            if request.portal == portal_url:
                await self._settle(request)

    async def _settle(self, request: Request) -> None:
        reading = await self._read(request)
        if self._proves_release(request, reading):
            await self._finish(request, "released", "confirmed", verified=True)
        elif self._proves_no_effect(request, reading):
            await self._finish(request, "not_released", "no_effect")
        elif request.state == "sending":
            detail = "The server that sent it stopped before it recorded an answer."
            await self._finish(request, "unknown", "outcome_unknown", detail=detail)

    async def _send(self, request: Request) -> Request:
        try:
            await self._portal.release(request.username, request.app_id)
        except NoClearAnswer as error:
            return await self._settle_by_reading(request, str(error))
        except PortalError as error:
            return await self._finish(request, "not_released", error.reason, detail=str(error))
        except Exception:  # Whatever it is, the request may have left.
            logger.exception("%s: sending failed unexpectedly", request.release_id)
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
        try:
            return await in_thread(partial(call, request.release_id, state, reason))
        except LedgerUnavailable as error:
            logger.error("%s: %s was not recorded: %s", request.release_id, state, error)
            kept = f"{detail} The ledger could not record this outcome; mend it.".strip()
            return replace(request, state=state, reason=reason, verified=verified, detail=kept)

    async def _read(self, request: Request) -> LicenseState | None:
        try:
            return await self._portal.license(request.username, request.app_id)
        except PortalError as error:
            logger.warning("%s: the reading failed: %s", request.release_id, error)
            return None

    def _proves_release(self, request: Request, reading: LicenseState | None) -> bool:
        return request.reading_settles and reading == "not_offline"

    def _proves_no_effect(self, request: Request, reading: LicenseState | None) -> bool:
        waited = self._clock() - (request.sent_at or 0) >= self._timing.settles
        return waited and reading == "offline"
