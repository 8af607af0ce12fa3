"""Signing in: once at a time, renewed in time, and never again with what was rejected."""

import contextlib
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from anyio import lowlevel

from server.errors import NoClearAnswer, PortalError, PortalUnreachable, SignInFailed, TokenRejected
from server.portal.client import PortalClient
from server.sandbox.members import PASSWORD
from server.sandbox.portal import ADMINISTRATOR, SandboxPortal
from server.sandbox.runner import running

from .portals import (
    FAR_AWAY,
    SELF,
    TOKENS,
    USERS,
    Answer,
    Canned,
    Clock,
    Scripted,
    asked,
    connected,
    form_of,
    settings,
    together,
)

pytestmark = pytest.mark.anyio

MINUTE = 60
JSMITH = f"{USERS}jsmith"
PROFILE: Answer = {"username": "jsmith"}


def token_until(expires: Any) -> Answer:
    return {"token": "t", "expires": expires}


async def test_many_calls_at_once_sign_in_once() -> None:
    portal = SandboxPortal()
    async with connected(portal) as client:
        found = await together(20, lambda: client.member("jsmith"))
    assert [getattr(member, "username", member) for member in found] == ["jsmith"] * 20
    assert asked(portal, "/generateToken") == 1
    assert asked(portal, "/users/jsmith") == 20


async def test_the_sign_in_asks_for_a_token_bound_to_the_portals_address() -> None:
    portal = SandboxPortal()
    async with connected(portal) as client:
        await client.sign_in()
        form = portal.requests[0].form
        assert form == {
            "username": ADMINISTRATOR,
            "password": PASSWORD,
            "client": "referer",
            "referer": client.url,
            "expiration": "60",
            "f": "json",
        }
        assert portal.requests[0].query == {}


async def test_every_request_carries_the_referer_that_the_token_is_bound_to() -> None:
    portal = SandboxPortal()
    async with connected(portal) as client:
        await client.health()
        await client.member("jsmith")
        await client.license("jsmith", "arcgisprodesktop")
        await client.search("smith", 5)
        assert [page async for page in client.entitlements("arcgisprodesktop")]
        await client.release("jsmith", "arcgisprodesktop")
        referers = {request.headers.get("referer") for request in portal.requests}
        assert referers == {client.url}
    assert len(portal.requests) == 9
    assert not portal.is_offline("jsmith", "arcgisprodesktop")


async def test_a_token_is_renewed_before_the_portal_says_that_it_ends() -> None:
    clock = Clock()
    portal = SandboxPortal(clock=clock, token_minutes_cap=30)
    async with running(portal) as base, PortalClient(settings(base), clock=clock) as client:
        await client.sign_in()
        clock.now += 28 * MINUTE
        await client.member("jsmith")
        assert asked(portal, "/generateToken") == 1
        clock.now += 1 * MINUTE + 59
        await client.member("jsmith")
        assert asked(portal, "/generateToken") == 2
    assert asked(portal, "/users/jsmith") == 2


async def test_a_token_shorter_than_the_margin_is_still_used_for_a_while() -> None:
    clock = Clock()
    portal = SandboxPortal(clock=clock, token_minutes_cap=1)
    async with running(portal) as base, PortalClient(settings(base), clock=clock) as client:
        await client.sign_in()
        clock.now += 29
        await client.member("jsmith")
        assert asked(portal, "/generateToken") == 1
        clock.now += 1
        await client.member("jsmith")
        assert asked(portal, "/generateToken") == 2


@pytest.mark.parametrize(
    "expires",
    [None, "soon", [], 0, -1, True, float("nan"), float("-inf"), pytest.param(10**400, id="huge")],
)
async def test_an_end_that_cannot_be_read_does_not_keep_anybody_out(expires: Any) -> None:
    portal = Scripted({TOKENS: token_until(expires), JSMITH: PROFILE})
    if isinstance(expires, float):
        body = f'{{"token":"t","expires":{"NaN" if expires != expires else "-Infinity"}}}'
        portal.answers[TOKENS] = Canned(body.encode())
    async with portal.client() as client:
        assert (await client.member("jsmith")).username == "jsmith"


async def test_without_an_end_a_token_is_renewed_soon() -> None:
    clock = Clock()
    portal = Scripted({TOKENS: {"token": "t"}, JSMITH: PROFILE})
    async with portal.client(clock) as client:
        await client.member("jsmith")
        await client.member("jsmith")
        assert portal.asked(TOKENS) == 1
        clock.now += 2 * MINUTE
        await client.member("jsmith")
        assert portal.asked(TOKENS) == 2


@pytest.mark.parametrize("answer", [{}, {"token": None}, {"token": ""}, {"token": 5}])
async def test_an_answer_without_a_token_is_a_failed_sign_in(answer: dict[str, Any]) -> None:
    portal = Scripted({TOKENS: answer})
    async with portal.client() as client:
        with pytest.raises(SignInFailed):
            await client.sign_in()


@pytest.mark.promise("no-lockout")
async def test_a_rejected_password_is_tried_once_however_many_calls_wait() -> None:
    portal = SandboxPortal()
    async with connected(portal, portal_password="wrong") as client:
        ended = await together(20, lambda: client.member("jsmith"))
        assert [type(error) for error in ended] == [SignInFailed] * 20
        with pytest.raises(SignInFailed):
            await client.sign_in()
        with pytest.raises(SignInFailed):
            await client.facts()
        with pytest.raises(SignInFailed):
            await client.release("jsmith", "arcgisprodesktop")
    assert [request.path for request in portal.requests] == ["/portal/sharing/rest/generateToken"]
    assert not portal.locked_out(ADMINISTRATOR)


def rejection(**error: Any) -> Answer:
    return {"error": error}


@pytest.mark.promise("no-lockout")
@pytest.mark.parametrize(
    "answer",
    [
        rejection(code=400, message="Unable to generate token.", details=["Invalid username."]),
        rejection(code=400, message="Unable to generate token.", details="Too many attempts."),
        rejection(code=401, message=None),
        rejection(code=403, messageCode="GWM_0003", message="You do not have permissions."),
        rejection(message="Invalid username or password."),
        rejection(code="400", message="Invalid username or password."),
        {"error": "Invalid username or password."},
        {"status": "error", "messages": ["Invalid username or password."]},
        {"status": "failure", "messages": ["Invalid username or password."], "code": 422},
        Canned(status=401, body=b"<html>Unauthorized</html>"),
        Canned(status=403, body=b"<html>Forbidden</html>"),
        Canned(status=400, body=b""),
    ],
)
async def test_whatever_the_shape_of_a_rejection_it_is_remembered(answer: Answer) -> None:
    portal = Scripted({TOKENS: answer})
    async with portal.client() as client:
        for _ in range(6):
            with pytest.raises(SignInFailed):
                await client.member("jsmith")
    assert portal.asked(TOKENS) == 1
    assert len(portal.received) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.ConnectError("refused"), PortalUnreachable),
        (httpx.ReadError("reset"), NoClearAnswer),
        (httpx.ReadTimeout("slow"), NoClearAnswer),
        (Canned(status=503), NoClearAnswer),
        (Canned(b"<html>starting</html>"), NoClearAnswer),
        (rejection(code=500, message="Internal"), NoClearAnswer),
        (Canned(status=404), SignInFailed),
        (Canned(status=429), SignInFailed),
    ],
)
async def test_what_says_nothing_of_the_account_is_not_remembered(
    answer: Answer, expected: type[PortalError]
) -> None:
    portal = Scripted({TOKENS: answer, JSMITH: PROFILE})
    async with portal.client() as client:
        with pytest.raises(expected):
            await client.sign_in()
        portal.answers[TOKENS] = token_until(FAR_AWAY)
        assert (await client.member("jsmith")).username == "jsmith"
    assert portal.asked(TOKENS) == 2


async def test_calls_that_wait_for_a_sign_in_that_breaks_off_sign_in_themselves() -> None:
    broken = httpx.ReadError("reset")
    portal = Scripted({TOKENS: [broken, token_until(FAR_AWAY)], JSMITH: PROFILE})
    async with portal.client() as client:
        ended = await together(20, lambda: client.member("jsmith"))
    assert [getattr(member, "username", member) for member in ended] == ["jsmith"] * 20
    assert portal.asked(TOKENS) == 2


class Slow:
    """A portal that answers a sign-in when it is told to, and counts them."""

    def __init__(self, answer: httpx.Response) -> None:
        self.asked = 0
        self.reached, self.may_answer = anyio.Event(), anyio.Event()
        self._answer = answer

    async def __call__(self, _: httpx.Request) -> httpx.Response:
        self.asked += 1
        self.reached.set()
        await self.may_answer.wait()
        return self._answer


@pytest.mark.promise("no-lockout")
async def test_a_password_whose_rejection_nobody_waits_for_is_not_tried_again() -> None:
    slow = Slow(httpx.Response(200, json={"error": {"code": 400, "message": "Invalid."}}))
    async with PortalClient(settings(), transport=httpx.MockTransport(slow)) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_sign_in_vainly, client)
            await slow.reached.wait()
            tasks.cancel_scope.cancel()
            slow.may_answer.set()
        with pytest.raises(SignInFailed):
            await client.sign_in()
    assert slow.asked == 1


async def _sign_in_vainly(client: PortalClient) -> None:
    with contextlib.suppress(SignInFailed):
        await client.sign_in()


async def test_a_call_that_is_cancelled_while_another_signs_in_leaves_nothing_locked() -> None:
    slow = Slow(httpx.Response(200, json={"token": "t", "expires": FAR_AWAY}))
    async with PortalClient(settings(), transport=httpx.MockTransport(slow)) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.sign_in)
            await slow.reached.wait()
            with anyio.CancelScope() as waiting:
                tasks.start_soon(_cancel_after_a_moment, waiting, slow.may_answer)
                await client.sign_in()
        assert waiting.cancelled_caught
        await client.sign_in()
    assert slow.asked == 1


async def _cancel_after_a_moment(waiting: anyio.CancelScope, then: anyio.Event) -> None:
    await lowlevel.checkpoint()
    waiting.cancel()
    await lowlevel.checkpoint()
    then.set()


async def test_an_expired_token_is_renewed_once_and_the_question_repeated_once() -> None:
    portal = SandboxPortal()
    async with connected(portal) as client:
        await client.member("jsmith")
        portal.expire_tokens()
        assert (await client.member("jsmith")).username == "jsmith"
    assert asked(portal, "/generateToken") == 2
    assert asked(portal, "/users/jsmith") == 3


async def test_an_expired_token_is_renewed_once_for_all_who_hold_it() -> None:
    portal = SandboxPortal()
    async with connected(portal) as client:
        await client.member("jsmith")
        portal.expire_tokens()
        ended = await together(20, lambda: client.member("jsmith"))
    assert [getattr(member, "username", member) for member in ended] == ["jsmith"] * 20
    assert asked(portal, "/generateToken") == 2


@pytest.mark.parametrize("code", [498, 499])
@pytest.mark.parametrize(
    "shape",
    [
        lambda code: {"error": {"code": code, "message": "Invalid token."}},
        lambda code: {"status": "error", "messages": ["Token required."], "code": code},
    ],
)
async def test_a_rejected_token_is_renewed_in_either_shape(
    code: int, shape: Callable[[int], Answer]
) -> None:
    portal = Scripted({JSMITH: [shape(code), PROFILE]})
    portal.answers[TOKENS] = [{"token": name, "expires": FAR_AWAY} for name in ("one", "two")]
    async with portal.client() as client:
        assert (await client.member("jsmith")).username == "jsmith"
    asked_with = [form_of(r)["token"] for r in portal.received if r.url.path.endswith("jsmith")]
    assert asked_with == ["one", "two"]


@pytest.mark.parametrize("code", [498, 499])
async def test_a_portal_that_rejects_every_token_is_asked_twice_and_no_more(code: int) -> None:
    portal = Scripted({SELF: rejection(code=code, message="Invalid token.")})
    async with portal.client() as client:
        with pytest.raises(TokenRejected) as caught:
            await client.facts()
    assert caught.value.code == code
    assert (portal.asked(TOKENS), portal.asked(SELF)) == (2, 2)


async def token_of(portal: SandboxPortal, referer: str) -> str:
    form = {"username": ADMINISTRATOR, "password": PASSWORD, "referer": referer}
    return str(portal.sign_in(form)["token"])


async def test_a_given_token_is_used_as_it_is() -> None:
    portal = SandboxPortal()
    async with running(portal) as base:
        token = await token_of(portal, base)
        async with PortalClient(settings(base, portal_token=token)) as client:
            await client.sign_in()
            await client.member("jsmith")
            await client.release("jsmith", "arcgisprodesktop")
    assert {request.form["token"] for request in portal.requests} == {token}
    assert asked(portal, "/generateToken") == 0
    assert not portal.is_offline("jsmith", "arcgisprodesktop")


async def test_a_given_token_that_is_rejected_is_rejected_for_good() -> None:
    portal = SandboxPortal()
    async with running(portal) as base:
        token = await token_of(portal, "https://another.example.com")
        async with PortalClient(settings(base, portal_token=token)) as client:
            for _ in range(3):
                with pytest.raises(SignInFailed):
                    await client.member("jsmith")
            with pytest.raises(SignInFailed):
                await client.release("jsmith", "arcgisprodesktop")
    assert [request.path for request in portal.requests] == [f"/portal{JSMITH}"]


async def test_a_given_token_that_a_release_finds_rejected_is_not_sent_again() -> None:
    portal = SandboxPortal()
    async with running(portal) as base:
        token = await token_of(portal, base)
        async with PortalClient(settings(base, portal_token=token)) as client:
            await client.facts()
            portal.expire_tokens()
            with pytest.raises(TokenRejected):
                await client.release("jsmith", "arcgisprodesktop")
            with pytest.raises(SignInFailed):
                await client.release("jsmith", "arcgisprodesktop")
    assert len(portal.releases) == 1
    assert portal.is_offline("jsmith", "arcgisprodesktop")


async def test_an_account_that_a_portal_locked_is_not_tried_further() -> None:
    portal = SandboxPortal()
    for _ in range(5):
        with pytest.raises(Exception, match="Invalid username or password"):
            portal.sign_in({"username": ADMINISTRATOR, "password": "wrong"})
    async with connected(portal) as client:
        for _ in range(3):
            with pytest.raises(SignInFailed):
                await client.sign_in()
    assert asked(portal, "/generateToken") == 1
