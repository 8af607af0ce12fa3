"""The approval page for every person: keyboard, names, contrast, a phone, the dark."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.window import NAME, window
from tests.office import RELEASE

pytestmark = pytest.mark.anyio

LONG = "Averylongwordwithoutanyspaces" * 6 + " device lost in the field, see the ticket. "
CONTRAST = """selectors => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(n => n / 255)
      .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    const colour = getComputedStyle(element).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" ? behind(element.parentElement) : colour;
  };
  return selectors.map(selector => {
    const element = document.querySelector(selector);
    const [a, b] = [getComputedStyle(element).color, behind(element)].map(light);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
}"""
WORDS = ["h1", ".product", "a", ".id", "dt", "dd", "label", "input", ".hint", ".approve"]


async def test_the_keyboard_alone_is_enough_and_the_focus_is_seen(
    browser: Browser, tmp_path: Path, links: list[str]
) -> None:
    async with window(browser, tmp_path, links) as seen:
        reached = []
        for role, name in [
            ("link", "All requests"),
            ("textbox", NAME),
            ("button", "Approve the release"),
            ("button", "Decline"),
        ]:
            await seen.page.keyboard.press("Tab")
            found = seen.page.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]
            await expect(found).to_be_focused()
            reached.append(await found.evaluate("e => getComputedStyle(e).outlineStyle"))
        assert reached == ["solid"] * 4
        await seen.page.keyboard.press("Shift+Tab")
        await seen.page.keyboard.press("Shift+Tab")
        await seen.page.keyboard.press("Enter")
        assert seen.events() == ["asked", "no_form"]
        await seen.page.keyboard.type("jsmith")
        await seen.page.keyboard.press("Enter")
        await seen.sees("The license was released.")
    assert len(seen.office.portal.releases) == 1


async def test_a_screen_reader_is_told_what_everything_is(
    browser: Browser, tmp_path: Path, links: list[str]
) -> None:
    async with window(browser, tmp_path, links) as seen:
        field = seen.page.get_by_role("textbox", name=NAME)
        await expect(field).to_have_accessible_description(
            "Exactly as shown above, upper and lower case included."
        )
        await expect(seen.page).to_have_title(f"Release this license? {seen.told['release_id']}")
        await expect(seen.page.get_by_role("region", name="What follows")).to_be_visible()
        await expect(seen.page.get_by_role("main")).to_have_count(1)
        assert await seen.page.get_by_role("timer").get_attribute("aria-live") is None
        await seen.type("wrong")
        await seen.press("Approve")
        await expect(field).to_have_attribute("aria-invalid", "true")
        await expect(field).to_have_accessible_description(re.compile("That is not the member's"))
        seen.complaints.clear()
        await seen.press("Decline")
        await expect(seen.page).to_have_title(f"Nothing was released. {seen.told['release_id']}")


@pytest.mark.promise("not-fooled")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_is_cut_off_and_everything_is_legible(
    browser: Browser, tmp_path: Path, links: list[str], scheme: Any
) -> None:
    ask = RELEASE | {"username": "contractor99", "reason": LONG * 2, "ticket": "T" * 64}
    async with window(browser, tmp_path, links, ask, color_scheme=scheme) as seen:
        await fits(seen.page)
        assert min(await seen.page.evaluate(CONTRAST, WORDS)) >= 4.5
        box = await seen.page.get_by_role("button", name="Decline").bounding_box()
        assert box is not None
        assert box["height"] >= 44
        await seen.press("Decline")
        await seen.sees("Nothing was released.")
        await fits(seen.page)
        assert min(await seen.page.evaluate(CONTRAST, [".outcome", "th", "td"])) >= 4.5


async def fits(page: Page) -> None:
    for width in (320, 390, 900):
        await page.set_viewport_size({"width": width, "height": 740})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
