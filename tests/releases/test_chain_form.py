"""The form of the chain, which every later version must read as it was written."""

import pytest

from server.releases.chain import GENESIS, Entry, canonical, check, digest, link

pytestmark = pytest.mark.promise("tamper-evident")
# sha256 of the text below, from `sha256sum`: whoever changes the form breaks every ledger there is.
FIRST = "ba3165c188623c8d950a659a9e16577c52b0d946b4f33661a53a99e2cbbd8e12"
TEXT = '[1,"R-2345-6789",5,"asked","{\\"a\\":1,\\"b\\":\\"\\\\u00e9\\"}","' + "0" * 64 + '"]'


def test_one_value_has_one_text_of_plain_characters() -> None:
    assert canonical({"b": "é", "a": 1}) == '{"a":1,"b":"\\u00e9"}'
    assert canonical({"a": 1, "b": "é"}) == canonical({"b": "é", "a": 1})
    assert canonical([1, None, True, ""]) == '[1,null,true,""]'


def test_the_hash_of_an_entry_is_that_of_its_canonical_text() -> None:
    entry = link(None, "R-2345-6789", 5, "asked", {"b": "é", "a": 1})
    written = [entry.seq, entry.release_id, entry.at, entry.event, entry.changes, GENESIS]
    assert canonical(written) == TEXT
    assert (entry.previous, entry.hash) == (GENESIS, FIRST)


def test_a_link_follows_the_last_entry_by_number_and_hash() -> None:
    first = link(None, "R-2345-6789", 5, "asked", {"state": "open"})
    second = link(first, "R-2345-6789", 6, "declined", {"state": "not_released"})
    assert (first.seq, second.seq) == (1, 2)
    assert (first.previous, second.previous) == ("0" * 64, first.hash)
    assert second.changed == {"state": "not_released"}
    assert second.hash == digest(2, "R-2345-6789", 6, "declined", second.changes, first.hash)


def ledger() -> tuple[list[Entry], list[dict[str, object]]]:
    one = link(None, "R-1", 5, "asked", {"release_id": "R-1", "state": "open", "route": None})
    two = link(one, "R-2", 6, "asked", {"release_id": "R-2", "state": "open", "route": None})
    end = link(two, "R-1", 7, "declined", {"state": "not_released", "route": "page"})
    rows: list[dict[str, object]] = [
        {"release_id": "R-1", "state": "not_released", "route": "page"},
        {"release_id": "R-2", "state": "open", "route": None},
    ]
    return [one, two, end], rows


def test_what_is_found_says_how_far_the_chain_holds() -> None:
    entries, rows = ledger()
    found = check(entries, rows)
    assert (found.entries, found.head, found.fault) == (3, entries[2].hash, None)
    found = check([entries[0], entries[2]], rows)
    assert (found.entries, found.head) == (1, entries[0].hash)
    assert found.fault == "entry 2 is missing or out of order: entry 3 stands in its place"
    found = check([], [])
    assert (found.entries, found.head, found.fault) == (0, GENESIS, None)


def test_a_head_may_be_any_entry_s_and_the_beginning_is_always_there() -> None:
    entries, rows = ledger()
    for head in (None, GENESIS, *(entry.hash for entry in entries)):
        assert check(entries, rows, head=head).fault is None
    assert "noted head" in str(check(entries, rows, head="f" * 64).fault)
    assert "noted head" in str(check([], [], head=entries[0].hash).fault)


def test_a_fault_of_the_rows_is_named_before_a_head_that_is_gone() -> None:
    entries, rows = ledger()
    assert "does not agree" in str(check(entries, [{**rows[0], "route": "form"}], head="f").fault)


def test_a_row_names_what_differs_and_its_last_entry() -> None:
    entries, rows = ledger()
    changed = {**rows[0], "route": "form", "state": "open"}
    assert check(entries, [changed, rows[1]]).fault == (
        "request R-1 does not agree with its entries in route, state: "
        "the row was changed, or what followed entry 3 was removed"
    )
    assert check(entries, rows[:1]).fault == "request R-2 was removed: entry 2 speaks of it"
    extra = {**rows[0], "release_id": "R-3"}
    assert check(entries, [*rows, extra]).fault == ("request R-3 has no entries: they were removed")
