"""What the tools answer, as the output schemas show it. Times are ISO 8601 in UTC."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, WithJsonSchema

from server.releases.models import (
    AppId,
    LicenseState,
    Member,
    Reason,
    Request,
    Route,
    Status,
)
from server.releases.wording import LAST_SENTENCE, REASONS, message
from server.text import plain


class Consent(BaseModel):
    """How a person answered, and under which account."""

    route: Route
    approver: str


# A plain string in the schemas: the table of reasons in the README costs a model no tokens.
ShownReason = Annotated[Reason, WithJsonSchema({"type": "string"})]


class Release(BaseModel):
    """What became of a request to release a license; every call ends in this shape."""

    release_id: str | None
    status: Status
    reason: ShownReason
    username: str
    full_name: str
    app_id: str
    message: str
    consent: Consent | None
    verified: bool
    expires_at: str | None
    approval_url: str | None


class LoggedRelease(Release):
    """A request in the ledger."""

    asked_at: str
    ticket: str


class Releases(BaseModel):
    """The newest requests first."""

    releases: list[LoggedRelease]


class FoundMember(BaseModel):
    """A member as the portal's search shows it."""

    username: str
    full_name: str
    email: str
    disabled: bool


class FoundMembers(BaseModel):
    """Members that a search found, and how many there are in all."""

    members: list[FoundMember]
    total: int


class License(BaseModel):
    """One member's license for one product."""

    username: str
    full_name: str
    app_id: AppId
    license: LicenseState
    last_login: str | None
    message: str


class OfflineLicense(BaseModel):
    """A license that is checked out."""

    username: str
    last_login: str | None


class OfflineLicenses(BaseModel):
    """Everybody whose license for a product is checked out."""

    offline: list[OfflineLicense]
    total_offline: int
    total_licensed: int


def iso(milliseconds: int | None) -> str | None:
    """Write a time in ISO 8601, to the second; None stays None."""
    if not isinstance(milliseconds, int) or milliseconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds // 1000, UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return None


def release(request: Request, how: str = "", approval_url: str | None = None) -> Release:
    """Tell a caller what became of a request, and `how` a person can answer it."""
    is_open = request.status == "awaiting_approval"
    return Release(
        release_id=request.release_id,
        status=request.status,
        reason=request.reason,
        username=plain(request.username, 128),
        full_name=request.full_name,
        app_id=request.app_id,
        message=message(request, how),
        consent=_consent(request),
        verified=request.verified,
        expires_at=iso(request.expires_at) if is_open else None,
        approval_url=approval_url if is_open else None,
    )


def _consent(request: Request) -> Consent | None:
    if request.route is None or request.answered_by is None:
        return None
    return Consent(route=request.route, approver=request.answered_by)


def failure(reason: Reason, status: Status, detail: str, username: str, app_id: str) -> Release:
    """Tell a caller about a call that did not become a request."""
    parts = [REASONS[reason].meaning, detail, LAST_SENTENCE[status]]
    return Release(
        release_id=None,
        status=status,
        reason=reason,
        username=plain(username, 128),
        full_name="",
        app_id=plain(app_id, 40),
        message=" ".join(filter(None, parts)),
        consent=None,
        verified=False,
        expires_at=None,
        approval_url=None,
    )


def logged(request: Request, approval_url: str | None) -> LoggedRelease:
    """Tell of a request in the ledger."""
    return LoggedRelease(
        **release(request, approval_url=approval_url).model_dump(),
        asked_at=iso(request.created_at) or "",
        ticket=request.ticket,
    )


def brief(request: Request) -> dict[str, str | None]:
    """Tell of a request in the ledger in few words."""
    return {
        "release_id": request.release_id,
        "asked_at": iso(request.created_at),
        "status": request.status,
        "reason": request.reason,
        "username": plain(request.username, 128),
        "app_id": request.app_id,
        "ticket": request.ticket,
    }


def found(member: Member) -> FoundMember:
    """Tell of a member that a search found."""
    return FoundMember(
        username=plain(member.username, 128),
        full_name=member.full_name,
        email=member.email,
        disabled=member.disabled,
    )
