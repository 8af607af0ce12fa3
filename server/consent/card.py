"""The card route: MCP Apps shows the question in the chat, and its buttons call `decide_release`.

The server cannot tell a card's call from a model's, so the call must bring a key that travels only
in a result's `_meta`, which hosts hand to the card and not to the model. A key is made of the
request's id by a secret of this process: it fits one request, and nothing needs to be kept. A host
that shows it to the model breaks that rule; the ledger says that the answer came by `card`.
"""

import hmac
import secrets
from importlib.resources import files
from typing import Any

from mcp.server.apps import Apps

from server.consent import shown
from server.releases.models import Request

URI = "ui://arcgis-license/release.html"
META = "arcgis-license/approval"


class CardKeys:
    """Makes and checks the keys of one process."""

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(32)

    def key(self, release_id: str) -> str:
        """Return the key to one request."""
        return hmac.new(self._secret, release_id.encode(), "sha256").hexdigest()

    def fits(self, release_id: str, key: str) -> bool:
        """Tell, in constant time, whether a key is this request's."""
        return hmac.compare_digest(self.key(release_id).encode(), key.encode("utf-8", "replace"))


def extension() -> Apps:
    """Return the MCP Apps extension with the card's page."""
    apps = Apps()
    html = (files("server") / "consent" / "static" / "card.html").read_text(encoding="utf-8")
    apps.add_html_resource(
        URI,
        html,
        name="release_card",
        title="Approve a release",
        description="Shows who, what and why, and asks a person to type the username.",
        prefers_border=True,
    )
    return apps


def meta(request: Request, key: str) -> dict[str, Any]:
    """Return what a result tells the card alone: the key, and what a person is shown."""
    return {
        META: {
            "key": key,
            "release_id": request.release_id,
            "username": request.username,
            "expires_at": request.expires_at,
            "facts": shown.facts(request),
            "consequences": shown.consequences(request),
        }
    }
