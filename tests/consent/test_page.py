"""The approval page over HTTP: who has no key sees nothing, and only its own form answers."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.consent.page import Keys
from tests.office import Office, open_office, structured, text

pytestmark = pytest.mark.anyio


@dataclass
class Desk:
    """An open request, the page that asks about it, and a browser that has entered."""

    office: Office
    told: dict[str, Any]
    link: str
    http: httpx.AsyncClient
    path: str

    @property
    def origin(self) -> str:
        """The page's own origin."""
        return self.link.split("/enter/")[0]

    async def token(self) -> str:
        """Return the anti-forgery token of the form."""
        shown = (await self.http.get(self.path)).text
        found = re.search(r'name="token" value="([0-9a-f]+)"', shown)
        assert found is not None
        return found[1]

    async def answer(self, verdict: str = "approve", **changes: str) -> httpx.Response:
        """Send the form as the page's own script-less form would."""
        headers = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        fields = {"token": await self.token(), "verdict": verdict, "username": "jsmith"}
        sent = {key: value for key, value in (fields | changes).items() if not key.startswith("h_")}
        headers |= {key[2:].replace("_", "-"): v for key, v in changes.items() if key[:2] == "h_"}
        return await self.http.post(self.path, data=sent, headers=headers)

    def state(self) -> str:
        """Return where the request stands."""
        return self.office.ledger.get(self.told["release_id"]).state


@asynccontextmanager
async def open_desk(folder: Path, links: list[str]) -> AsyncGenerator[Desk]:
    async with open_office(folder, CONSENT_ROUTES="page", OPEN_BROWSER="true") as office:
        told = await office.release()
        (link,) = links
        origin = link.split("/enter/")[0]
        async with httpx.AsyncClient(base_url=origin) as http:
            entered = await http.get(link)
            assert entered.status_code == 303
            yield Desk(office, told, link, http, entered.headers["location"])


@pytest.mark.promise("one-post")
async def test_the_form_with_the_right_name_releases_once(tmp_path: Path, links: list[str]) -> None:
    async with open_desk(tmp_path, links) as desk:
        answered = await desk.answer()
        shown = await desk.http.get(answered.headers["location"])
        listed = await desk.office.call("list_releases", release_id=desk.told["release_id"])
    assert answered.status_code == 303
    assert "The license was released." in shown.text
    (released,) = structured(listed)["releases"]
    assert released["status"] == "released"
    assert released["consent"]["route"] == "page"
    assert len(desk.office.portal.releases) == 1


@pytest.mark.promise("refusals-kept")
async def test_declining_closes_the_request(tmp_path: Path, links: list[str]) -> None:
    async with open_desk(tmp_path, links) as desk:
        await desk.answer("decline", username="")
        kept = desk.office.ledger.get(desk.told["release_id"])
    assert (kept.state, kept.reason, kept.route) == ("not_released", "declined", "page")
    assert desk.office.portal.releases == []


@pytest.mark.promise("refusals-kept")
@pytest.mark.parametrize("typed", ["", "jsmith2", "JSMITH", "yes"])
async def test_a_mistyped_name_is_refused_in_place_and_the_request_stays_open(
    tmp_path: Path, links: list[str], typed: str
) -> None:
    async with open_desk(tmp_path, links) as desk:
        refused = await desk.answer(username=typed)
        events = [e.event for e in desk.office.ledger.entries(desk.told["release_id"])]
        assert desk.state() == "open"
        assert (await desk.answer()).status_code == 303
        assert desk.state() == "released"
    assert refused.status_code == 422
    assert "Nothing was released" in refused.text
    assert events == ["asked", "no_form", "mistyped"]


@pytest.mark.promise("bound-consent")
async def test_a_second_answer_is_refused_and_shows_the_first(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        token = await desk.token()
        await desk.answer("decline")
        again = await desk.http.post(
            desk.path,
            data={"token": token, "verdict": "approve", "username": "jsmith"},
            headers={"Origin": desk.origin},
        )
    assert again.status_code == 409
    assert "already answered" in again.text
    assert desk.office.portal.releases == []


@pytest.mark.promise("never-the-model")
@pytest.mark.parametrize(
    "changes",
    [
        {"token": ""},
        {"token": "0" * 64},
        {"verdict": "maybe"},
        {"username": "x" * 5_000},
        {"h_Origin": "https://evil.example"},
        {"h_Origin": "null"},
        {"h_Origin": ""},
        {"h_Sec_Fetch_Site": "cross-site"},
        {"h_Sec_Fetch_Site": "same-site"},
        {"h_Host": "evil.example"},
        {"h_Host": "127.0.0.1"},
    ],
)
async def test_a_forged_form_answers_nothing(
    tmp_path: Path, links: list[str], changes: dict[str, str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        forged = await desk.answer(**changes)
        assert desk.state() == "open"
    assert forged.status_code in (400, 403, 413)
    assert desk.office.portal.releases == []


@pytest.mark.promise("never-the-model")
async def test_who_has_no_cookie_sees_nothing_and_answers_nothing(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        token = await desk.token()
        async with httpx.AsyncClient(base_url=desk.origin) as stranger:
            seen = [
                await stranger.get(desk.told["approval_url"]),
                await stranger.get("/"),
                await stranger.get(f"{desk.path}/status"),
                await stranger.get(desk.link),
                await stranger.get(f"/enter/{'A' * 43}"),
                await stranger.get(desk.path, headers={"Cookie": "approver=guessed"}),
                await stranger.post(
                    desk.path,
                    data={"token": token, "verdict": "approve", "username": "jsmith"},
                    headers={"Origin": desk.origin},
                ),
            ]
        assert desk.state() == "open"
    for answer in seen:
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert not re.search(r"smith|stolen|INC-1", answer.text, re.IGNORECASE)
    assert desk.office.portal.releases == []


async def test_a_foreign_host_is_refused_before_anything_is_shown(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        answer = await desk.http.get(desk.path, headers={"Host": "evil.example"})
    assert (answer.status_code, answer.text) == (403, "Refused.")


async def test_every_answer_carries_the_headers_that_keep_it_here(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        for path in (desk.path, "/", "/static/page.js", "/nowhere", f"{desk.path}/status"):
            headers = (await desk.http.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert (headers["x-content-type-options"], headers["cache-control"]) == (
                "nosniff",
                "no-store",
            )


async def test_the_cookie_is_for_this_page_alone(tmp_path: Path, links: list[str]) -> None:
    async with open_office(tmp_path, CONSENT_ROUTES="page", OPEN_BROWSER="true") as office:
        await office.release()
        async with httpx.AsyncClient() as http:
            cookie = (await http.get(links[0])).headers["set-cookie"].casefold()
    for part in ("httponly", "samesite=strict", "path=/"):
        assert part in cookie


@pytest.mark.promise("no-secrets")
async def test_no_key_is_told_logged_or_kept(
    tmp_path: Path, links: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with open_desk(tmp_path, links) as desk:
        await desk.answer()
        listed = await desk.office.call("list_releases")
        kept = repr(desk.office.ledger.entries()) + repr(desk.office.ledger.recent(9))
        cookie = desk.http.cookies["approver"]
    key = links[0].rsplit("/", 1)[1]
    # The test's own client logs what it asks for; the server's loggers must not.
    logged = "".join(r.getMessage() for r in caplog.records if not r.name.startswith("http"))
    for secret in (key, cookie):
        assert secret not in desk.told["message"] + text(listed) + listed.model_dump_json()
        assert secret not in kept
        assert secret not in logged
        assert secret not in desk.path


async def test_unknown_requests_and_odd_methods_are_refused_calmly(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        headers = {"Origin": desk.origin}
        unknown = await desk.http.get("/requests/R-2222-2222")
        odd = await desk.http.get("/requests/%00%3Cscript%3E")
        deleted = await desk.http.request("DELETE", desk.path, headers=headers)
        head = await desk.http.head(desk.path)
        assert desk.state() == "open"
    assert (unknown.status_code, odd.status_code) == (404, 404)
    assert "<script>" not in odd.text.replace('<script src="/static/page.js"', "")
    assert deleted.status_code == 405
    assert (head.status_code, head.text) == (200, "")


@pytest.mark.promise("not-fooled")
async def test_foreign_text_is_text(tmp_path: Path, links: list[str]) -> None:
    hostile = "<img src=x onerror=alert(1)> {{ 7*7 }} <script>alert(1)</script>"
    async with open_office(tmp_path, CONSENT_ROUTES="page", OPEN_BROWSER="true") as office:
        await office.release(username="contractor99", reason=hostile)
        async with httpx.AsyncClient(follow_redirects=True) as http:
            shown = (await http.get(links[0])).text
    assert "<img" not in shown
    assert "&lt;script&gt;" in shown
    assert "{{ 7*7 }}" in shown


async def test_open_requests_and_history_are_listed(tmp_path: Path, links: list[str]) -> None:
    async with open_desk(tmp_path, links) as desk:
        await desk.answer("decline")
        waiting = await desk.office.release()
        before, after = (await desk.http.get("/")).text.split("History")
    assert waiting["release_id"] in before
    assert desk.told["release_id"] in after


async def test_a_link_is_opened_once_for_a_request(tmp_path: Path, links: list[str]) -> None:
    async with open_desk(tmp_path, links) as desk:
        await desk.office.release()
        await desk.office.release()
    assert len(links) == 1


def test_a_key_is_found_only_as_it_is_and_used_once() -> None:
    keys = Keys()
    key = keys.new("R-1")
    assert keys.use(key[:-1]) is None
    assert keys.use(key) == "R-1"
    assert keys.use(key) is None


def test_keys_are_bounded_and_the_oldest_is_dropped() -> None:
    keys = Keys()
    first = keys.new("first")
    newest = [keys.new(str(n)) for n in range(200)]
    assert keys.use(first) is None
    assert keys.use(newest[-1]) == "199"
