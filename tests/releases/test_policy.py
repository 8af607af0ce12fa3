"""The policy: what it forbids, and which file it refuses."""

from dataclasses import replace
from pathlib import Path

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
    Refusal,
    Usage,
    Version,
)
from server.releases.policy import Limits, Policy, load, refusal
from tests.conftest import ASK, PORTAL_URL, START


def evidence(
    *,
    app_id: AppId = "arcgisprodesktop",
    version: Version | None = (11, 5, 0),
    state: LicenseState = "offline",
    role: str = "org_user",
    is_enterprise: bool = True,
    may_release: bool = True,
) -> Evidence:
    facts = PortalFacts(PORTAL_URL, "GIS", version, is_enterprise, may_release)
    member = Member("mlopez", "Maria Lopez", "", role, False, None)
    return Evidence(facts, member, app_id, state, START)


def reason(
    policy: Policy, ask: Ask, usage: Usage | None = None, seen: Evidence | None = None
) -> str:
    found = refusal(policy, ask, usage or Usage(), seen)
    return "allowed" if found is None else found.reason


def test_the_defaults_allow_a_license_that_is_checked_out() -> None:
    assert reason(Policy(), ASK, seen=evidence()) == "allowed"


@pytest.mark.promise("right-product")
@pytest.mark.parametrize(
    ("app_id", "version", "expected"),
    [
        ("drone2map", (11, 1, 0), "unsupported_version"),
        ("drone2map", (11, 3, 9), "unsupported_version"),
        ("drone2map", (11, 4, 0), "allowed"),
        ("arcgisallsource", (11, 4, 0), "unsupported_version"),
        ("arcgisallsource", (11, 5, 0), "allowed"),
        ("drone2map", None, "unsupported_version"),
        ("arcgisallsource", None, "unsupported_version"),
        ("arcgisprodesktop", (10, 3, 1), "allowed"),
        ("arcgisprodesktop", None, "allowed"),
    ],
)
def test_a_product_that_the_portal_might_not_know_is_refused(
    app_id: AppId, version: Version | None, expected: str
) -> None:
    ask = replace(ASK, app_id=app_id)
    assert reason(Policy(), ask, seen=evidence(app_id=app_id, version=version)) == expected


def test_arcgis_online_is_refused() -> None:
    assert reason(Policy(), ASK, seen=evidence(is_enterprise=False)) == "not_an_enterprise_portal"


def test_an_account_without_the_privilege_is_found_out_before_anybody_is_asked() -> None:
    assert reason(Policy(), ASK, seen=evidence(may_release=False)) == "missing_privilege"


def test_administrators_are_protected_unless_the_policy_says_otherwise() -> None:
    seen = evidence(role="org_admin")
    assert reason(Policy(), ASK, seen=seen) == "policy"
    assert reason(Policy(protect_administrators=False), ASK, seen=seen) == "allowed"


@pytest.mark.parametrize("state", ["not_offline", "not_licensed"])
def test_what_is_not_checked_out_needs_no_release(state: LicenseState) -> None:
    expected = "not_checked_out" if state == "not_offline" else "not_licensed"
    assert reason(Policy(), ASK, seen=evidence(state=state)) == expected


def test_a_reading_that_is_known_to_be_wrong_does_not_stop_a_request() -> None:
    ask = replace(ASK, app_id="drone2map")
    assert (
        reason(Policy(), ask, seen=evidence(app_id="drone2map", state="not_offline")) == "allowed"
    )


def test_read_only_allows_nothing() -> None:
    assert reason(Policy(read_only=True), ASK) == "read_only"


def test_only_listed_products_are_allowed() -> None:
    policy = Policy(products=["drone2map"])
    assert reason(policy, ASK) == "policy"
    assert reason(policy, replace(ASK, app_id="drone2map")) == "allowed"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("mlopez", "policy"),
        ("ML*", "policy"),
        ("svc_*", "allowed"),
        ("*", "policy"),
        ("", "allowed"),
    ],
)
def test_protected_members_are_globs_that_ignore_case(pattern: str, expected: str) -> None:
    assert reason(Policy(protected_members=[pattern]), ASK) == expected


@pytest.mark.parametrize(
    ("ticket", "expected"),
    [("INC-12", "allowed"), ("INC-12 and more", "policy"), ("", "policy"), ("x INC-12", "policy")],
)
def test_the_whole_ticket_must_match_the_pattern(ticket: str, expected: str) -> None:
    policy = Policy(ticket_pattern=r"INC-\d+")
    assert reason(policy, replace(ASK, ticket=ticket)) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(9, 49), "allowed"),
        (Usage(10, 10), "limit"),
        (Usage(0, 50), "limit"),
    ],
)
def test_the_limits_are_reached_at_their_number(usage: Usage, expected: str) -> None:
    assert reason(Policy(), ASK, usage) == expected


def test_a_limit_of_nought_allows_nothing() -> None:
    assert reason(Policy(limits=Limits(requester_per_hour=0)), ASK) == "limit"


def test_every_refusal_says_what_to_do() -> None:
    found = refusal(Policy(read_only=True), ASK, Usage(), None)
    assert isinstance(found, Refusal)
    assert found.detail.endswith(".")


def test_without_a_file_the_defaults_are_in_force() -> None:
    assert load(None) == Policy(
        read_only=False,
        products=list(PRODUCTS),
        protected_members=[],
        protect_administrators=True,
        ticket_pattern=None,
        limits=Limits(requester_per_hour=10, portal_per_day=50, notice_days=7),
    )


def test_a_file_sets_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('products = ["drone2map"]\n[limits]\nportal_per_day = 3\n', encoding="utf-8")
    policy = load(file)
    assert policy.products == ["drone2map"]
    assert policy.limits == Limits(portal_per_day=3)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("readonly = true", "readonly"),
        ('read_only = "yes"', "read_only"),
        ("read_only = 1", "read_only"),
        ('products = ["pro"]', "products.0"),
        ("products = []", "products"),
        ('protected_members = "svc_*"', "protected_members"),
        ("[limits]\nper_day = 3", "limits.per_day"),
        ('[limits]\nportal_per_day = "3"', "limits.portal_per_day"),
        ("[limits]\nrequester_per_hour = -1", "limits.requester_per_hour"),
        ('ticket_pattern = "INC-("', "ticket_pattern"),
        ("four_eyes = true", "four_eyes"),
        ("read_only = ", "Invalid value"),
    ],
)
def test_a_file_that_cannot_be_used_stops_with_one_line_that_names_the_key(
    tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="POLICY_FILE"):
        load(file)
