"""What the portal tells: of itself, of its members, of their licenses."""

import httpx
import pytest

from server.sandbox.members import HELPDESK, MEMBERS, VIEWER, crowd
from server.sandbox.portal import ADMINISTRATOR, KUBERNETES, SandboxPortal
from server.sandbox.products import ALLSOURCE, DRONE2MAP, PRO, PRODUCTS

from .visitor import SELF, visiting

pytestmark = pytest.mark.anyio

USERS = "sharing/rest/community/users"


def entitlements_path(app_id: str) -> str:
    return f"sharing/rest/content/listings/{PRODUCTS[app_id].item_id}/userEntitlements"


async def test_the_portal_tells_its_version_to_anybody() -> None:
    async with visiting(SandboxPortal(version="11.3.0")) as visitor:
        told = await visitor.ask(SELF)
        root = await visitor.ask("sharing/rest")
    assert told["enterpriseVersion"] == root["enterpriseVersion"] == "11.3.0"
    assert told["currentVersion"] == root["currentVersion"] == "2024.1"
    assert told["isPortal"] is True
    assert "user" not in told


async def test_a_silent_portal_tells_no_version() -> None:
    async with visiting(SandboxPortal(version=None)) as visitor:
        assert "enterpriseVersion" not in await visitor.ask(SELF)
        assert "enterpriseVersion" not in await visitor.ask("sharing/rest")


async def test_online_and_kubernetes_can_be_told_apart() -> None:
    async with visiting(SandboxPortal(is_portal=False)) as visitor:
        online = await visitor.ask(SELF)
    async with visiting(SandboxPortal(deployment=KUBERNETES)) as visitor:
        kubernetes = await visitor.ask(SELF)
    assert (online["isPortal"], online["portalName"]) == (False, "ArcGIS Online")
    assert kubernetes["portalDeploymentType"] == "ArcGISEnterpriseOnKubernetes"


@pytest.mark.parametrize(
    ("username", "role", "manages"),
    [
        (ADMINISTRATOR, "org_admin", True),
        (HELPDESK, "org_user", True),
        (VIEWER, "org_user", False),
    ],
)
async def test_who_is_signed_in_sees_role_and_privileges(
    username: str, role: str, manages: bool
) -> None:
    async with visiting(SandboxPortal(), username) as visitor:
        me = (await visitor.ask(SELF))["user"]
        assert await visitor.ask("sharing/rest/community/self") == me
        assert await visitor.ask(f"{USERS}/{username}") == me
    assert (me["username"], me["role"]) == (username, role)
    assert ("portal:admin:manageLicenses" in me["privileges"]) is manages


@pytest.mark.parametrize(
    ("path", "username"),
    [
        ("jsmith", "jsmith"),
        ("JSmith", "jsmith"),
        ("CORP%5Cmlee", "CORP\\mlee"),
        ("jdoe%40CORP.EXAMPLE", "jdoe@CORP.EXAMPLE"),
        ("field%20crew%207", "field crew 7"),
        ("j%C3%BCrgen.gro%C3%9F", "jürgen.groß"),
    ],
)
async def test_a_member_is_found_by_an_encoded_username(path: str, username: str) -> None:
    async with visiting(SandboxPortal(), ADMINISTRATOR) as visitor:
        found = await visitor.ask(f"{USERS}/{path}")
    assert found["username"] == username
    assert "privileges" not in found


async def test_nobody_is_an_error() -> None:
    async with visiting(SandboxPortal(), ADMINISTRATOR) as visitor:
        assert (await visitor.ask(f"{USERS}/nobody"))["error"]["code"] == 400


@pytest.mark.parametrize(
    ("query", "usernames"),
    [
        ("jsmith", ["jsmith", "jsmith2"]),
        ("SMITH", ["jsmith", "jsmith2"]),
        ("username:jsmith", ["jsmith", "jsmith2"]),
        ('fullname:"Jane Smith"', ["jsmith"]),
        ("fullname:jane fullname:smith", ["jsmith"]),
        ("email:crew7", ["field crew 7"]),
        ("tokafor OR lnguyen", ["lnguyen", "tokafor"]),
        ('username:"CORP\\\\mlee"', ["CORP\\mlee"]),
        ("jsmith2 accountid:0123456789ABCDEF", ["jsmith2"]),
        ("nobody", []),
    ],
)
@pytest.mark.parametrize("path", [USERS, "sharing/rest/portals/self/users/search"])
async def test_the_search_is_fuzzy(path: str, query: str, usernames: list[str]) -> None:
    async with visiting(SandboxPortal(), ADMINISTRATOR) as visitor:
        found = await visitor.ask(path, q=query)
    assert [member["username"] for member in found["results"]] == usernames
    assert (found["total"], found["nextStart"]) == (len(usernames), -1)


async def test_pages_hold_at_most_a_hundred() -> None:
    portal = SandboxPortal(members=crowd(250, offline=3))
    async with visiting(portal, ADMINISTRATOR) as visitor:
        first = await visitor.ask(USERS, num="500")
        last = await visitor.ask(USERS, num="500", start="201")
    assert (first["num"], first["nextStart"], len(first["results"])) == (100, 101, 100)
    assert (first["total"], last["nextStart"], len(last["results"])) == (253, -1, 53)


async def test_titles_repeat_and_one_purchase_has_no_listing() -> None:
    async with visiting(SandboxPortal(), ADMINISTRATOR) as visitor:
        bought = (await visitor.ask(f"{SELF}/purchases"))["purchases"]
    titles = [purchase["listing"]["title"] for purchase in bought if "listing" in purchase]
    assert titles.count("ArcGIS Pro") == 2
    assert {"ArcGIS Drone2Map", "ArcGIS AllSource"} < set(titles)
    assert len(titles) == len(bought) - 1


@pytest.mark.parametrize(
    ("username", "app_id", "disconnected"),
    [
        ("jsmith", PRO, True),
        ("jsmith2", PRO, False),
        ("tokafor", ALLSOURCE, True),
        ("lnguyen", DRONE2MAP, True),
        ("bmartin", DRONE2MAP, False),
    ],
)
async def test_an_entitlement_tells_what_is_checked_out(
    username: str, app_id: str, disconnected: bool
) -> None:
    async with visiting(SandboxPortal(), ADMINISTRATOR) as visitor:
        reply = await visitor.ask(f"{entitlements_path(app_id)}/{username}")
    assert reply["userEntitlements"]["username"] == username
    assert reply["userEntitlements"]["disconnected"] is disconnected


async def test_a_license_from_a_bundle_is_offline_although_it_never_says_so() -> None:
    assert SandboxPortal().is_offline("bmartin", DRONE2MAP)


async def test_both_ways_of_saying_unlicensed_occur() -> None:
    async with visiting(SandboxPortal(), ADMINISTRATOR) as visitor:
        none_at_all = await visitor.ask(f"{entitlements_path(PRO)}/akowalska")
        another = await visitor.ask(f"{entitlements_path(ALLSOURCE)}/jsmith")
    assert none_at_all["error"] == {"code": 400, "message": "not licensed by user", "details": []}
    assert another == {"userEntitlements": {}}


async def test_the_listing_of_entitlements_has_everybody_once() -> None:
    portal = SandboxPortal(members=[*MEMBERS(), *crowd(300, offline=7)])
    offline: list[str] = []
    async with visiting(portal, HELPDESK) as visitor:
        start = 1
        while start > 0:
            page = await visitor.ask(entitlements_path(PRO), start=str(start), num="1000")
            assert len(page["userEntitlements"]) <= 100
            offline += [row["username"] for row in page["userEntitlements"] if row["disconnected"]]
            start = page["nextStart"]
    assert sorted(offline) == sorted(name for name, m in portal.members.items() if PRO in m.offline)


async def test_checking_out_and_handing_back_show_at_once() -> None:
    portal = SandboxPortal()
    path = f"{entitlements_path(PRO)}/jsmith2"
    async with visiting(portal, ADMINISTRATOR) as visitor:
        portal.check_out("jsmith2", PRO)
        assert (await visitor.ask(path))["userEntitlements"]["disconnected"] is True
        portal.hand_back("jsmith2", PRO)
        assert (await visitor.ask(path))["userEntitlements"]["disconnected"] is False


@pytest.mark.parametrize("path", [f"{SELF}/purchases", entitlements_path(PRO)])
async def test_licenses_are_not_for_everybody_to_see(path: str) -> None:
    async with visiting(SandboxPortal(), VIEWER) as visitor:
        assert (await visitor.ask(path))["error"]["code"] == 403


async def test_portaladmin_answers_administrators() -> None:
    portal = SandboxPortal()
    async with visiting(portal, ADMINISTRATOR) as visitor:
        summary = await visitor.ask("portaladmin/license")
        assert (await visitor.ask("portaladmin/logs/query"))["logMessages"] == []
        assert "resources" in await visitor.ask("portaladmin")
    assert summary["version"] == "11.5.0"
    assert summary["currentRegisteredMembers"] == len(portal.members)


@pytest.mark.parametrize("path", ["portaladmin", "portaladmin/license", "portaladmin/logs/query"])
async def test_portaladmin_without_a_token_is_499_on_http_200(path: str) -> None:
    async with visiting(SandboxPortal()) as visitor:
        assert (await visitor.ask(path))["error"]["code"] == 499


async def test_the_health_check_needs_no_token() -> None:
    async with visiting(SandboxPortal()) as visitor:
        assert await visitor.ask("portaladmin/healthCheck") == {"status": "success"}


async def test_without_f_json_the_answer_is_a_page() -> None:
    async with visiting(SandboxPortal(), ADMINISTRATOR) as visitor:
        response = await visitor.http.get(f"{visitor.base}/{SELF}")
        asked = await visitor.http.get(f"{visitor.base}/{SELF}", params={"f": "pjson"})
    assert response.status_code == httpx.codes.OK
    assert response.headers["content-type"].startswith("text/html")
    assert asked.headers["content-type"] == "application/json"


async def test_requests_to_nowhere_are_recorded_too() -> None:
    portal = SandboxPortal()
    async with visiting(portal) as visitor:
        assert await visitor.status("nowhere?a=1", "GET") == httpx.codes.NOT_FOUND
    (received,) = portal.requests
    assert (received.method, received.path) == ("GET", "/portal/nowhere")
    assert received.query == {"a": "1"}
