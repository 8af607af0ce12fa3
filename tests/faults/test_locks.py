"""A ledger's file is shared by processes only as long as each keeps its locks on it.

POSIX ends every lock that a process holds on a file when it closes any handle to that file; SQLite
then takes it for gone, and whoever leaves last removes the log that this process still writes to.
"""

import os
import subprocess
import sys

import pytest

from server.releases.ledger import Ledger
from tests.conftest import ASK, MakeDesk

pytestmark = pytest.mark.anyio


@pytest.mark.promise("durable-intent")
async def test_what_is_written_after_another_process_has_left_is_kept(
    make_desk: MakeDesk, ledger: Ledger, ledger_url: str
) -> None:
    desk = make_desk()
    first = await desk.releases.request(ASK)
    reading = ledger.export()
    next(reading)
    assert ledger.recent(1)  # On a second connection, since the first is in use.
    assert list(reading) == []
    assert command(ledger_url, "init").returncode == 0
    await desk.releases.note(first.release_id, "no_answer")
    seen = command(ledger_url, "show", first.release_id).stdout
    assert "no_answer" in seen, seen
    assert command(ledger_url, "verify").returncode == 0


def command(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the ledger in a process of its own, which closes the file at its end."""
    return subprocess.run(
        [sys.executable, "-m", "server", "ledger", *arguments],
        env={**os.environ, "LEDGER_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
