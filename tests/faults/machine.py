"""A machine of a team: a home folder, a user's name and an account of the shared ledger."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import anyio.to_thread
from mcp import Client, StdioServerParameters


@dataclass(frozen=True, slots=True)
class Machine:
    """`env` is the whole environment of whatever runs on it."""

    env: dict[str, str]

    @asynccontextmanager
    async def server(self) -> AsyncGenerator[Client]:
        """Run the server with a client that shows no forms."""
        child = StdioServerParameters(command=sys.executable, args=["-m", "server"], env=self.env)
        async with Client(child) as client:
            yield client

    async def approve(self, release_id: str, typed: str, user: str = "") -> tuple[int, str]:
        """Say yes at a terminal; return the exit status and what was printed.

        `user` is the name that whoever sits there claims to have.
        """
        claimed = {"USER": user, "LOGNAME": user} if user else {}
        command = [sys.executable, "-m", "server", "approvals", "approve", release_id]
        run = partial(_at_a_terminal, command, typed, {**self.env, **claimed})
        return await anyio.to_thread.run_sync(run)


def _at_a_terminal(command: list[str], typed: str, env: dict[str, str]) -> tuple[int, str]:
    import pty

    ours, theirs = pty.openpty()
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    os.write(ours, typed.encode() + b"\n")
    printed = b""
    try:
        while chunk := os.read(ours, 4096):
            printed += chunk
    except OSError:
        pass  # The terminal's other end was closed.
    os.close(ours)
    return child.wait(), printed.decode()
