"""Signed in, once at a time.

However many calls wait, one sign-in is under way. A rejected password is never tried again in this
process: five wrong ones lock a built-in account (15 minutes by default), and retrying is how a
server locks its own administrator out. A token is renewed before the portal says that it ends.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
from pydantic import SecretStr

from server.errors import MissingPrivilege, PortalRefused, SignInFailed, TokenRejected
from server.portal.profiles import LAST_MOMENT
from server.portal.replies import Json

EXPIRATION_MINUTES = 60
MARGIN_SECONDS = 60.0
_TOKEN = re.compile(r"[!-~]{1,16384}")
# Nothing there, too many requests, a token that nobody sent: these do not speak of the password.
_NOT_THE_PASSWORD = {404, 405, 429, 498, 499}


@dataclass(frozen=True, slots=True)
class Account:
    """A built-in account of the portal."""

    username: str
    password: SecretStr


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    renew_at: float


class Session:
    """Holds the token. `post` sends a form to `generateToken`; `clock` is in seconds since 1970."""

    def __init__(
        self,
        credentials: Account | SecretStr,
        *,
        referer: str,
        post: Callable[[dict[str, str]], Awaitable[Json]],
        clock: Callable[[], float],
    ) -> None:
        self._credentials = credentials
        self._referer = referer
        self._post = post
        self._clock = clock
        self._one_at_a_time = anyio.Lock()
        self._token: _Token | None = None
        self._rejected: str | None = None

    async def token(self) -> str:
        """Return a token that the portal should accept.

        Raises:
            SignInFailed: the portal rejected the account; nothing is sent from then on.
            PortalError: the portal could not be asked.
        """
        async with self._one_at_a_time:
            if self._rejected is not None:
                raise SignInFailed(self._rejected)
            if isinstance(self._credentials, SecretStr):
                return self._credentials.get_secret_value()
            if self._token is None or self._clock() >= self._token.renew_at:
                self._token = await self._sign_in(self._credentials)
            return self._token.value

    def forget(self, token: str) -> None:
        """Give up a token that the portal rejected, unless it was renewed meanwhile."""
        if isinstance(self._credentials, SecretStr):
            self._rejected = (
                "The portal does not accept PORTAL_TOKEN: it has expired, or was made for another "
                "referer than PORTAL_URL. Set a new one and start again."
            )
        elif self._token is not None and self._token.value == token:
            self._token = None

    async def _sign_in(self, account: Account) -> _Token:
        form = {
            "username": account.username,
            "password": account.password.get_secret_value(),
            "client": "referer",
            "referer": self._referer,
            "expiration": str(EXPIRATION_MINUTES),
        }
        try:
            # Were it cancelled, a rejection would go unnoticed and the password be tried again.
            with anyio.CancelScope(shield=True):
                answer = await self._post(form)
        except (TokenRejected, MissingPrivilege, PortalRefused) as error:
            raise self._refused(error) from error
        return self._read(answer)

    def _refused(self, error: PortalRefused) -> SignInFailed:
        message = (
            f"{error} Check PORTAL_USERNAME and PORTAL_PASSWORD (a built-in account), then start "
            "again: a rejected password is not tried a second time."
        )
        if error.code not in _NOT_THE_PASSWORD:
            self._rejected = message
        return SignInFailed(message)

    def _read(self, answer: Json) -> _Token:
        value, expires = answer.get("token"), answer.get("expires")
        if not isinstance(value, str) or not _TOKEN.fullmatch(value):
            raise SignInFailed("The portal's sign-in answered without a token that can be sent.")
        now = self._clock()
        ends = now + 2 * MARGIN_SECONDS
        if isinstance(expires, int | float) and 0 < expires <= LAST_MOMENT:
            ends = expires / 1000
        lifetime = max(0.0, ends - now)
        return _Token(value, now + max(lifetime - MARGIN_SECONDS, lifetime / 2))
