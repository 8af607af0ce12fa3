"""Writes the README's tables from the code: `python -m tests.reference`. A test compares them."""

import re
from pathlib import Path

from server import prompts
from server.catalogue import tools
from server.releases.policy import Limits, Policy
from server.releases.wording import REASONS
from server.settings import Settings

README = Path(__file__).parent.parent / "README.md"


def tables() -> dict[str, str]:
    """Return each table by the name that marks it in the README."""
    return {
        "tools": _table(
            ("Tool", "What it does"),
            [
                (f"`{tool.name}`", tool.description.split(". ")[0].rstrip(".") + ".")
                for tool in tools()
            ],
        ),
        "prompts": _table(
            ("Prompt", "What it is for"),
            [(f"`{p.prompt.name}`", p.prompt.description or "") for p in prompts.load()],
        ),
        "settings": _table(("Variable", "Default", "What it is"), _settings()),
        "policy": _table(("Key", "Default"), _policy()),
        "reasons": _table(
            ("Reason", "Error", "What it means"),
            [
                (f"`{name}`", "yes" if words.is_error else "no", words.meaning)
                for name, words in REASONS.items()
            ],
        ),
    }


def updated(text: str) -> str:
    """Return the README's text with every table as the code has it."""
    for name, table in tables().items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, found = block.subn(rf"\g<1>{_literally(table)}\g<2>", text)
        if found != 1:
            raise ValueError(f"README.md has no block for {name}")
    return text


def _literally(table: str) -> str:
    return table.replace("\\", r"\\")


def _settings() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, field in sorted(Settings.model_fields.items(), key=_portal_first):
        default = field.get_default()
        shown = ",".join(default) if isinstance(default, tuple) else f"{default}"
        empty = field.is_required() or default is None or field.default_factory is not None
        rows.append((f"`{name.upper()}`", "" if empty else f"`{shown}`", field.description or ""))
    return rows


def _portal_first(item: tuple[str, object]) -> bool:
    return not item[0].startswith("portal_")


def _policy() -> list[tuple[str, ...]]:
    plain = [(f"`{key}`", f"`{_toml(value)}`") for key, value in Policy() if key != "limits"]
    limits = [(f"`limits.{key}`", f"`{value}`") for key, value in Limits()]
    return [*plain, *limits]


def _toml(value: object) -> str:
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value).replace("'", '"')


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
