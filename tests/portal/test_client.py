"""What the client asks, what it makes of the answers, and what it sends to whom and how often."""

import json
import logging
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest

from server.errors import (
    MissingPrivilege,
    NoClearAnswer,
    NoSuchMember,
    NotAnEnterprisePortal,
    PortalError,
    PortalRefused,
    PortalUnreachable,
    SignInFailed,
    TokenRejected,
)
from server.portal.client import PortalClient
from server.portal.profiles import KUBERNETES
from server.releases.models import PRODUCTS, AppId, LicenseState
from server.sandbox.members import HELPDESK, PASSWORD, VIEWER, SandboxMember, crowd
from server.sandbox.portal import ADMINISTRATOR, SandboxPortal
from server.sandbox.products import PRO
from server.sandbox.runner import running

from .portals import (
    LISTED,
    OLD_RELEASE,
    PRO_ITEM,
    PURCHASES,
    RELEASE,
    SECRET,
    SELF,
    TOKEN,
    TOKENS,
    USERS,
    Answer,
    Canned,
    Drop,
    Hang,
    RawAnswer,
    RawPortal,
    Scripted,
    asked,
    connected,
    form_of,
    http,
    settings,
    together,
)

pytestmark = pytest.mark.anyio

JSMITH = f"{USERS}jsmith"
ENTITLEMENTS = f"/sharing/rest/content/listings/{PRO_ITEM}/userEntitlements"
PROFILE: Answer = {"username": "jsmith", "fullName": "Jane Smith"}
OFFLINE: Answer = {"userEntitlements": {"disconnected": True, "entitlements": ["desktopAdvN"]}}
ONLINE: Answer = {"userEntitlements": {"disconnected": False, "entitlements": ["desktopAdvN"]}}
Call = Callable[[PortalClient], Awaitable[object]]


# Which portal, and what the account may do there


async def test_the_facts_of_a_portal_are_asked_for_once() -> None:
    portal = SandboxPortal(version="11.4.0")
    async with connected(portal) as client:
        facts = (await together(5, client.facts))[0]
        assert not isinstance(facts, Exception)
        assert facts.url == client.url
    assert (facts.version, facts.is_enterprise, facts.may_release) == ((11, 4, 0), True, True)
    assert facts.name == "ArcGIS Enterprise (sandbox)"
    assert asked(portal, "/portals/self") == 1


async def test_a_portal_that_does_not_tell_its_version_has_none() -> None:
    async with connected(SandboxPortal(version=None)) as client:
        facts = await client.facts()
    assert facts.version is None
    assert facts.is_enterprise


async def test_arcgis_online_is_recognised() -> None:
    async with connected(SandboxPortal(is_portal=False)) as client:
        assert (await client.facts()).is_enterprise is False


@pytest.mark.parametrize("app_id", ["arcgisprodesktop", "drone2map"])
async def test_kubernetes_is_refused_before_anything_is_sent(app_id: AppId) -> None:
    portal = SandboxPortal(deployment=KUBERNETES)
    async with connected(portal) as client:
        with pytest.raises(NotAnEnterprisePortal):
            await client.facts()
        with pytest.raises(NotAnEnterprisePortal):
            await client.release("jsmith", app_id)
    assert portal.releases == []


@pytest.mark.parametrize(
    ("account", "version", "may"),
    [
        (ADMINISTRATOR, "11.5.0", True),
        (ADMINISTRATOR, "10.7.1", True),
        (HELPDESK, "11.5.0", True),
        (HELPDESK, "10.8.0", True),
        (HELPDESK, "10.7.1", False),
        (VIEWER, "11.5.0", False),
    ],
)
async def test_what_the_facts_say_of_the_privilege_is_what_the_portal_does(
    account: str, version: str, may: bool
) -> None:
    portal = SandboxPortal(version=version)
    async with connected(portal, portal_username=account) as client:
        assert (await client.facts()).may_release is may
        if may:
            await client.release("jsmith", "arcgisprodesktop")
        else:
            with pytest.raises(MissingPrivilege) as caught:
                await client.release("jsmith", "arcgisprodesktop")
            assert caught.value.code == 403
    assert portal.is_offline("jsmith", PRO) is not may
    assert len(portal.releases) == 1


async def test_an_account_is_asked_for_where_the_portal_leaves_it_out() -> None:
    own: Answer = {"username": "x", "role": "org_admin"}
    portal = Scripted({SELF: {"isPortal": True}, "/sharing/rest/community/self": own})
    async with portal.client() as client:
        assert (await client.facts()).may_release


async def test_the_health_check_sends_no_token_and_needs_no_sign_in() -> None:
    portal = SandboxPortal()
    async with connected(portal) as client:
        await client.health()
    [request] = portal.requests
    assert (request.path, request.form) == ("/portal/portaladmin/healthCheck", {"f": "json"})


async def test_a_portal_without_an_administration_fails_the_health_check() -> None:
    async with connected(SandboxPortal(is_portal=False)) as client:
        with pytest.raises(PortalRefused) as caught:
            await client.health()
    assert caught.value.code == 404


# One member


async def test_a_member_is_found_by_the_exact_username() -> None:
    async with connected(SandboxPortal()) as client:
        member = await client.member("gis.chief")
    assert (member.username, member.full_name) == ("gis.chief", "Noa Levi")
    assert member.is_administrator
    assert not member.disabled


async def test_a_username_in_another_case_is_nobody_and_the_spelling_is_named() -> None:
    async with connected(SandboxPortal()) as client:
        with pytest.raises(NoSuchMember) as caught:
            await client.member("JSmith")
    assert "jsmith" in str(caught.value)
    assert caught.value.reason == "no_such_member"


@pytest.mark.parametrize("username", ["nobody", "jsmit", "jsmith*", "Jane Smith", ".", ".."])
async def test_who_is_not_there_is_nobody(username: str) -> None:
    portal = SandboxPortal()
    async with connected(portal) as client:
        with pytest.raises(NoSuchMember):
            await client.member(username)
    assert portal.requests[-1].path == f"/portal{USERS}{username}"


@pytest.mark.promise("not-fooled")
@pytest.mark.parametrize(
    "answered", ["", "jsmith2", "jsmith ", "JSMITH", "jsmith\u200b", "jsm\u0131th"]
)
async def test_an_answer_about_somebody_else_is_nobody(answered: str) -> None:
    portal = Scripted({JSMITH: {"username": answered}})
    async with portal.client() as client:
        with pytest.raises((NoSuchMember, NoClearAnswer)):
            await client.member("jsmith")


@pytest.mark.parametrize("code", [403, 498, 500])
async def test_a_refusal_that_is_not_about_the_name_is_not_a_missing_member(code: int) -> None:
    portal = Scripted({JSMITH: {"error": {"code": code, "message": "no"}}})
    async with portal.client() as client:
        with pytest.raises(PortalError) as caught:
            await client.member("jsmith")
    assert not isinstance(caught.value, NoSuchMember)


AWKWARD = {
    "jdoe@CORP.EXAMPLE": "jdoe%40CORP.EXAMPLE",
    "CORP\\mlee": "CORP%5Cmlee",
    "field crew 7": "field%20crew%207",
    "a/b": "a%2Fb",
    "../../portals/self": "..%2F..%2Fportals%2Fself",
    "..": "%2E%2E",
    ".": "%2E",
    "50%": "50%25",
    "a%2Fb": "a%252Fb",
    "jürgen.groß": "j%C3%BCrgen.gro%C3%9F",
    "who?x=1&y#z": "who%3Fx%3D1%26y%23z",
    "a+b;c": "a%2Bb%3Bc",
    "\"'<>": "%22%27%3C%3E",
    "李雷": "%E6%9D%8E%E9%9B%B7",
}


@pytest.mark.parametrize(("username", "segment"), AWKWARD.items())
async def test_an_awkward_username_stays_one_part_of_the_address(
    username: str, segment: str
) -> None:
    member, entitlement = f"{USERS}{segment}", f"{ENTITLEMENTS}/{segment}"
    portal = Scripted({member: {"username": username}, entitlement: OFFLINE})
    async with portal.client() as client:
        assert (await client.member(username)).username == username
        assert await client.license(username, "arcgisprodesktop") == "offline"
    assert (portal.asked(member), portal.asked(entitlement)) == (1, 1)


@pytest.mark.parametrize("username", AWKWARD)
async def test_an_awkward_username_is_released_as_it_is(username: str) -> None:
    odd = SandboxMember(username=username, full_name="", email="", licenses={PRO}, offline={PRO})
    portal = SandboxPortal(members=[odd])
    async with connected(portal) as client:
        await client.release(username, "arcgisprodesktop")
    assert [request.form["username"] for request in portal.releases] == [username]
    assert not portal.is_offline(username, PRO)


@pytest.mark.parametrize(
    "username", ["jdoe@CORP.EXAMPLE", "CORP\\mlee", "field crew 7", "jürgen.groß", "50%", "a%2Fb"]
)
async def test_an_awkward_username_reaches_a_real_server_unchanged(username: str) -> None:
    odd = SandboxMember(username=username, full_name="", email="", licenses={PRO}, offline={PRO})
    portal = SandboxPortal(members=[odd])
    async with connected(portal) as client:
        assert (await client.member(username)).username == username
        assert await client.license(username, "arcgisprodesktop") == "offline"


# Licenses and listings


@pytest.mark.parametrize(
    ("username", "app_id", "state"),
    [
        ("jsmith", "arcgisprodesktop", "offline"),
        ("jsmith2", "arcgisprodesktop", "not_offline"),
        ("jsmith", "drone2map", "not_licensed"),
        ("akowalska", "arcgisprodesktop", "not_licensed"),
        ("lnguyen", "arcgisprodesktop", "not_offline"),
        ("lnguyen", "drone2map", "offline"),
        ("tokafor", "arcgisallsource", "offline"),
        ("bmartin", "drone2map", "not_offline"),
    ],
)
async def test_the_state_of_a_license_in_every_way_that_a_portal_says_it(
    username: str, app_id: AppId, state: LicenseState
) -> None:
    async with connected(SandboxPortal()) as client:
        assert await client.license(username, app_id) == state


async def test_a_license_of_somebody_who_is_not_there_is_refused() -> None:
    async with connected(SandboxPortal()) as client:
        with pytest.raises(PortalRefused) as caught:
            await client.license("nobody", "arcgisprodesktop")
    assert caught.value.code == 400


def listing(item_id: str, title: str = "ArcGIS Pro") -> dict[str, Any]:
    return {"listing": {"itemId": item_id, "title": title}}


def in_listing(item_id: str, answer: Answer) -> dict[str, Answer]:
    return {f"/sharing/rest/content/listings/{item_id}/userEntitlements/jsmith": answer}


NOT_LICENSED: Answer = {"error": {"code": 400, "message": "not licensed by user"}}
NOTHING: Answer = {"userEntitlements": {}}


@pytest.mark.parametrize(
    ("one", "other", "state"),
    [
        (OFFLINE, NOTHING, "offline"),
        (NOTHING, OFFLINE, "offline"),
        (NOT_LICENSED, OFFLINE, "offline"),
        (ONLINE, OFFLINE, "offline"),
        (ONLINE, NOTHING, "not_offline"),
        (ONLINE, NOT_LICENSED, "not_offline"),
        (NOTHING, NOT_LICENSED, "not_licensed"),
    ],
)
async def test_where_titles_repeat_every_listing_counts(
    one: Answer, other: Answer, state: LicenseState
) -> None:
    bought: Answer = {"purchases": [listing("one1"), {"provision": {}}, listing("two2")]}
    portal = Scripted({PURCHASES: bought, **in_listing("one1", one), **in_listing("two2", other)})
    async with portal.client() as client:
        assert await client.license("jsmith", "arcgisprodesktop") == state
        assert await client.license("jsmith", "drone2map") == "not_licensed"
    assert portal.asked(PURCHASES) == 1


async def test_the_products_of_a_portal_are_those_it_lists() -> None:
    async with connected(SandboxPortal()) as client:
        assert await client.products() == list(PRODUCTS)
    async with Scripted().client() as client:
        assert await client.products() == ["arcgisprodesktop"]
    async with Scripted({PURCHASES: {"purchases": []}}).client() as client:
        assert await client.products() == []


async def test_listings_that_cannot_be_read_are_asked_for_again_the_next_time() -> None:
    portal = Scripted({PURCHASES: [{"error": {"code": 403}}, LISTED]})
    async with portal.client() as client:
        with pytest.raises(MissingPrivilege):
            await client.products()
        assert await client.products() == ["arcgisprodesktop"]


async def test_everybodys_licenses_are_read_in_pages_and_nobody_is_missed_or_doubled() -> None:
    people = crowd(11_000, offline=137)
    for person in people:
        person.licenses.add(PRO)
    portal = SandboxPortal(members=people)
    read: list[dict[str, Any]] = []
    async with connected(portal) as client:
        with anyio.fail_after(15):
            async for page in client.entitlements("arcgisprodesktop"):
                read += page
    assert sorted(row["username"] for row in read) == sorted(p.username for p in people)
    offline = {row["username"] for row in read if row["disconnected"]}
    assert offline == {person.username for person in people if PRO in person.offline}
    assert len(offline) == 137
    assert len(portal.requests) <= 130


def page(start: int, following: Any) -> Answer:
    return {"userEntitlements": [{"username": f"m{start}"}], "nextStart": following}


@pytest.mark.parametrize("last", [-1, 0, 1, 26, None, "52", True])
async def test_paging_follows_the_portal_and_ends_when_it_leads_nowhere(last: Any) -> None:
    portal = Scripted({ENTITLEMENTS: [page(1, 26), page(26, last), AssertionError("asked on")]})
    async with portal.client() as client:
        pages = [page async for page in client.entitlements("arcgisprodesktop")]
    assert pages == [[{"username": "m1"}], [{"username": "m26"}]]
    starts = [
        form_of(r)["start"] for r in portal.received if r.url.path.endswith("userEntitlements")
    ]
    assert starts == ["1", "26"]


async def test_a_page_that_is_not_one_ends_the_listing_with_an_error() -> None:
    portal = Scripted({ENTITLEMENTS: [page(1, 101), {"status": "success"}]})
    async with portal.client() as client:
        with pytest.raises(NoClearAnswer):
            [page async for page in client.entitlements("arcgisprodesktop")]


async def test_a_search_finds_at_most_as_many_as_asked_for_and_tells_the_total() -> None:
    portal = SandboxPortal()
    async with connected(portal) as client:
        found, total = await client.search("smith", 1)
        everybody, _ = await client.search("smith", 50)
    assert [member.username for member in found] == ["jsmith"]
    assert total == 2
    assert [member.username for member in everybody] == ["jsmith", "jsmith2"]


async def test_a_search_is_words_and_never_syntax() -> None:
    portal = SandboxPortal()
    async with connected(portal) as client:
        found, total = await client.search('role:org_admin OR username:"gis.chief"', 50)
    assert (found, total) == ([], 0)
    assert portal.requests[-1].form["q"] == "role org_admin OR username gis.chief"
    assert portal.requests[-1].query == {}


# The request to release


@pytest.mark.promise("one-post")
@pytest.mark.promise("no-secrets")
async def test_a_release_is_one_post_with_everything_in_its_body() -> None:
    portal = RawPortal()
    async with portal.running() as base, PortalClient(settings(base)) as client:
        await client.release("CORP\\jane smith", "drone2map")
    [request] = [r for r in portal.received if r.path == RELEASE]
    assert request.head.startswith(f"POST /portal{RELEASE} HTTP/1.1\r\n".encode())
    wanted = {"username": "CORP\\jane smith", "appId": "drone2map", "token": TOKEN, "f": "json"}
    assert request.form == wanted
    for received in portal.received:
        assert "?" not in received.target
        for value in ("CORP", "jane", "drone2map", TOKEN, PASSWORD):
            assert value.encode() not in received.head


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("10.3.1", OLD_RELEASE),
        ("10.6.1", OLD_RELEASE),
        ("10.7.0", RELEASE),
        ("10.9.1", RELEASE),
        ("11.5.0", RELEASE),
        (None, RELEASE),
    ],
)
async def test_the_address_of_a_release_is_the_one_of_the_version(
    version: str | None, path: str
) -> None:
    portal = SandboxPortal(version=version)
    async with connected(portal) as client:
        await client.release("jsmith", "arcgisprodesktop")
    assert [request.path for request in portal.releases] == [f"/portal{path}"]
    assert not portal.is_offline("jsmith", PRO)


@pytest.mark.parametrize("app_id", ["arcgisprodesktop", "drone2map"])
async def test_a_release_takes_effect_for_this_member_and_this_product_only(app_id: AppId) -> None:
    portal = SandboxPortal()
    before = {(m.username, p) for m in portal.members.values() for p in m.offline}
    async with connected(portal) as client:
        await client.release("sfernandez", app_id)
    after = {(m.username, p) for m in portal.members.values() for p in m.offline}
    assert before - after == {("sfernandez", app_id)}


async def test_a_release_that_the_portal_refuses_says_so() -> None:
    portal = SandboxPortal(version="11.4.0")
    async with connected(portal) as client:
        with pytest.raises(PortalRefused) as caught:
            await client.release("tokafor", "arcgisallsource")
        assert caught.value.code == 400
        with pytest.raises(PortalRefused):
            await client.release("nobody", "arcgisprodesktop")
    assert portal.is_offline("tokafor", "arcgisallsource")


HALF = http({"status": "success"})[:-5]
BROKEN_GZIP = http(b"not gzip at all", content_encoding="gzip")
AFTER_SENDING: dict[str, tuple[RawAnswer, type[PortalError]]] = {
    "no answer at all": (Drop, NoClearAnswer),
    "half an answer": (HALF, NoClearAnswer),
    "no http": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", NoClearAnswer),
    "broken compression": (BROKEN_GZIP, NoClearAnswer),
    "never": (Hang, NoClearAnswer),
    "500": (http(b"<html>", 500), NoClearAnswer),
    "502": (http(b"<html>", 502), NoClearAnswer),
    "503": (http(b"<html>", 503), NoClearAnswer),
    "504 in json": (http({"status": 504, "error": "Gateway Timeout"}, 504), NoClearAnswer),
    "408": (http(b"", 408), NoClearAnswer),
    "a page": (http(b"<html>Sign in</html>"), NoClearAnswer),
    "empty": (http(b""), NoClearAnswer),
    "in progress": (http({"status": "in progress"}), NoClearAnswer),
    "with warnings": (http({"status": "success with warnings"}), NoClearAnswer),
    "success: true": (http({"success": True}), NoClearAnswer),
    "code 500": (http({"error": {"code": 500, "message": "x"}}), NoClearAnswer),
    "redirect": (http(b"", 307, location="/portal/elsewhere"), NoClearAnswer),
    "498": (http({"error": {"code": 498, "message": "Invalid token."}}), TokenRejected),
    "499": (http({"error": {"code": 499, "message": "Token Required."}}), TokenRejected),
    "403": (http({"error": {"code": 403, "message": "x"}}), MissingPrivilege),
    "400": (http({"status": "error", "messages": ["no"], "code": 400}), PortalRefused),
    "401": (http(b"", 401), PortalRefused),
    "429": (http(b"", 429), PortalRefused),
}


@pytest.mark.promise("one-post")
@pytest.mark.promise("four-outcomes")
@pytest.mark.parametrize("case", AFTER_SENDING)
async def test_a_release_is_never_sent_twice_whatever_comes_back(case: str) -> None:
    answer, expected = AFTER_SENDING[case]
    portal = RawPortal({RELEASE: answer})
    chosen = {"portal_timeout": "0.15" if answer is Hang else "5"}
    async with portal.running() as base, PortalClient(settings(base, **chosen)) as client:
        with pytest.raises(PortalError) as caught:
            await client.release("jsmith", "arcgisprodesktop")
    assert type(caught.value) is expected
    assert portal.asked(RELEASE) == 1


@pytest.mark.promise("one-post")
async def test_an_answer_that_drips_ends_with_the_timeout_and_is_unclear() -> None:
    async def drip(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=_Dripping())

    async with PortalClient(
        settings(portal_timeout="0.1"), transport=httpx.MockTransport(drip)
    ) as client:
        with anyio.fail_after(5), pytest.raises(NoClearAnswer) as caught:
            await client.sign_in()
    assert caught.value.again is False


class _Dripping(httpx.AsyncByteStream):
    async def __aiter__(self) -> Any:
        while True:
            await anyio.sleep(0.001)
            yield b" "


async def test_the_end_of_a_token_found_by_a_release_is_mended_for_the_next_one() -> None:
    portal = SandboxPortal()
    async with connected(portal) as client:
        await client.facts()
        portal.expire_tokens()
        with pytest.raises(TokenRejected):
            await client.release("jsmith", "arcgisprodesktop")
        assert portal.is_offline("jsmith", PRO)
        await client.release("jsmith", "arcgisprodesktop")
    assert len(portal.releases) == 2
    assert not portal.is_offline("jsmith", PRO)


async def test_a_portal_that_refuses_the_connection_was_sent_nothing() -> None:
    portal = RawPortal()
    async with portal.running() as base:
        client = PortalClient(settings(base))
        await client.facts()
    async with client:
        with pytest.raises(PortalUnreachable):
            await client.release("jsmith", "arcgisprodesktop")
        with pytest.raises(PortalUnreachable):
            await client.member("jsmith")
    assert portal.asked(RELEASE) == 0


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.PoolTimeout("busy"),
        httpx.ProxyError("407 Proxy Authentication Required"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_what_fails_before_sending_is_told_apart(failure: httpx.TransportError) -> None:
    portal = Scripted({RELEASE: failure})
    async with portal.client() as client:
        with pytest.raises(PortalUnreachable):
            await client.release("jsmith", "arcgisprodesktop")
    assert portal.asked(RELEASE) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue drops connections on Linux")
async def test_a_portal_that_takes_no_connection_in_time_was_sent_nothing() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        full.settimeout(0)
        waiting = [_knock(full.getsockname()) for _ in range(4)]
        url = f"http://127.0.0.1:{full.getsockname()[1]}/portal"
        async with PortalClient(settings(url, portal_token="t", portal_timeout="0.2")) as client:
            with pytest.raises(PortalUnreachable):
                await client.health()
        for knocking in waiting:
            knocking.close()


def _knock(address: tuple[str, int]) -> socket.socket:
    knocking = socket.socket()
    knocking.setblocking(False)
    knocking.connect_ex(address)
    return knocking


# Reading again


@pytest.mark.parametrize(
    "fault",
    [
        Canned(status=502),
        Canned(status=503),
        Canned(status=504, body=b'{"error":"Gateway Timeout"}'),
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
        httpx.ConnectError("refused"),
    ],
)
async def test_a_read_that_breaks_off_is_tried_three_times_in_all(
    fault: Canned | Exception,
) -> None:
    portal = Scripted({JSMITH: [fault, fault, PROFILE]})
    async with portal.client() as client:
        assert (await client.member("jsmith")).full_name == "Jane Smith"
        assert portal.asked(JSMITH) == 3
        portal.answers[JSMITH] = fault
        with pytest.raises(PortalError) as caught:
            await client.member("jsmith")
    assert portal.asked(JSMITH) == 6
    assert isinstance(caught.value, PortalUnreachable | NoClearAnswer)
    assert portal.asked(TOKENS) == 1


async def test_a_dropped_connection_is_read_again_three_times_in_all() -> None:
    portal = RawPortal({JSMITH: Drop})
    async with portal.running() as base, PortalClient(settings(base)) as client:
        with pytest.raises(NoClearAnswer):
            await client.member("jsmith")
    assert portal.asked(JSMITH) == 3


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": 400, "message": "no"}},
        {"error": {"code": 403, "message": "no"}},
        {"error": {"code": 500, "message": "no"}},
        {"error": {"code": 503, "message": "no"}},
        {"status": "error", "messages": ["no"]},
        Canned(status=401),
        Canned(status=404),
        Canned(status=429),
        Canned(status=500),
        Canned(b"<html>Sign in</html>"),
        Canned(b"{"),
        Canned(status=302, headers={"location": "https://elsewhere.example.com/"}),
        httpx.ReadTimeout("slow"),
    ],
)
async def test_a_read_that_was_answered_is_not_tried_again(answer: Answer) -> None:
    portal = Scripted({SELF: answer})
    async with portal.client() as client:
        with pytest.raises(PortalError):
            await client.facts()
    assert portal.asked(SELF) == 1


async def test_a_portal_that_never_answers_a_read_is_asked_once() -> None:
    portal = RawPortal({SELF: Hang})
    chosen = {"portal_timeout": "0.15"}
    async with portal.running() as base, PortalClient(settings(base, **chosen)) as client:
        with pytest.raises(NoClearAnswer):
            await client.facts()
    assert portal.asked(SELF) == 1


# Answers that lead elsewhere, or are too large


@pytest.mark.promise("no-secrets")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("path", "error"),
    # Before the request to release has left, nothing can have been changed by it.
    [(TOKENS, PortalUnreachable), (SELF, PortalUnreachable), (RELEASE, NoClearAnswer)],
)
async def test_a_redirect_is_not_followed_and_the_other_host_hears_nothing(
    status: int, path: str, error: type[Exception]
) -> None:
    other = RawPortal()
    async with other.running() as elsewhere:
        portal = RawPortal({path: http(b"", status, location=f"{elsewhere}{path}")})
        async with portal.running() as base, PortalClient(settings(base)) as client:
            with pytest.raises(error):
                await client.release("jsmith", "arcgisprodesktop")
    assert other.received == []
    assert portal.asked(path) == 1


@pytest.mark.parametrize("status", [200, 302, 400, 503])
@pytest.mark.parametrize("location", ["http://[::1", "http://exa\u2100mple.com/", "//", "?"])
async def test_a_location_that_makes_no_sense_breaks_nothing(status: int, location: str) -> None:
    headers = {"location": location} if location.isascii() else {}
    portal = Scripted({JSMITH: Canned(b'{"username":"jsmith"}', status, headers)})
    async with portal.client() as client:
        if status == httpx.codes.OK:
            assert (await client.member("jsmith")).username == "jsmith"
        else:
            with pytest.raises(PortalError):
                await client.member("jsmith")


async def test_a_success_stays_one_whatever_location_it_carries() -> None:
    portal = Scripted({RELEASE: Canned(b'{"status":"success"}', 200, {"location": "http://["})})
    async with portal.client() as client:
        await client.release("jsmith", "arcgisprodesktop")
    assert portal.asked(RELEASE) == 1


class _Endless(httpx.AsyncByteStream):
    def __init__(self) -> None:
        self.given = 0

    async def __aiter__(self) -> Any:
        while True:
            self.given += 65_536
            yield b"x" * 65_536


async def test_an_endless_answer_is_left_after_8_mib() -> None:
    endless = _Endless()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=endless))
    async with PortalClient(settings(), transport=transport) as client:
        with pytest.raises(NoClearAnswer):
            await client.sign_in()
    assert endless.given < 9 * 1024 * 1024


# Secrets


def echoed_page(request: httpx.Request) -> Canned:
    return Canned(b"<p>" + request.content + b"</p>")


def echoed_values(request: httpx.Request) -> Canned:
    return Canned(f"<p>{sorted(form_of(request).values())}</p>".encode())


def echoed_error(request: httpx.Request) -> Canned:
    values = sorted(form_of(request).values())
    return Canned(json.dumps({"error": {"code": 400, "message": None, "details": values}}).encode())


def echoed_rejection(request: httpx.Request) -> Canned:
    said = f"Rejected: {request.content.decode()}"
    return Canned(json.dumps({"error": {"code": 498, "message": said}}).encode())


def echoed_by_portaladmin(request: httpx.Request) -> Canned:
    said = [f"{name} = {value}" for name, value in form_of(request).items()]
    return Canned(json.dumps({"status": "error", "messages": said}).encode())


FAULTS: dict[str, Answer] = {
    "not reached": httpx.ConnectError("refused"),
    "reset": httpx.ReadError("reset"),
    "slow": httpx.ReadTimeout("slow"),
    "proxy": httpx.ProxyError("407"),
    "503": Canned(status=503),
    "401": Canned(status=401),
    "page": Canned(b"<html>Sign in</html>"),
    "redirect": Canned(status=302, headers={"location": "https://elsewhere.example.com/"}),
    "400": {"error": {"code": 400, "message": "Unable.", "details": ["Invalid."]}},
    "403": {"error": {"code": 403, "messageCode": "GWM_0003", "message": "no"}},
    "498": {"error": {"code": 498, "message": "Invalid token."}},
    "500": {"error": {"code": 500, "message": "Internal"}},
    "echoed page": echoed_page,
    "echoed values": echoed_values,
    "echoed error": echoed_error,
    "echoed rejection": echoed_rejection,
    "echoed by portaladmin": echoed_by_portaladmin,
}
CALLS: dict[str, tuple[str, Call]] = {
    "sign in": (TOKENS, lambda client: client.sign_in()),
    "health": ("/portaladmin/healthCheck", lambda client: client.health()),
    "facts": (SELF, lambda client: client.facts()),
    "member": (JSMITH, lambda client: client.member("jsmith")),
    "listings": (PURCHASES, lambda client: client.products()),
    "release": (RELEASE, lambda client: client.release("jsmith", "arcgisprodesktop")),
}


def everything_of(error: BaseException) -> str:
    """All that a log or a reply could show of an error and of what caused it."""
    texts: list[str] = []
    following: BaseException | None = error
    while following is not None:
        texts += [str(following), repr(following), repr(following.args), repr(vars(following))]
        following = following.__cause__ or following.__context__
    return "\n".join([*texts, *traceback.format_exception(error)])


def everything_logged(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)


def assert_no_secret(text: str) -> None:
    for secret in (TOKEN, TOKEN[:12], SECRET, "w/ord", "w%2Ford", "Zq9"):
        assert secret not in text


@pytest.mark.promise("no-secrets")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
async def test_no_error_and_no_log_shows_a_token_or_a_password(
    call: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path, ask = CALLS[call]
    portal = Scripted({path: FAULTS[fault]})
    async with portal.client(portal_password=SECRET) as client:
        with pytest.raises(PortalError) as caught:
            await ask(client)
        assert_no_secret(repr(client) + repr(vars(client)))
    assert form_of(portal.received[-1]).get("password", SECRET) == SECRET
    assert_no_secret(everything_of(caught.value))
    assert_no_secret(everything_logged(caplog))


@pytest.mark.promise("no-secrets")
@pytest.mark.parametrize("answer", [Drop, http({"error": {"code": 498}}), http({}, 503)])
async def test_no_log_of_the_wire_shows_a_token_or_a_password(
    answer: RawAnswer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    portal = RawPortal({JSMITH: answer, RELEASE: answer})
    chosen = {"portal_password": SECRET}
    async with portal.running() as base, PortalClient(settings(base, **chosen)) as client:
        with pytest.raises(PortalError) as reading:
            await client.member("jsmith")
        with pytest.raises(PortalError) as releasing:
            await client.release("jsmith", "arcgisprodesktop")
    assert portal.received[0].form["password"] == SECRET
    assert portal.received[-1].form["token"] == TOKEN
    assert any(record.name.startswith("httpcore") for record in caplog.records)
    assert_no_secret(everything_logged(caplog))
    assert_no_secret(everything_of(reading.value) + everything_of(releasing.value))
    for request in portal.received:
        assert_no_secret(request.head.decode("ascii"))


@pytest.mark.promise("no-secrets")
async def test_a_given_token_is_in_no_error_either(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    portal = Scripted({SELF: echoed_rejection})
    async with portal.client(portal_token=TOKEN) as client:
        for _ in range(2):
            with pytest.raises(SignInFailed) as caught:
                await client.facts()
            assert_no_secret(everything_of(caught.value))
        assert_no_secret(repr(vars(client)) + everything_logged(caplog))
    assert form_of(portal.received[0])["token"] == TOKEN


# Names and networks


@pytest.mark.promise("not-fooled")
async def test_a_members_profile_is_data() -> None:
    async with connected(SandboxPortal()) as client:
        member = await client.member("contractor99")
    assert len(member.full_name) <= 80
    assert member.full_name.isprintable()
    assert "\u202e" not in member.full_name


async def test_a_portal_with_a_name_in_another_alphabet_can_be_asked() -> None:
    portal = Scripted({JSMITH: PROFILE})
    async with portal.client(portal_url="https://gis.münchen.example/portal") as client:
        assert (await client.member("jsmith")).username == "jsmith"
    [sign_in, question] = portal.received
    assert sign_in.url.raw_host == b"gis.xn--mnchen-3ya.example"
    assert form_of(sign_in)["referer"] == question.headers["referer"]


async def test_a_portal_on_this_machine_is_not_asked_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = RawPortal()
    async with proxy.running() as elsewhere:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, elsewhere.removesuffix("/portal"))
        portal = SandboxPortal()
        async with running(portal) as base, PortalClient(settings(base)) as client:
            await client.facts()
    assert proxy.received == []
    assert asked(portal, "/portals/self") == 1
