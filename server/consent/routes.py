"""Which route when: the form first, then the card or the page; the first answer counts.

A request stays open while nobody has answered, and several routes may lead to it at once. Where the
form or the card stays unanswered for `seconds`, the approval page opens too. A client that declined
or closed a form for the same license is not asked by form again within the hour, since some do it
by themselves.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from anyio.abc import TaskGroup
from mcp.server.apps import client_supports_apps
from mcp.server.elicitation import ElicitationResult
from mcp.server.mcpserver import Context, Elicit

from server.consent import form
from server.consent.form import Confirmation, NotAsked
from server.errors import LedgerUnavailable
from server.releases.models import Refusal, Request, Route, State, Verdict

if TYPE_CHECKING:
    from server.releases.service import Releases

logger = logging.getLogger(__name__)


class Page(Protocol):
    """The approval page, as far as the routes need it."""

    async def ask(self, request: Request) -> None:
        """Start the page if need be, and open it for this request, once."""
        ...

    def address(self, release_id: str) -> str | None:
        """Return where a request is shown, without any key; None where no page runs."""
        ...


class Routes:
    """Leads open requests to a person, in one process."""

    def __init__(
        self,
        *,
        enabled: Sequence[Route],
        seconds: float,
        releases: Callable[[], Awaitable["Releases"]],
        page: Page,
        approver: str,
        tasks: TaskGroup,
        wake: Callable[[], None],
    ) -> None:
        self.enabled = enabled
        self._seconds = seconds
        self._releases = releases
        self._page = page
        self._approver = approver
        self._tasks = tasks
        self._wake = wake
        self._escalating: set[str] = set()

    async def ask(
        self, ctx: Context[Any, Any], request: Request
    ) -> Elicit[Confirmation] | ElicitationResult[Confirmation] | NotAsked:
        """Ask an open request's person by form, where that can be done."""
        if request.state != "open":
            return NotAsked(why="no_form")
        self._wake()
        if "form" not in self.enabled or request.four_eyes:
            return NotAsked(why="no_form")
        if request.reason == "no_answer" or request.reason == "form_failed":
            return NotAsked(why=request.reason)
        if await (await self._releases()).turned_away(request):
            return NotAsked(why="no_form")
        asked = await form.ask(ctx, request, self._seconds)
        if isinstance(asked, Elicit):
            self._open_page_later(request)
        return asked

    async def conclude(self, ctx: Context[Any, Any], request: Request, answer: object) -> Request:
        """Record what the form's answer amounts to, and carry out a yes or open another route."""
        if request.state != "open" or request.four_eyes:
            return request
        match form.judge(answer, request):
            case "approved" | "declined" | "cancelled" | "mistyped" as verdict:
                return await self.decide(request, verdict, "form")
            case why:
                return await self._open_others(ctx, request, why)

    async def decide(self, request: Request, verdict: Verdict, route: Route) -> Request:
        """Record a person's answer by any route, and carry out a yes at once."""
        releases = await self._releases()
        try:
            return await releases.answer(
                request.release_id, verdict, route=route, approver=self._approver
            )
        except LedgerUnavailable as error:
            # A yes may have been recorded, and then another server sends it.
            state: State = "unknown" if verdict == "approved" else request.state
            return replace(request, state=state, reason=error.reason, detail=str(error))

    def shows_card(self, ctx: Context[Any, Any], request: Request) -> bool:
        """Tell whether the card may ask this client's person about this request."""
        if request.state != "open" or request.four_eyes or "card" not in self.enabled:
            return False
        return client_supports_apps(ctx)

    def address(self, request: Request) -> str | None:
        """Return where the approval page shows a request, without any key."""
        return self._page.address(request.release_id)

    def how(self, request: Request) -> str:
        """Say what a person has to do about an open request, and what could be done otherwise."""
        if request.state == "open":
            return self._how_to_answer(request)
        if request.reason in ("declined", "cancelled") and request.route == "form":
            return self._how_to_ask_otherwise()
        return ""

    async def _open_others(
        self, ctx: Context[Any, Any], request: Request, why: form.Unanswered
    ) -> Request:
        releases = await self._releases()
        card = self.shows_card(ctx, request)
        if not card and "page" not in self.enabled and why == "no_form":
            return await releases.refuse(request.release_id, Refusal("no_route", ""))
        noted = request
        if request.reason != why:
            noted = await releases.note(request.release_id, why)
        if card:
            self._open_page_later(noted)
        else:
            await self._open_page(noted)
        return noted

    def _open_page_later(self, request: Request) -> None:
        if request.release_id not in self._escalating:
            self._escalating.add(request.release_id)
            self._tasks.start_soon(self._escalate, request)

    async def _escalate(self, request: Request) -> None:
        await anyio.sleep(self._seconds)
        self._escalating.discard(request.release_id)
        try:
            await self._open_page(await (await self._releases()).get(request.release_id))
        except Exception:
            told = {"release_id": request.release_id}
            logger.exception("the approval page could not be opened", extra=told)

    async def _open_page(self, request: Request) -> None:
        if request.state == "open" and "page" in self.enabled:
            self._wake()
            await self._page.ask(request)

    def _how_to_answer(self, request: Request) -> str:
        command = f"`arcgis-license-mcp approvals approve {request.release_id}`"
        if request.four_eyes:
            return (
                "Somebody else must answer, under another account of the ledger: on their approval "
                f"page, or at their terminal with {command}. Tell the person so, look with "
                "list_releases meanwhile, and do not call again."
            )
        ways = [f"at a terminal with {command}"]
        if address := self.address(request):
            ways.insert(0, f"on the approval page in the browser ({address})")
        if "card" in self.enabled:
            ways.insert(0, "in the card, where the chat shows one")
        return (
            f"The person answers {', or '.join(ways)}. Tell the person so, look with "
            "list_releases meanwhile, and do not call again."
        )

    def _how_to_ask_otherwise(self) -> str:
        others = [route for route in ("card", "page") if route in self.enabled]
        if not others:
            return ""
        return (
            "If no form was seen, the client answered by itself: when the person still wants the "
            f"release, call again, and it is asked by {' or '.join(others)} instead."
        )
