"""The portal's JSON, read strictly where it decides something, emptied where it is only shown."""

import sys
from typing import Any

import pytest

from server.errors import NoClearAnswer, NotAnEnterprisePortal
from server.portal import profiles
from server.releases.models import Version

MANAGER = {"role": "org_user", "privileges": ["portal:admin:manageLicenses"]}
ANYTHING = [None, 0, 5, True, "", "text", [], ["x"], {}, {"a": 1}, 1.5]


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("11.5.0", (11, 5, 0)),
        ("11.5", (11, 5, 0)),
        ("10.9.1", (10, 9, 1)),
        ("10.10", (10, 10, 0)),
        ("11.3.0.54321", (11, 3, 0)),
        ("", None),
        ("11", None),
        ("eleven", None),
        ("v11.5", None),
        ("11.99999", None),
        (11.5, None),
        (None, None),
        (["11.5.0"], None),
    ],
)
@pytest.mark.promise("right-product")
def test_a_version_is_read_exactly_or_unknown(told: Any, version: Version | None) -> None:
    assert profiles.version(told) == version


@pytest.mark.parametrize(
    ("user", "version", "may"),
    [
        ({"role": "org_admin"}, "10.7.1", True),
        ({"role": "org_admin"}, None, True),
        (MANAGER, "10.8.0", True),
        (MANAGER, "11.5.0", True),
        (MANAGER, "10.7.1", False),
        (MANAGER, None, True),
        ({"role": "org_publisher", "privileges": ["portal:admin:viewUsers"]}, "11.5.0", False),
        ({"role": "org_user", "privileges": "portal:admin:manageLicenses"}, "11.5.0", False),
        ({"role": ["org_admin"]}, "11.5.0", False),
        ({}, "11.5.0", False),
        (None, "11.5.0", False),
    ],
)
def test_who_may_release_depends_on_the_role_the_privilege_and_the_version(
    user: Any, version: str | None, may: bool
) -> None:
    answer = {"isPortal": True, "enterpriseVersion": version, "user": user}
    assert profiles.portal_facts("https://gis", answer).may_release is may


@pytest.mark.parametrize("told", [*ANYTHING, "true"])
def test_only_a_true_is_portal_makes_it_an_enterprise(told: Any) -> None:
    assert profiles.portal_facts("https://gis", {"isPortal": told}).is_enterprise is (told is True)


@pytest.mark.parametrize(
    ("version", "current", "old"),
    [
        ("10.6.1", "7.1", True),
        ("10.7.0", "6.4", False),
        ("11.5.0", "2025.1", False),
        (None, "6.4", True),
        (None, "7.0.9", True),
        (None, "7.1", False),
        (None, "10.1", False),
        (None, "2025.1", False),
        (None, None, False),
        (None, 6.4, False),
    ],
)
def test_the_path_of_before_10_7_is_told_by_either_version(
    version: Any, current: Any, old: bool
) -> None:
    answer = {"isPortal": True, "enterpriseVersion": version, "currentVersion": current}
    facts = profiles.portal_facts("https://gis", answer)
    assert facts.old_path is old
    assert (facts.version is None) is (version is None)


def test_kubernetes_is_told_apart() -> None:
    with pytest.raises(NotAnEnterprisePortal):
        profiles.portal_facts("https://gis", {"portalDeploymentType": profiles.KUBERNETES})


@pytest.mark.parametrize("value", ANYTHING)
def test_what_is_only_shown_is_text_or_empty(value: Any) -> None:
    shown = value if isinstance(value, str) else ""
    found = profiles.member({"username": "a", "fullName": value, "email": value, "role": value})
    assert (found.full_name, found.email, found.role) == (shown, shown, shown)
    assert profiles.portal_facts("https://gis", {"portalName": value, "name": 5}).name == shown


@pytest.mark.promise("not-fooled")
def test_a_profile_is_bounded_and_cannot_hide_or_reorder() -> None:
    hostile = "\u202eevil\x1b[31m\nline\u200b " * 2_000
    found = profiles.member({"username": "a", "fullName": hostile, "email": hostile})
    for text in (found.full_name, found.email):
        assert len(text) <= 120
        assert text.startswith("evil[31m line evil")


@pytest.mark.promise("not-fooled")
def test_a_profile_that_is_nested_as_deep_as_can_be_read_is_still_a_profile() -> None:
    nested: list[Any] = []
    for _ in range(sys.getrecursionlimit() * 20):
        nested = [nested]
    assert profiles.member({"username": "a", "fullName": nested}).full_name == ""
    assert profiles.listing_ids({"purchases": [{"listing": {"title": nested}}]}, "x") == []
    while nested:
        nested = nested.pop()


@pytest.mark.parametrize("username", [None, "", 5, [], ["jsmith"], {}])
def test_a_member_without_a_username_is_no_answer(username: Any) -> None:
    with pytest.raises(NoClearAnswer):
        profiles.member({"username": username})


@pytest.mark.parametrize(
    ("login", "shown"),
    [(1_790_000_000_000, 1_790_000_000_000), (-1, None), (0, None), (None, None), ("5", None)],
)
def test_the_last_login_is_milliseconds_or_never(login: Any, shown: int | None) -> None:
    assert profiles.member({"username": "a", "lastLogin": login}).last_login == shown


@pytest.mark.parametrize(
    "login",
    [True, 1.5, 2**63, pytest.param(10**4000, id="huge"), 253_402_300_800_000],
)
def test_a_last_login_that_no_calendar_or_ledger_holds_is_never(login: Any) -> None:
    assert profiles.member({"username": "a", "lastLogin": login}).last_login is None


@pytest.mark.parametrize(
    ("disabled", "read"), [(True, True), (False, False), (None, False), ("true", False)]
)
def test_whether_a_member_is_disabled(disabled: Any, read: bool) -> None:
    assert profiles.member({"username": "a", "disabled": disabled}).disabled is read


@pytest.mark.parametrize(
    ("entitlement", "state"),
    [
        ({"entitlements": ["desktopAdvN"], "disconnected": True}, "offline"),
        ({"entitlements": ["desktopAdvN"], "disconnected": False}, "not_offline"),
        ({"entitlements": [], "disconnected": True}, "not_licensed"),
        ({"disconnected": True}, "not_licensed"),
        ({}, "not_licensed"),
        ([], "not_licensed"),
        (None, "not_licensed"),
    ],
)
def test_the_state_of_a_license(entitlement: Any, state: str) -> None:
    assert profiles.license_state(entitlement) == state


@pytest.mark.promise("four-outcomes")
@pytest.mark.parametrize("said", [{}, {"disconnected": "true"}, {"disconnected": None}])
def test_a_license_of_which_nothing_clear_is_said_is_not_taken_for_one_that_is_not_out(
    said: dict[str, Any],
) -> None:
    with pytest.raises(NoClearAnswer):
        profiles.license_state({"entitlements": ["desktopAdvN"], **said})


def purchase(item_id: Any, title: Any) -> dict[str, Any]:
    return {"listing": {"itemId": item_id, "title": title}}


def test_listings_are_matched_by_title_whole_and_without_regard_to_case() -> None:
    purchases = [
        {"provision": {"itemId": "nolisting"}},
        {"listing": None},
        "not a purchase",
        purchase("aaa1", "ArcGIS Pro"),
        purchase("bbb2", "arcgis pro"),
        purchase("aaa1", "ArcGIS Pro"),
        purchase("ccc3", "ArcGIS Pro Intelligence"),
        purchase("ddd4", None),
        purchase("ddd4", ["ArcGIS Pro"]),
        purchase(None, "ArcGIS Pro"),
        purchase(5, "ArcGIS Pro"),
    ]
    assert profiles.listing_ids({"purchases": purchases}, "ArcGIS Pro") == ["aaa1", "bbb2"]


@pytest.mark.promise("not-fooled")
@pytest.mark.parametrize("item_id", ["../../x", "a/b", "a?b=c", "a#b", "a%2Fb", "", "a b", "."])
def test_a_listing_whose_id_would_lead_elsewhere_is_none(item_id: str) -> None:
    assert profiles.listing_ids({"purchases": [purchase(item_id, "ArcGIS Pro")]}, "x") == []
    assert (
        profiles.listing_ids({"purchases": [purchase(item_id, "ArcGIS Pro")]}, "ArcGIS Pro") == []
    )


@pytest.mark.parametrize("value", [None, 5, "text", {}, {"a": 1}])
def test_a_list_that_is_none_is_no_answer(value: Any) -> None:
    with pytest.raises(NoClearAnswer):
        profiles.rows({"results": value}, "results")
    with pytest.raises(NoClearAnswer):
        profiles.rows({}, "results")


def test_rows_that_are_no_objects_are_left_out() -> None:
    assert profiles.rows({"results": [{"a": 1}, None, 5, "x", []]}, "results") == [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jane smith", "jane smith"),
        ('role:org_admin OR (username:"x")', "role org_admin OR username x"),
        ("CORP\\mlee", "CORP mlee"),
        ("* ? ~ ^", ""),
        ("jürgen.groß@x.de", "jürgen.groß@x.de"),
    ],
)
def test_a_search_keeps_its_words_and_loses_the_syntax(text: str, words: str) -> None:
    assert profiles.search_words(text) == words
