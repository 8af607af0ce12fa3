"""What the model sees: a snapshot in review, strict arguments, and results in one shape."""

import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from server.errors import NoClearAnswer
from server.releases.models import ROUTES
from server.releases.wording import LAST_SENTENCE, REASONS
from server.results import Release
from server.sandbox.members import MEMBERS, VIEWER, crowd
from server.sandbox.portal import SandboxPortal
from tests.office import ERAS, NOTHING, PRO, RELEASE, Era, open_office, structured, text, typing

pytestmark = pytest.mark.anyio
SNAPSHOT = Path(__file__).with_name("tools.json")
RELEASE_FIELDS = {
    "release_id", "status", "reason", "username", "full_name", "app_id", "message", "consent",
    "verified", "expires_at", "approval_url",
}  # fmt: skip


async def listed(tmp_path: Path) -> list[dict[str, Any]]:
    async with open_office(tmp_path) as office:
        tools = (await office.client.list_tools()).tools
    return [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]


async def test_what_the_model_sees_is_the_reviewed_snapshot(tmp_path: Path) -> None:
    """Set UPDATE_SNAPSHOT=1 to write the file anew, and review the difference."""
    seen = json.dumps(await listed(tmp_path), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(seen, encoding="utf-8")
    assert seen == SNAPSHOT.read_text(encoding="utf-8")


async def test_every_tool_has_a_title_annotations_and_schemas(tmp_path: Path) -> None:
    tools = await listed(tmp_path)
    assert [tool["name"] for tool in tools] == [
        "find_members",
        "check_license",
        "list_offline_licenses",
        "release_license",
        "list_releases",
    ]
    for tool in tools:
        assert tool["title"]
        assert tool["outputSchema"]["type"] == "object"
        assert "$ref" not in json.dumps(tool["inputSchema"])
        assert tool["inputSchema"]["additionalProperties"] is False
        reads = tool["name"] != "release_license"
        assert tool["annotations"].get("readOnlyHint", False) is reads


async def test_a_release_is_described_with_when_not_to_ask_for_it(tmp_path: Path) -> None:
    (tool,) = (t for t in await listed(tmp_path) if t["name"] == "release_license")
    for word in ("greyed out", "unassign", "still works"):
        assert word in tool["description"]
    assert set(tool["outputSchema"]["properties"]) == RELEASE_FIELDS
    assert set(tool["inputSchema"]["properties"]) == {"username", "app_id", "reason", "ticket"}


@pytest.mark.promise("never-the-model")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "changes",
    [
        {"confirm": True},
        {"approved_by": "the administrator"},
        {"release_id": "R-2222-2222"},
        {"username": 5},
        {"username": None},
        {"username": ["jsmith"]},
        {"username": ""},
        {"username": " jsmith"},
        {"username": "jsmith\u200b"},
        {"username": "x" * 129},
        {"app_id": "pro"},
        {"app_id": ["arcgisprodesktop"]},
        {"reason": ""},
        {"reason": "x" * 501},
        {"ticket": 7},
        {"ticket": "x" * 65},
    ],
)
async def test_arguments_that_are_not_exactly_right_release_nothing(
    tmp_path: Path, era: Era, changes: dict[str, Any]
) -> None:
    async with open_office(tmp_path, typing(), era=era) as office:
        result = await office.call("release_license", **{**RELEASE, **changes})
    told = structured(result)
    (name,) = changes
    assert (told["status"], told["reason"]) == ("not_released", "invalid_arguments")
    assert set(told) == RELEASE_FIELDS
    assert result.is_error
    assert name in text(result)
    assert text(result).endswith(NOTHING)
    assert office.portal.requests == []


@pytest.mark.parametrize(
    ("tool", "arguments", "named"),
    [
        ("find_members", {"text": "smith", "page": 2}, "page"),
        ("find_members", {"text": "smith", "limit": "5"}, "limit"),
        ("find_members", {"text": "smith", "limit": True}, "limit"),
        ("find_members", {}, "text"),
        ("check_license", {"username": "jsmith", "app_id": "Pro"}, "app_id"),
        ("list_offline_licenses", {"app_id": PRO, "limit": 0}, "limit"),
        ("list_releases", {"status": "done"}, "status"),
        ("no_such_tool", {}, "no_such_tool"),
    ],
)
async def test_a_wrong_call_gets_a_sentence_that_names_what_is_wrong(
    tmp_path: Path, tool: str, arguments: dict[str, Any], named: str
) -> None:
    async with open_office(tmp_path) as office:
        result = await office.call(tool, **arguments)
    assert result.is_error
    assert named in text(result)
    assert "pydantic" not in text(result)
    assert office.portal.requests == []


async def test_members_are_found_with_their_total(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        found = structured(await office.call("find_members", text="smith", limit=1))
    assert found["total"] == 2
    assert found["members"] == [
        {
            "username": "jsmith",
            "full_name": "Jane Smith",
            "email": "jsmith@example.com",
            "disabled": False,
        }
    ]


@pytest.mark.parametrize(
    ("username", "app_id", "expected"),
    [
        ("jsmith", PRO, "offline"),
        ("jsmith2", PRO, "not_offline"),
        ("jsmith2", "drone2map", "not_licensed"),
    ],
)
async def test_a_license_is_read(tmp_path: Path, username: str, app_id: str, expected: str) -> None:
    async with open_office(tmp_path) as office:
        seen = structured(await office.call("check_license", username=username, app_id=app_id))
    assert (seen["username"], seen["license"]) == (username, expected)
    assert office.portal.releases == []


async def test_a_name_in_another_case_is_refused_with_the_right_spelling(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        result = await office.call("check_license", username="JSmith", app_id=PRO)
    assert result.is_error
    assert '"jsmith"' in text(result)


async def test_everybody_offline_is_listed_with_progress(tmp_path: Path) -> None:
    portal = SandboxPortal(members=[*MEMBERS(), *crowd(450, offline=12)])
    expected = sorted(name for name in portal.members if portal.is_offline(name, PRO))
    reported: list[float] = []

    async def seen(progress: float, total: float | None, message: str | None) -> None:
        reported.append(progress)

    async with open_office(tmp_path, portal=portal) as office:
        result = await office.client.call_tool(
            "list_offline_licenses", {"app_id": PRO}, progress_callback=seen
        )
        few = structured(await office.call("list_offline_licenses", app_id=PRO, limit=3))
    answer = structured(result)
    assert [row["username"] for row in answer["offline"]] == expected
    assert answer["total_offline"] == len(expected)
    assert reported == sorted(reported)
    assert len(reported) == 4
    assert (len(few["offline"]), few["total_offline"]) == (3, len(expected))


async def test_releases_are_listed_and_filtered(tmp_path: Path) -> None:
    async with open_office(tmp_path, typing()) as office:
        released = await office.release()
        refused = await office.release(username="gis.chief")
        every = structured(await office.call("list_releases"))["releases"]
        by_id = structured(await office.call("list_releases", release_id=released["release_id"]))
        by_status = structured(await office.call("list_releases", status="not_released"))
        by_name = structured(await office.call("list_releases", username="jsmith"))
        none = await office.call("list_releases", release_id="R-2222-2222")
    assert [r["release_id"] for r in every] == [refused["release_id"], released["release_id"]]
    assert [r["release_id"] for r in by_id["releases"]] == [released["release_id"]]
    assert [r["release_id"] for r in by_status["releases"]] == [refused["release_id"]]
    assert [r["release_id"] for r in by_name["releases"]] == [released["release_id"]]
    assert set(every[0]) == RELEASE_FIELDS | {"asked_at", "ticket"}
    assert structured(none)["releases"] == []


@pytest.mark.parametrize(
    ("username", "reason"),
    [
        ("jsmith2", "not_checked_out"),
        ("nobody", "no_such_member"),
        ("gis.chief", "policy"),
    ],
)
async def test_a_refusal_is_an_error_and_nothing_to_release_is_none(
    tmp_path: Path, username: str, reason: str
) -> None:
    async with open_office(tmp_path, typing()) as office:
        result = await office.call("release_license", **{**RELEASE, "username": username})
    told = structured(result)
    assert (told["status"], told["reason"]) == ("not_released", reason)
    assert bool(result.is_error) is (reason != "not_checked_out")
    assert text(result).endswith(NOTHING)
    assert office.questions == []
    assert office.portal.releases == []


@pytest.mark.promise("durable-intent")
async def test_a_ledger_that_cannot_be_opened_means_no_release(tmp_path: Path) -> None:
    folder = tmp_path / "ledger.db"
    folder.mkdir()
    async with open_office(tmp_path, typing()) as office:
        result = await office.call("release_license", **RELEASE)
    told = structured(result)
    assert (told["status"], told["reason"]) == ("not_released", "ledger_unavailable")
    assert result.is_error
    assert text(result).endswith(NOTHING)
    assert office.portal.releases == []


async def test_an_account_without_the_privilege_is_told_so(tmp_path: Path) -> None:
    async with open_office(tmp_path, typing(), PORTAL_USERNAME=VIEWER) as office:
        told = await office.release()
    assert (told["status"], told["reason"]) == ("not_released", "missing_privilege")
    assert office.portal.releases == []


@pytest.mark.promise("no-lockout")
async def test_a_rejected_password_is_tried_once(tmp_path: Path) -> None:
    async with open_office(tmp_path, typing(), PORTAL_PASSWORD="wrong") as office:
        reasons = [(await office.release())["reason"] for _ in range(3)]
        looked = await office.call("check_license", username="jsmith", app_id=PRO)
    assert reasons == ["sign_in_failed"] * 3
    assert looked.is_error
    assert [r.path for r in office.portal.requests] == ["/portal/sharing/rest/generateToken"]


@pytest.mark.promise("one-post")
async def test_parallel_calls_release_once(tmp_path: Path) -> None:
    outcomes: list[str] = []

    async with open_office(tmp_path, typing()) as office:

        async def ask() -> None:
            outcomes.append((await office.release())["status"])

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(ask)
    assert "released" in outcomes
    assert len(office.portal.releases) == 1


@pytest.mark.promise("four-outcomes")
async def test_an_unexpected_fault_is_unknown_and_shows_nothing_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the inside of the server")

    monkeypatch.setattr("server.releases.service.Releases.request", broken)
    async with open_office(tmp_path, typing()) as office:
        result = await office.call("release_license", **RELEASE)
    told = structured(result)
    assert (told["status"], told["reason"]) == ("unknown", "outcome_unknown")
    assert "inside" not in text(result)
    assert "the inside of the server" in caplog.text


async def test_a_portal_that_fails_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise NoClearAnswer("The portal is down.")

    monkeypatch.setattr("server.portal.client.PortalClient.search", broken)
    async with open_office(tmp_path) as office:
        result = await office.call("find_members", text="smith")
    assert result.is_error
    assert text(result) == "The portal is down."


def test_every_reason_and_status_has_its_words() -> None:
    schema = Release.model_json_schema()
    assert set(LAST_SENTENCE) == set(schema["properties"]["status"]["enum"])
    assert all(wording.meaning.endswith(".") for wording in REASONS.values())
    assert ROUTES == ("form", "card", "page")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"ticket": "INC-1"}, True),
        ({"ticket": "INC-2"}, False),
        ({"since": "2020-01-01"}, True),
        ({"since": "2020-01-01T00:00:00Z", "status": "awaiting_approval"}, True),
        ({"since": "2999-01-01T00:00:00"}, False),
        ({"since": "2999-01-01T00:00:00+02:00"}, False),
    ],
)
async def test_releases_are_found_by_ticket_and_time(
    tmp_path: Path, arguments: dict[str, str], found: bool
) -> None:
    async with open_office(tmp_path) as office:
        told = await office.release()
        listed = structured(await office.call("list_releases", **arguments))["releases"]
        by_id = await office.call("list_releases", release_id=told["release_id"].lower())
    assert [each["release_id"] for each in listed] == ([told["release_id"]] if found else [])
    assert len(structured(by_id)["releases"]) == 1


async def test_a_time_that_is_none_is_refused_with_what_to_give(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        answer = await office.call("list_releases", since="last week")
    assert answer.is_error
    assert "since" in text(answer)
