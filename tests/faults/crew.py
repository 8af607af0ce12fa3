"""A crew of real processes that release at the same time on one ledger, job after job."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import anyio
import anyio.to_thread

from tests.faults.crowd_child import Job, Told


class Process:
    """One process of the crew."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.crowd_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, line: str) -> None:
        """Say a line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Hear its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "a process ended before it answered; what it printed says why"
        return json.loads(line)

    def end(self) -> None:
        """End it, whatever it is doing, and wait for that."""
        self._process.kill()
        self._process.communicate()


class Crew:
    """Several processes, each with a job of its own."""

    def __init__(self, size: int) -> None:
        self._processes = [Process() for _ in range(size)]

    def end(self) -> None:
        """End them all."""
        for process in self._processes:
            process.end()

    def replace(self) -> None:
        """End them all and start as many anew."""
        self.end()
        self._processes = [Process() for _ in self._processes]

    async def work(self, jobs: Sequence[Job]) -> list[Told]:
        """Have every process do its job at the same time; return what was told to all callers.

        Processes that did not do their jobs are replaced by others.
        """
        try:
            return await self._work(jobs)
        except BaseException:
            self.replace()
            raise

    async def _work(self, jobs: Sequence[Job]) -> list[Told]:
        pairs = list(zip(self._processes, jobs, strict=True))
        for process, job in pairs:
            process.say(json.dumps(asdict(job)))
        if any(job.yes_together for job in jobs):
            for process, _ in pairs:
                assert await _heard(process) == "asked"
            for process, _ in pairs:
                process.say("yes")
        return [Told(**each) for process, _ in pairs for each in await _heard(process)]


@contextmanager
def crew(size: int) -> Iterator[Crew]:
    """Start so many processes; end them all."""
    started = Crew(size)
    try:
        yield started
    finally:
        started.end()


async def _heard(process: Process) -> Any:
    return await anyio.to_thread.run_sync(process.hear)
