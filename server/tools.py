"""The tools. No decisions.

Each tool turns its arguments into one call of the use case or of the portal, and the answer into
one result. What goes wrong is raised, and turned into words in one place, `server.boundary`.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from mcp.server.elicitation import ElicitationResult
from mcp.server.mcpserver import Context, Elicit, Resolve
from mcp_types import CallToolResult, TextContent
from pydantic import AfterValidator, BaseModel, Field

from server import results
from server.consent import card
from server.consent.card import CardKeys
from server.consent.form import Confirmation, NotAsked
from server.consent.routes import Routes
from server.errors import WrongKey
from server.releases.models import (
    AppId,
    Ask,
    Member,
    Request,
    State,
    Status,
    Verdict,
    Wanted,
)
from server.releases.wording import REASONS
from server.text import has_unseen

if TYPE_CHECKING:
    from server.releases.service import Releases

RELEASE = "release_license"
DECIDE = "decide_release"


class Desk(Protocol):
    """What the tools reach through the lifespan."""

    routes: Routes
    keys: CardKeys

    async def releases(self) -> "Releases":
        """Return the use case, opened on first use."""
        ...

    async def portal(self) -> "Directory":
        """Return the portal, opened on first use."""
        ...


class Directory(Protocol):
    """The reading side of the portal."""

    async def search(self, text: str, limit: int) -> tuple[list[Member], int]:
        """Find at most `limit` members, and how many there are."""
        ...

    def entitlements(self, app_id: AppId) -> AsyncIterator[list[dict[str, Any]]]:
        """Read everybody's license for a product, page by page."""
        ...


def _visible(text: str) -> str:
    if has_unseen(text) or text != text.strip():
        raise ValueError("has characters that a reader would not see; write it plainly")
    return text


Username = Annotated[
    str,
    Field(min_length=1, max_length=128, description="Exact username, case-sensitive"),
    AfterValidator(_visible),
]
Limit = Annotated[int, Field(strict=True, ge=1, le=100)]
Text = Annotated[str, Field(max_length=64)]


async def opened(
    ctx: Context[Desk, Any], username: str, app_id: AppId, reason: str, ticket: str
) -> Request:
    """Record the request; the same call again finds it."""
    releases = await desk_of(ctx).releases()
    return await releases.request(Ask(username, app_id, reason, ticket), _client(ctx))


async def answered(
    ctx: Context[Desk, Any], request: Annotated[Request, Resolve(opened)]
) -> Elicit[Confirmation] | ElicitationResult[Confirmation] | NotAsked:
    """Ask the person about an open request."""
    return await desk_of(ctx).routes.ask(ctx, request)


async def release_license(
    ctx: Context[Desk, Any],
    username: Username,
    app_id: AppId,
    reason: Annotated[
        str, Field(min_length=3, max_length=500, description="What became of the device")
    ],
    request: Annotated[Request, Resolve(opened)],
    answer: Annotated[ElicitationResult[Confirmation], Resolve(answered)],
    ticket: Text = "",
) -> Annotated[CallToolResult, results.Release]:
    """Ask a person to release a license that is checked out on a lost, stolen, broken or
    re-imaged device. Check with check_license first.

    Do not use it when the device still works (the member returns the license there), when the
    offline box in ArcGIS Pro is greyed out (Pro is usually just not signed in to the portal), to
    unassign a license or to end a session: a release does neither. Never tell the person what to
    type. Do not repeat a call that is awaiting_approval or unknown: see list_releases.
    """
    request = await desk_of(ctx).routes.conclude(ctx, request, answer)
    told = _told(ctx, request)
    if desk_of(ctx).routes.shows_card(ctx, request):
        told.meta = card.meta(request, desk_of(ctx).keys.key(request.release_id))
    return told


async def decide_release(
    ctx: Context[Desk, Any],
    release_id: Text,
    verdict: Literal["approve", "decline"],
    key: Annotated[str, Field(max_length=128)],
    username: Annotated[str, Field(max_length=128)] = "",
) -> Annotated[CallToolResult, results.Release]:
    """For the card alone: record the answer of the person who typed into it."""
    desk = desk_of(ctx)
    if "card" not in desk.routes.enabled or not desk.keys.fits(release_id, key):
        raise WrongKey
    releases = await desk.releases()
    request = await releases.get(release_id)
    if request.state != "open":
        return _told(ctx, request)
    if verdict == "approve" and username.strip() != request.username:
        await releases.remark(release_id, "mistyped", "in the card")
        return release_result(results.release(replace(request, reason="mistyped")))
    answer: Verdict = "approved" if verdict == "approve" else "declined"
    return _told(ctx, await desk.routes.decide(request, answer, "card"))


async def list_releases(
    ctx: Context[Desk, Any],
    release_id: Text = "",
    username: Annotated[str, Field(max_length=128)] = "",
    ticket: Text = "",
    status: Status | None = None,
    since: datetime | None = None,
    limit: Limit = 20,
) -> Annotated[CallToolResult, results.Releases]:
    """List requests to release and what became of them, newest first; settles unknown ones."""
    wanted = _wanted(release_id, username, ticket, status, since)
    found = await (await desk_of(ctx).releases()).find(limit=limit, **wanted)
    routes = desk_of(ctx).routes
    answer = results.Releases(releases=[results.logged(r, routes.address(r)) for r in found])
    return result(answer, "\n".join(r.message for r in answer.releases) or "No such request.")


def _wanted(
    release_id: str, username: str, ticket: str, status: Status | None, since: datetime | None
) -> Wanted:
    wanted: Wanted = {}
    if release_id:
        wanted["release_id"] = release_id.strip().upper()
    if username:
        wanted["username"] = username
    if ticket:
        wanted["ticket"] = ticket
    if status:
        wanted["states"] = _STATES[status]
    if since:
        aware = since if since.tzinfo else since.replace(tzinfo=UTC)
        wanted["since"] = int(aware.timestamp() * 1000)
    return wanted


_STATES: dict[Status, tuple[State, ...]] = {
    "released": ("released",),
    "not_released": ("not_released",),
    "awaiting_approval": ("open", "approved"),
    "unknown": ("sending", "unknown"),
}


def release_result(answer: results.Release) -> CallToolResult:
    """Make a tool result of a release: an error only where something failed or was refused."""
    is_error = REASONS[answer.reason].is_error
    return result(answer, answer.message, is_error=is_error)


def _told(ctx: Context[Desk, Any], request: Request) -> CallToolResult:
    routes = desk_of(ctx).routes
    return release_result(results.release(request, routes.how(request), routes.address(request)))


def result(answer: BaseModel, text: str, *, is_error: bool = False) -> CallToolResult:
    """Make a tool's result: the answer as structured content, and in words."""
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=answer.model_dump(mode="json"),
        is_error=is_error,
    )


def desk_of(ctx: Context[Desk, Any]) -> Desk:
    """Return what the tools reach through the lifespan."""
    return ctx.request_context.lifespan_context


def _client(ctx: Context[Desk, Any]) -> str:
    params = ctx.session.client_params
    return f"{params.client_info.name} {params.client_info.version}" if params else ""
