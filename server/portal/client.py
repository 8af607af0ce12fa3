"""The portal client: a few questions and one request to release.

Every request is a POST with its token in the body, so no token is ever in a URL; of names, only
those that a read asks about. The release has everything in its body. Reads are repeated by
`stamina`, with jitter and a bound; the release is sent once and never again.
"""

import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import stamina

from server.errors import (
    NoClearAnswer,
    NoSuchMember,
    PortalRefused,
    PortalUnreachable,
    SettingsError,
    TokenRejected,
)
from server.portal import profiles
from server.portal.connection import Connection
from server.portal.replies import Json, require_success
from server.portal.session import Account, Session
from server.releases.models import PRODUCTS, AppId, LicenseState, Member, PortalFacts
from server.settings import Settings
from server.text import quoted

PAGE = 100
MAX_PAGES = 5_000
ATTEMPTS = 3
RETRY_SECONDS = 20.0


class PortalClient:
    """One portal, one account. Use it as an asynchronous context manager."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = settings.portal_url
        self._connection = Connection(settings, transport=transport)
        self._session = Session(
            _credentials(settings),
            referer=self._connection.referer,
            post=partial(self._connection.exchange, "/sharing/rest/generateToken"),
            clock=clock,
        )
        self._once = anyio.Lock()
        self._facts: PortalFacts | None = None
        self._listings: dict[AppId, list[str]] | None = None

    async def __aenter__(self) -> "PortalClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def health(self) -> None:
        """Ask `portaladmin/healthCheck`, without a token.

        Raises:
            PortalError: nothing reached the portal, or its administration does not answer.
        """
        require_success(await self._connection.exchange("/portaladmin/healthCheck", {}))

    async def sign_in(self) -> None:
        """Sign in, if that has not happened yet."""
        await self._session.token()

    async def facts(self) -> PortalFacts:
        """Say which portal this is and what the account may do; asked once.

        Raises:
            NotAnEnterprisePortal: it runs on Kubernetes, which is not supported yet.
        """
        async with self._once:
            if self._facts is None:
                answer = await self._read("/sharing/rest/portals/self")
                if not isinstance(answer.get("user"), dict):
                    user = await self._read("/sharing/rest/community/self")
                    answer = {**answer, "user": user}
                self._facts = profiles.portal_facts(self.url, answer)
            return self._facts

    async def member(self, username: str) -> Member:
        """Return the member of exactly this username, spelt as the portal spells it.

        Raises:
            NoSuchMember: there is none; where only the case differs, the text gives the spelling.
        """
        try:
            answer = await self._read(f"/sharing/rest/community/users/{_segment(username)}")
        except PortalRefused as error:
            if error.code not in (400, 404):
                raise
            raise NoSuchMember(
                f"The portal has no member {quoted(username, 128)}.", code=error.code
            ) from error
        found = profiles.member(answer)
        if found.username.casefold() != username.casefold():
            raise NoClearAnswer("The portal described another member than the one asked for.")
        if found.username != username:
            raise NoSuchMember(
                f"The portal has no member {quoted(username, 128)}, but "
                f"{quoted(found.username, 128)}: usernames are case-sensitive."
            )
        return found

    async def search(self, text: str, limit: int) -> tuple[list[Member], int]:
        """Find members by words of their name, username or e-mail: at most `limit`, and the total.

        The portal's search is fuzzy and lags: confirm a result by its exact username.
        """
        form = {"q": profiles.search_words(text), "start": "1", "num": str(limit)}
        answer = await self._read("/sharing/rest/community/users", form)
        rows = profiles.rows(answer, "results")
        members = [profiles.member(row) for row in rows[:limit]]
        return members, profiles.total(answer, len(members))

    async def products(self) -> list[AppId]:
        """Return the products that this portal has a listing of."""
        return [app_id for app_id in PRODUCTS if await self._listing_ids(app_id)]

    async def license(self, username: str, app_id: AppId) -> LicenseState:
        """Read one member's license for a product."""
        state: LicenseState = "not_licensed"
        for item_id in await self._listing_ids(app_id):
            path = f"/sharing/rest/content/listings/{item_id}/userEntitlements/"
            try:
                answer = await self._read(path + _segment(username))
            except PortalRefused as error:
                if "not licensed" not in str(error).casefold():
                    raise
                continue
            found = profiles.license_state(answer.get("userEntitlements"))
            if found != "not_licensed":
                state = found
            if state == "offline":
                break
        return state

    async def entitlements(self, app_id: AppId) -> AsyncIterator[list[dict[str, Any]]]:
        """Read everybody's license for a product, a page of `userEntitlements` rows at a time."""
        for item_id in await self._listing_ids(app_id):
            path, start = f"/sharing/rest/content/listings/{item_id}/userEntitlements", 1
            for _ in range(MAX_PAGES):
                answer = await self._read(path, {"start": str(start), "num": str(PAGE)})
                yield profiles.rows(answer, "userEntitlements")
                following = answer.get("nextStart")
                if not isinstance(following, int) or following <= start:
                    break
                start = following

    async def release(self, username: str, app_id: AppId) -> None:
        """Send the one request to release, and never send it again.

        Raises:
            PortalUnreachable: it never left. PortalRefused: the portal did not do it.
            NoClearAnswer: it may have been carried out.
        """
        facts, token = await self._prepared()
        path = "/portaladmin/system/licenses" if facts.old_path else "/portaladmin/license"
        form = {"username": username, "appId": app_id, "token": token}
        try:
            answer = await self._connection.exchange(f"{path}/releaseLicense", form)
            require_success(answer, (token,))
        except TokenRejected:
            self._session.forget(token)
            raise

    async def _prepared(self) -> tuple[PortalFacts, str]:
        try:
            return await self.facts(), await self._session.token()
        except NoClearAnswer as error:
            # What got no clear answer is the sign-in: the request to release has not left.
            raise PortalUnreachable(str(error)) from error

    async def _listing_ids(self, app_id: AppId) -> list[str]:
        async with self._once:
            if self._listings is None:
                answer = await self._read("/sharing/rest/portals/self/purchases")
                self._listings = {
                    product.app_id: profiles.listing_ids(answer, product.title)
                    for product in PRODUCTS.values()
                }
            return self._listings[app_id]

    async def _read(self, path: str, form: dict[str, str] | None = None) -> Json:
        async for attempt in stamina.retry_context(
            on=_may_help_again, attempts=ATTEMPTS, timeout=RETRY_SECONDS, wait_max=2.0
        ):
            with attempt:
                return await self._signed_in(path, form or {})
        raise AssertionError("stamina returns or raises")

    async def _signed_in(self, path: str, form: dict[str, str]) -> Json:
        token = await self._session.token()
        try:
            return await self._connection.exchange(path, {**form, "token": token})
        except TokenRejected:
            self._session.forget(token)
        return await self._connection.exchange(path, {**form, "token": await self._session.token()})


def _segment(username: str) -> str:
    quoted_name = quote(username, safe="")
    # A dot or two alone would be taken for a step in the path.
    return quoted_name if quoted_name.strip(".") else quoted_name.replace(".", "%2E")


def _may_help_again(error: Exception) -> bool:
    return isinstance(error, PortalUnreachable) or (
        isinstance(error, NoClearAnswer) and error.again
    )


def _credentials(settings: Settings) -> Any:
    if settings.portal_token is not None:
        return settings.portal_token
    if settings.portal_username is None or settings.portal_password is None:
        raise SettingsError("set PORTAL_USERNAME and PORTAL_PASSWORD, or PORTAL_TOKEN")
    return Account(settings.portal_username, settings.portal_password)
