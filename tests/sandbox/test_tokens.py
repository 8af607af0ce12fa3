"""Signing in: where a token counts, how long, for whom, and how an account gets locked."""

import httpx
import pytest

from server.sandbox.members import HELPDESK
from server.sandbox.portal import ADMINISTRATOR, PASSWORD, SandboxPortal

from .visitor import SELF, TOKENS, visiting

pytestmark = pytest.mark.anyio

MINUTE = 60


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_the_expiration_is_capped_silently() -> None:
    clock = Clock()
    async with visiting(SandboxPortal(clock=clock, token_minutes_cap=30)) as visitor:
        reply = await visitor.sign_in(expiration="600")
        assert reply["expires"] == (clock.now + 30 * MINUTE) * 1000
        assert reply["ssl"] is True
        assert (await visitor.ask(SELF))["maxTokenExpirationMinutes"] == 30


async def test_without_a_cap_the_expiration_is_granted() -> None:
    clock = Clock()
    async with visiting(SandboxPortal(clock=clock, token_minutes_cap=-1)) as visitor:
        reply = await visitor.sign_in(expiration="600")
    assert reply["expires"] == (clock.now + 600 * MINUTE) * 1000


async def test_a_token_ends_when_its_time_is_over() -> None:
    clock = Clock()
    async with visiting(SandboxPortal(clock=clock), ADMINISTRATOR) as visitor:
        clock.now += 60 * MINUTE
        assert (await visitor.ask(SELF))["error"]["code"] == 498


async def test_tokens_can_be_expired_all_at_once() -> None:
    portal = SandboxPortal()
    async with visiting(portal, ADMINISTRATOR) as visitor:
        portal.expire_tokens()
        assert (await visitor.ask(SELF))["error"]["code"] == 498
        assert (await visitor.ask("portaladmin/license"))["error"]["code"] == 498


async def test_a_token_is_bound_to_its_referer() -> None:
    async with visiting(SandboxPortal(), ADMINISTRATOR) as visitor:
        visitor.http.headers["Referer"] = "https://elsewhere.example.com"
        assert (await visitor.ask(SELF))["error"]["code"] == 498


async def test_a_token_for_an_address_needs_no_referer() -> None:
    async with visiting(SandboxPortal()) as visitor:
        await visitor.sign_in(client="requestip")
        del visitor.http.headers["Referer"]
        assert "user" in await visitor.ask(SELF)


@pytest.mark.parametrize("place", ["body", "query", "header"])
async def test_a_token_counts_in_three_places(place: str) -> None:
    async with visiting(SandboxPortal(), ADMINISTRATOR) as visitor:
        token = str(visitor.token)
        response = await visitor.http.post(
            f"{visitor.base}/sharing/rest/community/self",
            params={"token": token} if place == "query" else {},
            headers={"X-Esri-Authorization": f"Bearer {token}"} if place == "header" else {},
            data={"f": "json"} | ({"token": token} if place == "body" else {}),
        )
    assert response.json()["username"] == ADMINISTRATOR


async def test_a_forged_token_is_refused() -> None:
    async with visiting(SandboxPortal()) as visitor:
        visitor.token = "forged"
        assert (await visitor.ask(SELF))["error"] == {
            "code": 498,
            "message": "Invalid token.",
            "details": [],
        }


@pytest.mark.parametrize(
    ("username", "password"),
    [(ADMINISTRATOR, "wrong"), ("nobody", PASSWORD), ("jsmith", ""), ("jsmith", PASSWORD)],
)
async def test_a_bad_login_is_an_error_on_http_200(username: str, password: str) -> None:
    async with visiting(SandboxPortal()) as visitor:
        reply = await visitor.sign_in(username, password=password)
    assert reply["error"]["code"] == 400
    assert reply["error"]["details"] == ["Invalid username or password."]


async def test_a_disabled_account_neither_signs_in_nor_stays_signed_in() -> None:
    portal = SandboxPortal()
    async with visiting(portal, HELPDESK) as visitor:
        portal.members[HELPDESK].disabled = True
        assert (await visitor.ask(SELF))["error"]["code"] == 498
        assert (await visitor.sign_in(HELPDESK))["error"]["code"] == 400


async def test_five_wrong_passwords_lock_the_account_for_fifteen_minutes() -> None:
    clock = Clock()
    portal = SandboxPortal(clock=clock)
    async with visiting(portal) as visitor:
        for _ in range(5):
            assert not portal.locked_out(ADMINISTRATOR)
            await visitor.sign_in(password="wrong")
        assert portal.locked_out(ADMINISTRATOR)
        assert not portal.locked_out(HELPDESK)
        assert "error" in await visitor.sign_in()
        clock.now += 15 * MINUTE
        assert not portal.locked_out(ADMINISTRATOR)
        assert "token" in await visitor.sign_in()


async def test_the_right_password_forgives_the_wrong_ones() -> None:
    portal = SandboxPortal()
    async with visiting(portal) as visitor:
        for _ in range(2):
            for _ in range(4):
                await visitor.sign_in(password="wrong")
            await visitor.sign_in()
        assert not portal.locked_out(ADMINISTRATOR)


async def test_credentials_in_a_url_get_no_token() -> None:
    async with visiting(SandboxPortal()) as visitor:
        response = await visitor.http.get(
            f"{visitor.base}/{TOKENS}",
            params={"f": "json", "username": ADMINISTRATOR, "password": PASSWORD},
        )
    assert response.status_code == httpx.codes.OK
    assert "error" in response.json()
