"""What a caller is told: one table of reasons, and one message for each outcome.

The last sentence of every message says whether anything was released, so that a model which keeps
only that much cannot report what is not so.
"""

from dataclasses import dataclass

from server.releases.models import Reason, Request, State, Status
from server.text import quoted


@dataclass(frozen=True, slots=True)
class Wording:
    """A reason in words. `is_error` marks a refusal or a failure to act, not a decision."""

    meaning: str
    is_error: bool = False


REASONS: dict[Reason, Wording] = {
    "confirmed": Wording("A person said yes and the portal carried it out."),
    "declined": Wording("The person said no; do not ask again unless the person wants it."),
    "cancelled": Wording("The person closed the question without an answer."),
    "expired": Wording("Nobody said yes in time; a new request needs a new answer."),
    "mistyped": Wording(
        "The username that was typed is not the member's; ask anew if it is meant."
    ),
    "no_route": Wording(
        "No way to a person is open. The routes are a form or a card in the chat, as far as the "
        "client shows them, and the approval page; CONSENT_ROUTES says which may be used.",
        is_error=True,
    ),
    "waiting": Wording("A person has been asked and has not answered yet."),
    "no_form": Wording("The client cannot show a form; the request waits for another route."),
    "no_answer": Wording("Nobody answered the form in time; the request is still open."),
    "form_failed": Wording("The client could not show the form; the request is still open."),
    "not_checked_out": Wording("Nothing is checked out, so there is nothing to release."),
    "not_licensed": Wording("The member has no license for this product.", is_error=True),
    "no_such_member": Wording(
        "No member has exactly this username; find it with find_members.", is_error=True
    ),
    "policy": Wording("The policy of this server forbids it.", is_error=True),
    "limit": Wording("A limit of the policy is reached.", is_error=True),
    "read_only": Wording("The policy allows no releases at all.", is_error=True),
    "self_approval": Wording("The requester may not approve the own request.", is_error=True),
    "unsupported_version": Wording(
        "The portal's version is unknown or too old for this product.", is_error=True
    ),
    "not_an_enterprise_portal": Wording(
        "PORTAL_URL is not an ArcGIS Enterprise portal that has this operation.", is_error=True
    ),
    "portal_refused": Wording("The portal answered that it did not do it.", is_error=True),
    "portal_unreachable": Wording("The portal could not be reached.", is_error=True),
    "sign_in_failed": Wording("The portal rejected this server's account.", is_error=True),
    "missing_privilege": Wording(
        'This server\'s account lacks the privilege "Manage licenses".', is_error=True
    ),
    "ledger_unavailable": Wording(
        "The ledger cannot be used, and without it this call sends nothing. An earlier request "
        "stands as it stood.",
        is_error=True,
    ),
    "invalid_arguments": Wording(
        "The call cannot be read as a request; correct it and call again.", is_error=True
    ),
    "under_way": Wording(
        "Another request for the same license is being sent, was released meanwhile, or has an "
        "unknown outcome.",
        is_error=True,
    ),
    "no_effect": Wording(
        "The request got no clear answer, and long after it the license is still checked out.",
        is_error=True,
    ),
    "outcome_unknown": Wording(
        "The request was sent and got no clear answer. Do not ask for it again: it is settled by "
        "reading. Look with list_releases in some minutes.",
        is_error=True,
    ),
}

_UNDER_WAY: dict[State, str] = {
    "approved": "A person said yes, and it is about to be sent.",
    "sending": "A person said yes, and it is being sent: look with list_releases in a moment.",
}

LAST_SENTENCE: dict[Status, str] = {
    "released": "The license was released.",
    "not_released": "Nothing was released.",
    "awaiting_approval": "Nothing has been released so far.",
    "unknown": "It is not known whether the license was released.",
}


def whom(request: Request) -> str:
    """Name the member as a person would: full name and username, both as data."""
    name = f"{quoted(request.full_name, 80)} " if request.full_name else ""
    return f"{name}({quoted(request.username, 128)})"


def message(request: Request, how: str = "") -> str:
    """Say what became of a request, what to do next, and last whether anything was released.

    `how` is what a person can do about it, which depends on the routes.
    """
    subject = f"{request.release_id}: {request.product.title} of {whom(request)}."
    parts = [subject, _meaning(request), request.detail, _aftermath(request), how]
    return " ".join([*filter(None, parts), LAST_SENTENCE[request.status]])


def _meaning(request: Request) -> str:
    return _UNDER_WAY.get(request.state) or REASONS[request.reason].meaning


def _aftermath(request: Request) -> str:
    match request.status:
        case "released" if request.verified:
            return (
                "A new reading shows it is no longer checked out. It can be checked out again; the "
                "old device may keep working until its license file ends."
            )
        case "released" if not request.reading_settles:
            return "The portal's readings for this product cannot confirm it."
        case "released":
            return (
                "A new reading does not show it yet: look with check_license in some minutes, and "
                "do not ask for it again before that."
            )
        case "unknown" if request.reason == "ledger_unavailable":
            return (
                "A person's yes may have been recorded, and then a server that runs may send it: "
                "look with list_releases, and do not ask again before that."
            )
        case "unknown" if request.reading_settles:
            return (
                "If it stays unknown for hours, an administrator looks at the member's license on "
                "the portal's licenses page."
            )
        case "unknown":
            return (
                "The portal's readings for this product cannot settle it: an administrator looks "
                "at the member's license on the portal's licenses page, or asks the member."
            )
        case _:
            return ""
