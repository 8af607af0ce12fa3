"""What each failure of the ledger, at each step of a release, must end as.

A row is a way of failing, a column the step at which it strikes. Every failure is mended after the
step, and another server goes on: `kept` is what it finds in the ledger, `ends` what it makes of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import pytest

from server.releases.models import State, Status

Step = Literal["ask", "answer", "intent", "outcome", "settle", "list"]
STEPS: Final[tuple[Step, ...]] = get_args(Step)

OnSqlite = Literal[
    "full_disk",  # a write finds no space
    "full_file",  # the file may not grow any more
    "write_fails",  # a write ends in an input/output error
    "sync_fails",  # everything was written, and the disk does not confirm it
    "read_only_disk",  # a write is refused by the disk
    "read_only",  # SQLite refuses to write
    "locked",  # another connection writes for longer than we wait
    "locked_wholly",  # another one keeps readers out, too
    "newer",  # its tables were brought to a newer version by another server
    "commit_fails",  # a commit is not carried out
    "commit_unheard",  # a commit is carried out, and reported as an error
    "garbage_in_front",  # the file begins with garbage
    "garbage_within",  # its pages hold garbage
    "cut_short",  # the file ends in the middle of a page
    "no_database",  # the file is something else
    "emptied",  # the file holds nothing
    "no_folder",  # the file's folder is a file
    "deleted",  # the file and its log are removed while they are open
    "log_deleted",  # the log and its index are removed while they are open
    "moved",  # the file has another name, while it is open
    "replaced",  # a copy of it has its name, while it is open
]
OnPostgres = Literal[
    "stopped",  # the server is down
    "cut",  # every connection is cut between two transactions
    "cut_before_commit",  # the connection is cut when the commit is on its way
    "cut_after_commit",  # the connection is cut when the commit was carried out
    "locked",  # another server writes for longer than we wait
    "not_waiting",  # fsync is off
    "newer",
    "no_rights",  # the account may use nothing any more
    "no_entries",  # the account may no longer append entries
    "read_only",  # the account's transactions may only read
    "tables_gone",  # somebody has moved the tables away
]
Fault = OnSqlite | OnPostgres


@dataclass(frozen=True)
class Ends:
    """`told`: what the caller hears at the step; `unusable` is a `LedgerUnavailable`.

    `posts` counts the requests to release that the portal received up to then, `all_posts` those at
    the very end. `kept` is None where there is no request in the ledger.
    """

    told: Status | Literal["unusable"]
    kept: State | None
    posts: int
    ends: State | None
    all_posts: int


Row = tuple[Ends, ...]

NEVER_ASKED = Ends("unusable", None, 0, None, 0)
NOT_ANSWERED = Ends("unknown", "open", 0, "open", 0)
NOT_SENT = Ends("unknown", "approved", 0, "released", 1)
NOT_RECORDED = Ends("released", "sending", 1, "released", 1)
NOT_SETTLED = Ends("unknown", "unknown", 1, "released", 1)
NOT_LISTED = Ends("unusable", "unknown", 1, "released", 1)
SETTLED = Ends("released", "released", 1, "released", 1)

READS = (NEVER_ASKED, NOT_ANSWERED, NOT_SENT, NOT_RECORDED, NOT_SETTLED, NOT_SETTLED)
"""It can be read, and not be written."""

FAILS = (NEVER_ASKED, NOT_ANSWERED, NOT_SENT, NOT_RECORDED, NOT_LISTED, NOT_LISTED)
"""It can neither be read nor be written."""

UNHEARD = (
    Ends("unusable", "open", 0, "open", 0),
    Ends("unknown", "approved", 0, "released", 1),
    Ends("unknown", "sending", 0, "not_released", 0),
    Ends("released", "released", 1, "released", 1),
    SETTLED,
    NOT_SETTLED,
)
"""It was written, and we were told that it was not."""

HEALS = (
    Ends("awaiting_approval", "open", 0, "open", 0),
    *(Ends("released", "released", 1, "released", 1),) * 4,
    NOT_SETTLED,
)
"""Nobody notices."""

SQLITE: dict[OnSqlite, Row] = {
    "full_disk": READS,
    "full_file": READS,
    "write_fails": READS,
    "sync_fails": READS,
    "read_only_disk": READS,
    "read_only": READS,
    "locked": READS,
    "locked_wholly": FAILS,
    "newer": READS,
    "commit_fails": READS,
    "commit_unheard": UNHEARD,
    "garbage_in_front": FAILS,
    "garbage_within": FAILS,
    "cut_short": FAILS,
    "no_database": FAILS,
    "emptied": FAILS,
    "no_folder": FAILS,
    "deleted": FAILS,
    "log_deleted": HEALS,
    "moved": FAILS,
    "replaced": HEALS,
}

POSTGRES: dict[OnPostgres, Row] = {
    "stopped": FAILS,
    "cut": HEALS,
    "cut_before_commit": READS,
    "cut_after_commit": UNHEARD,
    "locked": READS,
    "not_waiting": READS,
    "newer": READS,
    "no_rights": FAILS,
    "no_entries": READS,
    "read_only": READS,
    "tables_gone": FAILS,
}


def cells(matrix: Mapping[Any, Sequence[Ends]]) -> list[Any]:
    """A test's parameters: every fault at every step, with how it ends."""
    return [
        pytest.param(fault, step, ends, id=f"{fault}-{step}")
        for fault, row in matrix.items()
        for step, ends in zip(STEPS, row, strict=True)
    ]
