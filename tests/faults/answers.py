"""What a portal answers that answers neither yes nor no, or a plain no: the bytes on the wire."""

import json
from collections.abc import Callable
from typing import Any

from tests.faults.portal_matrix import Fault
from tests.portal.portals import http

OTHER_OBJECTS: dict[str, dict[str, Any]] = {
    "sign_in": {"token": ["a", "list"], "expires": "soon"},
    "facts": {"isPortal": "yes", "enterpriseVersion": 11, "user": {"role": ["org_admin"]}},
    "member": {"username": 7, "fullName": {}},
    "listings": {"purchases": {"listing": {}}},
    "license": {"userEntitlements": {"entitlements": ["desktopAdvN"], "disconnected": "true"}},
    "release": {"success": True},
}
OTHER_OBJECTS |= {"renewal": OTHER_OBJECTS["sign_in"], "verify": OTHER_OBJECTS["license"]}


def answer(fault: Fault, step: str, *, sent: str, elsewhere: str) -> bytes:
    """The bytes of a fault that is an answer; as pages and errors do, it repeats what was sent."""
    kind, _, number = fault.partition("_")
    code = int(number) if number.isdecimal() else None
    match kind:
        case "http":
            return http(f"<html>{sent}</html>".encode(), code or 500)
        case "redirect":
            return http(b"", code or 302, location=elsewhere)
        case "sharing":
            error = {"code": code or 400, "message": "Unable to do so.", "details": [sent]}
            return http({"error": error})
        case "admin":
            error = {"status": "error", "messages": ["Unable to do so.", sent]}
            return http(error if code is None else error | {"code": code})
        case _:
            return _PLAIN[fault](step, sent)


_PLAIN: dict[Fault, Callable[[str, str], bytes]] = {
    "page": lambda _, sent: http(f"<html>{sent}</html>".encode()),
    "no_http": lambda *_: b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "garbage": lambda *_: http(bytes(range(128, 256))),
    "bad_json": lambda _, sent: http(f'{{"status": "success", "sent": "{sent}'.encode()),
    "no_object": lambda _, sent: http(json.dumps(["success", sent]).encode()),
    "other_object": lambda step, _: http(OTHER_OBJECTS[step]),
}
