"""What the portal answered: a JSON object, or one typed error.

A portal reports errors in two families on HTTP 200, and proxies, sign-in pages and load balancers
answer in its place. Whoever reads a reply here gets either the object that was asked for or an
error that says what the administrator can do, and whether the request may have been carried out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus

from server.errors import (
    MissingPrivilege,
    NoClearAnswer,
    PortalRefused,
    TokenRejected,
)
from server.text import plain, quoted

Json = Mapping[str, Any]

MAX_BYTES = 8 * 1024 * 1024
_TRY_AGAIN = {502, 503, 504}
_UNANSWERED = {408, 425}
_CODES = range(100_000)


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer, its body read as far as `MAX_BYTES`. `location` is a redirect's host."""

    status: int
    body: bytes
    location: str = ""


def read(reply: Reply, secrets: tuple[str, ...] = (), *, shown: bool = True) -> Json:
    """Return the object that the portal answered with; no error repeats one of `secrets`.

    `shown` is whether a glimpse of what cannot be read may be; at a sign-in it may hold a token.

    Raises:
        PortalRefused: it, or something in front of it, answered no.
        NoClearAnswer: the answer is none: a redirect, a page, a server error, garbage.
    """
    if 300 <= reply.status < 400:
        raise NoClearAnswer(
            "The portal's address answered with a redirect to "
            f"{_safe(reply.location, secrets, 80)}, which is not followed, so that no token "
            "reaches another host. Set PORTAL_URL to the address that the portal really has."
        )
    if len(reply.body) > MAX_BYTES:
        raise NoClearAnswer("The portal's answer is larger than 8 MiB and was not read.")
    if reply.status >= 500 or reply.status in _UNANSWERED:
        # Gateways answer in JSON of their own, which must not pass for the portal's refusal.
        raise NoClearAnswer(
            f"The portal answered with HTTP {reply.status}; it may be starting or down.",
            again=reply.status in _TRY_AGAIN,
        )
    answer = _parse(reply.body)
    if answer is not None:
        _raise_reported(answer, secrets)
    if reply.status >= 400:
        _raise_http(reply.status)
    if answer is None:
        glimpse = f" ({_glimpse(reply.body, secrets)})" if shown else ""
        raise NoClearAnswer(
            "Something answered in the portal's place with a page instead of JSON"
            f"{glimpse}. Check PORTAL_URL, and whether a sign-in page or a "
            "proxy stands in front of the portal."
        )
    if reply.status != 200:
        raise NoClearAnswer(f"HTTP {reply.status} does not say whether the portal has done it.")
    return answer


def require_success(answer: Json, secrets: tuple[str, ...] = ()) -> None:
    """Accept `{"status": "success"}`, the documented reply of `releaseLicense`, and no other.

    Raises:
        NoClearAnswer: the reply says something else, which may mean that it was carried out.
    """
    if answer.get("status") != "success":
        raise NoClearAnswer(
            f"The portal answered with the status {_safe(answer.get('status', ''), secrets, 60)} "
            "instead of success."
        )


def _parse(body: bytes) -> Json | None:
    try:
        answer = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _raise_reported(answer: Json, secrets: tuple[str, ...]) -> None:
    if "error" in answer:
        if answer.get("status") == "success":
            raise NoClearAnswer("The portal answered with an error and with success at once.")
        error = answer["error"]
        facts = error if isinstance(error, dict) else {"message": error}
        said = [*_each(facts.get("message")), *_each(facts.get("details"))]
        _raise_code(facts.get("code"), _words(said, secrets))
    if answer.get("status") in ("error", "failure"):
        _raise_code(answer.get("code"), _words(_each(answer.get("messages")), secrets))


def _raise_code(code: object, words: str) -> None:
    number = code if isinstance(code, int) and code in _CODES else None
    said = f"The portal refused: {words}" if words else "The portal refused without saying why."
    if number in (498, 499):
        raise TokenRejected(
            f"The portal does not accept the token ({number}): {words}", code=number
        )
    if number == 403:
        raise MissingPrivilege(
            f'{said} The account needs the privilege "Manage licenses".', code=number
        )
    if number is not None and number >= 500:
        raise NoClearAnswer(f"The portal reported an internal error ({number}): {words}")
    raise PortalRefused(said, code=number)


def _raise_http(status: int) -> None:
    hints = {
        401: "A proxy or Windows sign-in stands in front of the portal.",
        403: "A proxy or firewall refused the request.",
        404: "Nothing is at this address: check the context in PORTAL_URL.",
        429: "Too many requests: wait a minute.",
    }
    hint = hints.get(status, "Check what stands in front of the portal.")
    raise PortalRefused(f"HTTP {status}. {hint}", code=status)


def _words(said: list[str], secrets: tuple[str, ...]) -> str:
    return quoted("; ".join(_seen(text, secrets, 200) for text in said), 300) if said else ""


def _each(value: object) -> list[str]:
    values = value[:10] if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, str) and v]


def _glimpse(body: bytes, secrets: tuple[str, ...]) -> str:
    return _safe(body[:4000].decode("utf-8", "replace"), secrets, 60)


def _safe(text: object, secrets: tuple[str, ...], limit: int) -> str:
    return quoted(_seen(text, secrets, limit), limit)


def _seen(text: object, secrets: tuple[str, ...], limit: int) -> str:
    """Make `text` plain without a secret, be it split by characters that do not show."""
    seen = plain(without(str(text), secrets), 4000)
    return plain(without(seen, secrets), limit)


def without(text: str, secrets: tuple[str, ...]) -> str:
    """Return `text` without `secrets`, in whatever usual spelling."""
    for secret in secrets:
        for spelling in (secret, quote_plus(secret), quote(secret, safe=""), escape(secret)):
            text = text.replace(spelling, "…")
    return text
