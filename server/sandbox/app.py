"""The sandbox portal over HTTP: it records every request, finds out who asks, and answers.

Reads are answered to GET and POST alike. Errors travel on HTTP 200. Without `f=json` a portal
answers a page for people, so forgetting it is noticed here as it would be there.
"""

import html
import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from server.sandbox import oauth, replies
from server.sandbox.documents import own_document
from server.sandbox.members import SandboxMember
from server.sandbox.portal import (
    NEW_LICENSE_PATH,
    OLD_LICENSE_PATH,
    RELEASE,
    Received,
    SandboxPortal,
)
from server.sandbox.replies import Json

_FORM = "application/x-www-form-urlencoded"
_REST = "/sharing/rest"
_USERS = f"{_REST}/community/users"
_ENTITLEMENTS = f"{_REST}/content/listings/{{item_id}}/userEntitlements"


@dataclass(frozen=True)
class Asked:
    """A request on its way to the portal's rules; `base` is the portal's address as asked for."""

    portal: SandboxPortal
    received: Received
    path: dict[str, str]
    base: str

    @property
    def params(self) -> dict[str, str]:
        return self.received.query | self.received.form

    @property
    def token(self) -> str | None:
        # Assumption: the header counts everywhere; Esri's client sends nothing else.
        scheme, _, bearer = self.received.headers.get("x-esri-authorization", "").partition(" ")
        return self.params.get("token") or (bearer if scheme == "Bearer" else None) or None

    @property
    def caller(self) -> SandboxMember | None:
        """Nobody without a token; a bad token is refused even where none is needed."""
        if self.token is None:
            return None
        return self.portal.owner(self.token, self.received.headers.get("referer"))

    def signed_in(self) -> SandboxMember:
        caller = self.caller
        if caller is None:
            # Assumption: the sharing API words it as portaladmin does.
            raise replies.token_required()
        return caller

    def administrator(self) -> SandboxMember:
        """Whoever may use portaladmin, where there is one."""
        if not self.portal.has_portaladmin:
            raise replies.NoSuchPath
        # Assumption: portaladmin says 498 of an expired token, as the sharing API does.
        caller = self.signed_in()
        self.portal.require_portaladmin(caller)
        return caller


Handler = Callable[[Asked], Json | Response]


def create_app(portal: SandboxPortal) -> Starlette:
    """The whole portal, below its context path."""
    routes = [_route(portal, path, handler) for path, handler in _HANDLERS.items()]
    below = Router(routes=routes, redirect_slashes=False)
    app = Starlette(routes=[Mount(f"/{portal.context}".rstrip("/"), app=below)])
    app.state.portal = portal
    app.add_middleware(_Recorder, portal=portal)
    return app


class _Recorder:
    """Keeps what came before anything else looks at it, also for addresses that do not exist."""

    def __init__(self, app: ASGIApp, portal: SandboxPortal) -> None:
        self._app, self._portal = app, portal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            received = await _received(Request(scope, receive))
            self._portal.requests.append(received)
            scope.setdefault("state", {})["received"] = received
        await self._app(scope, receive, send)


async def _received(request: Request) -> Received:
    body = (await request.body()).decode("utf-8", "replace")
    is_form = request.headers.get("content-type", "").startswith(_FORM)
    return Received(
        method=request.method,
        path=request.url.path,
        query=dict(request.query_params),
        form=dict(parse_qsl(body, keep_blank_values=True)) if is_form else {},
        headers=dict(request.headers),
    )


def _route(portal: SandboxPortal, path: str, handler: Handler) -> Route:
    async def endpoint(request: Request) -> Response:
        base = f"{request.url.scheme}://{request.url.netloc}/{portal.context}".rstrip("/")
        asked = Asked(portal, request.state.received, dict(request.path_params), base)
        try:
            return _render(asked, handler(asked))
        except replies.Refusal as refusal:
            return _render(asked, refusal.body)
        except replies.NoSuchPath:
            return HTMLResponse("<html><body><h1>404 Not Found</h1></body></html>", 404)

    return Route(path, endpoint, methods=["GET", "POST"])


def _render(asked: Asked, body: Json | Response) -> Response:
    if isinstance(body, Response):
        return body
    if asked.params.get("f") in ("json", "pjson"):
        return JSONResponse(body)
    shown = html.escape(json.dumps(body, indent=1))
    return HTMLResponse(f"<html><title>Portal</title><body><pre>{shown}</pre></body></html>")


def _info(asked: Asked) -> Json:
    """Where to sign in; Esri's client asks this before anything else."""
    token_url = f"{asked.base}{_REST}/generateToken"
    authentication = {"tokenServicesUrl": token_url, "isTokenBasedSecurity": True}
    return {"owningSystemUrl": asked.base, "authInfo": authentication}


def _generate_token(asked: Asked) -> Json:
    if asked.received.method != "POST":
        # Assumption: a portal takes no credentials from a URL.
        raise replies.error(405, "Method not supported.")
    return asked.portal.sign_in(asked.received.form)


def _paged(rule: Callable[[SandboxPortal, dict[str, str]], Json]) -> Handler:
    """A listing for whoever is signed in."""

    def handler(asked: Asked) -> Json:
        asked.signed_in()
        return rule(asked.portal, asked.params)

    return handler


def _admin_root(asked: Asked) -> Json:
    asked.administrator()
    resources = ["healthCheck", "license", "logs", "security", "system"]
    return {"version": asked.portal.current_version, "resources": resources}


def _health(asked: Asked) -> Json:
    # Assumption: the health check needs no token.
    if not asked.portal.has_portaladmin:
        raise replies.NoSuchPath
    return {"status": "success"}


def _logs(asked: Asked) -> Json:
    asked.administrator()
    return {"hasMore": False, "startTime": -1, "endTime": -1, "logMessages": []}


def _license(asked: Asked) -> Json:
    _require_path_of_version(asked, "")
    return asked.portal.license_summary(asked.administrator())


def _release(asked: Asked) -> Json:
    _require_path_of_version(asked, f"/{RELEASE}")
    if asked.received.method != "POST":
        # Assumption: GET releases nothing and says so, though before 10.7 Esri's client sends one.
        raise replies.admin_error(405, "Method not supported.")
    return asked.portal.release_license(asked.administrator(), asked.received.form)


def _require_path_of_version(asked: Asked, ending: str) -> None:
    if not asked.received.path.endswith(f"/{asked.portal.license_path}{ending}"):
        raise replies.NoSuchPath


_HANDLERS: dict[str, Handler] = {
    _REST: lambda asked: asked.portal.root(),
    f"{_REST}/": lambda asked: asked.portal.root(),
    f"{_REST}/info": _info,
    f"{_REST}/generateToken": _generate_token,
    f"{_REST}/oauth2/authorize": lambda asked: oauth.sign_in_page(asked.params),
    "/sharing/oauth2/signin": lambda asked: oauth.sign_in(asked.portal, asked.received.form),
    f"{_REST}/portals/self": lambda asked: asked.portal.describe(asked.caller),
    f"{_REST}/portals/self/users/search": _paged(SandboxPortal.find_members),
    f"{_REST}/portals/self/users": _paged(SandboxPortal.list_members),
    f"{_REST}/portals/self/roles": _paged(SandboxPortal.custom_roles),
    f"{_REST}/portals/self/purchases": lambda asked: asked.portal.purchases(asked.signed_in()),
    f"{_REST}/community/self": lambda asked: own_document(asked.signed_in()),
    _USERS: _paged(SandboxPortal.find_members),
    f"{_USERS}/{{username}}": lambda asked: asked.portal.profile(
        asked.signed_in(), asked.path["username"]
    ),
    _ENTITLEMENTS: lambda asked: asked.portal.entitlements(
        asked.signed_in(), asked.path["item_id"], asked.params
    ),
    f"{_ENTITLEMENTS}/{{username}}": lambda asked: asked.portal.entitlement(
        asked.signed_in(), asked.path["item_id"], asked.path["username"]
    ),
    "/portaladmin": _admin_root,
    "/portaladmin/system": _admin_root,
    "/portaladmin/healthCheck": _health,
    "/portaladmin/logs/query": _logs,
    f"/{NEW_LICENSE_PATH}": _license,
    f"/{OLD_LICENSE_PATH}": _license,
    f"/{NEW_LICENSE_PATH}/{RELEASE}": _release,
    f"/{OLD_LICENSE_PATH}/{RELEASE}": _release,
}
