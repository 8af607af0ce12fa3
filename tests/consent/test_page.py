"""The approval page over HTTP: what a person sees, and what becomes of an answer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.app import milliseconds
from server.consent.routes import Routes
from server.errors import LedgerUnavailable
from server.releases.models import Request, Verdict
from server.releases.service import Releases
from server.settings import caller
from tests.consent.page_desk import open_desk
from tests.office import open_office, structured

pytestmark = pytest.mark.anyio


@pytest.mark.promise("one-post")
async def test_the_form_with_the_right_name_releases_once(tmp_path: Path, links: list[str]) -> None:
    async with open_desk(tmp_path, links) as desk:
        answered = await desk.answer()
        shown = await desk.http.get(answered.headers["location"])
        listed = await desk.office.call("list_releases", release_id=desk.told["release_id"])
    assert (answered.status_code, answered.headers["location"]) == (303, desk.path)
    assert "The license was released." in shown.text
    (released,) = structured(listed)["releases"]
    assert released["status"] == "released"
    assert released["consent"] == {"route": "page", "approver": caller().requester}
    (sent,) = desk.office.portal.releases
    assert (sent.form["username"], sent.form["appId"]) == ("jsmith", "arcgisprodesktop")


@pytest.mark.promise("refusals-kept")
async def test_declining_closes_the_request(tmp_path: Path, links: list[str]) -> None:
    async with open_desk(tmp_path, links) as desk:
        await desk.answer("decline", username="")
        kept = desk.office.ledger.get(desk.told["release_id"])
    assert (kept.state, kept.reason, kept.route) == ("not_released", "declined", "page")
    assert desk.office.portal.releases == []


@pytest.mark.promise("refusals-kept")
@pytest.mark.parametrize("typed", ["", "jsmith2", "JSMITH", "yes", "jsm\u200bith", "\uff4asmith"])
async def test_a_mistyped_name_is_refused_in_place_and_the_request_stays_open(
    tmp_path: Path, links: list[str], typed: str
) -> None:
    async with open_desk(tmp_path, links) as desk:
        refused = await desk.answer(username=typed)
        assert (desk.state(), desk.events()) == ("open", ["asked", "no_form", "mistyped"])
        assert desk.office.portal.releases == []
        assert (await desk.answer(username=" jsmith ")).status_code == 303
        assert desk.state() == "released"
    assert refused.status_code == 422
    assert "Nothing was released" in refused.text


@pytest.mark.promise("bound-consent")
@pytest.mark.parametrize("first", ["decline", "approve"])
@pytest.mark.parametrize("second", ["decline", "approve"])
async def test_a_second_answer_is_refused_and_shows_the_first(
    tmp_path: Path, links: list[str], first: str, second: str
) -> None:
    async with open_desk(tmp_path, links) as desk:
        form = {"token": await desk.token(), "verdict": second, "username": "jsmith"}
        await desk.answer(first)
        events = desk.events()
        again = await desk.http.post(desk.path, data=form, headers=desk.headers)
        assert desk.events() == events
    assert again.status_code == 409
    assert "already answered" in again.text
    said = "The license was released." if first == "approve" else "Nothing was released."
    assert f"<h1>{said}</h1>" in again.text
    assert len(desk.office.portal.releases) == (first == "approve")


@pytest.mark.promise("bound-consent")
@pytest.mark.parametrize("verdict", ["approve", "decline"])
async def test_of_two_answers_at_once_the_loser_is_told_so(
    tmp_path: Path, links: list[str], monkeypatch: pytest.MonkeyPatch, verdict: str
) -> None:
    decide = Routes.decide

    async def late(self: Routes, request: Request, *rest: Any, **more: Any) -> Request:
        first: Verdict = "declined" if verdict == "approve" else "approved"
        ledger, now = desk.office.ledger, milliseconds()
        ledger.decide(request.release_id, first, route="page", approver="ben@desk", now=now)
        return await decide(self, request, *rest, **more)

    monkeypatch.setattr(Routes, "decide", late)
    async with open_desk(tmp_path, links) as desk:
        answered = await desk.answer(verdict)
    assert answered.status_code == 409
    assert "already answered" in answered.text
    assert len(desk.office.portal.releases) == (verdict == "decline")


@pytest.mark.promise("bound-consent")
@pytest.mark.promise("refusals-kept")
@pytest.mark.parametrize("verdict", ["approve", "decline"])
async def test_an_answer_after_the_time_ran_out_counts_for_nothing(
    tmp_path: Path, links: list[str], monkeypatch: pytest.MonkeyPatch, verdict: str
) -> None:
    late = [0]
    monkeypatch.setattr("server.app.milliseconds", lambda: milliseconds() + late[0])
    async with open_desk(tmp_path, links) as desk:
        form = {"token": await desk.token(), "verdict": verdict, "username": "jsmith"}
        late[0] = 3_600_000
        answered = await desk.http.post(desk.path, data=form, headers=desk.headers)
        assert desk.events()[-1] == "expired"
        status = (await desk.http.get(f"{desk.path}/status")).json()
    assert answered.status_code == 409
    assert "time had run out" in answered.text
    assert status == {"state": "not_released"}
    assert desk.office.portal.releases == []


@pytest.mark.promise("four-outcomes")
async def test_an_answer_that_the_ledger_may_have_lost_is_not_said_to_count_or_not(
    tmp_path: Path, links: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unheard(self: Releases, *_: Any, **__: Any) -> Request:
        raise LedgerUnavailable("the connection was cut", "Try again.")

    async with open_desk(tmp_path, links) as desk:
        monkeypatch.setattr(Releases, "answer", unheard)
        answered = await desk.answer()
    assert answered.status_code == 503
    assert "It is not known whether your answer was recorded" in answered.text
    assert "<h1>It is not known whether the license was released.</h1>" in answered.text
    assert "did not count" not in answered.text


@pytest.mark.promise("bound-consent")
async def test_a_yes_that_another_server_carries_out_counts_after_a_refused_one(
    tmp_path: Path, links: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def elsewhere(self: Routes, request: Request, *_: Any, **__: Any) -> Request:
        return replace(request, state="sending", reason="self_approval", route="page")

    monkeypatch.setattr(Routes, "decide", elsewhere)
    async with open_desk(tmp_path, links) as desk:
        answered = await desk.answer()
    assert answered.status_code == 303
    assert desk.office.portal.releases == []


@pytest.mark.promise("re-checked")
async def test_a_yes_that_the_facts_forbid_shows_why_nothing_was_released(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        desk.office.portal.hand_back("jsmith", "arcgisprodesktop")
        answered = await desk.answer()
        shown = (await desk.http.get(desk.path)).text
    assert answered.status_code == 303
    assert "<h1>Nothing was released.</h1>" in shown
    assert "Nothing is checked out" in shown
    assert desk.office.portal.releases == []


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
    assert "\u202e" not in shown


async def test_open_requests_and_history_are_listed(tmp_path: Path, links: list[str]) -> None:
    async with open_desk(tmp_path, links) as desk:
        await desk.answer("decline")
        waiting = await desk.office.release()
        before, after = (await desk.http.get("/")).text.split("History")
        shown = (await desk.http.get(f"/requests/{waiting['release_id']}")).text
    assert waiting["release_id"] in before
    assert desk.told["release_id"] in after
    assert desk.told["release_id"] in shown.split("other requests of the last 30 days")[1]


async def test_two_requests_in_one_browser_are_both_answered(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        form = {"token": await desk.token(), "verdict": "approve", "username": "jsmith"}
        other = await desk.office.release(username="sfernandez")
        entered = await desk.http.get(links[1])
        first = await desk.http.post(desk.path, data=form, headers=desk.headers)
        assert desk.state() == "released"
        shown = await desk.http.get(entered.headers["location"])
    assert "set-cookie" not in entered.headers
    assert first.status_code == 303
    assert other["release_id"] in shown.text


@pytest.mark.promise("bound-consent")
async def test_a_request_for_another_portal_is_not_answered_here(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        ledger = desk.office.ledger
        mine = ledger.get(desk.told["release_id"])
        elsewhere = ledger.open(replace(mine, portal="https://other.example/portal"))
        path = f"/requests/{elsewhere.release_id}"
        form = {"token": await desk.token(), "verdict": "approve", "username": "jsmith"}
        seen = await desk.http.get(path)
        answered = await desk.http.post(path, data=form, headers=desk.headers)
        assert ledger.get(elsewhere.release_id).state == "open"
    assert (seen.status_code, answered.status_code) == (404, 403)
    assert desk.office.portal.releases == []
