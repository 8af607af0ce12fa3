"""One process of a crowd: it asks, says yes and releases for many members at once, for each job.

A job is a line on stdin; what the caller of each request was told is a line on stdout. A yes waits
for a line on stdin where the job says so, so that everybody's come at the same moment.
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import anyio
import anyio.to_thread

from server import settings
from server.portal.client import PortalClient
from server.releases.ledger import Ledger
from server.releases.models import Ask, Caller, Request
from server.releases.outcomes import Timing
from server.releases.policy import Limits, Policy
from server.releases.service import Releases


@dataclass(frozen=True, slots=True)
class Job:
    """What one process has to do: one release for each member, all of them at once."""

    env: dict[str, str]
    requester: str
    usernames: list[str]
    requester_per_hour: int = 1_000_000
    portal_per_day: int = 1_000_000
    yes_together: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What the caller of one request was told."""

    username: str
    release_id: str
    status: str
    reason: str


async def work(job: Job) -> list[Told]:
    """Do the whole job, and return what was told."""
    chosen = settings.load({**os.environ, **job.env})
    ledger = Ledger(chosen.ledger_url)
    limits = Limits(
        requester_per_hour=job.requester_per_hour, portal_per_day=job.portal_per_day, notice_days=0
    )
    async with PortalClient(chosen) as portal:
        releases = Releases(
            portal=portal,
            portal_url=chosen.portal_url,
            ledger=ledger,
            policy=Policy(limits=limits),
            caller=Caller(job.requester),
            clock=lambda: time.time_ns() // 1_000_000,
            timing=Timing(patience=90_000, recording=20_000),
        )
        told = await _all(releases, job)
    ledger.close()
    return told


async def _all(releases: Releases, job: Job) -> list[Told]:
    told: list[Told] = []
    asked: dict[str, asyncio.Future[Request]] = {}
    may_say_yes = anyio.Event()

    async def one(username: str) -> None:
        request = await releases.request(Ask(username, "arcgisprodesktop", "laptop stolen"))
        asked[username].set_result(request)
        await may_say_yes.wait()
        if request.state == "open":
            request = await releases.answer(
                request.release_id, "approved", route="page", approver=job.requester
            )
        told.append(Told(username, request.release_id, request.status, request.reason))

    async with anyio.create_task_group() as tasks:
        for username in job.usernames:
            asked[username] = asyncio.get_running_loop().create_future()
            tasks.start_soon(one, username)
        if job.yes_together:
            await asyncio.gather(*asked.values())
            _say("asked")
            await anyio.to_thread.run_sync(sys.stdin.readline)
        may_say_yes.set()
    return told


def _say(answer: Any) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201


def main() -> None:
    """Do job after job until stdin ends."""
    for line in iter(sys.stdin.readline, ""):
        told = anyio.run(work, Job(**json.loads(line)))
        _say([asdict(each) for each in told])


if __name__ == "__main__":
    main()
