"""What befalls a ledger in a file beyond a single step: other programs, new servers, power cuts."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import anyio.to_thread
import pytest
import stamina

from server.errors import LedgerUnavailable
from server.releases.ledger import Ledger
from server.releases.models import Request, State, Usage
from server.releases.outcomes import Timing
from tests.conftest import ASK, Desk, MakeDesk
from tests.faults import disk
from tests.faults.disk import failing_disk
from tests.faults.ledger_matrix import OnSqlite
from tests.faults.sqlite_faults import SqliteFaults

pytestmark = pytest.mark.anyio
# As any other program does: a backup, a viewer, `ledger list`.
LOOKS = (
    "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT 1 FROM requests').close()"
)


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.db"


@pytest.fixture
def ledger_url(ledger_file: Path) -> str:
    failing_disk()  # Below every connection from the first one on.
    return f"sqlite:///{ledger_file.as_posix()}"


@pytest.fixture
def faults(ledger: Ledger, ledger_file: Path) -> SqliteFaults:
    return SqliteFaults(ledger, ledger_file)


@pytest.fixture
def shim() -> disk.Disk:
    found = failing_disk()
    if found is None:
        pytest.skip("SQLite's file layer cannot be reached in this Python")
    return found


async def approved(desk: Desk) -> Request:
    request = await desk.releases.request(ASK)
    return await desk.releases.decide(
        request.release_id, "approved", route="form", approver="ana@desk"
    )


@pytest.mark.promise("durable-intent")
@pytest.mark.promise("one-post")
async def test_a_program_that_looks_at_the_ledger_and_closes_it_takes_nothing_away(
    desk: Desk, ledger_file: Path, faults: SqliteFaults
) -> None:
    request = await approved(desk)
    log = ledger_file.with_name("ledger.db-wal").stat()
    entries = desk.ledger.export()
    assert next(entries)
    assert desk.ledger.recent(1)  # A second connection of this process, beside the first one.
    del entries
    looked = [sys.executable, "-c", LOOKS, str(ledger_file)]
    await anyio.to_thread.run_sync(lambda: subprocess.run(looked, check=True))
    held: list[bool] = []
    desk.portal.before_answer = lambda: held.append(faults.holds_an_intent())
    await desk.releases.carry_out(request.release_id)
    assert held == [True]
    assert ledger_file.with_name("ledger.db-wal").stat().st_ino == log.st_ino


STARTS: list[OnSqlite] = [
    "newer",
    "garbage_in_front",
    "garbage_within",
    "cut_short",
    "no_database",
    "no_folder",
    "locked_wholly",
]


@pytest.mark.promise("durable-intent")
@pytest.mark.parametrize("fault", STARTS)
async def test_a_server_that_starts_on_a_damaged_ledger_releases_nothing(
    make_desk: MakeDesk,
    ledger_url: str,
    faults: SqliteFaults,
    fault: OnSqlite,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.releases.database.LOCK_SECONDS", 0.02)
    desk = make_desk()
    request = await approved(desk)
    with faults.of(fault):
        new = Ledger(ledger_url, same_clock=False)
        with pytest.raises(LedgerUnavailable) as told:
            new.begin_sending(request.release_id, now=desk.clock(), lease=1000, may=lambda _: None)
        new.close()
    assert str(told.value).startswith("The ledger cannot be used (")
    assert desk.ledger.get(request.release_id).state == "approved"
    assert desk.ledger.verify().fault is None


@pytest.mark.promise("durable-intent")
async def test_an_intent_in_a_file_that_is_removed_meanwhile_is_none(
    desk: Desk, faults: SqliteFaults
) -> None:
    request = await approved(desk)
    with ExitStack() as mended:

        def remove(_: Usage) -> None:
            mended.enter_context(faults.of("deleted"))

        with pytest.raises(LedgerUnavailable):
            desk.ledger.begin_sending(request.release_id, now=desk.clock(), lease=1, may=remove)
    assert desk.ledger.get(request.release_id).state == "approved"
    assert desk.ledger.verify().fault is None


@pytest.mark.promise("durable-intent")
@pytest.mark.promise("one-post")
async def test_an_intent_whose_sync_failed_is_not_sent_even_if_a_power_cut_keeps_it(
    make_desk: MakeDesk, shim: disk.Disk, ledger_file: Path, tmp_path: Path
) -> None:
    desk = make_desk()
    request = await approved(desk)
    with shim.failing(sync=disk.IOERR_FSYNC):
        told = await desk.releases.carry_out(request.release_id)
        assert (told.reason, desk.portal.released) == ("ledger_unavailable", [])
        shutil.copytree(ledger_file.parent, tmp_path / "after", ignore=lambda *_: {"ledger.db-shm"})
    after = Ledger(f"sqlite:///{(tmp_path / 'after' / 'ledger.db').as_posix()}")
    assert after.get(request.release_id).state in ("approved", "sending")
    assert after.verify().fault is None
    after.close()
    assert desk.ledger.get(request.release_id).state == "approved"
    await desk.releases.carry_out(request.release_id)
    assert len(desk.portal.released) == 1


@pytest.fixture
def retries_do_not_wait() -> Iterator[None]:
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.mark.promise("uncancelled")
@pytest.mark.promise("four-outcomes")
async def test_an_outcome_is_tried_again_until_the_ledger_is_mended(
    make_desk: MakeDesk,
    shim: disk.Disk,
    retries_do_not_wait: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = make_desk(timing=Timing(recording=20_000))
    request = await approved(desk)
    record, tries = desk.ledger.finish, 0

    def third_time_lucky(release_id: str, state: State, *more: object, **others: object) -> Request:
        nonlocal tries
        tries += 1
        with shim.failing(write=0 if tries == 3 else disk.FULL):
            return record(release_id, state, *more, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(desk.ledger, "finish", third_time_lucky)
    told = await desk.releases.carry_out(request.release_id)
    kept = desk.ledger.get(request.release_id)
    assert (told, tries, kept.state) == (kept, 3, "released")
    assert len(desk.portal.released) == 1


@pytest.mark.promise("four-outcomes")
@pytest.mark.promise("uncancelled")
async def test_a_request_that_is_gone_when_its_answer_comes_is_told_as_it_was_answered(
    desk: Desk, ledger_file: Path
) -> None:
    request = await approved(desk)

    def remove() -> None:
        with closing(sqlite3.connect(ledger_file, isolation_level=None)) as other:
            other.execute("DELETE FROM requests")

    desk.portal.before_answer = remove
    told = await desk.releases.carry_out(request.release_id)
    assert (told.status, told.verified) == ("released", True)
    assert "could not record" in told.detail
    assert desk.ledger.verify().fault is not None
