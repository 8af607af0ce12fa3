"""The form route: the client shows a form, and a person types the member's username.

The model writes neither the question nor the answer: the question is made from the ledger's row and
names its `release_id`, so an answer fits this request alone, and it renders the same whenever it is
asked again. What comes back counts only if it is exactly the username. It proves that the client
answered, not that a person did; the ledger keeps the route.
"""

from typing import Annotated, Any, Literal

import anyio
from mcp.server.elicitation import (
    AcceptedElicitation,
    CancelledElicitation,
    DeclinedElicitation,
    ElicitationResult,
)
from mcp.server.mcpserver import Context, Elicit
from mcp.shared.exceptions import MCPError
from mcp_types.version import is_version_at_least
from pydantic import BaseModel, ConfigDict, WithJsonSchema

from server.consent import shown
from server.releases.models import Request, Verdict

MODERN = "2026-07-28"

Unanswered = Literal["no_form", "no_answer", "form_failed"]


class Confirmation(BaseModel):
    """Type the member's username exactly as it is shown. Anything else releases nothing."""

    model_config = ConfigDict(
        title="Release this license?", json_schema_extra={"required": ["username"]}
    )

    # Any answer fits the model, so that a wrong one is judged here and never lost in the SDK.
    username: Annotated[
        Any,
        WithJsonSchema(
            {
                "type": "string",
                "title": "Username of the member",
                "description": "Exactly as shown above, upper and lower case included",
            }
        ),
    ] = None


class NotAsked(BaseModel):
    """Why there is no answer."""

    why: Unanswered


Answer = ElicitationResult[Confirmation] | AcceptedElicitation[NotAsked]


async def ask(
    ctx: Context[Any, Any], request: Request, seconds: float
) -> Elicit[Confirmation] | ElicitationResult[Confirmation] | NotAsked:
    """Ask the person, by the protocol's own way in each era.

    From 2026-07-28 on, the question is returned and the answer comes with the next call. Before,
    it is asked now, for at most `seconds`.
    """
    if not can_show_form(ctx):
        return NotAsked(why="no_form")
    if is_version_at_least(ctx.protocol_version or "", MODERN):
        return Elicit(question(request), Confirmation)
    with anyio.move_on_after(seconds):
        try:
            return await ctx.elicit(question(request), Confirmation)
        except MCPError:
            return NotAsked(why="form_failed")
        except ValueError:
            return AcceptedElicitation(data=Confirmation())
    return NotAsked(why="no_answer")


def can_show_form(ctx: Context[Any, Any]) -> bool:
    """Tell whether the client declared that it can show a form, and can be reached for it."""
    declared = ctx.client_capabilities.elicitation if ctx.client_capabilities else None
    if declared is None or (declared.form is None and declared.url is not None):
        return False
    modern = is_version_at_least(ctx.protocol_version or "", MODERN)
    return modern or ctx.session.can_send_request


def judge(answer: object, request: Request) -> Verdict | Unanswered:
    """Say what an answer amounts to: a verdict, or the reason why there is none."""
    match answer:
        case DeclinedElicitation():
            return "declined"
        case CancelledElicitation():
            return "cancelled"
        case AcceptedElicitation(data=Confirmation(username=typed)):
            same = isinstance(typed, str) and typed.strip() == request.username
            return "approved" if same else "mistyped"
        case AcceptedElicitation(data=NotAsked(why=why)):
            return why
        case AcceptedElicitation(data=AcceptedElicitation() | DeclinedElicitation() as inner):
            return judge(inner, request)
        case AcceptedElicitation(data=CancelledElicitation()):
            return "cancelled"
        case _:
            return "form_failed"


def question(request: Request) -> str:
    """Say who, what, why, what the portal says, what follows, and how to agree."""
    lines = [
        f"Release an offline license? Request {request.release_id}",
        "",
        *(f"{label}: {text}" for label, text in shown.facts(request)),
        "",
        *shown.consequences(request),
        f"This question ends at {shown.moment(request.expires_at)}.",
        "",
        "To release it, type the username. To refuse, decline.",
    ]
    return "\n".join(lines)
