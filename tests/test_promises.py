"""Every promise of the design is owned by at least one test that names it."""

import re
from pathlib import Path

import pytest

PROMISES = {
    "durable-intent",
    "one-post",
    "four-outcomes",
    "no-blind-retry",
    "bound-consent",
    "never-the-model",
    "right-product",
    "re-checked",
    "refusals-kept",
    "no-secrets",
    "tamper-evident",
    "not-fooled",
    "no-lockout",
    "uncancelled",
}


def owned() -> dict[str, int]:
    marks = re.compile(r'mark\.promise\(\s*"([^"]+)"')
    counts: dict[str, int] = {}
    for file in Path(__file__).parent.rglob("test_*.py"):
        for name in marks.findall(file.read_text(encoding="utf-8")):
            counts[name] = counts.get(name, 0) + 1
    return counts


@pytest.mark.parametrize("promise", sorted(PROMISES))
def test_every_promise_has_an_owner(promise: str) -> None:
    assert owned().get(promise, 0) > 0


def test_no_test_owns_a_promise_that_nobody_made() -> None:
    assert set(owned()) <= PROMISES
