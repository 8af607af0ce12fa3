"""Foreign text becomes one bounded line that shows all it contains."""

import pytest

from server.text import has_unseen, plain, quoted

pytestmark = pytest.mark.promise("not-fooled")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jürgen Groß", "Jürgen Groß"),
        ("李 雷", "李 雷"),
        ("a\nb\r\n\tc", "a b c"),
        ("a\u202eb\u2066c\u200bd\ufeff", "abcd"),
        ("\x1b[31mred\x07", "[31mred"),
        ("a\u2028b\u2029c", "a b c"),
        ("\ud800x\ue000", "x"),
        (None, ""),
        (7, "7"),
    ],
)
def test_only_what_is_seen_is_left(text: object, expected: str) -> None:
    assert plain(text) == expected


def test_it_is_never_longer_than_its_limit() -> None:
    assert plain("x" * 10_000_000, 50) == "x" * 49 + "…"
    assert plain("\u202e" * 10_000_000, 50) == ""


def test_quotation_marks_cannot_be_closed_from_inside() -> None:
    assert quoted('a" b') == '"a\' b"'


@pytest.mark.parametrize(
    ("text", "unseen"), [("jsmith", False), ("CORP\\m lee", False), ("a\u200b", True)]
)
def test_unseen_characters_are_found(text: str, unseen: bool) -> None:
    assert has_unseen(text) is unseen
