"""The real server as a child process, spoken to in raw messages: it may die at any moment."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.office import RELEASE


class Child:
    """A server over pipes, by the handshake of 2025-11-25."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **env},
        )
        self._say(
            id=1,
            method="initialize",
            params={
                "protocolVersion": "2025-11-25",
                "capabilities": {"elicitation": {}},
                "clientInfo": {"name": "raw", "version": "1"},
            },
        )
        self._say(method="notifications/initialized")

    def ask_and_say_yes(self) -> None:
        """Ask for a release, and answer the form with the right name."""
        call = {"name": "release_license", "arguments": RELEASE}
        self._say(id=2, method="tools/call", params=call)
        question = self._hear("elicitation/create")
        self._say(
            id=question["id"],
            result={"action": "accept", "content": {"username": RELEASE["username"]}},
        )

    def kill(self) -> None:
        """End the process as a power cut does."""
        self._process.kill()

    def wait(self) -> None:
        """Wait until the process is gone."""
        self._process.communicate()

    def _say(self, **message: Any) -> None:
        assert self._process.stdin is not None
        line = json.dumps({"jsonrpc": "2.0", **message}) + "\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()

    def _hear(self, method: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message: dict[str, Any] = json.loads(line)
            if message.get("method") == method:
                return message
        raise AssertionError(f"the server ended before it sent {method}")
