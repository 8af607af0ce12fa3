"""The words of refusals and of outcomes, where they name a number, a key or what to do."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from server.errors import SettingsError
from server.releases.models import (
    PRODUCTS,
    AppId,
    Ask,
    Evidence,
    LicenseState,
    Member,
    PortalFacts,
    Reason,
    Request,
    Usage,
    Version,
)
from server.releases.policy import Limits, Policy, load, refusal, self_approval
from server.releases.wording import REASONS, Wording, message, whom
from tests.conftest import ASK, PORTAL_URL, START, Desk

# A person's decision, an open request, and "nothing checked out" are no errors; all else is.
NO_ERRORS = {
    "confirmed",
    "declined",
    "cancelled",
    "expired",
    "mistyped",
    "waiting",
    "no_form",
    "no_answer",
    "form_failed",
    "not_checked_out",
}


def seen(
    app_id: AppId, version: Version | None = (11, 5, 0), state: LicenseState = "offline"
) -> Evidence:
    facts = PortalFacts(PORTAL_URL, "GIS", version, True, True)
    member = Member("mlopez", "Maria Lopez", "", "org_user", False, None)
    return Evidence(facts, member, app_id, state, START)


def why(
    policy: Policy, ask: Ask = ASK, usage: Usage | None = None, evidence: Evidence | None = None
) -> str:
    found = refusal(policy, ask, usage or Usage(), evidence)
    assert found is not None
    return found.detail


def test_every_reason_has_words_and_only_refusals_and_failures_are_errors() -> None:
    assert set(REASONS) == set(get_args(Reason))
    assert {reason for reason, words in REASONS.items() if not words.is_error} == NO_ERRORS
    assert all(words.meaning.endswith(".") for words in REASONS.values())
    assert Wording("Done.").is_error is False


def test_a_refusal_by_product_names_those_that_are_allowed() -> None:
    policy = Policy(products=["drone2map", "arcgisallsource"])
    assert why(policy).endswith("of these products only: drone2map, arcgisallsource.")


def test_a_refusal_by_ticket_names_the_pattern_in_quotation_marks() -> None:
    assert 'a ticket that matches "INC-.+"; ask' in why(
        Policy(ticket_pattern="INC-.+"), replace(ASK, ticket="")
    )


def test_a_limit_names_its_number_and_the_first_one_comes_first() -> None:
    policy = Policy(limits=Limits(requester_per_hour=3, portal_per_day=4))
    assert "reached 3 releases in an hour" in why(policy, usage=Usage(3, 4))
    assert "reached 4 releases in a day" in why(policy, usage=Usage(2, 4))


@pytest.mark.promise("right-product")
@pytest.mark.parametrize(
    ("app_id", "version", "said"),
    [
        ("drone2map", (11, 3, 2), "ArcGIS Drone2Map needs ArcGIS Enterprise 11.4 or later"),
        ("arcgisallsource", None, "ArcGIS AllSource needs ArcGIS Enterprise 11.5 or later"),
        ("arcgisallsource", None, "version is unknown;"),
        ("drone2map", (11, 3, 2), "version is 11.3.2;"),
    ],
)
def test_a_version_that_is_too_old_is_named_beside_the_one_that_is_needed(
    app_id: AppId, version: Version | None, said: str
) -> None:
    ask = replace(ASK, app_id=app_id)
    assert said in why(Policy(), ask, evidence=seen(app_id, version))


def test_what_is_not_licensed_or_not_checked_out_is_named() -> None:
    ask = replace(ASK, app_id="arcgisallsource")
    unlicensed = seen("arcgisallsource", state="not_licensed")
    assert why(Policy(), ask, evidence=unlicensed).endswith("license for ArcGIS AllSource.")
    at_home = seen("arcgisprodesktop", state="not_offline")
    assert "no ArcGIS Pro license is checked out" in why(Policy(), evidence=at_home)


def test_the_products_are_those_that_the_portal_knows() -> None:
    found = {name: (p.app_id, p.since, p.reliable) for name, p in PRODUCTS.items()}
    assert found == {
        "arcgisprodesktop": ("arcgisprodesktop", None, True),
        "drone2map": ("drone2map", (11, 4, 0), False),
        "arcgisallsource": ("arcgisallsource", (11, 5, 0), True),
    }


@pytest.mark.promise("re-checked")
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("server", "asked", "approver", "refused"),
    [
        (True, False, "ana", True),
        (False, True, "ana", True),
        (True, True, "ana", True),
        (False, False, "ana", False),
        (True, True, "ben", False),
        (True, True, None, False),
    ],
)
async def test_four_eyes_hold_where_either_side_s_policy_wants_them(
    desk: Desk, server: bool, asked: bool, approver: str | None, refused: bool
) -> None:
    request = replace(
        await desk.releases.request(ASK),
        four_eyes=asked,
        requester_account="ana",
        approver_account=approver,
    )
    found = self_approval(Policy(four_eyes=server), request)
    assert (found is not None) is refused
    if found is not None:
        assert (found.reason, "four_eyes" in found.detail) == ("self_approval", True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("readonly = true", "unknown key 'readonly'; remove it or correct its spelling"),
        ("[limits]\nper_day = 3", "unknown key 'limits.per_day'; remove it"),
        ('products = ["pro"]', "products.0: input should be 'arcgisprodesktop'"),
        ('read_only = "yes"', "read_only: input should be a valid boolean"),
        ('ticket_pattern = "INC-("', "ticket_pattern is not a regular expression: missing"),
        ("read_only = ", "cannot be used: Invalid value"),
    ],
)
def test_a_fault_of_the_policy_file_is_one_line_that_says_where_and_what(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert str(caught.value).startswith(f"POLICY_FILE {file}: {said}")


def test_a_policy_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be used: .*No such file"):
        load(file)


def test_nought_is_a_limit_and_the_pattern_may_be_left_out(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    limits = "requester_per_hour = 0\nportal_per_day = 0\nnotice_days = 0\n"
    file.write_text(f"[limits]\n{limits}", encoding="utf-8")
    policy = load(file)
    assert policy.limits == Limits(requester_per_hour=0, portal_per_day=0, notice_days=0)
    assert policy.ticket_pattern is None


@pytest.mark.anyio
async def test_a_message_is_its_parts_with_single_spaces(desk: Desk) -> None:
    request = await desk.releases.request(ASK)
    start = f'{request.release_id}: ArcGIS Pro of "Maria Lopez" ("mlopez"). '
    waiting = REASONS["waiting"].meaning
    last = "Nothing has been released so far."
    assert message(request) == f"{start}{waiting} {last}"
    assert message(request, "Open the page.") == f"{start}{waiting} Open the page. {last}"
    told = replace(request, detail="A detail.")
    assert message(told, "Open it.") == f"{start}{waiting} A detail. Open it. {last}"


@pytest.mark.anyio
@pytest.mark.promise("not-fooled")
async def test_a_member_s_name_is_bounded_and_cannot_close_its_quotation_marks(
    desk: Desk,
) -> None:
    request: Request = await desk.releases.request(ASK)
    long = replace(request, full_name='a"' + "x" * 200, username="y" * 200)
    assert whom(long) == f'"a\'{"x" * 77}…" ("{"y" * 127}…")'
