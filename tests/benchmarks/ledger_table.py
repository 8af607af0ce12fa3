"""The second table: what the ledger costs, on either database, alone, in a crowd, and old."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from server.releases.ledger import Ledger
from tests import postgres
from tests.benchmarks import history, ledger
from tests.benchmarks.ledger import Ways

ROUNDS, RELEASES = 3, 60
SMALL, LARGE = 1_000, 100_000
NewLedger = Callable[[], str]


def table(folder: Path) -> list[str]:
    """Return the table's lines."""
    numbers = iter(range(100))
    with postgres.running() as server:
        sqlite = _column(lambda: f"sqlite:///{(folder / f'{next(numbers)}.db').as_posix()}")
        postgresql = _column(server.new_ledger)
        rows = [
            (name, figure, other)
            for (name, figure), (_, other) in zip(sqlite, postgresql, strict=True)
        ]
    return [
        f"A release's way through the ledger, {ROUNDS * RELEASES} of each; growth from "
        f"{SMALL:,} to {LARGE:,} entries.",
        "",
        "| Figure | SQLite | PostgreSQL |",
        "| --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _column(new: NewLedger) -> Iterator[tuple[str, str]]:
    for processes, who in ((1, "one process"), (4, "four processes")):
        durable, careless = _both(new, processes)
        yield f"releases a second, {who}", f"{durable.throughput:.0f}"
        yield f"one release, {who}: median, 95 of 100", _latency(durable)
        yield f"the same without waiting for the disk, {who}", _latency(careless)
        ratio = careless.throughput / durable.throughput
        yield f"throughput without waiting for the disk, times, {who}", f"{ratio:.2f}"
    yield from _growths(new)


def _both(new: NewLedger, processes: int) -> tuple[Ways, Ways]:
    """Durable and careless, in turns."""
    kept: dict[bool, list[Ways]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for careless, measured in kept.items():
            url = new()
            opened = Ledger(url)
            opened.prepare()
            opened.close()
            count = RELEASES // processes
            measured.append(ledger.ways_of_many(url, count, processes, careless=careless))
    return ledger.together(*kept[False]), ledger.together(*kept[True])


def _growths(new: NewLedger) -> Iterator[tuple[str, str]]:
    small, large = (_filled(new(), entries) for entries in (SMALL, LARGE))

    def grown(call: Callable[[Ledger], Any], times: int) -> str:
        return f"{ledger.growth(lambda: call(small), lambda: call(large), times):.2f}"

    yield "growth of a release", grown(lambda each: ledger.ways(each, 1, "grown"), 100)
    yield "growth of `list_releases`, newest 20", grown(lambda each: each.list(limit=20), 10)
    yield "growth of one member's history", grown(_one_member, 10)
    yield "growth of looking for what waits", grown(_waiting, 10)
    yield "growth of `ledger verify`", grown(lambda each: each.verify(), 2)
    yield "growth of `ledger export`", grown(lambda each: sum(1 for _ in each.export()), 2)
    small.close()
    large.close()


def _filled(url: str, entries: int) -> Ledger:
    history.fill(url, entries)
    opened = Ledger(url)
    found = opened.verify()
    assert (found.entries, found.fault) == (entries, None)
    return opened


def _one_member(opened: Ledger) -> object:
    return opened.list(limit=50, username="member00007")


def _waiting(opened: Ledger) -> object:
    return opened.waiting(history.PORTAL, ledger.now())


def _latency(ways: Ways) -> str:
    return f"{ways.p50:.1f} ms, {ways.p95:.1f} ms"
