"""Who is signed in: tokens bound to a referer and capped in time, and the lock-out."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from server.sandbox.members import SandboxMember
from server.sandbox.replies import Json, bad_login, error, invalid_token, locked

WRONG_PASSWORDS = 5
LOCKED_SECONDS = 15 * 60
# Assumption: what a portal grants when no `expiration` is sent.
DEFAULT_MINUTES = 60


@dataclass(frozen=True)
class _Token:
    username: str
    referer: str | None
    expires: float


class Tokens:
    """Issues tokens and knows whose they are. `cap` is in minutes, -1 for none."""

    def __init__(
        self, members: dict[str, SandboxMember], clock: Callable[[], float], cap: int
    ) -> None:
        self._members, self._clock, self._cap = members, clock, cap
        self._issued: dict[str, _Token] = {}
        self._failures: dict[str, list[float]] = {}

    def sign_in(self, form: dict[str, str]) -> Json:
        """`generateToken`."""
        member = self._authenticate(form)
        # Assumption: on loopback a token for an address (`ip`, `requestip`) is bound to nothing.
        referer = form.get("referer") if form.get("client", "referer") == "referer" else None
        token, expires = self._issue(member, _minutes(form.get("expiration", "")), referer)
        return {"token": token, "expires": int(expires * 1000), "ssl": True}

    def sign_in_by_page(self, form: dict[str, str]) -> Json:
        """OAuth's token, bound to no referer, and its life in seconds."""
        member = self._authenticate(form)
        token, expires = self._issue(member, _minutes(form.get("expiration", "")), None)
        return {"token": token, "expires_in": int(expires - self._clock())}

    def locked_out(self, username: str) -> bool:
        # Assumption: five wrong passwords lock until 15 minutes after the last of them.
        failures = self._failures.get(username, [])
        if failures and self._clock() - failures[-1] >= LOCKED_SECONDS:
            self._failures.pop(username)
            return False
        return len(failures) >= WRONG_PASSWORDS

    def owner(self, token: str, referer: str | None) -> SandboxMember:
        issued = self._issued.get(token)
        if issued is None or issued.expires <= self._clock():
            raise invalid_token()
        # Assumption: the referer is compared whole, where a portal may compare only its host.
        if issued.referer is not None and issued.referer != referer:
            raise invalid_token()
        member = self._members.get(issued.username)
        # Assumption: disabling an account ends its tokens at once.
        if member is None or member.disabled:
            raise invalid_token()
        return member

    def expire_all(self) -> None:
        self._issued.clear()

    def _authenticate(self, form: dict[str, str]) -> SandboxMember:
        username = form.get("username", "")
        if self.locked_out(username):
            raise locked()
        member = self._members.get(username)
        if member is None or member.disabled or not _password_fits(member, form):
            self._failures.setdefault(username, []).append(self._clock())
            raise bad_login()
        self._failures.pop(username, None)
        return member

    def _issue(self, member: SandboxMember, minutes: int, referer: str | None) -> tuple[str, float]:
        granted = minutes if self._cap < 0 else min(minutes, self._cap)
        token, expires = secrets.token_urlsafe(48), self._clock() + granted * 60
        self._issued[token] = _Token(member.username, referer, expires)
        return token, expires


def _password_fits(member: SandboxMember, form: dict[str, str]) -> bool:
    return member.password is not None and secrets.compare_digest(
        member.password.encode(), form.get("password", "").encode()
    )


def _minutes(text: str) -> int:
    if not text:
        return DEFAULT_MINUTES
    if not text.isdigit() or int(text) == 0:
        # Assumption: the wording; only that nonsense is refused matters.
        raise error(400, "Unable to generate token.", "'expiration' must be a positive integer.")
    return int(text)
