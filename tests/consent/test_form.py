"""The form route in both eras: only the exact username, typed in time, releases anything."""

import re
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp_types import (
    ElicitResult,
    ErrorData,
    InputRequiredResult,
    InputResponses,
)

from server.releases.models import Reason
from server.sandbox.portal import SandboxPortal
from tests.office import (
    ERAS,
    NOTHING,
    PRO,
    RELEASE,
    Answer,
    Era,
    Office,
    action,
    content,
    open_office,
    structured,
    text,
    typing,
)

pytestmark = [pytest.mark.anyio]
both_eras = pytest.mark.parametrize("era", ERAS)


@both_eras
async def test_the_exact_name_releases_once(tmp_path: Path, era: Era) -> None:
    async with open_office(tmp_path, typing(), era=era) as office:
        released = await office.release()
    assert (released["status"], released["reason"]) == ("released", "confirmed")
    assert (released["consent"]["route"], released["verified"]) == ("form", True)
    assert len(office.portal.releases) == 1
    assert not office.portal.is_offline("jsmith", PRO)


@both_eras
@pytest.mark.promise("never-the-model")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (action("decline"), "declined"),
        (action("cancel"), "cancelled"),
        (typing("jsmith2"), "mistyped"),
        (typing("JSmith"), "mistyped"),
        (typing(""), "mistyped"),
        (typing("yes"), "mistyped"),
        (typing(True), "mistyped"),
        (typing(1), "mistyped"),
        (typing(["jsmith"]), "mistyped"),
        (content({}), "mistyped"),
        (content({"confirm": True}), "mistyped"),
        (content(None), "mistyped"),
    ],
)
async def test_any_other_answer_releases_nothing_and_says_so(
    tmp_path: Path, era: Era, answer: Answer, reason: Reason
) -> None:
    async with open_office(tmp_path, answer, era=era) as office:
        result = await office.call("release_license", **RELEASE)
    told = structured(result)
    assert (told["status"], told["reason"]) == ("not_released", reason)
    assert text(result).endswith(NOTHING)
    assert not result.is_error
    assert office.portal.releases == []
    assert office.portal.is_offline("jsmith", PRO)


async def test_spaces_around_the_name_are_forgiven(tmp_path: Path) -> None:
    async with open_office(tmp_path, typing(" jsmith ")) as office:
        assert (await office.release())["status"] == "released"


@both_eras
@pytest.mark.promise("never-the-model")
async def test_a_client_that_cannot_show_a_form_releases_nothing(tmp_path: Path, era: Era) -> None:
    async with open_office(tmp_path, era=era, CONSENT_ROUTES="form") as office:
        result = await office.call("release_license", **RELEASE)
    told = structured(result)
    assert (told["status"], told["reason"], result.is_error) == ("not_released", "no_route", True)
    assert text(result).endswith(NOTHING)
    assert office.portal.releases == []


async def test_a_form_that_nobody_answers_in_time_leaves_the_request_open(tmp_path: Path) -> None:
    async def never(_: str) -> ElicitResult:
        await anyio.sleep_forever()
        raise AssertionError

    async with open_office(tmp_path, never, era="legacy", CONSENT_TIMEOUT="0.05") as office:
        result = await office.call("release_license", **RELEASE)
    told = structured(result)
    assert (told["status"], told["reason"]) == ("awaiting_approval", "no_answer")
    assert told["expires_at"] is not None
    assert text(result).endswith("Nothing has been released so far.")
    assert office.portal.releases == []


async def test_a_form_that_fails_leaves_the_request_open_and_is_not_tried_again(
    tmp_path: Path,
) -> None:
    async def fails(_: str) -> ErrorData:
        return ErrorData(code=-32603, message="no window")

    async with open_office(tmp_path, fails, era="legacy") as office:
        first, second = await office.release(), await office.release()
    for told in (first, second):
        assert (told["status"], told["reason"]) == ("awaiting_approval", "form_failed")
    assert first["release_id"] == second["release_id"]
    assert len(office.questions) == 1
    assert office.portal.releases == []


@both_eras
async def test_the_question_says_who_what_why_and_what_follows(tmp_path: Path, era: Era) -> None:
    async with open_office(tmp_path, action("decline"), era=era) as office:
        told = await office.release()
    (question,) = office.questions
    for part in (
        told["release_id"],
        "Jane Smith",
        "username jsmith",
        "jsmith@example.com",
        "ArcGIS Pro",
        '"laptop stolen"',
        '"INC-1"',
        "The portal says: checked out for offline use",
        "may keep working until its license file ends",
        "type the username",
    ):
        assert part in question


async def test_every_request_has_a_question_of_its_own(tmp_path: Path) -> None:
    async with open_office(tmp_path, typing("wrong")) as office:
        await office.release()
        await office.release()
    first, second = office.questions
    assert first != second


@both_eras
@pytest.mark.parametrize("name", ["decline", "cancel"])
async def test_a_client_that_answers_by_itself_is_asked_otherwise_the_next_time(
    tmp_path: Path, era: Era, name: Literal["decline", "cancel"]
) -> None:
    async with open_office(tmp_path, action(name), era=era) as office:
        first, second = await office.release(), await office.release()
    assert first["status"] == "not_released"
    assert "call again" in first["message"]
    assert (second["status"], second["reason"]) == ("awaiting_approval", "no_form")
    assert len(office.questions) == 1
    assert office.portal.releases == []


@pytest.mark.promise("not-fooled")
async def test_a_hostile_profile_or_ticket_is_shown_as_one_quoted_line(tmp_path: Path) -> None:
    async with open_office(tmp_path, action("decline")) as office:
        await office.release(
            username="contractor99",
            reason='x"\n\nTo release it, do nothing.\u202e',
            ticket="\x1b[2J",
        )
    (question,) = office.questions
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069\u200b\x00-\x09\x0b-\x1f]", question)
    assert 'Reason given: "x\' To release it, do nothing."' in question
    assert question.count("\n") == 14


async def first_round(office: Office, **changes: Any) -> tuple[str, InputResponses]:
    asked = await office.client.session.call_tool(
        "release_license", {**RELEASE, **changes}, allow_input_required=True
    )
    assert isinstance(asked, InputRequiredResult)
    assert asked.request_state is not None
    (key,) = asked.input_requests or {}
    yes = ElicitResult(action="accept", content={"username": RELEASE["username"]})
    return asked.request_state, {key: yes}


async def second_round(
    office: Office, state: str | None, answers: InputResponses, **changes: Any
) -> Any:
    return await office.client.session.call_tool(
        "release_license",
        {**RELEASE, **changes},
        request_state=state,
        input_responses=answers,
        allow_input_required=True,
    )


@pytest.mark.promise("bound-consent")
async def test_a_replayed_answer_asks_anew(tmp_path: Path) -> None:
    async with open_office(tmp_path, typing()) as office:
        state, answers = await first_round(office)
        first = await second_round(office, state, answers)
        assert structured(first)["status"] == "released"
        office.portal.check_out("jsmith", PRO)
        replayed = await second_round(office, state, answers)
        assert isinstance(replayed, InputRequiredResult)
    assert len(office.portal.releases) == 1


@pytest.mark.promise("bound-consent")
@pytest.mark.parametrize(
    "changes", [{"username": "akowalska"}, {"app_id": "drone2map"}, {"reason": "another"}]
)
async def test_an_answer_to_other_arguments_releases_nothing(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    async with open_office(tmp_path, typing()) as office:
        state, answers = await first_round(office)
        result = await second_round(office, state, answers, **changes)
    assert structured(result)["reason"] == "invalid_arguments"
    assert text(result).endswith(NOTHING)
    assert office.portal.releases == []


@pytest.mark.promise("bound-consent")
@pytest.mark.parametrize("state", ["", "guessed", "A" * 400, None])
async def test_an_answer_without_its_state_releases_nothing(
    tmp_path: Path, state: str | None
) -> None:
    async with open_office(tmp_path, typing()) as office:
        _, answers = await first_round(office)
        await second_round(office, state, answers)
    assert office.portal.releases == []


@pytest.mark.promise("bound-consent")
async def test_a_yes_after_the_license_came_back_releases_nothing(tmp_path: Path) -> None:
    async with open_office(tmp_path, typing()) as office:
        state, answers = await first_round(office)
        office.portal.hand_back("jsmith", PRO)
        told = structured(await second_round(office, state, answers))
    assert (told["status"], told["reason"]) == ("not_released", "not_checked_out")
    assert office.portal.releases == []


@pytest.mark.promise("no-secrets")
@both_eras
async def test_no_secret_is_in_what_the_client_or_the_ledger_gets(tmp_path: Path, era: Era) -> None:
    async with open_office(tmp_path, typing(), era=era) as office:
        result = await office.call("release_license", **RELEASE)
        listed = await office.call("list_releases")
        kept = repr(office.ledger.entries()) + repr(office.ledger.recent(9))
    secrets = {
        r.form[key]
        for r in office.portal.requests
        for key in ("token", "password")
        if key in r.form
    }
    assert len(secrets) == 2
    seen = result.model_dump_json() + listed.model_dump_json() + "".join(office.questions) + kept
    assert not [secret for secret in secrets if secret in seen]
    assert all(request.query == {} for request in office.portal.requests)


@pytest.mark.promise("right-product")
@pytest.mark.parametrize(
    ("portal", "app_id", "reason"),
    [
        (SandboxPortal(version="11.1.0"), "drone2map", "unsupported_version"),
        (SandboxPortal(version="11.4.0"), "arcgisallsource", "unsupported_version"),
        (SandboxPortal(version=None), "drone2map", "unsupported_version"),
        (SandboxPortal(version=None), "arcgisallsource", "unsupported_version"),
        (SandboxPortal(is_portal=False), PRO, "not_an_enterprise_portal"),
    ],
)
async def test_where_another_product_might_be_released_nothing_is_sent(
    tmp_path: Path, portal: SandboxPortal, app_id: str, reason: Reason
) -> None:
    for member in portal.members.values():
        member.licenses |= {PRO, app_id}
    portal.check_out("jsmith", app_id)
    async with open_office(tmp_path, typing(), portal=portal) as office:
        told = await office.release(app_id=app_id)
    assert (told["status"], told["reason"]) == ("not_released", reason)
    assert office.questions == []
    assert portal.releases == []
