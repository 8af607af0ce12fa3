"""The page's keys, and the browser that they are given to."""

import shlex
import sys
from pathlib import Path

import httpx
import pytest

from server.consent import browser
from server.consent.page_keys import Keys
from tests.consent.page_desk import open_desk
from tests.office import open_office


def test_a_key_is_found_only_as_it_is_and_used_once() -> None:
    keys = Keys()
    key = keys.new("R-1")
    assert keys.use(key[:-1]) is None
    assert keys.use("\udcff") is None
    assert keys.use(key) == "R-1"
    assert keys.use(key) is None


def test_keys_are_bounded_and_the_oldest_is_dropped() -> None:
    keys = Keys(most=3)
    first, second = keys.new("first"), keys.new("second")
    newest = [keys.new(name) for name in ("third", "fourth")]
    assert keys.use(first) is None
    assert [keys.use(key) for key in (second, *newest)] == ["second", "third", "fourth"]


def test_every_kept_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(kept: bytes, given: bytes) -> bool:
        compared.append((kept, given))
        return kept == given

    keys = Keys()
    first, *_ = [keys.new() for _ in range(5)]
    monkeypatch.setattr("hmac.compare_digest", compare)
    assert keys.find(first) is not None
    assert len(compared) == 5
    assert all(len(kept) == len(given) == 32 for kept, given in compared)


@pytest.mark.anyio
@pytest.mark.promise("no-secrets")
async def test_a_link_works_once_and_looking_does_not_use_it(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_office(tmp_path, CONSENT_ROUTES="page", OPEN_BROWSER="true") as office:
        told = await office.release()
        async with httpx.AsyncClient() as http:
            looked = [await http.request(m, links[0]) for m in ("HEAD", "POST", "OPTIONS")]
            first = await http.get(links[0])
            http.cookies.clear()
            again = await http.get(links[0])
    assert {answer.status_code for answer in looked} <= {403, 405}
    assert first.headers["location"] == f"/requests/{told['release_id']}"
    assert again.status_code == 403
    assert "set-cookie" not in again.headers


@pytest.mark.anyio
async def test_the_cookie_is_for_this_page_alone(tmp_path: Path, links: list[str]) -> None:
    async with open_office(tmp_path, CONSENT_ROUTES="page", OPEN_BROWSER="true") as office:
        await office.release()
        async with httpx.AsyncClient() as http:
            cookie = (await http.get(links[0])).headers["set-cookie"].casefold()
    # Browsers keep one cookie of a name for all ports: two servers must not share it.
    port = httpx.URL(links[0]).port
    assert cookie.startswith(f"approver_{port}=")
    for part in ("httponly", "samesite=strict", "path=/"):
        assert part in cookie
    assert "domain" not in cookie


@pytest.mark.anyio
async def test_a_link_is_opened_once_for_a_request(tmp_path: Path, links: list[str]) -> None:
    async with open_desk(tmp_path, links) as desk:
        await desk.office.release()
        await desk.office.release()
    assert len(links) == 1


@pytest.mark.anyio
@pytest.mark.promise("never-the-model")
async def test_without_a_browser_no_port_is_opened_and_no_address_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.consent.page.listener", None)
    async with open_office(tmp_path, CONSENT_ROUTES="page", OPEN_BROWSER="false") as office:
        told = await office.release()
    assert (told["status"], told["approval_url"]) == ("awaiting_approval", None)
    assert f"approvals approve {told['release_id']}" in told["message"]


@pytest.mark.anyio
@pytest.mark.promise("no-secrets")
async def test_a_browser_that_does_not_open_is_logged_without_its_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []

    def fails(link: str) -> bool:
        tried.append(link)
        return False

    monkeypatch.setattr("server.consent.browser.opener", lambda: fails)
    async with open_office(tmp_path, CONSENT_ROUTES="page", OPEN_BROWSER="true") as office:
        told, again = await office.release(), await office.release()
    assert (told["status"], told["approval_url"]) == ("awaiting_approval", None)
    assert again["release_id"] == told["release_id"]
    assert vars(caplog.records[-1])["release_id"] == told["release_id"]
    assert "/enter/" not in caplog.text
    assert len(tried) == 2


@pytest.mark.promise("no-secrets")
@pytest.mark.parametrize("status", [0, 1])
def test_what_a_browser_prints_reaches_no_log(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    status: int,
) -> None:
    script, got = tmp_path / "browser.py", tmp_path / "got"
    script.write_text(
        "import pathlib, sys\n"
        "print('cannot open', sys.argv[1])\n"
        "print('cannot open', sys.argv[1], file=sys.stderr)\n"
        f"pathlib.Path({str(got)!r}).write_text(sys.argv[1])\n"
        f"sys.exit({status})\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("BROWSER", shlex.join([sys.executable, str(script), "%s"]))
    monkeypatch.setenv("PATH", "")
    opened = browser.open_link("http://127.0.0.1:1/enter/key")
    assert got.read_text() == "http://127.0.0.1:1/enter/key"
    assert opened is (status == 0)
    assert capfd.readouterr() == ("", "")


def test_without_a_python_to_start_no_browser_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert browser.open_link("http://127.0.0.1:1/") is False
