"""The sandbox behind a front that reads real connections, and knows the steps of a release.

What the front received is the judge: a request to release counts when it was read, whatever became
of it then.
"""

import asyncio
import contextlib
import ssl
from asyncio import Server, StreamReader, start_server
from collections.abc import AsyncGenerator
from urllib.parse import unquote

import anyio
from starlette.types import ASGIApp, Message, Scope

from server.sandbox.app import create_app
from server.sandbox.portal import SandboxPortal
from tests.office import PRO
from tests.portal.portals import (
    PURCHASES,
    RELEASE,
    SELF,
    TOKENS,
    USERS,
    RawAnswer,
    RawPortal,
    RawRequest,
    http,
)

HOST = "127.0.0.1"
STEPS = {TOKENS: "sign_in", SELF: "facts", PURCHASES: "listings", RELEASE: "release"}
ENTITLEMENTS = "/sharing/rest/content/listings/"


class Front(RawPortal):
    """The sandbox, behaving; every request after `arm` is given the name of its step."""

    def __init__(self) -> None:
        super().__init__()
        self.portal = SandboxPortal()
        self.tls: ssl.SSLContext | None = None
        self.host = HOST
        self.port = 0
        self.armed = False
        self.seen: list[str] = []

    @property
    def posts(self) -> int:
        """How many requests to release were read, at whatever address."""
        return sum(request.target.endswith("/releaseLicense") for request in self.received)

    @property
    def strays(self) -> int:
        """How many requests went where a redirect led to."""
        return sum(not request.target.startswith("/portal/") for request in self.received)

    @property
    def is_offline(self) -> bool:
        """Whether the license of the test's member is still checked out."""
        return self.portal.is_offline("jsmith", PRO)

    @property
    def secrets(self) -> set[str]:
        """Every password and token that was sent."""
        forms = [request.form for request in self.received]
        return {form[name] for form in forms for name in ("password", "token") if name in form}

    def arm(self) -> None:
        """Begin to tell the steps."""
        self.armed = True

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[str]:
        await self.listen()
        self._sandbox = create_app(self.portal)
        try:
            yield f"{'https' if self.tls else 'http'}://{self.host}:{self.port}/portal"
        finally:
            self._listening.close()
            self._stopping.set()
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await asyncio.gather(*self._open)

    async def listen(self) -> None:
        """Take connections, again at the same port."""
        self._listening: Server = await start_server(self._accept, HOST, self.port, ssl=self.tls)
        self.port = self._listening.sockets[0].getsockname()[1]

    def hang_up(self) -> None:
        """Take no more connections."""
        self._listening.close()

    async def _take(self, reader: StreamReader) -> RawAnswer:
        await super()._take(reader)
        request = self.received[-1]
        step = self._step(request)
        if self.armed:
            self.seen.append(step)
        return await self.respond(step, request)

    def _step(self, request: RawRequest) -> str:
        path = request.path
        if path == TOKENS and "license" in self.seen and "release" not in self.seen:
            return "renewal"
        if path.startswith(USERS):
            return "member"
        if path.startswith(ENTITLEMENTS):
            return "verify" if "release" in self.seen else "license"
        return STEPS.get(path, "stray")

    async def respond(self, step: str, request: RawRequest) -> RawAnswer:
        """Answer as the sandbox does."""
        fields = (line.partition(b": ")[::2] for line in request.head.split(b"\r\n")[1:])
        path, _, query = request.target.partition("?")
        scope = {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "server": (HOST, self.port),
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower(), value) for name, value in fields if name],
        }
        return await answered_by(self._sandbox, scope, request.body)


async def answered_by(sandbox: ASGIApp, scope: Scope, body: bytes) -> bytes:
    """What the sandbox answers, as bytes on the wire."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    await sandbox(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent)
    return http(content, sent[0]["status"])
