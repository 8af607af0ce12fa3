"""Signing in on the portal's own page, which is how Esri's client does it by default.

It fetches the page, reads `oauth_state` out of it, posts the form and takes the token from the
redirect: the implicit flow. Read in Esri's client; no documentation describes the page.
Assumption: the page carries nothing but what that client reads, and the state is not encrypted.
"""

import base64
import binascii
import json
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, RedirectResponse, Response

from server.sandbox.portal import SandboxPortal
from server.sandbox.replies import Json, Refusal

_KEPT = ("redirect_uri", "state", "expiration", "client_id")


def sign_in_page(query: dict[str, str]) -> Response:
    kept = {name: query[name] for name in _KEPT if name in query}
    return _page({"oauth_state": _encode(kept)})


def sign_in(portal: SandboxPortal, form: dict[str, str]) -> Response:
    """Back to where the page was asked from, with the token in the fragment; or the page again."""
    oauth_state = form.get("oauth_state", "")
    asked = _decode(oauth_state)
    try:
        granted = portal.sign_in_by_page(form | {"expiration": asked.get("expiration", "")})
    except Refusal as refusal:
        return _page({"oauth_state": oauth_state, "messages": refusal.body["error"]["details"]})
    fragment = {
        "access_token": granted["token"],
        "expires_in": granted["expires_in"],
        "username": form["username"],
        "ssl": "true",
        "state": asked.get("state", ""),
    }
    return RedirectResponse(f"{asked.get('redirect_uri', '')}#{urlencode(fragment)}", 302)


def _page(info: Json) -> Response:
    script = f"<script>var oAuthInfo = {json.dumps(info)};</script>"
    return HTMLResponse(f"<html>\n<body>\n{script}\n</body>\n</html>")


def _encode(kept: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(kept).encode()).decode()


def _decode(oauth_state: str) -> dict[str, str]:
    try:
        kept = json.loads(base64.urlsafe_b64decode(oauth_state))
    except (binascii.Error, ValueError):
        return {}
    return {str(name): str(value) for name, value in kept.items()}
