"""Where servers are born quickly, each to be killed at a moment of its life."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.child import Speaker


class Mortal(Speaker):
    """A server that writes down the moments it lives through, and may die at one of them."""

    def __init__(self, number: int, moments: Path, stdin: int, stdout: int) -> None:
        self._number, self._moments = number, moments
        self._pipes = (os.fdopen(stdin, "wb", buffering=0), os.fdopen(stdout, "rb"))
        super().__init__(*self._pipes)

    @property
    def moments(self) -> list[str]:
        """The moments that it has reached; the last one is where it died, if it did."""
        return self._moments.read_text(encoding="utf-8").splitlines()

    def release(self) -> dict[str, Any] | None:
        """Ask, say yes, and return the outcome; None where the server died before that."""
        try:
            self.ask_and_say_yes()
            return self.outcome()
        except (EOFError, BrokenPipeError):
            return None

    def kill(self) -> None:
        """End the process, which must be alive, as a power cut does."""
        os.kill(self._number, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until the process is gone: nobody else holds the other end of its pipe."""
        stdin, stdout = self._pipes
        stdin.close()
        stdout.read()
        stdout.close()


class Nursery:
    """Bears servers, for as long as its block runs."""

    def __init__(self, messages: socket.socket, folder: Path) -> None:
        self._messages, self._folder, self._born = messages, folder, 0

    def bear(self, env: dict[str, str], last: int = 0) -> Mortal:
        """Start a server that dies at its `last` moment, or never by itself."""
        self._born += 1
        moments = self._folder / f"moments-{self._born}"
        moments.touch()
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        message = json.dumps({"env": env, "last": last, "file": str(moments)}).encode()
        socket.send_fds(self._messages, [message], [theirs_in, theirs_out])
        os.close(theirs_in)
        os.close(theirs_out)
        return Mortal(int(self._messages.recv(32)), moments, ours_in, ours_out)


@contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    """Open a nursery, and close it at the end."""
    ours, theirs = socket.socketpair()
    with (
        ours,
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.mortal", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        theirs.close()
        yield Nursery(ours, folder)
        ours.close()
        process.wait(20)
