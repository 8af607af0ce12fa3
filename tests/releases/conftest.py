"""Whatever is promised holds on either database, so every test here runs on both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.releases.ledger import Ledger
from tests.conftest import LedgerOf


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{(tmp_path / 'ledger.db').as_posix()}"
    url: str = request.getfixturevalue("postgres").new_ledger()
    return url


@pytest.fixture
def ledger_of(
    ledger: Ledger, ledger_url: str, request: pytest.FixtureRequest
) -> Iterator[LedgerOf]:
    """On a server, every requester has an account of its own."""
    if ledger_url.startswith("sqlite"):
        yield lambda _: ledger
        return
    ledger.prepare()
    opened: dict[str, Ledger] = {}

    def of(requester: str) -> Ledger:
        account = requester.replace("@", "_")
        if account not in opened:
            url = request.getfixturevalue("postgres").account(ledger_url, account)
            opened[account] = Ledger(url, same_clock=False)
        return opened[account]

    yield of
    for each in opened.values():
        each.close()
