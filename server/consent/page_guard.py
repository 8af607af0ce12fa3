"""What stands before the approval page: who may send what, and the headers of every answer.

Against whom: a web page in the same browser, one that another port of this machine serves, and a
foreign name that resolves to this machine. Only this page's own address is answered, and what
changes anything must come from this page's own origin, by the browser's own word. Scripts and
styles come from files alone, nothing is kept in a cache, and no other page may frame or read it.
"""

from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# With `no-referrer` browsers send `Origin: null` with the page's own form, so `same-origin` it is.
_HEADERS = {
    b"content-security-policy": (
        b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        b"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    b"referrer-policy": b"same-origin",
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}


class Guard:
    """Lets only requests through that this page's own address and pages make."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._host = host.encode()
        self._origin = f"http://{host}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check Host, Origin and Sec-Fetch-Site; add the headers that every answer carries."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *_HEADERS.items()]}
            await send(message)

        if scope["type"] != "http":
            return
        app = self._app if self._is_ours(scope) else Response("Refused.", status_code=403)
        await app(scope, receive, with_headers)

    def _is_ours(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        if headers.get(b"host") != self._host:
            return False
        if scope["method"] in ("GET", "HEAD"):
            return True
        same_origin = headers.get(b"sec-fetch-site", b"same-origin") == b"same-origin"
        return same_origin and headers.get(b"origin") == self._origin


async def form_fields(http: Request, most: int) -> dict[str, str]:
    """Read a form of at most `most` bytes, whatever length it claims."""
    if not http.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise HTTPException(415)
    body = b""
    async for chunk in http.stream():
        body += chunk
        if len(body) > most:
            raise HTTPException(413)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=10))
    except ValueError:
        raise HTTPException(400) from None
