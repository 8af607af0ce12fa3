"""Four processes release at once on one ledger: none is lost, none doubled, and limits are exact.

What the portal received is the judge. `CROWD` is how many requests come at once where every one is
released; the other tests take a quarter of them.
"""

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from server.releases.ledger import Ledger
from server.releases.models import Request
from server.sandbox import replies
from server.sandbox.members import crowd
from server.sandbox.portal import SandboxPortal
from server.sandbox.replies import Json
from server.sandbox.runner import running
from tests.faults.crew import Crew, crew
from tests.faults.crowd_child import Job, Told
from tests.office import PRO, environment
from tests.postgres import Postgres

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

PROCESSES = 4
CROWD = int(os.environ.get("CROWD", "200"))
FEW = CROWD // 4
REQUESTERS = ["agent@a", "ana@b", "ben@c", "agent@d"]
AccountOf = Callable[[str], str]


@pytest.fixture(scope="module")
def four() -> Iterator[Crew]:
    with crew(PROCESSES) as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def account_of(request: pytest.FixtureRequest, tmp_path: Path) -> AccountOf:
    """The ledger's URL as a requester opens it: on a server each has an account of its own."""
    if request.param == "sqlite":
        url = f"sqlite:///{(tmp_path / 'ledger.db').as_posix()}"
        return lambda _: url
    server: Postgres = request.getfixturevalue("postgres")
    owned = server.new_ledger()
    owner = Ledger(owned)
    owner.prepare()
    owner.close()
    return lambda requester: server.account(owned, requester.replace("@", "_"))


class MutePortal(SandboxPortal):
    """A portal whose answer to a release says nothing, and that does nothing."""

    def release_license(self, caller: Any, form: dict[str, str]) -> Json:
        raise replies.admin_error(500, "Something failed.")


@dataclass
class Place:
    """A portal, and a ledger that everybody uses."""

    portal: SandboxPortal
    url: str
    folder: Path
    account_of: AccountOf

    def job(self, requester: str, usernames: Sequence[str], **more: Any) -> Job:
        env = environment(self.url, self.folder, LEDGER_URL=self.account_of(requester))
        return Job(env, requester, list(usernames), **more)

    def rows(self) -> dict[str, Request]:
        """Every request by its id; the chain verifies and nothing is left half done."""
        ledger = Ledger(self.account_of(REQUESTERS[0]))
        found = {row.release_id: row for row in ledger.recent(100_000)}
        fault = ledger.verify().fault
        ledger.close()
        assert fault is None
        assert {row.state for row in found.values()} <= {"released", "not_released", "unknown"}
        return found

    def posts(self) -> Counter[str]:
        """How often the portal was asked to release each member's license."""
        assert all(post.form["appId"] == PRO for post in self.portal.releases)
        return Counter(post.form["username"] for post in self.portal.releases)

    def offline(self, usernames: Sequence[str]) -> set[str]:
        return {name for name in usernames if self.portal.is_offline(name, PRO)}


@asynccontextmanager
async def place(
    folder: Path, account_of: AccountOf, kind: type[SandboxPortal] = SandboxPortal
) -> AsyncIterator[Place]:
    portal = kind(members=crowd(CROWD, offline=CROWD))
    async with running(portal) as url:
        yield Place(portal, url, folder, account_of)


def names(count: int) -> list[str]:
    return [member.username for member in crowd(count, offline=count)]


def shares(usernames: Sequence[str]) -> list[Sequence[str]]:
    return [usernames[number::PROCESSES] for number in range(PROCESSES)]


def assert_true(told: Sequence[Told], rows: dict[str, Request]) -> None:
    """What each caller was told is what the ledger holds in the end."""
    for each in told:
        row = rows[each.release_id]
        assert (each.username, each.status, each.reason) == (row.username, row.status, row.reason)


@pytest.mark.promise("one-post")
async def test_none_is_lost_and_none_is_doubled(
    four: Crew, tmp_path: Path, account_of: AccountOf
) -> None:
    everybody = names(CROWD)
    async with place(tmp_path, account_of) as at:
        jobs = [at.job(*each) for each in zip(REQUESTERS, shares(everybody), strict=True)]
        told = await four.work(jobs)
        rows = at.rows()
        assert at.posts() == Counter(everybody)
        assert at.offline(everybody) == set()
    assert Counter(each.username for each in told) == Counter(everybody)
    assert {(each.status, each.reason) for each in told} == {("released", "confirmed")}
    assert len(rows) == len(everybody)
    assert all(row.state == "released" and row.verified for row in rows.values())
    assert_true(told, rows)


@pytest.mark.promise("one-post")
@pytest.mark.promise("four-outcomes")
@pytest.mark.parametrize(("requesters", "yes_together"), [(4, True), (4, False), (1, True)])
async def test_who_asks_for_the_same_licenses_releases_each_once(
    four: Crew, tmp_path: Path, account_of: AccountOf, requesters: int, yes_together: bool
) -> None:
    wanted = names(FEW // PROCESSES)
    async with place(tmp_path, account_of) as at:
        told = await four.work(
            [
                at.job(REQUESTERS[number % requesters], wanted, yes_together=yes_together)
                for number in range(PROCESSES)
            ]
        )
        rows = at.rows()
        assert at.posts() == Counter(wanted)
        assert at.offline(wanted) == set()
    released = Counter(row.username for row in rows.values() if row.state == "released")
    others = {row.reason for row in rows.values() if row.state != "released"}
    assert released == Counter(wanted)
    assert others <= {"not_checked_out", "under_way"}
    assert len(told) == PROCESSES * len(wanted)
    assert_true(told, rows)


@pytest.mark.promise("re-checked")
async def test_the_limit_of_a_day_is_exact(
    four: Crew, tmp_path: Path, account_of: AccountOf
) -> None:
    limit, everybody = 37, names(FEW)
    async with place(tmp_path, account_of) as at:
        jobs = [
            at.job(*each, portal_per_day=limit, yes_together=True)
            for each in zip(REQUESTERS, shares(everybody), strict=True)
        ]
        told = await four.work(jobs)
        rows = at.rows()
        assert sum(at.posts().values()) == limit
        assert len(at.offline(everybody)) == len(everybody) - limit
    assert Counter(each.reason for each in told) == {
        "confirmed": limit,
        "limit": len(everybody) - limit,
    }
    assert_true(told, rows)


@pytest.mark.promise("re-checked")
async def test_the_limit_of_an_hour_is_exact_for_each_requester(
    four: Crew, tmp_path: Path, account_of: AccountOf
) -> None:
    limit, requesters = 11, ["agent@a", "ana@b"] * 2
    everybody = names(FEW)
    async with place(tmp_path, account_of) as at:
        jobs = [
            at.job(*each, requester_per_hour=limit, yes_together=True)
            for each in zip(requesters, shares(everybody), strict=True)
        ]
        told = await four.work(jobs)
        rows = at.rows()
        assert sum(at.posts().values()) == 2 * limit
    sent = Counter(row.requester for row in rows.values() if row.state == "released")
    assert sent == {"agent@a": limit, "ana@b": limit}
    assert Counter(each.reason for each in told)["limit"] == len(everybody) - 2 * limit
    assert_true(told, rows)


@pytest.mark.promise("re-checked")
@pytest.mark.promise("no-blind-retry")
async def test_an_unknown_outcome_counts_and_no_restart_forgets_it(
    four: Crew, tmp_path: Path, account_of: AccountOf
) -> None:
    limit, everybody = 5, names(24)
    before, after = everybody[:20], everybody[20:]
    async with place(tmp_path, account_of, MutePortal) as at:
        jobs = [
            at.job(*each, portal_per_day=limit, yes_together=True)
            for each in zip(REQUESTERS, shares(before), strict=True)
        ]
        told = await four.work(jobs)
        with crew(1) as restarted:
            later = await restarted.work([at.job("agent@a", after, portal_per_day=limit)])
        rows = at.rows()
        assert sum(at.posts().values()) == limit
        assert set(at.posts().values()) == {1}
    assert Counter(each.reason for each in told) == {
        "outcome_unknown": limit,
        "limit": len(before) - limit,
    }
    assert {each.reason for each in later} == {"limit"}
    assert_true([*told, *later], rows)
