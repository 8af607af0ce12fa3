"""The approval page in real Chromium against a stranger, and against other pages beside it."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect
from starlette.responses import HTMLResponse

from server.loopback import HOST, listener, quiet, served
from tests.browser.window import window

pytestmark = pytest.mark.anyio


@pytest.mark.promise("no-secrets")
async def test_the_key_leaves_the_address_bar_and_the_script_s_reach(
    browser: Browser, tmp_path: Path, links: list[str]
) -> None:
    async with window(browser, tmp_path, links) as seen:
        key = seen.link.rsplit("/", 1)[1]
        assert seen.page.url == seen.told["approval_url"]
        assert key not in await seen.page.content()
        assert await seen.page.evaluate("document.cookie") == ""
        assert await seen.page.evaluate("document.referrer") == ""
        (cookie,) = await seen.context.cookies()
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")


@pytest.mark.promise("never-the-model")
async def test_who_has_no_key_sees_nothing(
    browser: Browser, tmp_path: Path, links: list[str]
) -> None:
    async with window(browser, tmp_path, links) as seen:
        stranger = await browser.new_context()
        page = await stranger.new_page()
        used, guessed = seen.link, f"{seen.origin}/enter/{'A' * 43}"
        for address in (used, guessed, seen.told["approval_url"], seen.origin):
            await seen.is_refused(await page.goto(address))
            await expect(page.get_by_role("heading")).to_have_text("This page needs its own link")
        assert await stranger.cookies() == []
        await stranger.close()


@pytest.mark.promise("never-the-model")
@pytest.mark.parametrize("token", ["", "0" * 64])
async def test_a_form_without_the_right_token_answers_nothing(
    browser: Browser, tmp_path: Path, links: list[str], token: str
) -> None:
    async with window(browser, tmp_path, links) as seen:
        change = "(field, token) => field.value = token"
        await seen.page.locator("[name=token]").evaluate(change, token)
        await seen.type("jsmith")
        async with seen.page.expect_navigation() as sent:
            await seen.press("Approve")
        await seen.is_refused(await sent.value)
        assert (seen.state(), seen.events()) == ("open", ["asked", "no_form"])
    assert seen.office.portal.releases == []


@pytest.mark.promise("never-the-model")
@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:8123"])
async def test_a_foreign_page_answers_nothing_even_with_the_token(
    browser: Browser, tmp_path: Path, links: list[str], origin: str
) -> None:
    """Another port of this machine counts as the same site, so its form brings the cookie."""
    async with window(browser, tmp_path, links) as seen:
        token = await seen.page.locator("[name=token]").input_value()
        evil = await seen.context.new_page()
        await evil.route(
            f"{origin}/",
            lambda route: route.fulfill(
                content_type="text/html",
                body=f"""<form method=post action="{seen.page.url}">
                <input name=token value={token}>
                <input name=verdict value=approve><input name=username value=jsmith>
                <button>Win a prize</button></form>""",
            ),
        )
        await evil.goto(f"{origin}/")
        async with evil.expect_navigation() as sent:
            await evil.get_by_role("button").click()
        answer = await sent.value
        await seen.is_refused(answer)
        assert answer.request.headers.get("origin") != seen.origin
        assert (seen.state(), seen.events()) == ("open", ["asked", "no_form"])
        await evil.close()
    assert seen.office.portal.releases == []


async def test_a_foreign_name_for_this_machine_shows_nothing(
    browser: Browser, tmp_path: Path, links: list[str]
) -> None:
    async with window(browser, tmp_path, links) as seen:
        foreign = await seen.context.new_page()
        for host in ("evil.localhost", "localhost"):
            answer = await foreign.goto(seen.page.url.replace("127.0.0.1", host))
            await seen.is_refused(answer)
            await expect(foreign.get_by_text("Refused.")).to_be_visible()


async def test_no_page_can_frame_it(browser: Browser, tmp_path: Path, links: list[str]) -> None:
    async with window(browser, tmp_path, links) as seen:
        framing, listening = await seen.context.new_page(), listener()
        page = HTMLResponse(f'<iframe src="{seen.page.url}"></iframe>')
        async with served(quiet(page), listening):
            await framing.goto(f"http://{HOST}:{listening.getsockname()[1]}/")
            _, frame = framing.frames
            assert "Jane Smith" not in await frame.content()
        await framing.close()


async def test_no_script_runs_in_it_but_its_own(
    browser: Browser, tmp_path: Path, links: list[str]
) -> None:
    async with window(browser, tmp_path, links) as seen:
        await seen.page.evaluate(
            """() => {
              const script = document.createElement("script");
              script.textContent = "window.ran = true";
              document.body.append(script);
            }"""
        )
        assert await seen.page.evaluate("window.ran") is None
        assert "Content Security Policy" in "".join(seen.complaints)
        seen.complaints.clear()
