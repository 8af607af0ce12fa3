"""The approval page: a person's browser, on this machine, opened by the server itself.

Against whom: a model that knows the address, a web page in the same browser, and another program's
request with a forged Host. The address alone shows nothing. What counts is a cookie that only the
one-time key in the opened link gives, an anti-forgery token in the form, and the browser's own word
that it came from this page. Keys and cookies live in this process, as hashes, and are compared in
constant time; none is logged, kept in the ledger or told to the model.
"""

import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import anyio
from anyio.abc import TaskGroup, TaskStatus
from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.consent import shown
from server.loopback import HOST, listener, quiet, served
from server.releases.models import Request, Verdict
from server.releases.service import Releases
from server.releases.wording import LAST_SENTENCE, REASONS, message
from server.results import iso

logger = logging.getLogger(__name__)

COOKIE = "approver"
HISTORY_DAYS = 30
MAX_FORM = 4_096
MAX_KEYS = 100
_FOLDER = Path(str(files("server") / "consent"))
_HEADERS = {
    b"content-security-policy": (
        b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        b"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    # "no-referrer" would make the browser send "Origin: null" with the form.
    b"referrer-policy": b"same-origin",
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}

Decide = Callable[[Request, Verdict], Awaitable[Request]]


class Keys:
    """Secrets of this process: the newest `MAX_KEYS`, kept as hashes, found in constant time."""

    def __init__(self) -> None:
        self._hashes: dict[bytes, str] = {}

    def new(self, meaning: str = "") -> str:
        """Make a secret that stands for something."""
        secret = secrets.token_urlsafe(32)
        self._hashes[_hash(secret)] = meaning
        if len(self._hashes) > MAX_KEYS:
            del self._hashes[next(iter(self._hashes))]
        return secret

    def find(self, secret: str) -> bytes | None:
        """Return the kept hash of a secret, or None; every kept one is compared."""
        given, found = _hash(secret), None
        for kept in self._hashes:
            if hmac.compare_digest(kept, given):
                found = kept
        return found

    def use(self, secret: str) -> str | None:
        """Return what a secret stands for and forget it, or None."""
        kept = self.find(secret)
        return None if kept is None else self._hashes.pop(kept)


def _hash(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "replace")).digest()


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
        self._origin: str | None = None
        self._opened: set[str] = set()
        self._once = anyio.Lock()
        self._templates = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"), autoescape=True, trim_blocks=True
        )
        self._templates.filters |= {"moment": shown.moment, "iso": iso}

    async def ask(self, request: Request) -> None:
        """Open the page for a request in the person's browser, once for each request."""
        async with self._once:
            if self._origin is None:
                self._origin = await self._tasks.start(self._serve)
            if request.release_id in self._opened or self._open_browser is None:
                return
            self._opened.add(request.release_id)
        await self.open(request.release_id)

    async def open(self, release_id: str) -> None:
        """Open a fresh one-time link to a request in the browser."""
        if self._open_browser is None or self._origin is None:
            return
        link = f"{self._origin}/enter/{self._links.new(release_id)}"
        if not await anyio.to_thread.run_sync(self._open_browser, link):
            logger.warning("no browser could be opened for %s", release_id)

    def address(self, release_id: str) -> str | None:
        """Return where a request is shown; without a cookie it shows nothing."""
        return None if self._origin is None else f"{self._origin}/requests/{release_id}"

    async def _serve(self, *, task_status: TaskStatus[str]) -> None:
        listening = listener()
        port = listening.getsockname()[1]
        app = _Guard(self._app(), port)
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
            exception_handlers={HTTPException: self._problem, KeyError: self._unknown},
        )

    async def _enter(self, http: HttpRequest) -> Response:
        release_id = self._links.use(http.path_params["key"])
        if release_id is None:
            raise HTTPException(403)
        response = RedirectResponse(f"/requests/{release_id}", status_code=303)
        response.set_cookie(COOKIE, self._sessions.new(), httponly=True, samesite="strict")
        return response

    async def _overview(self, http: HttpRequest) -> Response:
        self._require_session(http)
        releases = await self._releases()
        return self._page(
            "overview.html",
            waiting=await releases.open_requests(),
            past=[r for r in await releases.find(limit=50) if r.state not in ("open", "approved")],
        )

    async def _show(self, http: HttpRequest) -> Response:
        session = self._require_session(http)
        request = await (await self._releases()).get(http.path_params["release_id"])
        return await self._request_page(request, session)

    async def _answer(self, http: HttpRequest) -> Response:
        session = self._require_session(http)
        form = await self._form(http)
        if not hmac.compare_digest(self._token(session).encode(), form["token"].encode()):
            raise HTTPException(403)
        releases = await self._releases()
        request = await releases.get(http.path_params["release_id"])
        if request.state != "open":
            return await self._request_page(request, session, status=409, problem="answered")
        if form["verdict"] == "approve" and form["username"].strip() != request.username:
            await releases.remark(request.release_id, "mistyped", "on the approval page")
            return await self._request_page(request, session, status=422, problem="mistyped")
        verdict: Verdict = "approved" if form["verdict"] == "approve" else "declined"
        await self._decide(request, verdict)
        return RedirectResponse(f"/requests/{request.release_id}", status_code=303)

    async def _status(self, http: HttpRequest) -> Response:
        self._require_session(http)
        request = await (await self._releases()).get(http.path_params["release_id"])
        return JSONResponse({"state": request.state})

    async def _form(self, http: HttpRequest) -> dict[str, str]:
        if int(http.headers.get("content-length", MAX_FORM + 1)) > MAX_FORM:
            raise HTTPException(413)
        async with http.form(max_files=0, max_fields=10) as fields:
            given = {name: str(fields.get(name, "")) for name in ("token", "verdict", "username")}
        if given["verdict"] not in ("approve", "decline"):
            raise HTTPException(400)
        return given

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
            entries=await releases.entries(request.release_id),
            history=[other for other in others if other.release_id != request.release_id],
            token=self._token(session),
            problem=problem,
        )

    def _page(self, template: str, *, status: int = 200, **values: object) -> Response:
        html = self._templates.get_template(template).render(reasons=REASONS, **values)
        return HTMLResponse(html, status_code=status)

    async def _problem(self, _: HttpRequest, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return self._page("problem.html", status=status, code=status)

    async def _unknown(self, _: HttpRequest, __: Exception) -> Response:
        return self._page("problem.html", status=404, code=404)

    def _require_session(self, http: HttpRequest) -> bytes:
        session = self._sessions.find(http.cookies.get(COOKIE, ""))
        if session is None:
            raise HTTPException(403)
        return session

    def _token(self, session: bytes) -> str:
        return hmac.new(self._secret, session, "sha256").hexdigest()


class _Guard:
    """Lets only requests through that this page's own address and pages make."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{HOST}:{port}".encode(), f"localhost:{port}".encode()}
        self._origin = f"http://{HOST}:{port}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check Host, Origin and Sec-Fetch-Site; add the headers that every answer carries."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *_HEADERS.items()]}
            await send(message)

        if scope["type"] != "http":
            return
        if not self._is_ours(scope):
            await Response("Refused.", status_code=403)(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)

    def _is_ours(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        if headers.get(b"host") not in self._hosts:
            return False
        if scope["method"] in ("GET", "HEAD"):
            return True
        same_site = headers.get(b"sec-fetch-site", b"same-origin") == b"same-origin"
        return same_site and headers.get(b"origin") == self._origin
