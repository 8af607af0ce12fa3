"""Serves `prompts/*.md` as MCP prompts: TOML front matter between `+++` lines, then the text.

The text names its arguments in double braces. What is put there is quoted as data, bounded and made
plain, since it may come from a ticket.
"""

import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.prompts.base import PromptArgument

from server.text import plain

_PARTS = re.compile(r"\A\+\+\+\n(.*?)\n\+\+\+\n(.*)\Z", re.DOTALL)
_SLOT = re.compile(r"\{\{(\w+)\}\}")
MAX_ARGUMENT = 4_000


def folder() -> Traversable:
    """Return the folder of the prompts: inside an installed package, or beside it in a checkout."""
    installed = files("server") / "prompt_files"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "prompts"


def register(server: MCPServer[Any]) -> None:
    """Add every prompt to the server."""
    for prompt in load():
        server.add_prompt(prompt)


def load() -> Iterator[Prompt]:
    """Read the prompts, by name."""
    for file in sorted(folder().iterdir(), key=lambda file: file.name):
        if file.name.endswith(".md"):
            yield parse(file.name.removesuffix(".md"), file.read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Prompt:
    """Make a prompt of a file's text.

    Raises:
        ValueError: the file has no front matter, or its text names an argument that this lacks.
    """
    parts = _PARTS.match(text.replace("\r\n", "\n"))
    if parts is None:
        raise ValueError(f"{name}.md: no front matter between +++ lines")
    head, body = tomllib.loads(parts[1]), parts[2].strip()
    arguments = [PromptArgument(name=key, **facts) for key, facts in head["arguments"].items()]
    unknown = set(_SLOT.findall(body)) - {argument.name for argument in arguments}
    if unknown:
        raise ValueError(f"{name}.md: the text names unknown arguments: {', '.join(unknown)}")

    def fill(**given: str) -> str:
        return _SLOT.sub(lambda slot: _as_data(given.get(slot[1], "")), body)

    return Prompt(
        name=name,
        title=head["title"],
        description=head["description"],
        arguments=arguments,
        fn=fill,
        context_kwarg=None,
    )


def _as_data(text: str) -> str:
    lines = [plain(line, 1_000) for line in text[:MAX_ARGUMENT].splitlines()]
    return "\n".join(f"> {line}" for line in lines if line) or "> (not given)"
