"""Every failure of a ledger in a file, at every step of a release, ends as the matrix says.

The judge is the portal's own count of what it was sent, beside the ledger once it is mended.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from server.releases import database
from server.releases.ledger import Ledger
from tests.conftest import Clock, FakePortal, MakeDesk
from tests.faults.disk import failing_disk
from tests.faults.ledger_matrix import SQLITE, Ends, OnSqlite, Step, cells
from tests.faults.ledger_walk import Walk
from tests.faults.sqlite_faults import SqliteFaults

pytestmark = pytest.mark.anyio
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # What a commit costs is not the point.


@pytest.fixture(autouse=True)
def nobody_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.02)


@pytest.fixture
def ledger_file() -> Iterator[Path]:
    with TemporaryDirectory(dir=MEMORY, ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "data" / "ledger.db"


@pytest.fixture
def ledger_url(ledger_file: Path) -> str:
    return f"sqlite:///{ledger_file.as_posix()}"


@pytest.fixture
def faults(nobody_waits_long: None, ledger: Ledger, ledger_file: Path) -> SqliteFaults:
    failing_disk()  # Below every connection from the first one on.
    assert ledger.recent(1) == []
    return SqliteFaults(ledger, ledger_file)


@pytest.mark.promise("durable-intent")
@pytest.mark.promise("one-post")
@pytest.mark.promise("four-outcomes")
@pytest.mark.promise("no-blind-retry")
@pytest.mark.parametrize(("fault", "step", "ends"), cells(SQLITE))
async def test_a_fault_of_the_file_ends_as_the_matrix_says(
    make_desk: MakeDesk,
    portal: FakePortal,
    clock: Clock,
    faults: SqliteFaults,
    fault: OnSqlite,
    step: Step,
    ends: Ends,
) -> None:
    walk = Walk(make_desk, portal, clock, partial(faults.of, fault), faults.holds_an_intent)
    told = await walk.at(step)
    assert told == ends.told
    walk.judge(make_desk(), ends)
    await walk.go_on()
    walk.judge_end(make_desk(), ends)
