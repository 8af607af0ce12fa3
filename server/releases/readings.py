"""What the portal says of a member and a product, read anew or remembered for a moment."""

from collections.abc import Callable

from server.releases.models import AppId, Evidence
from server.releases.outcomes import Portal


class Readings:
    """The readings of one portal, of which those of the last `fresh` milliseconds are remembered.

    A remembered one may be shown to a person; before sending, everything is read anew.
    """

    def __init__(self, portal: Portal, clock: Callable[[], int], fresh: int) -> None:
        self._portal = portal
        self._clock = clock
        self._fresh = fresh
        self._known: dict[tuple[str, AppId], Evidence] = {}

    async def anew(self, username: str, app_id: AppId) -> Evidence:
        """Read the portal, the member and the license. Raises PortalError."""
        facts = await self._portal.facts()
        member = await self._portal.member(username)
        state = await self._portal.license(username, app_id)
        evidence = Evidence(facts, member, app_id, state, self._clock())
        self._known = {key: known for key, known in self._known.items() if self._is_fresh(known)}
        self._known[username, app_id] = evidence
        return evidence

    async def recent(self, username: str, app_id: AppId) -> Evidence:
        """Return what is remembered, or read it. Raises PortalError."""
        known = self._known.get((username, app_id))
        return known if known and self._is_fresh(known) else await self.anew(username, app_id)

    def forget(self, username: str, app_id: AppId) -> None:
        """Drop what a release is about to change."""
        self._known.pop((username, app_id), None)

    def _is_fresh(self, evidence: Evidence) -> bool:
        return 0 <= self._clock() - evidence.read_at < self._fresh
