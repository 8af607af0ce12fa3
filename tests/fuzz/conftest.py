"""One event loop for many examples, retries without waiting, and a count of what was tried."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import stamina

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(scope="module", autouse=True)
def retries_do_not_wait() -> Iterator[None]:
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """What was tried; `pytest -s` shows it."""
    counted: Counter[str] = Counter()
    yield counted
    print(f"\n{request.node.name}: {dict(sorted(counted.items()))}")  # noqa: T201
