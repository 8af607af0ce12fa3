"""The approval page against whoever has no key, and against what is not its own form."""

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.releases.service import Releases
from tests.consent.page_desk import open_desk
from tests.office import text

pytestmark = pytest.mark.anyio

FORM = "application/x-www-form-urlencoded"


def on_the_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


@pytest.mark.promise("never-the-model")
@pytest.mark.parametrize(
    "changes",
    [
        {"token": ""},
        {"token": "0" * 64},
        {"token": "\u00e9"},
        {"verdict": "maybe"},
        {"username": "x" * 5_000},
        {"h_Origin": "https://evil.example"},
        {"h_Origin": "http://127.0.0.1:1"},
        {"h_Origin": "null"},
        {"h_Origin": ""},
        {"h_Sec_Fetch_Site": "cross-site"},
        {"h_Sec_Fetch_Site": "same-site"},
        {"h_Sec_Fetch_Site": "none"},
        {"h_Host": "evil.example"},
        {"h_Host": "127.0.0.1"},
    ],
)
async def test_a_forged_form_answers_nothing(
    tmp_path: Path, links: list[str], changes: dict[str, str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        forged = await desk.answer(**changes)
        assert (desk.state(), desk.events()) == ("open", ["asked", "no_form"])
    assert forged.status_code in (400, 403, 413)
    assert desk.office.portal.releases == []


@pytest.mark.promise("bound-consent")
async def test_the_form_of_one_request_answers_no_other(tmp_path: Path, links: list[str]) -> None:
    async with open_desk(tmp_path, links) as desk:
        other = await desk.office.release(username="sfernandez")
        token = await desk.token(f"/requests/{other['release_id']}")
        forged = await desk.answer(token=token)
        assert desk.state() == "open"
    assert forged.status_code == 403


async def test_a_form_of_another_kind_or_size_is_not_read(tmp_path: Path, links: list[str]) -> None:
    async def endless() -> AsyncGenerator[bytes]:
        for _ in range(100):
            yield b"username=jsmith&" * 64

    async with open_desk(tmp_path, links) as desk:
        fields = f"token={await desk.token()}&verdict=approve&username=jsmith"

        async def post(content: Any, kind: str = FORM) -> int:
            headers = desk.headers | {"Content-Type": kind}
            return (await desk.http.post(desk.path, content=content, headers=headers)).status_code

        assert await post(endless()) == 413
        assert await post(fields.encode(), "text/plain") == 415
        assert await post(b'{"verdict": "approve"}', "application/json") == 415
        assert await post(b"\xff" + fields.encode()) == 400
        assert await post(f"{fields}{'&more=1' * 20}") == 400
        assert await post(b"") == 403
        assert desk.state() == "open"
        assert await post(fields) == 303


@pytest.mark.promise("never-the-model")
async def test_who_has_no_cookie_sees_nothing_and_answers_nothing(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        form = {"token": await desk.token(), "verdict": "approve", "username": "jsmith"}
        (cookie,) = desk.http.cookies.keys()
        async with httpx.AsyncClient(base_url=desk.origin) as stranger:
            seen = [
                await stranger.get(desk.told["approval_url"]),
                await stranger.get("/"),
                await stranger.get(f"{desk.path}/status"),
                await stranger.get("/requests/R-2222-2222"),
                await stranger.get(desk.link),
                await stranger.get(f"/enter/{'A' * 43}"),
                await stranger.get(desk.path, headers={"Cookie": f"{cookie}=guessed"}),
                await stranger.get(
                    desk.path, headers={"Cookie": f'{cookie}="\\303\\251"; {cookie}='}
                ),
                await stranger.post(desk.path, data=form, headers=desk.headers),
            ]
            elsewhere = [await stranger.get(p) for p in ("/static/page.js", "/static/", "/enter/")]
        assert desk.state() == "open"
    assert {answer.status_code for answer in seen} == {403}
    assert len({answer.text for answer in seen}) == 1
    for answer in seen + elsewhere:
        assert "set-cookie" not in answer.headers
        assert not re.search(r"smith|stolen|INC-1", answer.text, re.IGNORECASE)
        assert desk.told["release_id"] not in answer.text
    assert desk.office.portal.releases == []


async def test_only_the_page_s_own_address_is_answered(tmp_path: Path, links: list[str]) -> None:
    async with open_desk(tmp_path, links) as desk:
        port = desk.origin.rsplit(":", 1)[1]
        for host in ("evil.example", f"evil.example:{port}", f"localhost:{port}", "127.0.0.1"):
            answer = await desk.http.get(desk.path, headers={"Host": host})
            assert (answer.status_code, answer.text) == (403, "Refused.")


async def test_every_answer_carries_the_headers_that_keep_it_here(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        paths = (desk.path, "/", "/static/page.js", "/nowhere", f"{desk.path}/status", desk.link)
        for path in paths:
            headers = (await desk.http.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert headers["cross-origin-resource-policy"] == "same-origin"


async def test_unknown_requests_and_odd_methods_are_refused_calmly(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        unknown = await desk.http.get("/requests/R-2222-2222")
        odd = await desk.http.get("/requests/%00%3Cscript%3E")
        long = await desk.http.get(f"/requests/{'R' * 9_000}")
        methods = ("DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "QUERY")
        others = [await desk.http.request(m, desk.path, headers=desk.headers) for m in methods]
        head = await desk.http.head(desk.path)
        assert (desk.state(), desk.events()) == ("open", ["asked", "no_form"])
    assert {answer.status_code for answer in (unknown, odd, long)} == {404}
    assert odd.text.count("<script") == 1
    assert {answer.status_code for answer in others} == {405}
    assert (head.status_code, head.text) == (200, "")


@pytest.mark.promise("no-secrets")
async def test_a_fault_reveals_nothing_and_the_page_goes_on(
    tmp_path: Path,
    links: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("a detail of the machine")

    async with open_desk(tmp_path, links) as desk:
        form = {"token": await desk.token(), "verdict": "approve", "username": "jsmith"}
        with monkeypatch.context() as broken:
            broken.setattr(Releases, "get", fails)
            shown = await desk.http.get(desk.path)
            answered = await desk.http.post(desk.path, data=form, headers=desk.headers)
        assert (await desk.answer()).status_code == 303
    for answer in (shown, answered):
        assert answer.status_code == 500
        assert "a detail of the machine" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "a detail of the machine" in caplog.text


@pytest.mark.promise("no-secrets")
async def test_no_key_is_told_logged_or_kept(
    tmp_path: Path, links: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with open_desk(tmp_path, links) as desk:
        shown = (await desk.http.get(desk.path)).text
        token = await desk.token()
        await desk.answer(username="wrong")
        await desk.answer()
        listed = await desk.office.call("list_releases")
        kept = repr(desk.office.ledger.entries()) + repr(desk.office.ledger.recent(9))
        files = on_the_disk(tmp_path)
        (cookie,) = desk.http.cookies.values()
    key = links[0].rsplit("/", 1)[1]
    # The test's own client logs what it asks for; the server's loggers must not.
    logged = "".join(r.getMessage() for r in caplog.records if not r.name.startswith("http"))
    assert desk.told["approval_url"] == desk.origin + desk.path
    for secret in (key, cookie, token):
        assert secret not in repr(desk.told) + text(listed) + listed.model_dump_json()
        assert secret not in kept + logged + desk.path
        assert secret.encode() not in files
    assert key not in shown
    assert cookie not in shown
