"""Looks after what happens without a call: approvals given elsewhere, and unknown outcomes.

A person may say yes at a terminal or on another machine, long after the call that asked, and a
server may die while it sends: any server that runs on the same ledger and portal carries out the
one, and settles the other by reading. It looks often while something waits, and else rarely.
"""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from server.releases.service import Releases

START_SECONDS = 5.0  # Opening the ledger would slow down the start.
WATCH_SECONDS = 1.0
IDLE_SECONDS = 10.0
SETTLE_SECONDS = 30.0
logger = logging.getLogger(__name__)


class Watcher:
    """One task of a server, from its start to its end.

    `may_be_news` tells, without opening the ledger, whether somebody may have written to it.
    """

    def __init__(
        self, releases: Callable[[], Awaitable["Releases"]], may_be_news: Callable[[], bool]
    ) -> None:
        self._releases = releases
        self._may_be_news = may_be_news
        self._woken = anyio.Event()
        self._waiting = self._unsettled = False
        self._settled_at = -SETTLE_SECONDS

    def wake(self) -> None:
        """Look now: something of this server has come to wait for a person."""
        self._woken.set()

    async def run(self) -> None:
        """Look until cancelled. A look that fails is logged, and a later one may succeed."""
        pause = START_SECONDS
        while True:
            with anyio.move_on_after(pause):
                await self._woken.wait()
            news = self._may_be_news() or self._woken.is_set()
            self._woken = anyio.Event()
            try:
                if news or self._waiting or self._unsettled:
                    await self._look()
                pause = WATCH_SECONDS if self._waiting else IDLE_SECONDS
            except Exception:
                logger.exception("what waits in the ledger could not be looked after")
                self._waiting = True
                pause = min(2 * max(pause, WATCH_SECONDS), SETTLE_SECONDS)

    async def _look(self) -> None:
        releases = await self._releases()
        self._waiting = await releases.carry_out_approved()
        if anyio.current_time() - self._settled_at >= SETTLE_SECONDS:
            self._unsettled = await releases.settle()
            self._settled_at = anyio.current_time()


def news(file: Path | None) -> Callable[[], bool]:
    """Make a function that tells whether a ledger may have changed since it was last asked.

    `file` is the ledger's file; None where it is on a database server, which nobody else can see.
    """
    if file is None:
        return lambda: True
    files, seen = (file, file.with_name(f"{file.name}-wal")), 0

    def changed() -> bool:
        nonlocal seen
        written = max((f.stat().st_mtime_ns for f in files if f.is_file()), default=0)
        is_new, seen = written != seen, written
        return is_new

    return changed
