"""The approval page: a person's browser, on this machine, opened by the server itself.

Against whom: a model that knows the address, a web page in the same browser, and another program's
request with a forged Host. The address alone shows nothing. What counts is a cookie that only the
one-time key in the opened link gives, an anti-forgery token in the form that fits one request, and
the browser's own word that it came from this page. Keys and cookies live in this process, as
hashes, and are compared in constant time; none is logged, kept in the ledger or told to the model.
"""

import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus
from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from server.consent import shown
from server.consent.page_guard import Guard, form_fields
from server.consent.page_keys import Keys
from server.loopback import HOST, listener, quiet, served
from server.releases.models import Request, Verdict
from server.releases.service import Releases
from server.releases.wording import LAST_SENTENCE, REASONS, message
from server.text import quoted

logger = logging.getLogger(__name__)

HISTORY_DAYS = 30
MAX_FORM = 4_096
_FOLDER = Path(str(files("server") / "consent"))
_VERDICTS: dict[str, Verdict] = {"approve": "approved", "decline": "declined"}

Decide = Callable[[Request, Verdict], Awaitable[Request]]


class ApprovalPage:
    """The page of one process; its port is opened when the first request needs it."""

    def __init__(
        self,
        *,
        releases: Callable[[], Awaitable[Releases]],
        decide: Decide,
        open_browser: Callable[[str], bool] | None,
        tasks: TaskGroup,
    ) -> None:
        self._releases = releases
        self._decide = decide
        self._open_browser = open_browser
        self._tasks = tasks
        self._links, self._sessions = Keys(), Keys()
        self._secret = secrets.token_bytes(32)
        self._origin = self._cookie = ""
        self._opened: set[str] = set()
        self._once = anyio.Lock()
        self._templates = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"moment": shown.moment, "quoted": quoted}

    async def ask(self, request: Request) -> None:
        """Open a one-time link to a request in the person's browser, once for each request.

        Without a browser nobody would ever get a key, so no port is opened either.
        """
        if self._open_browser is None:
            return
        async with self._once:
            if not self._origin:
                self._origin = await self._tasks.start(self._serve)
            if request.release_id in self._opened:
                return
            self._opened.add(request.release_id)
        link = f"{self._origin}/enter/{self._links.new(request.release_id)}"
        if not await anyio.to_thread.run_sync(self._open_browser, link):
            self._opened.discard(request.release_id)
            told = {"release_id": request.release_id}
            logger.warning("no browser could be opened", extra=told)

    def address(self, release_id: str) -> str | None:
        """Return where a request is shown; None where no browser was ever given a key."""
        if not self._origin or not self._opened:
            return None
        return f"{self._origin}/requests/{release_id}"

    async def _serve(self, *, task_status: TaskStatus[str]) -> None:
        listening = listener()
        port = listening.getsockname()[1]
        # Browsers keep the cookies of all ports of a machine together: each page needs its own.
        self._cookie = f"approver_{port}"
        app = Guard(self._app(), f"{HOST}:{port}")
        async with served(quiet(app), listening):
            task_status.started(f"http://{HOST}:{port}")
            await anyio.sleep_forever()

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/enter/{key}", self._enter),
                Route("/", self._overview),
                Route("/requests/{release_id}", self._show),
                Route("/requests/{release_id}", self._answer, methods=["POST"]),
                Route("/requests/{release_id}/status", self._status),
                Mount("/static", StaticFiles(directory=_FOLDER / "static")),
            ],
            exception_handlers={HTTPException: self._problem, Exception: self._fault},
        )

    async def _enter(self, http: HttpRequest) -> Response:
        if http.method != "GET":
            raise HTTPException(405)
        release_id = self._links.use(http.path_params["key"])
        if release_id is None:
            raise HTTPException(403)
        response = RedirectResponse(f"/requests/{release_id}", status_code=303)
        if self._session(http) is None:
            # A browser that is in already keeps its session, and the forms that it shows.
            session = self._sessions.new()
            response.set_cookie(self._cookie, session, httponly=True, samesite="strict")
        return response

    async def _overview(self, http: HttpRequest) -> Response:
        self._require_session(http)
        releases = await self._releases()
        waiting = await releases.open_requests()
        past = [r for r in await releases.find(limit=50) if r.state != "open"]
        return self._page("overview.html", waiting=waiting, past=past)

    async def _show(self, http: HttpRequest) -> Response:
        session = self._require_session(http)
        return await self._request_page(await self._request(http), session)

    async def _answer(self, http: HttpRequest) -> Response:
        session = self._require_session(http)
        form = await form_fields(http, MAX_FORM)
        expected = self._token(session, http.path_params["release_id"])
        if not hmac.compare_digest(expected.encode(), form.get("token", "").encode()):
            raise HTTPException(403)
        verdict = _VERDICTS.get(form.get("verdict", ""))
        if verdict is None:
            raise HTTPException(400)
        request = await self._request(http)
        if request.state != "open":
            return await self._too_late(request, session)
        if verdict == "approved" and form.get("username", "").strip() != request.username:
            return await self._mistyped(request, session)
        decided = await self._decide(request, verdict)
        if decided.reason == "ledger_unavailable":
            return await self._request_page(decided, session, status=503, problem="not_known")
        if decided.state == "open":
            return await self._request_page(decided, session, status=403, problem="not_counted")
        if not _counted(decided, verdict):
            return await self._too_late(decided, session)
        return RedirectResponse(f"/requests/{decided.release_id}", status_code=303)

    async def _mistyped(self, request: Request, session: bytes) -> Response:
        releases = await self._releases()
        now = await releases.remark(request.release_id, "mistyped", "on the approval page")
        if now.state != "open":
            return await self._too_late(now, session)
        return await self._request_page(now, session, status=422, problem="mistyped")

    async def _too_late(self, request: Request, session: bytes) -> Response:
        return await self._request_page(request, session, status=409, problem="too_late")

    async def _status(self, http: HttpRequest) -> Response:
        self._require_session(http)
        return JSONResponse({"state": (await self._kept(http)).state})

    async def _request(self, http: HttpRequest) -> Request:
        """Return the request of the address; an open one only where this page may answer it."""
        releases = await self._releases()
        # A ledger may serve several portals, and a yes here would be sent to this page's.
        ours = {request.release_id for request in await releases.open_requests()}
        request = await self._kept(http)
        if request.state == "open" and request.release_id not in ours:
            raise HTTPException(404)
        return request

    async def _kept(self, http: HttpRequest) -> Request:
        try:
            return await (await self._releases()).get(http.path_params["release_id"])
        except KeyError:
            raise HTTPException(404) from None

    async def _request_page(
        self, request: Request, session: bytes, *, status: int = 200, problem: str = ""
    ) -> Response:
        releases = await self._releases()
        others = await releases.history(request.username, HISTORY_DAYS)
        return self._page(
            "request.html",
            status=status,
            request=request,
            facts=shown.facts(request),
            consequences=shown.consequences(request),
            outcome=message(request),
            last_sentence=LAST_SENTENCE[request.status],
            reasons=REASONS,
            entries=await releases.entries(request.release_id),
            history=[other for other in others if other.release_id != request.release_id],
            days=HISTORY_DAYS,
            token=self._token(session, request.release_id),
            problem=problem,
        )

    def _page(self, template: str, *, status: int = 200, **values: object) -> Response:
        html = self._templates.get_template(template).render(**values)
        return HTMLResponse(html, status_code=status)

    async def _problem(self, http: HttpRequest, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        known = self._session(http) is not None
        return self._page("problem.html", status=status, code=status, known=known)

    async def _fault(self, http: HttpRequest, error: Exception) -> Response:
        logger.error("the approval page failed", exc_info=error)
        return await self._problem(http, error)

    def _session(self, http: HttpRequest) -> bytes | None:
        return self._sessions.find(http.cookies.get(self._cookie, ""))

    def _require_session(self, http: HttpRequest) -> bytes:
        session = self._session(http)
        if session is None:
            raise HTTPException(403)
        return session

    def _token(self, session: bytes, release_id: str) -> str:
        return hmac.new(self._secret, session + release_id.encode(), "sha256").hexdigest()


def _counted(decided: Request, verdict: Verdict) -> bool:
    """Tell whether this answer was the one that counted."""
    return decided.route == "page" and (decided.reason == "declined") == (verdict == "declined")
