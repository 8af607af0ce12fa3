"""Somebody who talks to a sandbox over real HTTP, the way the documentation says to."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, cast

import httpx

from server.sandbox.portal import ADMINISTRATOR, PASSWORD, SandboxPortal
from server.sandbox.runner import running

REFERER = "https://visitor.example.com"
SELF = "sharing/rest/portals/self"
TOKENS = "sharing/rest/generateToken"
RELEASE = "portaladmin/license/releaseLicense"
OLD_RELEASE = "portaladmin/system/licenses/releaseLicense"

Json = dict[str, Any]


@dataclass
class Visitor:
    portal: SandboxPortal
    base: str
    http: httpx.AsyncClient
    token: str | None = None

    async def sign_in(self, username: str = ADMINISTRATOR, **changes: str) -> Json:
        form = {"username": username, "password": PASSWORD, "client": "referer"}
        reply = await self.ask(TOKENS, **(form | {"referer": REFERER} | changes))
        self.token = reply.get("token")
        return reply

    async def ask(self, path: str, **form: str) -> Json:
        """A POST with `f=json`, and the token in the body once there is one."""
        token = {"token": self.token} if self.token else {}
        response = await self.http.post(f"{self.base}/{path}", data={"f": "json"} | token | form)
        assert response.status_code == httpx.codes.OK
        return cast(Json, response.json())

    async def release(self, username: str, app_id: str, path: str = RELEASE) -> Json:
        return await self.ask(path, username=username, appId=app_id)

    async def status(self, path: str, method: str = "POST") -> int:
        return (await self.http.request(method, f"{self.base}/{path}")).status_code


@contextlib.asynccontextmanager
async def visiting(portal: SandboxPortal, username: str | None = None) -> AsyncGenerator[Visitor]:
    """A visitor, signed in when `username` is given."""
    async with (
        running(portal) as base,
        httpx.AsyncClient(headers={"Referer": REFERER}, trust_env=False) as http,
    ):
        visitor = Visitor(portal, base, http)
        if username is not None:
            await visitor.sign_in(username)
        yield visitor
