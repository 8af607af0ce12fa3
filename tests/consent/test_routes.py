"""Which route when, and that whoever answers first is the only one who counts."""

from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
import pytest
from mcp import Client
from mcp_types import ElicitResult, ErrorData

from server import app, settings, watcher
from server.consent import browser
from server.releases.policy import Policy
from tests.office import ERAS, RELEASE, Era, Office, action, open_office, structured, typing, until

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("START_SECONDS", "WATCH_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(watcher, name, 0.01)


async def settled(office: Office, release_id: str) -> str:
    def final() -> bool:
        return office.ledger.get(release_id).state not in ("open", "approved", "sending")

    await until(final)
    return office.ledger.get(release_id).state


def approve(office: Office, release_id: str) -> None:
    now = app.milliseconds()
    office.ledger.decide(release_id, "approved", route="page", approver="ben@desk", now=now)


async def never(_: str) -> ElicitResult:
    await anyio.sleep_forever()
    raise AssertionError


async def fails(_: str) -> ErrorData:
    return ErrorData(code=-32603, message="no window")


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_shows_nothing_gets_the_page(
    tmp_path: Path, era: Era, links: list[str]
) -> None:
    async with open_office(tmp_path, era=era, OPEN_BROWSER="true") as office:
        told = await office.release()
        again = await office.release()
        approve(office, told["release_id"])
        state = await settled(office, told["release_id"])
    assert (told["status"], told["reason"]) == ("awaiting_approval", "no_form")
    assert again["release_id"] == told["release_id"]
    assert told["approval_url"].endswith(f"/requests/{told['release_id']}")
    assert told["approval_url"] in told["message"]
    (link,) = links
    assert "/enter/" in link
    assert link.rsplit("/", 1)[1] not in told["message"] + told["approval_url"]
    assert state == "released"
    assert len(office.portal.releases) == 1


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", ["decline", "cancel"])
async def test_a_client_that_answers_by_itself_gets_the_page_and_a_release_after_a_yes(
    tmp_path: Path, era: Era, name: Literal["decline", "cancel"], links: list[str]
) -> None:
    async with open_office(tmp_path, action(name), era=era, OPEN_BROWSER="true") as office:
        first, second = await office.release(), await office.release()
        assert len(links) == 1
        approve(office, second["release_id"])
        assert await settled(office, second["release_id"]) == "released"
    assert first["status"] == "not_released"
    assert len(office.portal.releases) == 1


async def test_a_form_that_nobody_answers_gets_the_page_in_the_modern_era_too(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_office(tmp_path, never, CONSENT_TIMEOUT="0.05", OPEN_BROWSER="true") as office:
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(office.release)
            await until(lambda: links)
            waiting.cancel_scope.cancel()
        (request,) = office.ledger.recent(1)
        approve(office, request.release_id)
        state = await settled(office, request.release_id)
    assert state == "released"
    assert len(office.portal.releases) == 1


@pytest.mark.parametrize("answer", [never, fails])
async def test_a_form_without_an_answer_gets_the_page_before_2026(
    tmp_path: Path, answer: object, links: list[str]
) -> None:
    async with open_office(
        tmp_path,
        answer,  # type: ignore[arg-type]
        era="legacy",
        CONSENT_TIMEOUT="0.05",
        OPEN_BROWSER="true",
    ) as office:
        told = await office.release()
        approve(office, told["release_id"])
        assert await settled(office, told["release_id"]) == "released"
    assert told["status"] == "awaiting_approval"
    assert len(links) == 1


@pytest.mark.promise("one-post")
@pytest.mark.promise("bound-consent")
async def test_an_answer_elsewhere_makes_the_form_s_answer_too_late(tmp_path: Path) -> None:
    async def late(_: str) -> ElicitResult:
        (request,) = office.ledger.recent(1)
        approve(office, request.release_id)
        await settled(office, request.release_id)
        return ElicitResult(action="decline")

    async with open_office(tmp_path, late, era="legacy") as office:
        told = await office.release()
    assert (told["status"], told["consent"]["approver"]) == ("released", "ben@desk")
    assert len(office.portal.releases) == 1


@pytest.mark.promise("one-post")
async def test_two_servers_on_one_ledger_and_three_answers_send_once(tmp_path: Path) -> None:
    async with open_office(tmp_path, CONSENT_ROUTES="page") as office:
        told = await office.release()
        second = app.build(settings.load(office.env), Policy())
        async with Client(second) as other, anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(anyio.to_thread.run_sync, approve, office, told["release_id"])
            group.start_soon(other.call_tool, "release_license", RELEASE)
            assert await settled(office, told["release_id"]) == "released"
    assert len(office.portal.releases) == 1


@pytest.mark.promise("bound-consent")
async def test_a_new_server_sends_what_was_approved_after_the_old_one_ended(
    tmp_path: Path,
) -> None:
    async with open_office(tmp_path, CONSENT_ROUTES="page") as office:
        env = office.env
        first = app.build(settings.load(env), Policy())
        async with Client(first) as client:
            told = structured(await client.call_tool("release_license", RELEASE))
        approve(office, told["release_id"])
        assert office.portal.releases == []
        async with Client(app.build(settings.load(env), Policy())):
            assert await settled(office, told["release_id"]) == "released"
    assert len(office.portal.releases) == 1


async def test_without_the_page_the_request_stays_open_for_a_terminal(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_office(
        tmp_path, fails, era="legacy", CONSENT_ROUTES="form", OPEN_BROWSER="true"
    ) as office:
        told = await office.release()
    assert (told["status"], told["approval_url"]) == ("awaiting_approval", None)
    assert links == []


async def test_a_process_that_never_needs_the_page_opens_no_port(
    tmp_path: Path, links: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.loopback.listener", None)
    async with open_office(tmp_path, typing(), OPEN_BROWSER="true", portal=None) as office:
        told = await office.release()
    assert told["status"] == "released"
    assert links == []


async def test_a_fault_while_watching_does_not_end_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    faults = [RuntimeError("passing")]
    real = "server.releases.service.Releases.carry_out_approved"
    from server.releases.service import Releases

    looked = Releases.carry_out_approved

    async def sometimes(self: Releases) -> bool:
        if faults:
            raise faults.pop()
        return await looked(self)

    monkeypatch.setattr(real, sometimes)
    async with open_office(tmp_path, CONSENT_ROUTES="page") as office:
        told = await office.release()
        approve(office, told["release_id"])
        assert await settled(office, told["release_id"]) == "released"
    assert "passing" in caplog.text


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "w"}, True),
        ({"BROWSER": "x"}, True),
    ],
)
def test_a_browser_is_opened_only_where_it_shows_windows(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: bool
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert (browser.opener(environment) is not None) is expected


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_windows_and_macos_always_have_a_browser(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    assert browser.opener({}) is not None
