"""Portals that misbehave on purpose, and the settings to reach them; each keeps what it got."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import anyio
import httpx

from server.portal.client import PortalClient
from server.sandbox.portal import ADMINISTRATOR, PASSWORD, SandboxPortal
from server.sandbox.runner import running
from server.settings import Settings, load

URL = "https://gis.example.com/portal"
TOKENS = "/sharing/rest/generateToken"
SELF = "/sharing/rest/portals/self"
USERS = "/sharing/rest/community/users/"
PURCHASES = "/sharing/rest/portals/self/purchases"
RELEASE = "/portaladmin/license/releaseLicense"
OLD_RELEASE = "/portaladmin/system/licenses/releaseLicense"

TOKEN = "tok-0f1e2d3c4b5a69788796a5b4c3d2e1f0"
SECRET = "pass w/ord+Zq9&%"
FAR_AWAY = 4_000_000_000_000
PRO_ITEM = "2d2a9c99bb2a43548c31cd8e32217af6"

T = TypeVar("T")


class Clock:
    """A clock that moves only when it is told to, in seconds since 1970."""

    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


def settings(url: str = URL, **changes: str) -> Settings:
    """Settings for `url`; with `portal_token`, that instead of the account."""
    account = {"portal_username": ADMINISTRATOR, "portal_password": PASSWORD}
    given = {"portal_url": url} | ({} if "portal_token" in changes else account) | changes
    return load({name.upper(): value for name, value in given.items()})


@contextlib.asynccontextmanager
async def connected(portal: SandboxPortal, **changes: str) -> AsyncGenerator[PortalClient]:
    """A client of a sandbox, over real HTTP, that shares no clock with it."""
    async with running(portal) as base, PortalClient(settings(base, **changes)) as client:
        yield client


def asked(portal: SandboxPortal, ending: str) -> int:
    """How many requests a sandbox received at addresses that end so."""
    return sum(request.path.endswith(ending) for request in portal.requests)


async def together(n: int, call: Callable[[], Coroutine[Any, Any, T]]) -> list[T | Exception]:
    """What `n` calls at the same time ended in."""
    return [
        ended if not isinstance(ended, BaseException) else _only_exceptions(ended)
        for ended in await asyncio.gather(*(call() for _ in range(n)), return_exceptions=True)
    ]


def _only_exceptions(ended: BaseException) -> Exception:
    if not isinstance(ended, Exception):
        raise ended
    return ended


@dataclass(frozen=True)
class Canned:
    """One HTTP answer."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Canned | Exception | dict[str, Any] | Callable[[httpx.Request], Canned]
"""HTTP, a transport that fails so, JSON on HTTP 200, or what the request makes of it."""

SIGNED_IN: Answer = {"token": TOKEN, "expires": FAR_AWAY, "ssl": True}
ADMIN = {"username": ADMINISTRATOR, "role": "org_admin", "privileges": []}
PORTAL: Answer = {
    "isPortal": True,
    "enterpriseVersion": "11.5.0",
    "portalName": "GIS",
    "user": ADMIN,
}
LISTED: Answer = {"purchases": [{"listing": {"itemId": PRO_ITEM, "title": "ArcGIS Pro"}}]}
BEHAVING: dict[str, Answer] = {
    TOKENS: SIGNED_IN,
    SELF: PORTAL,
    PURCHASES: LISTED,
    RELEASE: {"status": "success"},
    OLD_RELEASE: {"status": "success"},
}


class Scripted:
    """A portal without a network: `answers` by path, a list is gone through and its last stays."""

    def __init__(self, answers: Mapping[str, Answer | list[Answer]] | None = None) -> None:
        self.answers: dict[str, Answer | list[Answer]] = {**BEHAVING, **(answers or {})}
        self.received: list[httpx.Request] = []

    def client(self, clock: Callable[[], float] | None = None, **changes: str) -> PortalClient:
        transport = httpx.MockTransport(self._answer)
        chosen = settings(**changes)
        if clock is None:
            return PortalClient(chosen, transport=transport)
        return PortalClient(chosen, clock=clock, transport=transport)

    def asked(self, path: str) -> int:
        return sum(_below(request) == path for request in self.received)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.received.append(request)
        answer = self._next(_below(request))
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, dict):
            return httpx.Response(200, json=answer)
        return httpx.Response(answer.status, content=answer.body, headers=dict(answer.headers))

    def _next(self, path: str) -> Answer:
        answer = self.answers[path]
        if not isinstance(answer, list):
            return answer
        return answer.pop(0) if len(answer) > 1 else answer[0]


def _below(request: httpx.Request) -> str:
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    assert query == ""
    assert path.startswith("/portal/")
    return path.removeprefix("/portal")


def form_of(request: httpx.Request) -> dict[str, str]:
    return dict(parse_qsl(request.content.decode("ascii"), keep_blank_values=True))


@dataclass(frozen=True)
class RawRequest:
    """A request as it came over the wire."""

    head: bytes
    body: bytes

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode("ascii")

    @property
    def path(self) -> str:
        return self.target.removeprefix("/portal")

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("ascii"), keep_blank_values=True))


class Drop:
    """Ends the connection without an answer."""


class Hang:
    """Never answers."""


RawAnswer = bytes | type[Drop] | type[Hang]


def http(body: bytes | dict[str, Any], status: int = 200, **headers: str) -> bytes:
    """One answer on the wire, after which the connection is closed."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Length": str(len(content)), "Connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode() + content


def raw(answer: Answer) -> bytes:
    assert isinstance(answer, dict)
    return http(answer)


class RawPortal:
    """A portal that answers bytes by path; what is not named is answered as a portal would."""

    def __init__(self, answers: Mapping[str, RawAnswer] | None = None) -> None:
        self.answers = {p: raw(answer) for p, answer in BEHAVING.items()} | dict(answers or {})
        self.received: list[RawRequest] = []
        self._stopping = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()

    def asked(self, path: str) -> int:
        return sum(request.path == path for request in self.received)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[str]:
        """Yields the portal's address."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/portal"
        finally:
            server.close()
            self._stopping.set()
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await asyncio.gather(*self._open)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._answer(await self._take(reader), writer)
        finally:
            writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, answer: RawAnswer, writer: asyncio.StreamWriter) -> None:
        if answer is Hang:
            await self._stopping.wait()
        elif isinstance(answer, bytes):
            writer.write(answer)
            await writer.drain()

    async def _take(self, reader: asyncio.StreamReader) -> RawAnswer:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = (
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        length = next(lengths, 0)
        request = RawRequest(head, await reader.readexactly(length))
        self.received.append(request)
        return self.answers.get(request.path, http(b"not there", 404))
