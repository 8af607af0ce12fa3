"""What the ledger costs a release: its way through the ledger, timed, by one process or by several.

The way is asked, approved, sending, released: four durable transactions. `careless` is the same
without waiting for the disk, which the product does not offer: it shows what durability costs.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from server.releases import database
from server.releases.ledger import Ledger
from tests.benchmarks import history

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Ways:
    """How long each way of a release took, in seconds, and all of them together."""

    each: list[float]
    wall: float

    @property
    def throughput(self) -> float:
        """Releases a second."""
        return len(self.each) / self.wall

    @property
    def p50(self) -> float:
        """The median of a way, in milliseconds."""
        return median(self.each) * 1000

    @property
    def p95(self) -> float:
        """What 95 of 100 ways did not exceed, in milliseconds."""
        return quantiles(self.each, n=20)[-1] * 1000


def walk(ledger: Ledger, who: str) -> None:
    """Lead one release through the ledger."""
    request = ledger.open(history.asked(who, now()))
    assert request.state == "open"
    ledger.decide(request.release_id, "approved", route="page", approver="ana@desk", now=now())
    sending = ledger.begin_sending(request.release_id, now=now(), lease=120_000, may=lambda _: None)
    assert sending is not None
    ledger.finish(request.release_id, "released", "confirmed", now=now(), verified=True)


def ways(ledger: Ledger, count: int, name: str) -> list[float]:
    """Lead releases through the ledger one after the other; return how long each took."""
    return [_timed(partial(walk, ledger, f"{name}{number}")) for number in range(count)]


def ways_of_many(url: str, count: int, processes: int, *, careless: bool = False) -> Ways:
    """Do the same in several processes at once; `count` each."""
    command = [sys.executable, "-m", "tests.benchmarks.ledger", url, f"{count}"]
    children = [
        subprocess.Popen(
            [*command, f"p{number}", *(["careless"] if careless else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for number in range(processes)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    begun = time.perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    told = [json.loads(child.communicate()[0]) for child in children]
    return Ways([seconds for each in told for seconds in each], time.perf_counter() - begun)


def together(*several: Ways) -> Ways:
    """Return several measurements as one."""
    return Ways([s for ways in several for s in ways.each], sum(ways.wall for ways in several))


def be_careless() -> None:
    """Have this process not wait for the disk."""
    durable = database._make_durable

    def careless(connection: Any) -> None:
        durable(connection)
        connection.execute("PRAGMA synchronous = OFF")

    database._make_durable = careless
    writing = database.PostgreSQL._WRITING
    assert "synchronous_commit = on" in writing
    database.PostgreSQL._WRITING = writing.replace(
        "synchronous_commit = on", "synchronous_commit = off"
    )


def growth(small: Callable[[], Any], large: Callable[[], Any], times: int) -> float:
    """How many times as long the large one takes: done in turns, by the shortest of each.

    A machine's speed drifts, and noise only ever adds.
    """
    pairs = [(_timed(small), _timed(large)) for _ in range(times)]
    return min(pair[1] for pair in pairs) / min(pair[0] for pair in pairs)


def _timed(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def now() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _child(url: str, count: str, name: str, *how: str) -> None:
    if how:
        be_careless()
    ledger = Ledger(url)
    ways(ledger, 2, f"{name}-before-")
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    print(json.dumps(ways(ledger, int(count), name)))  # noqa: T201


if __name__ == "__main__":
    _child(*sys.argv[1:])
