"""Measures everything once, and prints the README's tables of figures."""

import platform
import tempfile
from pathlib import Path

import anyio

from tests.benchmarks import ledger_table, measures


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        for line in [*table(Path(name)), "", *ledger_table.table(Path(name))]:
            print(line)  # noqa: T201


def table(folder: Path) -> list[str]:
    """Return the table's lines."""
    starts = measures.starts(folder, 15, 15, "auto")
    tools = starts.ours[0].tools
    cold, warm = anyio.run(measures.requests_for_a_release, folder, "auto")
    listing = anyio.run(measures.requests_for_a_listing, folder, 11_000, 137)
    rows = [
        ("start to `tools/list`, times a bare `mcp` server's", f"{starts.time_ratio:.2f}", "1.10"),
        ("resident memory, times a bare server's", f"{starts.memory_ratio:.2f}", "1.20"),
        ("`tools/list` in tokens", _tokens(tools, with_output=False), "900"),
        ("the same with output schemas", _tokens(tools, with_output=True), "1,600"),
        ("portal requests for a release, first of all", f"{cold}", "9"),
        ("portal requests for a release, right after `check_license`", f"{warm}", "4"),
        ("portal requests to find 137 offline among 11,000 members", f"{listing}", "130"),
    ]
    return [
        f"Python {platform.python_version()}, {len(starts.ours)} starts of each in turns.",
        "",
        "| Figure | Measured | Bound |",
        "| --- | --- | --- |",
        *(f"| {name} | {measured} | {bound} |" for name, measured, bound in rows),
    ]


def _tokens(tools: list[dict[str, object]], *, with_output: bool) -> str:
    return f"{measures.tokens(tools, with_output=with_output):,.0f}"


if __name__ == "__main__":
    main()
