"""The member search: case-insensitive, fuzzy, and never to be mistaken for an exact lookup.

Understood are bare words, `field:value`, `field:"a phrase"`, `AND` and `OR`; brackets are ignored.
Assumption: a word finds whatever contains it, which is fuzzier than a portal's index.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from server.sandbox.members import SandboxMember
from server.sandbox.replies import Json

MOST_PER_PAGE = 100
Row = TypeVar("Row")
_TERM = re.compile(r'(?:(\w+):\s*)?(?:"((?:[^"\\]|\\.)*)"|([^\s()]+))')

_FIELDS: dict[str, Callable[[SandboxMember], str]] = {
    "username": lambda member: member.username,
    "fullname": lambda member: member.full_name,
    "email": lambda member: member.email,
    "role": lambda member: member.role,
    "provider": lambda member: member.provider,
}
_EVERYBODY = frozenset({"orgid", "accountid"})


def find(members: Sequence[SandboxMember], query: str) -> list[SandboxMember]:
    alternatives = re.split(r"\s+OR\s+", query)
    return [member for member in members if any(_fits(member, part) for part in alternatives)]


def page(
    rows: Sequence[Row],
    params: dict[str, str],
    *,
    show: Callable[[Row], Json],
    key: str = "results",
) -> Json:
    """One page of at most 100 `rows` under `key`; `nextStart` is -1 at the end."""
    start = max(1, _number(params.get("start"), 1))
    size = min(MOST_PER_PAGE, max(1, _number(params.get("num"), 10)))
    shown = [show(row) for row in rows[start - 1 : start - 1 + size]]
    following = start + size if start - 1 + size < len(rows) else -1
    paging = {"total": len(rows), "start": start, "num": size, "nextStart": following}
    return {**paging, key: shown}


def _fits(member: SandboxMember, query: str) -> bool:
    terms = [
        (field.lower(), phrase or word)
        for field, phrase, word in _TERM.findall(query)
        if (phrase or word) not in ("AND", "*")
    ]
    return all(_matches(member, field, value) for field, value in terms)


def _matches(member: SandboxMember, field: str, value: str) -> bool:
    wanted = _plain(value)
    if field in _EVERYBODY:
        return True
    if field:
        return field in _FIELDS and wanted in _plain(_FIELDS[field](member))
    return any(
        wanted in _plain(_FIELDS[name](member)) for name in ("username", "fullname", "email")
    )


def _plain(text: str) -> str:
    return text.casefold().replace("\\", "").replace("*", "")


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.lstrip("-").isdigit() else default
