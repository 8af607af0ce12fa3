"""The errors of a portal, in the shapes that it gives them. Nearly all travel on HTTP 200."""

from typing import Any

Json = dict[str, Any]


class Refusal(Exception):
    """The portal answers with `body` instead of doing what was asked."""

    def __init__(self, body: Json) -> None:
        super().__init__(str(body))
        self.body = body


class NoSuchPath(Exception):
    """The portal has nothing at this address: a real HTTP 404."""


def error(code: int, message: str, *details: str, message_code: str | None = None) -> Refusal:
    body: Json = {"code": code, "message": message, "details": list(details)}
    if message_code is not None:
        body["messageCode"] = message_code
    return Refusal({"error": body})


def admin_error(code: int, message: str) -> Refusal:
    """The family of portaladmin itself."""
    return Refusal({"status": "error", "messages": [message], "code": code})


def invalid_token() -> Refusal:
    return error(498, "Invalid token.")


def token_required() -> Refusal:
    return error(499, "Token Required.")


def bad_login() -> Refusal:
    return error(400, "Unable to generate token.", "Invalid username or password.")


def locked() -> Refusal:
    # Assumption: the shape of a bad login, in the words that Esri's client looks for on the page.
    message = "Too many invalid attempts. Please try again later."
    return error(400, "Unable to generate token.", message)


def not_permitted() -> Refusal:
    message = "You do not have permissions to access this resource or perform this operation."
    return error(403, message, message_code="GWM_0003")


def no_such_member() -> Refusal:
    # Assumption: code and message code as ArcGIS Online answers.
    message = "User does not exist or is inaccessible."
    return error(400, message, message_code="COM_0018")


def no_such_listing() -> Refusal:
    # Assumption: the reply for any item that is not there.
    message = "Item does not exist or is inaccessible."
    return error(400, message, message_code="CONT_0001")


def not_licensed() -> Refusal:
    return error(400, "not licensed by user")
