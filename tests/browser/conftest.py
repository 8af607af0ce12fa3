"""One Chromium for all tests of a module; each test has its own profile in it."""

from collections.abc import AsyncGenerator

import pytest
from playwright.async_api import Browser

from tests.chromium import ABSENT, CHROMIUM, chromium


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run a module's tests in one event loop, where its browser lives."""
    return "asyncio"


@pytest.fixture(scope="module")
async def browser() -> AsyncGenerator[Browser]:
    """Return a browser, where this machine has one."""
    if CHROMIUM is None:
        pytest.skip(ABSENT)
    async with chromium() as opened:
        yield opened
