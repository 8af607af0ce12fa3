"""Where whatever went wrong becomes words: one place, for every tool.

Arguments are taken strictly, an unknown one is refused, and nothing of what was sent is repeated.
A call of `release_license` ends in one of the four outcomes even where the protocol itself refuses
it, because a model must never be left to guess whether anything was released.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mcp.server.apps import client_supports_apps
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolResult,
    GetPromptResult,
    InputRequiredResult,
    TextContent,
)
from pydantic import ValidationError

from server import results
from server.errors import LedgerUnavailable, PortalError, WrongKey
from server.releases.models import Reason, Status
from server.text import plain
from server.tools import DECIDE, RELEASE, Desk, release_result

logger = logging.getLogger(__name__)


class LicenseServer(MCPServer[Desk]):
    """An `MCPServer` whose tool calls end in a sentence that helps, whatever happens."""

    def __init__(self, name: str, *, tools: list[Tool], **options: Any) -> None:
        super().__init__(name, tools=tools, **options)
        self._known = {tool.name: tool for tool in tools}
        self.middleware.insert(0, refused_by_the_protocol)
        self.middleware.append(answers_without_content)
        self.middleware.append(card_tools_for_cards_alone)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Desk, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool; an exception becomes a result that says what to do next."""
        tool = self._known.get(name)
        if tool is None:
            return _told(name, arguments, "invalid_arguments", f"There is no tool {plain(name)!r}.")
        unknown = sorted(set(arguments) - set(tool.parameters["properties"]))
        if unknown:
            return _told(name, arguments, "invalid_arguments", _unknown(tool, unknown))
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            return _explained(name, arguments, error)

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        context: Context[Desk, Any] | None = None,
    ) -> GetPromptResult | InputRequiredResult:
        """Get a prompt; one that is unknown, or lacks an argument, is refused in either era."""
        known = {prompt.name: prompt for prompt in await self.list_prompts()}
        if name not in known:
            raise MCPError(INVALID_PARAMS, f"There is no prompt {plain(name)!r}.")
        needed = [argument for argument in known[name].arguments or [] if argument.required]
        lacking = [argument.name for argument in needed if argument.name not in (arguments or {})]
        if lacking:
            raise MCPError(INVALID_PARAMS, f"{name} needs {', '.join(lacking)}.")
        return await super().get_prompt(name, arguments, context)


def _explained(name: str, arguments: dict[str, Any], error: ToolError) -> CallToolResult:
    match error.__cause__:
        case ValidationError() as cause:
            return _told(name, arguments, "invalid_arguments", _faults(cause))
        case LedgerUnavailable() | PortalError() | WrongKey() as cause:
            return _told(name, arguments, cause.reason, str(cause))
        case KeyError():
            return _told(name, arguments, "invalid_arguments", "There is no such request.")
        case cause:
            logger.error(
                "a tool failed unexpectedly", extra={"tool": name}, exc_info=cause or error
            )
            detail = "The server failed unexpectedly; its log says more."
            return _told(name, arguments, "outcome_unknown", detail, "unknown")


def _told(
    name: str,
    arguments: Mapping[str, Any],
    reason: Reason,
    detail: str,
    status: Status = "not_released",
) -> CallToolResult:
    if name not in (RELEASE, DECIDE):
        return CallToolResult(content=[TextContent(type="text", text=detail)], is_error=True)
    username, app_id = (str(arguments.get(key, "")) for key in ("username", "app_id"))
    return release_result(results.failure(reason, status, detail, username, app_id))


def _unknown(tool: Tool, unknown: list[str]) -> str:
    names = ", ".join(plain(name, 40) for name in unknown[:5])
    known = ", ".join(tool.parameters["properties"])
    return f"{tool.name} has no argument {names}. It takes: {known}."


def _faults(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    sentences = (
        f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}" for fault in faults
    )
    return "; ".join(sentences) + "."


async def answers_without_content(
    ctx: ServerRequestContext[Any, Any], call_next: CallNext
) -> HandlerResult:
    """Let an accepted form that holds no fields be judged as a wrong answer, not as a fault."""
    responses = (ctx.params or {}).get("inputResponses")
    if ctx.method != "tools/call" or not isinstance(responses, dict):
        return await call_next(ctx)
    filled = {key: _with_content(response) for key, response in responses.items()}
    return await call_next(replace(ctx, params={**(ctx.params or {}), "inputResponses": filled}))


def _with_content(response: Any) -> Any:
    if isinstance(response, dict) and response.get("action") == "accept":
        content = response.get("content")
        return {**response, "content": content if isinstance(content, dict) else {}}
    return response


async def card_tools_for_cards_alone(
    ctx: ServerRequestContext[Any, Any], call_next: CallNext
) -> HandlerResult:
    """List the card's tool, and which card shows a release, only for clients that show cards."""
    result = await call_next(ctx)
    if ctx.method != "tools/list" or client_supports_apps(ctx) or not isinstance(result, dict):
        return result
    tools = [
        {key: value for key, value in tool.items() if key != "_meta"}
        for tool in result["tools"]
        if tool["name"] != DECIDE
    ]
    return {**result, "tools": tools}


async def refused_by_the_protocol(
    ctx: ServerRequestContext[Any, Any], call_next: CallNext
) -> HandlerResult:
    """Answer a release whose `requestState` or answers the SDK rejects with an outcome."""
    params = ctx.params or {}
    answers = ctx.method == "tools/call" and params.get("name") == RELEASE
    if not answers or ("requestState" not in params and "inputResponses" not in params):
        return await call_next(ctx)
    try:
        return await call_next(ctx)
    except (MCPError, ValidationError) as error:
        logger.warning("an answer to a form was rejected", extra={"why": type(error).__name__})
        arguments = params.get("arguments")
        detail = (
            "The answer belongs to another call, has expired or is malformed. Call again without "
            "requestState, so that the person is asked anew."
        )
        given = arguments if isinstance(arguments, dict) else {}
        return _told(RELEASE, given, "invalid_arguments", detail)
