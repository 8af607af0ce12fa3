"""The server in a process that kills itself at a moment that was chosen.

A moment is before or after a statement or a commit of the ledger, or a request to the portal,
counted over all threads. Each is written down before it is lived through, so what is written tells
where the process was killed. Run as a module it is a nursery: for every message on its socket it
forks one such process, since a start costs far more than a fork of what has imported everything.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path
from threading import Lock
from typing import Any

import httpx
from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect

from server import cli, serving
from server.portal import client
from server.releases import service

WARM = (client, service, serving)  # What `serve` imports only when it runs.


class Life:
    """Counts the moments, and ends the process at the `last`; with 0 it lives on."""

    def __init__(self, last: int, file: Path) -> None:
        self._last, self._count, self._lock = last, 0, Lock()
        self._file = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def moment(self, what: str) -> None:
        """Live through a moment, or die at it."""
        with self._lock:
            self._count += 1
            os.write(self._file, f"{what}\n".encode())
            if self._count == self._last:
                os.kill(os.getpid(), signal.SIGKILL)


def watch(life: Life) -> None:
    """Put a moment before and after whatever the ledger and the portal are told."""

    @event.listens_for(Engine, "before_cursor_execute")
    def before(_c: Any, _u: Any, statement: str, *_: Any) -> None:
        life.moment(f"before {_short(statement)}")

    @event.listens_for(Engine, "after_cursor_execute")
    def after(_c: Any, _u: Any, statement: str, *_: Any) -> None:
        life.moment(f"after {_short(statement)}")

    commit = DefaultDialect.do_commit
    send = httpx.AsyncClient.send

    def committing(dialect: DefaultDialect, connection: Any) -> None:
        life.moment("before COMMIT")
        commit(dialect, connection)  # type: ignore[no-untyped-call]
        life.moment("after COMMIT")

    async def sending(of: httpx.AsyncClient, request: httpx.Request, **more: Any) -> Any:
        what = f"{request.method} {request.url.path.rpartition('/')[2]}"
        life.moment(f"before {what}")
        answer = await send(of, request, **more)
        life.moment(f"after {what}")
        return answer

    DefaultDialect.do_commit = committing  # type: ignore[method-assign]
    setattr(httpx.AsyncClient, "send", sending)  # noqa: B010  its signature is longer


def _short(statement: str) -> str:
    return " ".join(statement.split()[:3])


def live(env: dict[str, str], last: int, file: str) -> None:
    """Be a server with these settings until that moment."""
    os.environ.update(env)
    sys.argv[1:] = []
    watch(Life(last, Path(file)))
    cli.main()


def bear(messages: socket.socket) -> None:
    """Fork a server for every message, which brings its pipes along, and answer its number."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, pipes, _, _ = socket.recv_fds(messages, 65_536, 2)
        if not message:
            return
        number = os.fork()
        if number == 0:
            messages.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for ours, theirs in enumerate(pipes):
                os.dup2(theirs, ours)
                os.close(theirs)
            live(**json.loads(message))
            os._exit(0)
        for pipe in pipes:
            os.close(pipe)
        messages.send(str(number).encode())


if __name__ == "__main__":
    bear(socket.socket(fileno=int(sys.argv[1])))
