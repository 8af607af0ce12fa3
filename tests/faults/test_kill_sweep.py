"""SIGKILL at every moment of a release, over real processes: between any two statements too.

`KILLS` is how many servers are killed on SQLite; on PostgreSQL it is a fifth of them, at least
four, or `KILLS_ON_POSTGRESQL`. The default fits an ordinary run, spread over the whole way.
"""

import logging
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from server.app import milliseconds
from server.releases.ledger import Ledger
from server.releases.outcomes import Timing
from server.sandbox.portal import SandboxPortal
from server.sandbox.runner import running
from tests.faults.nursery import Mortal, Nursery, nursery
from tests.faults.test_kill import next_server
from tests.office import PRO, environment

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor fork"),
    pytest.mark.timeout(7200 if "KILLS" in os.environ else 120),
]
KILLS = int(os.environ.get("KILLS", "10"))
ON_POSTGRESQL = int(os.environ.get("KILLS_ON_POSTGRESQL", str(max(4, KILLS // 5))))
BY_THE_CLOCK = 5  # Every fifth is killed from outside, at any time after the yes.
NOBODY_ELSE = Timing().lease
ANSWERED_BY_NOW = NOBODY_ELSE + Timing().settles
logger = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def born(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with nursery(tmp_path_factory.mktemp("moments")) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def kills(request: pytest.FixtureRequest) -> int:
    return KILLS if request.param == "sqlite" else ON_POSTGRESQL


@dataclass
class Clock:
    """The machine's clock, so many milliseconds later."""

    later: int = 0

    def __call__(self) -> int:
        return milliseconds() + self.later


@dataclass
class Sweep:
    """One portal, and for each kill a server with a ledger of its own."""

    nursery: Nursery
    portal: SandboxPortal
    url: str
    folder: Path
    new_ledger: "NewLedger"
    left: Counter[str] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)
    posts: Counter[int] = field(default_factory=Counter)
    moments: set[int] = field(default_factory=set)

    def born(self, number: int, last: int = 0) -> tuple[dict[str, str], Mortal]:
        """A server with a new ledger, whose license is checked out."""
        self.portal.check_out("jsmith", PRO)
        self.portal.requests.clear()
        env = environment(self.url, self.folder, LEDGER_URL=self.new_ledger(number))
        return env, self.nursery.bear(env, last)

    def whole(self) -> tuple[range, range, float]:
        """Live through a whole release, and return its moments, those of them from the request on,
        and the seconds from the yes to the outcome."""
        _, server = self.born(0)
        server.ask_and_say_yes()
        began = time.monotonic()
        assert server.outcome()["status"] == "released"
        lasted = time.monotonic() - began
        server.kill()
        server.wait()
        assert len(self.portal.releases) == 1
        asked, recorded = _ends(server.moments)
        return range(1, recorded + 1), range(asked, recorded + 1), lasted

    def at_a_moment(self, number: int, last: int) -> dict[str, str]:
        """Live to this moment."""
        env, server = self.born(number, last)
        if server.release() is not None:
            server.kill()  # It came in fewer moments this time.
        server.wait()
        self.moments.add(len(server.moments))
        return env

    def after(self, number: int, seconds: float) -> dict[str, str]:
        """Kill from outside, so long after the yes."""
        env, server = self.born(number)
        server.ask_and_say_yes()
        killer = threading.Timer(seconds, server.kill)
        killer.start()
        server.wait()
        killer.join()
        return env

    async def judge(self, env: dict[str, str]) -> None:
        """What is left is one of the states on the way; the next servers end it, by one POST."""
        ledger = Ledger(env["LEDGER_URL"], same_clock=False)
        found = ledger.recent(9) if ledger.exists() else []
        assert len(found) <= 1
        left = found[0].state if found else "nothing"
        now = Clock()
        async with next_server(env, now) as releases:
            await releases.look("jsmith", "arcgisprodesktop")  # What left before has arrived now.
            posts = len(self.portal.releases)
            assert posts <= {"sending": 1, "released": 1}.get(left, 0)
            assert posts == 1 or left != "released"
            now.later = NOBODY_ELSE
            await releases.settle()
            assert len(self.portal.releases) == posts
            assert not ledger.list(limit=9, states=["sending"])
            await releases.carry_out_approved()
            now.later = ANSWERED_BY_NOW
            await releases.settle()
            await releases.carry_out_approved()
        ends = {request.state for request in ledger.recent(9)}
        assert ledger.verify().fault is None
        assert ends <= {"open", "released", "not_released"}
        assert len(self.portal.releases) <= 1
        assert self.portal.is_offline("jsmith", PRO) is (not self.portal.releases)
        assert ("released" in ends) is (len(self.portal.releases) == 1)
        self.left[left] += 1
        self.settled[next(iter(ends), "nothing")] += 1
        self.posts[len(self.portal.releases)] += 1
        ledger.close()


def _ends(moments: list[str]) -> tuple[int, int]:
    """Return the moments at which the request, and at which the outcome, is written."""
    last_change = max(
        n for n, moment in enumerate(moments) if moment == "after UPDATE requests SET"
    )
    recorded = moments.index("after COMMIT", last_change)
    return moments.index("before INSERT INTO requests") + 1, recorded + 1


def _chosen(nth: int, of: int, moments: range, from_the_request_on: range) -> int:
    """Return which moment comes `nth`: each of them, then those that matter most again and again.

    Where there are fewer kills than moments, more of them are towards the end.
    """
    if of < len(moments):
        return round(len(moments) * (1 - (1 - nth / of) ** 2))
    if nth <= len(moments):
        return moments[nth - 1]
    return from_the_request_on[(nth - len(moments) - 1) % len(from_the_request_on)]


class NewLedger:
    """Makes a ledger for each kill."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._on_postgresql = "postgresql" in request.node.callspec.id
        self._request, self._folder = request, folder

    def __call__(self, number: int) -> str:
        if self._on_postgresql:
            url: str = self._request.getfixturevalue("postgres").new_ledger()
            return url
        return f"sqlite:///{(self._folder / f'{number}.db').as_posix()}"


@pytest.mark.promise("one-post")
@pytest.mark.promise("durable-intent")
@pytest.mark.promise("no-blind-retry")
@pytest.mark.promise("tamper-evident")
async def test_wherever_a_server_is_killed_the_next_ones_end_it_by_one_post(
    born: Nursery, kills: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    portal, chance = SandboxPortal(), random.Random(kills)
    async with running(portal, context="portal") as url:
        sweep = Sweep(born, portal, url, tmp_path, NewLedger(request, tmp_path))
        moments, from_the_request_on, lasted = await anyio.to_thread.run_sync(sweep.whole)
        by_moment = kills - kills // BY_THE_CLOCK
        for number in range(1, kills + 1):
            if number % BY_THE_CLOCK == 0:
                when = chance.uniform(0, lasted)
                env = await anyio.to_thread.run_sync(sweep.after, number, when)
            else:
                nth = number - number // BY_THE_CLOCK
                last = _chosen(nth, by_moment, moments, from_the_request_on)
                env = await anyio.to_thread.run_sync(sweep.at_a_moment, number, last)
            await sweep.judge(env)
    figures = {
        "kills": kills,
        "moments": f"{len(sweep.moments)} of {len(moments)}",
        "left": dict(sweep.left),
        "ended": dict(sweep.settled),
        "posts": dict(sweep.posts),
    }
    logger.warning("%s", figures)
