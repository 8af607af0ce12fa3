"""The ways in which a ledger in a file fails: each really happens, to the file or below SQLite."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from server.releases.ledger import Ledger
from tests.faults import disk
from tests.faults.commits import commits
from tests.faults.ledger_matrix import OnSqlite

GARBAGE = b"\xa5\x5a"


class SqliteFaults:
    """Every fault of a ledger's file. A fault ends, and what it broke is mended, with its block."""

    def __init__(self, ledger: Ledger, file: Path) -> None:
        self._ledger, self._file = ledger, file
        self._log, self._index = (file.with_name(f"{file.name}-{end}") for end in ("wal", "shm"))

    def of(self, fault: OnSqlite) -> AbstractContextManager[None]:
        """Return the block during which the ledger fails."""
        match fault:
            case "full_disk":
                return _disk().failing(write=disk.FULL)
            case "write_fails":
                return _disk().failing(write=disk.IOERR_WRITE)
            case "read_only_disk":
                return _disk().failing(write=disk.READONLY)
            case "sync_fails":
                return _disk().failing(sync=disk.IOERR_FSYNC)
            case "full_file":
                return self._limited()
            case "read_only":
                return self._refusing_to_write()
            case "locked" | "locked_wholly":
                return self._locked(wholly=fault == "locked_wholly")
            case "newer":
                return self._newer()
            case "commit_fails":
                return commits(before=_fail)
            case "commit_unheard":
                return commits(after=_fail)
            case "no_folder":
                return self._without_folder()
            case "deleted" | "log_deleted" | "moved" | "replaced":
                return self._gone(fault)
            case _:
                return self._damaged(fault)

    @contextmanager
    def _limited(self) -> Iterator[None]:
        resource = pytest.importorskip("resource", reason="there are no limits of a process here")
        grown = max(file.stat().st_size for file in (self._file, self._log) if file.exists())
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (grown, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    @contextmanager
    def _refusing_to_write(self) -> Iterator[None]:
        def refuse(connection: Connection) -> None:
            connection.exec_driver_sql("PRAGMA query_only = ON")

        event.listen(Engine, "begin", refuse)
        try:
            yield
        finally:
            event.remove(Engine, "begin", refuse)
            self._ledger.close()

    @contextmanager
    def _locked(self, *, wholly: bool) -> Iterator[None]:
        if wholly:
            self._ledger.close()
        with closing(sqlite3.connect(self._file, isolation_level=None)) as other:
            if wholly:
                other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            yield

    @contextmanager
    def _newer(self) -> Iterator[None]:
        with closing(sqlite3.connect(self._file, isolation_level=None)) as other:
            (version,) = other.execute("PRAGMA user_version").fetchone()
            other.execute("PRAGMA user_version = 99")
            yield
            other.execute(f"PRAGMA user_version = {version}")

    @contextmanager
    def _without_folder(self) -> Iterator[None]:
        self._ledger.close()
        folder, aside = self._file.parent, self._file.parent.with_name("aside")
        folder.rename(aside)
        folder.touch()
        yield
        self._ledger.close()
        folder.unlink()
        aside.rename(folder)

    @contextmanager
    def _gone(self, fault: OnSqlite) -> Iterator[None]:
        if os.name == "nt":
            pytest.skip("Windows keeps a file that is open")
        copy = self._copy()
        match fault:
            case "deleted":
                for file in (self._file, self._log, self._index):
                    file.unlink()
            case "log_deleted":
                self._log.unlink()
                self._index.unlink()
            case "moved":
                self._file.rename(self._file.with_name("moved.db"))
            case _:
                copy.replace(self._file)
                self._log.unlink()
                self._index.unlink()
        yield
        if fault in ("deleted", "moved"):
            self._restore(copy)

    @contextmanager
    def _damaged(self, fault: OnSqlite) -> Iterator[None]:
        copy = self._copy()
        self._ledger.close()
        whole = self._file.read_bytes()
        with self._file.open("r+b") as file:
            match fault:
                case "garbage_in_front":
                    file.write(GARBAGE * 50)
                case "garbage_within":
                    file.seek(4096)
                    file.write(GARBAGE * (len(whole) // 2 - 2048))
                case "cut_short":
                    file.truncate(len(whole) // 2 + 100)
                case "no_database":
                    file.truncate(0)
                    file.write(b"Dear reader,\n" * 1000)
                case _:
                    file.truncate(0)
        yield
        self._restore(copy)

    def holds_an_intent(self) -> bool:
        """Tell whether a power cut just now would leave the intent to send in the ledger."""
        shim = disk.failing_disk()
        synced = shim is None or not shim.owes_a_sync
        return synced and self._left_on_disk() == ["sending"]

    def _left_on_disk(self) -> list[str]:
        with TemporaryDirectory() as folder:
            for file in (self._file, self._log):
                if file.exists():
                    shutil.copy(file, folder)
            with closing(sqlite3.connect(Path(folder) / self._file.name)) as left:
                return [state for (state,) in left.execute("SELECT state FROM requests")]

    def _copy(self) -> Path:
        copy = self._file.with_name("copy.db")
        with (
            closing(sqlite3.connect(self._file)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        return copy

    def _restore(self, copy: Path) -> None:
        self._ledger.close()
        for file in (self._file, self._log, self._index):
            file.unlink(missing_ok=True)
        copy.rename(self._file)


def _disk() -> disk.Disk:
    found = disk.failing_disk()
    if found is None:
        pytest.skip("SQLite's file layer cannot be reached in this Python")
    return found


def _fail(_: Any) -> None:
    raise sqlite3.OperationalError("disk I/O error")
