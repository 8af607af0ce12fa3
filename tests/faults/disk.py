"""A disk that fails when it is told to, below SQLite: its own file layer, with faults in between.

SQLite reaches every file through a table of functions (a VFS). Ours hands each call of a ledger's
files on to the real one; a write that is to fail is not done, and a sync that is to fail has been
done. What SQLite makes of it is SQLite's own doing.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

IOERR_FSYNC = 10 | 4 << 8
IOERR_WRITE = 10 | 3 << 8
READONLY = 8
FULL = 13

_OPEN = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_void_p,
)
_WRITE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_METHODS = ctypes.c_void_p * 19  # sqlite3_io_methods: iVersion, then eighteen functions.
_WRITES, _SYNCS = 3, 5


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_int),
        ("size_of_file", ctypes.c_int),
        ("longest_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
        ("others", ctypes.c_void_p * 14),
    ]


class Disk:
    """The disk of every SQLite file of this process whose name ends in `ledger.db` or its log's."""

    def __init__(self, sqlite: Any) -> None:
        self._write_fails = self._sync_fails = 0
        self._logs: set[int] = set()
        self._unsynced: set[int] = set()
        self._tables: dict[int, Any] = {}
        self._kept: list[Any] = []
        sqlite.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        real = sqlite.sqlite3_vfs_find(None)
        self._real_open = _OPEN(real.contents.open)
        self._vfs = _Vfs.from_buffer_copy(real.contents)
        self._vfs.next, self._vfs.name = None, b"failing-disk"
        self._vfs.open = self._pointer(_OPEN(self._open))
        assert sqlite.sqlite3_vfs_register(ctypes.byref(self._vfs), 1) == 0

    @contextmanager
    def failing(self, *, write: int = 0, sync: int = 0) -> Iterator[None]:
        """Let every write, or every sync after it was done, end in this code of SQLite's."""
        self._write_fails, self._sync_fails = write, sync
        try:
            yield
        finally:
            self._write_fails = self._sync_fails = 0

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        # The name goes on as the address that it is, since SQLite keeps it.
        code = int(self._real_open(vfs, name, file, flags, out))
        text = ctypes.string_at(name) if name else b""
        if code == 0 and text.endswith((b"ledger.db", b"ledger.db-wal")):
            self._opened(file, is_log=text.endswith(b"-wal"))
            methods = ctypes.c_void_p.from_address(file)
            assert methods.value is not None
            methods.value = self._between(methods.value)
        return code

    @property
    def owes_a_sync(self) -> bool:
        """Whether something of a log was written that a power cut may still take away."""
        return bool(self._unsynced)

    def _opened(self, file: int, *, is_log: bool) -> None:
        self._unsynced.discard(file)
        (self._logs.add if is_log else self._logs.discard)(file)

    def _between(self, real: int) -> int:
        if real not in self._tables:
            table = _METHODS.from_buffer_copy(_METHODS.from_address(real))
            table[_WRITES] = self._pointer(self._writing(_WRITE(table[_WRITES] or 0)))
            table[_SYNCS] = self._pointer(self._syncing(_SYNC(table[_SYNCS] or 0)))
            self._tables[real] = table
        return ctypes.addressof(self._tables[real])

    def _writing(self, real: Any) -> Any:
        def write(file: int, content: int, amount: int, offset: int) -> int:
            self._unsynced.update({file} & self._logs)
            return self._write_fails or int(real(file, content, amount, offset))

        return _WRITE(write)

    def _syncing(self, real: Any) -> Any:
        def sync(file: int, flags: int) -> int:
            self._unsynced.discard(file)
            return int(real(file, flags)) or self._sync_fails

        return _SYNC(sync)

    def _pointer(self, function: Any) -> int | None:
        self._kept.append(function)
        return ctypes.cast(function, ctypes.c_void_p).value


@cache
def failing_disk() -> Disk | None:
    """Return the disk of this process; None where SQLite cannot be reached from outside.

    It stays in place to the end of the process, since files that are open go on calling it.
    """
    import _sqlite3

    try:
        return Disk(ctypes.CDLL(_sqlite3.__file__))
    except (AttributeError, OSError):
        return None
