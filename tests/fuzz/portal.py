"""A portal without a network that answers truly, except where it is told to answer anything.

What it answered stands beside what that answer proves, worked out here anew from the documented
replies, so that what the client makes of it can be judged.
"""

import gzip
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from server.portal.client import PortalClient
from server.releases.models import Version
from tests.fuzz.values import dumped
from tests.portal.portals import FAR_AWAY, SECRET, TOKEN, form_of, settings

NAME = "jsmith"
ITEM = "2d2a9c99bb2a43548c31cd8e32217af6"
MANAGE = "portal:admin:manageLicenses"
ME = {"username": "admin", "role": "org_admin", "privileges": [MANAGE]}
PROFILE = {"username": NAME, "fullName": "Jane Smith", "email": "j@x", "role": "org_user"}
RIGHT = {"username": NAME, "lastLogin": -1, "disconnected": True, "entitlements": ["desktopAdvN"]}
TITLES = ("ArcGIS Pro", "ArcGIS Drone2Map", "ArcGIS AllSource")

Kind = Literal[
    "sign_in", "health", "facts", "me", "member", "search", "purchases", "license", "listing",
    "release", "reading",
]  # fmt: skip

TRUE: dict[Kind, Any] = {
    "sign_in": {"token": TOKEN, "expires": FAR_AWAY, "ssl": True},
    "health": {"status": "success"},
    "facts": {
        "isPortal": True, "enterpriseVersion": "11.5.0", "currentVersion": "2025.1",
        "portalName": "GIS", "user": ME,
    },
    "me": ME,
    "member": {**PROFILE, "disabled": False, "lastLogin": 1_790_000_000_000},
    "search": {"total": 1, "start": 1, "num": 10, "nextStart": -1, "results": [PROFILE]},
    "purchases": {"purchases": [{"listing": {"itemId": ITEM, "title": t}} for t in TITLES]},
    "license": {"userEntitlements": RIGHT},
    "listing": {"userEntitlements": [RIGHT, RIGHT], "nextStart": 3},
    "release": {"status": "success"},
    "reading": {"userEntitlements": {**RIGHT, "disconnected": False}},
}  # fmt: skip


@dataclass(frozen=True)
class Given:
    """One answer: HTTP, or no answer at all where `fails` is raised."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    fails: type[httpx.TransportError] | None = None
    packed: bool = False

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object that it is, whatever its HTTP status; empty where it is none."""
        lies = not self.packed and any(name == b"content-encoding" for name, _ in self.headers)
        if self.fails or lies:
            return {}
        try:
            found = json.loads(self.body.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def told(self) -> dict[str, Any]:
        """The JSON object that it is on HTTP 200 and says no error; else empty."""
        refuses = "error" in self.json or self.json.get("status") in ("error", "failure")
        return {} if refuses or self.status != 200 else self.json

    @property
    def succeeds(self) -> bool:
        """Whether it is the documented success of `releaseLicense`."""
        return self.told.get("status") == "success"

    @property
    def rejects_the_password(self) -> bool:
        """Whether it is the documented rejection of `generateToken`."""
        error = self.json.get("error")
        code = error.get("code") if isinstance(error, dict) else 0
        return self.status == 200 and type(code) is int and code == 400 and not self._both

    @property
    def may_refuse(self) -> bool:
        """Whether it is anything that says no, rather than nothing or both."""
        if self.fails or self.status >= 500 or 300 <= self.status < 400:
            return self.fails is httpx.ConnectError
        refuses = "error" in self.json or self.json.get("status") in ("error", "failure")
        return self.status >= 400 or (refuses and not self._both)

    @property
    def _both(self) -> bool:
        return "error" in self.json and self.json.get("status") == "success"


def truly(kind: Kind) -> Given:
    return Given(dumped(TRUE[kind]))


def version_in(told: object) -> Version | None:
    """The version that a text is, read without any of the client's code."""
    if not isinstance(told, str) or not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,9})+", told):
        return None
    parts = [int(part) for part in told.split(".")]
    return parts[0], parts[1], parts[2] if len(parts) > 2 else 0


class _Body(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


@dataclass
class Portal:
    """`answers[kind]` are given one after the other; what follows the last one is that again."""

    answers: dict[Kind, list[Given]] = field(default_factory=dict)
    given: list[tuple[Kind, Given]] = field(default_factory=list)
    posts: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    fuzzed: int = 0

    def client(self, **changes: str) -> PortalClient:
        chosen = changes if "portal_token" in changes else {"portal_password": SECRET, **changes}
        return PortalClient(settings(**chosen), transport=httpx.MockTransport(self._answer))

    def gave(self, *kinds: Kind) -> list[Given]:
        return [given for kind, given in self.given if kind in kinds]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        kind = self._kind(path)
        if kind == "release":
            self.posts.append((path, form_of(request)))
        waiting = self.answers.get(kind, [])
        given = waiting[0] if waiting else self._truth(kind, path)
        self.fuzzed += bool(waiting)
        if len(waiting) > 1:
            waiting.pop(0)
        self.given.append((kind, given))
        if given.fails is not None:
            raise given.fails("it failed")
        body = gzip.compress(given.body) if given.packed else given.body
        return httpx.Response(given.status, headers=list(given.headers), stream=_Body(body))

    def _kind(self, path: str) -> Kind:
        for ending, kind in _ENDINGS.items():
            if path.endswith(ending):
                return kind
        if "/listings/" in path:
            return "reading" if self.posts else "license"
        return "member"

    def _truth(self, kind: Kind, path: str) -> Given:
        if kind != "member":
            return truly(kind)
        return Given(dumped({**TRUE["member"], "username": path.rpartition("/")[2]}))


_ENDINGS: dict[str, Kind] = {
    "/generateToken": "sign_in",
    "/healthCheck": "health",
    "/portals/self": "facts",
    "/community/self": "me",
    "/community/users": "search",
    "/purchases": "purchases",
    "/userEntitlements": "listing",
    "/releaseLicense": "release",
}
