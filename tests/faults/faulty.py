"""A portal that fails at one place of a release."""

import socket
import ssl
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import trustme

from server.sandbox.portal import SandboxPortal
from tests.faults.answers import answer
from tests.faults.front import HOST, Front
from tests.faults.portal_matrix import Column, Fault
from tests.portal.portals import Drop, Hang, RawAnswer, RawRequest, http

DRIP_SECONDS = 0.02
AT_THE_DOOR = ("refused", "no_name", "untrusted", "slammed")
_getaddrinfo = socket.getaddrinfo
BEFORE = {
    "facts": "sign_in",
    "member": "facts",
    "listings": "member",
    "license": "listings",
    "renewal": "license",
    "release": "license",
    "verify": "release",
}
"""The request before each step: once it is answered, the door is shut for the next."""


@dataclass(frozen=True)
class Place:
    """Where it fails. `acts`: a release is carried out; `lost`: its answer does not arrive."""

    step: str
    acts: bool = True
    lost: bool = False


PLACES: dict[Column, Place] = {
    "release": Place("release", acts=False),
    "acted": Place("release"),
    "settling": Place("verify", lost=True),
    "unsettled": Place("verify", acts=False, lost=True),
}


class Dripped(bytes):
    """An answer that is sent a byte at a time."""


class FaultyPortal(Front):
    """Behaves until it is armed; then `fault` strikes in `column` until it is healed."""

    def __init__(self, fault: Fault, column: Column) -> None:
        super().__init__()
        self.fault, self.place = fault, PLACES.get(column, Place(column))
        self.host = "localhost" if fault == "no_name" else HOST
        self._is_shut = self._is_spent = False
        if column == "renewal":
            # By its clock every token has long ended, so each request signs in before it.
            self.portal = SandboxPortal(clock=lambda: 1.0)
        if fault == "untrusted":
            self._authority = trustme.CA()
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._show_certificate_of(self._authority)

    def settings(self, folder: Path) -> dict[str, str]:
        """What a server must be told to reach it, and to give up on it soon."""
        if self.fault in ("hang", "dripped"):
            return {"PORTAL_TIMEOUT": "1"}
        if self.fault != "untrusted":
            return {}
        bundle = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(bundle))
        return {"PORTAL_CA_BUNDLE": str(bundle)}

    def arm(self) -> None:
        super().arm()
        if self.place.step == "sign_in":
            self._shut()

    async def heal(self) -> None:
        """Behave from now on."""
        self.armed = False
        if self._is_shut and self.fault == "refused":
            await self.listen()
        if self._is_shut and self.fault == "untrusted":
            self._show_certificate_of(self._authority)
        self._is_shut = False

    def resolve(self, *asked: Any, **more: Any) -> Any:
        """Stand in for `socket.getaddrinfo`."""
        if asked[0] in ("localhost", b"localhost"):
            if self._is_shut:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            asked = (HOST, *asked[1:])
        return _getaddrinfo(*asked, **more)

    async def respond(self, step: str, request: RawRequest) -> RawAnswer:
        if not self.armed:
            return await super().respond(step, request)
        if step == self.place.step and self.fault not in AT_THE_DOOR and not self._is_spent:
            return await self._fail(step, request)
        answered = await self._behave(step, request)
        if step == BEFORE.get(self.place.step):
            self._shut()
        return answered

    async def _behave(self, step: str, request: RawRequest) -> RawAnswer:
        if step != "release":
            return await super().respond(step, request)
        answered: RawAnswer = http({"status": "success"})
        if self.place.acts:
            answered = await super().respond(step, request)
        return Drop if self.place.lost else answered

    async def _fail(self, step: str, request: RawRequest) -> RawAnswer:
        if self.fault == "expired":
            self._is_spent = True
            self.portal.expire_tokens()
            return await super().respond(step, request)
        answered = await self._behave(step, request)
        assert isinstance(answered, bytes)
        match self.fault:
            case "dropped":
                return Drop
            case "hang":
                return Hang
            case "dripped":
                return Dripped(answered)
            case "truncated":
                return answered[:-4]
            case fault:
                sent = request.body.decode("ascii")
                elsewhere = f"http://localhost:{self.port}/elsewhere/releaseLicense"
                return answer(fault, step, sent=sent, elsewhere=elsewhere)

    def _shut(self) -> None:
        self._is_shut = self.fault in AT_THE_DOOR
        if self.fault == "refused":
            self.hang_up()
        if self.fault == "untrusted":
            self._show_certificate_of(trustme.CA())

    def _show_certificate_of(self, authority: trustme.CA) -> None:
        assert self.tls is not None
        authority.issue_cert(HOST).configure_cert(self.tls)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._is_shut and self.fault == "slammed":
            writer.close()
        else:
            super()._accept(reader, writer)

    async def _answer(self, answered: RawAnswer, writer: StreamWriter) -> None:
        if not isinstance(answered, Dripped):
            await super()._answer(answered, writer)
            return
        for drop in answered:
            writer.write(bytes([drop]))
            await writer.drain()
            with anyio.move_on_after(DRIP_SECONDS):
                await self._stopping.wait()
