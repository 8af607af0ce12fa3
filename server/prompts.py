"""Serves `prompts/*.md` as MCP prompts: TOML front matter between `+++` lines, then the text.

The text names its arguments in double braces. What is put there is quoted as data, bounded and made
plain, since it may come from a ticket; `{{products}}` is filled with the products. An argument may
say in `complete` what the portal knows of it: `username` or `app_id`.
"""

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.prompts.base import PromptArgument
from mcp_types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)

from server.errors import PortalError
from server.releases.models import PRODUCTS
from server.text import has_unseen, plain
from server.tools import Desk

_PARTS = re.compile(r"\A\+\+\+\n(.*?)\n\+\+\+\n(.*)\Z", re.DOTALL)
_SLOT = re.compile(r"\{\{(\w+)\}\}")
MAX_ARGUMENT = 4_000
PRODUCTS_NAMED = ", ".join(f"`{product.app_id}` ({product.title})" for product in PRODUCTS.values())
MIN_BEGUN, MAX_COMPLETED = 2, 20


def folder() -> Traversable:
    """Return the folder of the prompts: inside an installed package, or beside it in a checkout."""
    installed = files("server") / "prompt_files"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "prompts"


Kind = Literal["username", "app_id"]


@dataclass(frozen=True, slots=True)
class Procedure:
    """One file: its prompt, and what the portal knows of its arguments."""

    prompt: Prompt
    completed: dict[str, Kind]


def register(server: MCPServer[Any], desk: Callable[[], Desk]) -> None:
    """Add every prompt to the server, and the completion of their arguments."""
    kinds: dict[str, dict[str, Kind]] = {}
    for procedure in load():
        server.add_prompt(procedure.prompt)
        kinds[procedure.prompt.name] = procedure.completed

    @server.completion()  # type: ignore[no-untyped-call, untyped-decorator]
    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        _: CompletionContext | None,
    ) -> Completion:
        kind = kinds.get(ref.name, {}).get(argument.name) if ref.type == "ref/prompt" else None
        return Completion(values=await _known(desk(), kind, argument.value.strip()))


async def _known(desk: Desk, kind: Kind | None, begun: str) -> list[str]:
    """Offer what the portal knows; nothing where it knows nothing, or fails."""
    if kind == "app_id":
        return [app_id for app_id in PRODUCTS if app_id.startswith(begun)]
    if kind != "username" or len(begun) < MIN_BEGUN:
        return []
    try:
        members, _ = await (await desk.portal()).search(begun, MAX_COMPLETED)
    except PortalError:
        return []
    return [member.username for member in members if not has_unseen(member.username)]


def load() -> Iterator[Procedure]:
    """Read the prompts, by name."""
    for file in sorted(folder().iterdir(), key=lambda file: file.name):
        if file.name.endswith(".md"):
            yield parse(file.name.removesuffix(".md"), file.read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Procedure:
    """Make a prompt of a file's text.

    Raises:
        ValueError: the file has no front matter, or its text names an argument that this lacks.
    """
    parts = _PARTS.match(text.replace("\r\n", "\n"))
    if parts is None:
        raise ValueError(f"{name}.md: no front matter between +++ lines")
    head, body = tomllib.loads(parts[1]), parts[2].strip().replace("{{products}}", PRODUCTS_NAMED)
    completed: dict[str, Kind] = {
        key: facts.pop("complete")
        for key, facts in head["arguments"].items()
        if "complete" in facts
    }
    arguments = [PromptArgument(name=key, **facts) for key, facts in head["arguments"].items()]
    unknown = set(_SLOT.findall(body)) - {argument.name for argument in arguments}
    if unknown:
        raise ValueError(f"{name}.md: the text names unknown arguments: {', '.join(unknown)}")

    def fill(**given: str) -> str:
        return _SLOT.sub(lambda slot: _as_data(given.get(slot[1], "")), body)

    prompt = Prompt(
        name=name,
        title=head["title"],
        description=head["description"],
        arguments=arguments,
        fn=fill,
        context_kwarg=None,
    )
    return Procedure(prompt, completed)


def _as_data(text: str) -> str:
    lines = [plain(line, 1_000) for line in text[:MAX_ARGUMENT].splitlines()]
    return "\n".join(f"> {line}" for line in lines if line) or "> (not given)"
