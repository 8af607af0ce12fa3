"""Foreign text made safe to show.

Whatever comes from a ticket, a member's profile or a portal's reply is data. Before a person or a
model reads it, it becomes one bounded line without control, bidirectional or invisible characters,
so that it can neither reorder nor hide the words around it.
"""

import unicodedata

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def plain(text: object, limit: int = 200) -> str:
    """Return `text` as one line of at most `limit` characters that shows all it contains."""
    characters = (" " if c.isspace() else c for c in str(text or "")[: limit * 8])
    seen = "".join(c for c in characters if unicodedata.category(c) not in _UNSEEN)
    line = " ".join(seen.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def quoted(text: object, limit: int = 200) -> str:
    """Return `text` made plain, in quotation marks that it cannot close."""
    return f'"{plain(text, limit).replace(chr(34), chr(39))}"'


def has_unseen(text: str) -> bool:
    """Tell whether `text` holds a character that a reader would not see."""
    return any(unicodedata.category(c) in _UNSEEN for c in text)
