"""Every failure of a portal at every step of a release, and how the call has to end.

A row is a failure, a column the place where it strikes; a cell is either how the call ends, or the
sentence that says why there is no such cell. The ends follow from three rules. Before the request
to release has left, nothing is released. Once it may have left, only a clear no of the portal or a
reading settles it, and it is never sent again. A reading that fails proves nothing.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from server.releases.models import Reason, Status

Fault = Literal[
    "refused",  # nobody listens at the portal's address
    "no_name",  # its host name does not resolve
    "untrusted",  # its certificate is of an authority that nobody knows
    "slammed",  # the connection is taken and dropped before anything is read
    "dropped",  # the request is read, and the connection dropped instead of an answer
    "hang",  # the request is read and never answered
    "dripped",  # the answer comes in single bytes, for longer than the time-out
    "truncated",  # the connection is dropped in the middle of the answer
    "http_500",
    "http_502",
    "http_503",
    "sharing_error",  # a no on HTTP 200, as the sharing API words it
    "sharing_500",  # the same for an internal error
    "admin_error",  # a no on HTTP 200, as portaladmin words it
    "admin_500",
    "page",  # a page for people on HTTP 200
    "redirect_302",  # to another host; whoever follows it sends a GET
    "redirect_307",  # to another host; whoever follows it sends the same again
    "no_http",  # bytes that are not HTTP
    "garbage",  # HTTP 200 with bytes that are no text
    "bad_json",
    "no_object",  # JSON, but a list
    "other_object",  # a JSON object without what was asked for, or with it in another type
    "sharing_498",  # the token is not accepted, however often a new one is fetched
    "sharing_499",
    "admin_498",
    "admin_499",
    "expired",  # all tokens end right before this request; a new one is accepted
]

Column = Literal[
    "sign_in",
    "facts",
    "member",
    "listings",
    "license",
    "renewal",  # the sign-in between the durable intent and the request to release
    "release",  # the request to release; the portal does not act on it
    "acted",  # the request to release; the portal acts on it, and then fails
    "verify",  # the reading after the portal said success
    "settling",  # the reading after the portal acted and the answer was lost
    "unsettled",  # the reading after the request was lost before the portal acted
]
COLUMNS: Final[tuple[Column, ...]] = get_args(Column)
ANYWHERE: Final[tuple[Column, ...]] = COLUMNS[:5]
"""Where it strikes before a person was asked, or else when an earlier server's request goes on."""


@dataclass(frozen=True)
class Ends:
    """How a call ends: what is told, how many requests to release the portal counted, and whether
    the license is still checked out. `later`: what an unknown one is at the next look."""

    status: Status
    reason: Reason
    posts: int
    offline: bool
    verified: bool = False
    later: Status | None = None


Cell = Ends | str

UNREACHABLE = Ends("not_released", "portal_unreachable", 0, offline=True)
REFUSED = Ends("not_released", "portal_refused", 0, offline=True)
NO_ACCOUNT = Ends("not_released", "sign_in_failed", 0, offline=True)
NO_MEMBER = Ends("not_released", "no_such_member", 0, offline=True)
NO_PORTAL = Ends("not_released", "not_an_enterprise_portal", 0, offline=True)

SAID_NO = Ends("not_released", "portal_refused", 1, offline=True)
BAD_TOKEN = Ends("not_released", "sign_in_failed", 1, offline=True)
VERIFIED = Ends("released", "confirmed", 1, offline=False, verified=True)
UNVERIFIED = Ends("released", "confirmed", 1, offline=False)
UNKNOWN = Ends("unknown", "outcome_unknown", 1, offline=True, later="unknown")
UNKNOWN_UNREAD = Ends("unknown", "outcome_unknown", 0, offline=True, later="unknown")
UNKNOWN_ACTED = Ends("unknown", "outcome_unknown", 1, offline=False, later="released")

NEVER_THERE = "what never reached the portal was not acted on"
NO_MEANS_NO = "a portal that answers no has not acted"
NO_TOKEN = "a sign-in has no token that could have ended"

READINGS = (UNVERIFIED, UNKNOWN_ACTED, UNKNOWN)
"""After the request to release: a reading that fails proves nothing."""


def connecting(release: Ends) -> tuple[Cell, ...]:
    """What strikes before the portal has read a byte."""
    return (UNREACHABLE,) * 6 + (release, NEVER_THERE, *READINGS)


def unclear(**others: Ends) -> tuple[Cell, ...]:
    """What says neither yes nor no; `others` are the columns that differ."""
    usual = (UNREACHABLE,) * 6 + (UNKNOWN, VERIFIED, *READINGS)
    return tuple(others.get(column, cell) for column, cell in zip(COLUMNS, usual, strict=True))


def token() -> tuple[Cell, ...]:
    """A token that is not accepted."""
    return (NO_ACCOUNT,) * 6 + (BAD_TOKEN, NO_MEANS_NO, *READINGS)


# fmt: off
MATRIX: dict[Fault, tuple[Cell, ...]] = {
    "refused": connecting(release=UNREACHABLE),
    "no_name": connecting(release=UNREACHABLE),
    "untrusted": connecting(release=UNREACHABLE),
    "slammed": connecting(release=UNKNOWN_UNREAD),
    "dropped": unclear(),
    "hang": unclear(),
    "dripped": unclear(),
    "truncated": unclear(),
    "http_500": unclear(),
    "http_502": unclear(),
    "http_503": unclear(),
    "sharing_error": (
        NO_ACCOUNT, REFUSED, NO_MEMBER, REFUSED, REFUSED,
        NO_ACCOUNT, SAID_NO, NO_MEANS_NO, *READINGS,
    ),
    "sharing_500": unclear(),
    "admin_error": (
        NO_ACCOUNT, REFUSED, REFUSED, REFUSED, REFUSED,
        NO_ACCOUNT, SAID_NO, NO_MEANS_NO, *READINGS,
    ),
    "admin_500": unclear(),
    "page": unclear(),
    "redirect_302": unclear(),
    "redirect_307": unclear(),
    "no_http": unclear(),
    "garbage": unclear(),
    "bad_json": unclear(),
    "no_object": unclear(),
    "other_object": unclear(sign_in=NO_ACCOUNT, facts=NO_PORTAL, renewal=NO_ACCOUNT),
    "sharing_498": token(),
    "sharing_499": token(),
    "admin_498": token(),
    "admin_499": token(),
    "expired": (
        NO_TOKEN, VERIFIED, VERIFIED, VERIFIED, VERIFIED,
        NO_TOKEN, BAD_TOKEN, NO_MEANS_NO, VERIFIED, VERIFIED, UNKNOWN,
    ),
}
# fmt: on
