"""An open request, the approval page that asks about it, and a browser that has entered."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.office import Office, open_office


@dataclass
class PageDesk:
    """Everything at hand, over HTTP and without a browser."""

    office: Office
    told: dict[str, Any]
    link: str
    http: httpx.AsyncClient
    path: str

    @property
    def origin(self) -> str:
        """The page's own origin."""
        return self.link.split("/enter/")[0]

    @property
    def headers(self) -> dict[str, str]:
        """What a browser says of a form from the page itself."""
        return {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}

    async def token(self, path: str = "") -> str:
        """Return the anti-forgery token of a request's form."""
        shown = (await self.http.get(path or self.path)).text
        found = re.search(r'name="token" value="([0-9a-f]+)"', shown)
        assert found is not None
        return found[1]

    async def answer(self, verdict: str = "approve", **changes: str) -> httpx.Response:
        """Send the form as a browser without script would; `h_` begins what is a header."""
        fields = {"token": await self.token(), "verdict": verdict, "username": "jsmith"}
        sent = {key: value for key, value in (fields | changes).items() if not key.startswith("h_")}
        said = {key[2:].replace("_", "-"): v for key, v in changes.items() if key[:2] == "h_"}
        return await self.http.post(self.path, data=sent, headers=self.headers | said)

    def state(self) -> str:
        """Return where the request stands."""
        return self.office.ledger.get(self.told["release_id"]).state

    def events(self) -> list[str]:
        """Return what the ledger holds of the request."""
        return [entry.event for entry in self.office.ledger.entries(self.told["release_id"])]


@asynccontextmanager
async def open_desk(folder: Path, links: list[str], **more: str) -> AsyncGenerator[PageDesk]:
    """Ask for a release, and enter by the link that the browser was given."""
    settings = {"CONSENT_ROUTES": "page", "OPEN_BROWSER": "true", **more}
    async with open_office(folder, **settings) as office:  # type: ignore[arg-type]
        told = await office.release()
        async with httpx.AsyncClient(base_url=links[0].split("/enter/")[0]) as http:
            entered = await http.get(links[0])
            assert entered.status_code == 303
            yield PageDesk(office, told, links[0], http, entered.headers["location"])
