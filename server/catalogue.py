"""What the model sees: the tools' names, titles, annotations and schemas, as short as they can be.

Every word of a description is read by a model in every conversation, so the schemas are cut down to
what it uses, and unknown arguments are ruled out in them.
"""

from typing import Any

from mcp.server.mcpserver.tools import Tool
from mcp_types import ToolAnnotations

from server.consent import card
from server.lookups import check_license, find_members, list_offline_licenses
from server.tools import decide_release, list_releases, release_license


def tools() -> list[Tool]:
    """Return the tools, their schemas cut down to what a model uses."""
    reads = ToolAnnotations(read_only_hint=True)
    changes = ToolAnnotations(destructive_hint=True, idempotent_hint=True)
    made = [
        Tool.from_function(find_members, title="Find members", annotations=reads),
        Tool.from_function(check_license, title="Check a license", annotations=reads),
        Tool.from_function(list_offline_licenses, title="List offline licenses", annotations=reads),
        Tool.from_function(
            release_license,
            title="Release a license",
            annotations=changes,
            meta={"ui": {"resourceUri": card.URI}},
        ),
        Tool.from_function(list_releases, title="List releases", annotations=reads),
        Tool.from_function(
            decide_release,
            title="Answer in the card",
            annotations=changes,
            meta={"ui": {"visibility": ["app"]}},
        ),
    ]
    for tool in made:
        tool.description = " ".join(tool.description.split())
        tool.parameters = {**_brief(tool.parameters), "additionalProperties": False}
        tool.fn_metadata.output_schema = _brief(tool.fn_metadata.output_schema)
    # The card knows what it gets; no model reads this one.
    made[-1].fn_metadata.output_schema = None
    return made


def _brief(schema: Any) -> Any:
    """Drop titles and descriptions that only repeat names, and defaults that are nothing."""
    if isinstance(schema, list):
        return [_brief(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "anyOf" in schema:
        schema = _without_null(schema)
    kept = {key: part for key, part in schema.items() if key != "title" or isinstance(part, dict)}
    if kept.get("default") == "":
        del kept["default"]
    if "properties" in kept:
        kept.pop("description", None)
    return {key: _brief(part) for key, part in kept.items()}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Say nothing of null where an argument may be left out."""
    some, *others = schema["anyOf"]
    if others != [{"type": "null"}] or "default" not in schema:
        return schema
    rest = {key: part for key, part in schema.items() if key not in ("anyOf", "default")}
    return {**some, **rest}
