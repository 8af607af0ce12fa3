"""The chain of entries: each names the hash of the one before, so a change to any shows.

An entry holds what changed in one request, and a request's row is what its entries add up to.
Whoever edits, removes or reorders an entry breaks a hash, a number or that sum; `check` names the
first entry where it shows. Whoever can rewrite the whole file can rewrite the whole chain: against
that, note the head (`ledger verify` prints it) somewhere else.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

Row = Mapping[str, object]
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of one request. `at` is in milliseconds since 1970, `seq` counts from 1."""

    seq: int
    release_id: str
    at: int
    event: str
    changes: str
    previous: str
    hash: str

    @property
    def changed(self) -> dict[str, object]:
        """The request's fields that this entry set, by name."""
        loaded: dict[str, object] = json.loads(self.changes)
        return loaded


@dataclass(frozen=True, slots=True)
class Verification:
    """What `check` found: `fault` is None where everything agrees."""

    entries: int
    head: str
    fault: str | None


def canonical(value: object) -> str:
    """Return the one JSON text that stands for `value`."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(seq: int, release_id: str, at: int, event: str, changes: str, previous: str) -> str:
    """Return the hash of an entry, in hexadecimal."""
    return sha256(canonical([seq, release_id, at, event, changes, previous]).encode()).hexdigest()


def link(last: Entry | None, release_id: str, at: int, event: str, changes: Row) -> Entry:
    """Return the entry that follows `last`."""
    seq, previous = (last.seq + 1, last.hash) if last else (1, GENESIS)
    text = canonical(dict(changes))
    return Entry(
        seq,
        release_id,
        at,
        event,
        text,
        previous,
        digest(seq, release_id, at, event, text, previous),
    )


def check(
    entries: Iterable[Entry], rows: Iterable[Row], *, head: str | None = None
) -> Verification:
    """Follow the chain, add up the entries of each request, and compare with the requests' rows.

    `head` is the hash of an entry that was noted earlier and must still be in the chain.
    """
    seq, last = 0, GENESIS
    noted = head in (None, GENESIS)
    sums: dict[str, dict[str, object]] = {}
    last_of: dict[str, int] = {}
    for entry in entries:
        fault = _fault(entry, seq + 1, last)
        if fault is not None:
            return Verification(seq, last, fault)
        sums.setdefault(entry.release_id, {}).update(entry.changed)
        seq = last_of[entry.release_id] = entry.seq
        last = entry.hash
        noted = noted or last == head
    fault = _disagreement(sums, last_of, rows)
    if fault is None and not noted:
        fault = "the noted head is not in its chain, so entries were rewritten or removed"
    return Verification(seq, last, fault)


def _fault(entry: Entry, expected: int, head: str) -> str | None:
    if entry.seq != expected:
        return f"entry {expected} is missing or out of order: entry {entry.seq} stands in its place"
    actual = digest(
        entry.seq, entry.release_id, entry.at, entry.event, entry.changes, entry.previous
    )
    if entry.hash != actual:
        return f"entry {entry.seq} ({entry.event} of {entry.release_id}) was changed"
    if entry.previous != head:
        return f"entry {entry.seq} does not follow entry {entry.seq - 1}"
    return None


def _disagreement(
    sums: dict[str, dict[str, object]], last_of: dict[str, int], rows: Iterable[Row]
) -> str | None:
    unseen = dict(sums)
    for row in rows:
        release_id = str(row["release_id"])
        added_up = unseen.pop(release_id, None)
        if added_up is None:
            return f"request {release_id} has no entries: they were removed"
        wrong = sorted(name for name, value in row.items() if added_up.get(name) != value)
        if wrong:
            return (
                f"request {release_id} does not agree with its entries in {', '.join(wrong)}: "
                f"the row was changed, or what followed entry {last_of[release_id]} was removed"
            )
    if unseen:
        release_id = next(iter(unseen))
        return f"request {release_id} was removed: entry {last_of[release_id]} speaks of it"
    return None
