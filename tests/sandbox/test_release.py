"""What a release does, to whom it is allowed, and what each version makes of `appId`."""

import httpx
import pytest

from server.sandbox.members import HELPDESK, VIEWER
from server.sandbox.portal import ADMINISTRATOR, KUBERNETES, SandboxPortal
from server.sandbox.products import ALLSOURCE, DRONE2MAP, PRO

from .visitor import OLD_RELEASE, REFERER, RELEASE, visiting

pytestmark = pytest.mark.anyio


async def test_a_release_ends_one_offline_license_and_no_other() -> None:
    portal = SandboxPortal()
    async with visiting(portal, ADMINISTRATOR) as visitor:
        assert await visitor.release("sfernandez", DRONE2MAP) == {"status": "success"}
    assert not portal.is_offline("sfernandez", DRONE2MAP)
    assert portal.is_offline("sfernandez", PRO)
    assert portal.members["sfernandez"].holds(DRONE2MAP)


async def test_what_was_received_is_kept_as_it_came() -> None:
    portal = SandboxPortal()
    async with visiting(portal, ADMINISTRATOR) as visitor:
        await visitor.release("CORP\\mlee", PRO)
        expected = {"f": "json", "token": visitor.token, "username": "CORP\\mlee", "appId": PRO}
    (received,) = portal.releases
    assert received.form == expected
    assert (received.method, received.path, received.query) == ("POST", f"/portal/{RELEASE}", {})
    assert received.headers["referer"] == REFERER


@pytest.mark.parametrize(
    "username", ["jdoe@CORP.EXAMPLE", "CORP\\mlee", "jürgen.groß", "contractor99", "rleaver"]
)
async def test_any_username_can_be_released(username: str) -> None:
    portal = SandboxPortal()
    async with visiting(portal, ADMINISTRATOR) as visitor:
        assert await visitor.release(username, PRO) == {"status": "success"}
    assert not portal.is_offline(username, PRO)


@pytest.mark.parametrize("version", ["10.9.1", "11.3.0", None])
async def test_a_portal_too_old_for_app_id_releases_pro_instead(version: str | None) -> None:
    portal = SandboxPortal(version=version)
    async with visiting(portal, ADMINISTRATOR) as visitor:
        assert await visitor.release("sfernandez", DRONE2MAP) == {"status": "success"}
    assert portal.is_offline("sfernandez", DRONE2MAP)
    assert not portal.is_offline("sfernandez", PRO)


@pytest.mark.parametrize(
    ("version", "app_id", "is_known"),
    [
        ("11.4.0", DRONE2MAP, True),
        ("11.4.0", ALLSOURCE, False),
        ("11.5.0", ALLSOURCE, True),
        ("12.0.0", ALLSOURCE, True),
        ("11.5.0", "arcgispro", False),
    ],
)
async def test_a_newer_portal_knows_its_products(version: str, app_id: str, is_known: bool) -> None:
    portal = SandboxPortal(version=version)
    async with visiting(portal, ADMINISTRATOR) as visitor:
        reply = await visitor.release("tokafor", app_id)
    assert reply["status"] == ("success" if is_known else "error")


async def test_only_the_path_of_the_version_exists() -> None:
    for version, there, missing in (
        ("10.6.1", OLD_RELEASE, RELEASE),
        ("10.7.0", RELEASE, OLD_RELEASE),
    ):
        portal = SandboxPortal(version=version)
        async with visiting(portal, ADMINISTRATOR) as visitor:
            assert await visitor.status(missing) == httpx.codes.NOT_FOUND
            assert await visitor.release("jsmith", PRO, path=there) == {"status": "success"}
        assert len(portal.releases) == 2


async def test_the_privilege_suffices_from_10_8() -> None:
    for version, code in (("10.7.1", 403), ("10.8.0", None)):
        portal = SandboxPortal(version=version)
        async with visiting(portal, HELPDESK) as visitor:
            reply = await visitor.release("jsmith", PRO)
        assert reply.get("error", {}).get("code") == code
        assert portal.is_offline("jsmith", PRO) is (code is not None)


async def test_without_the_privilege_nothing_is_released() -> None:
    portal = SandboxPortal()
    async with visiting(portal, VIEWER) as visitor:
        reply = await visitor.release("jsmith", PRO)
    assert reply["error"]["code"] == 403
    assert reply["error"]["messageCode"] == "GWM_0003"
    assert portal.is_offline("jsmith", PRO)


async def test_without_a_token_nothing_is_released() -> None:
    portal = SandboxPortal()
    async with visiting(portal) as visitor:
        reply = await visitor.release("jsmith", PRO)
    assert reply["error"]["code"] == 499
    assert portal.is_offline("jsmith", PRO)


@pytest.mark.parametrize("place", ["query", "header"])
async def test_a_token_outside_the_body_releases_nothing(place: str) -> None:
    portal = SandboxPortal()
    async with visiting(portal, ADMINISTRATOR) as visitor:
        response = await visitor.http.post(
            f"{visitor.base}/{RELEASE}",
            params={"token": visitor.token} if place == "query" else {},
            headers={"X-Esri-Authorization": f"Bearer {visitor.token}"}
            if place == "header"
            else {},
            data={"f": "json", "username": "jsmith", "appId": PRO},
        )
    assert response.json()["error"]["code"] == 499
    assert portal.is_offline("jsmith", PRO)


async def test_a_get_releases_nothing() -> None:
    portal = SandboxPortal()
    async with visiting(portal, ADMINISTRATOR) as visitor:
        response = await visitor.http.get(
            f"{visitor.base}/{RELEASE}",
            params={"f": "json", "token": visitor.token, "username": "jsmith", "appId": PRO},
        )
    assert response.json()["status"] == "error"
    assert portal.is_offline("jsmith", PRO)
    assert portal.releases == []


@pytest.mark.parametrize("username", ["nobody", "JSMITH", "jsmith ", ""])
async def test_a_username_must_be_exact(username: str) -> None:
    portal = SandboxPortal()
    async with visiting(portal, ADMINISTRATOR) as visitor:
        reply = await visitor.release(username, PRO)
    assert (reply["status"], reply["code"]) == ("error", 400)
    assert portal.is_offline("jsmith", PRO)


async def test_releasing_what_is_not_checked_out_succeeds() -> None:
    async with visiting(SandboxPortal(), ADMINISTRATOR) as visitor:
        assert await visitor.release("jsmith2", PRO) == {"status": "success"}


@pytest.mark.parametrize(
    "portal", [SandboxPortal(is_portal=False), SandboxPortal(deployment=KUBERNETES)]
)
async def test_neither_online_nor_kubernetes_has_portaladmin(portal: SandboxPortal) -> None:
    async with visiting(portal, ADMINISTRATOR) as visitor:
        assert await visitor.status(RELEASE) == httpx.codes.NOT_FOUND
        assert await visitor.status("portaladmin/healthCheck", "GET") == httpx.codes.NOT_FOUND
    assert portal.is_offline("jsmith", PRO)
