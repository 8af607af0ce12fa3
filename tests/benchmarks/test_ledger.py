"""A ledger with a long past is as quick as a new one, apart from what reads all of it.

The disk is left out, as far as there is one in memory: it would hide what grows.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from server.releases.ledger import Ledger
from tests.benchmarks import history
from tests.benchmarks import ledger as measures

SMALL, LARGE, BOUND = 1_000, 20_000, 2.0
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
Pair = tuple[Ledger, Ledger]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A ledger with a short past, and one with a long one."""
    with tempfile.TemporaryDirectory(dir=MEMORY, ignore_cleanup_errors=True) as folder:
        urls = [f"sqlite:///{(Path(folder) / f'{n}.db').as_posix()}" for n in (SMALL, LARGE)]
        for url, entries in zip(urls, (SMALL, LARGE), strict=True):
            history.fill(url, entries)
        small, large = Ledger(urls[0]), Ledger(urls[1])
        yield small, large
        small.close()
        large.close()


def growth(pair: Pair, call: Callable[[Ledger], Any], times: int = 20) -> float:
    small, large = pair
    return measures.growth(lambda: call(small), lambda: call(large), times)


def test_the_pasts_are_valid(pair: Pair) -> None:
    assert [ledger.verify().fault for ledger in pair] == [None, None]


def test_a_release_takes_no_longer_in_an_old_ledger(pair: Pair) -> None:
    assert growth(pair, lambda ledger: measures.ways(ledger, 1, "one")) < BOUND


LOOKS: dict[str, Callable[[Ledger], object]] = {
    "the newest": lambda ledger: ledger.list(limit=20, now=measures.now()),
    "a member's": lambda ledger: ledger.list(limit=50, username="member00007"),
    "what waits": lambda ledger: ledger.waiting(history.PORTAL, measures.now()),
    "the unsettled": lambda ledger: ledger.unsettled(),
    "one": lambda ledger: ledger.entries(history.release_id(7)),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_takes_no_longer_in_an_old_ledger(pair: Pair, look: str) -> None:
    assert growth(pair, LOOKS[look]) < BOUND
