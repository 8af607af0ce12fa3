"""The real server as a child process, spoken to in raw messages: it may die at any moment."""

import json
import os
import subprocess
import sys
from typing import IO, Any

from tests.office import RELEASE


class Speaker:
    """Speaks to a server over pipes, by the handshake of 2025-11-25."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self._stdin, self._stdout = stdin, stdout
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

    def outcome(self) -> dict[str, Any]:
        """Return what the call ended in."""
        result: dict[str, Any] = self._until("id", 2)["result"]["structuredContent"]
        return result

    def _say(self, **message: Any) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}) + "\n"
        self._stdin.write(line.encode())
        self._stdin.flush()

    def _hear(self, method: str) -> dict[str, Any]:
        return self._until("method", method)

    def _until(self, name: str, value: object) -> dict[str, Any]:
        for line in self._stdout:
            message: dict[str, Any] = json.loads(line)
            if message.get(name) == value:
                return message
        raise EOFError(f"the server ended before it sent a message whose {name} is {value}")


class Child(Speaker):
    """A server, started as a client starts it."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **env},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        super().__init__(self._process.stdin, self._process.stdout)

    def kill(self) -> None:
        """End the process as a power cut does."""
        self._process.kill()

    def wait(self) -> None:
        """Wait until the process is gone."""
        self._process.communicate()
