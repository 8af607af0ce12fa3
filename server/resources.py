"""Two small resources: what the policy allows, and what was asked for lately."""

import json
from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import MCPServer

from server import results
from server.releases.policy import Policy
from server.tools import Desk

POLICY_URI = "arcgis-license://policy"
RELEASES_URI = "arcgis-license://releases"
NEWEST = 10


def register(server: MCPServer[Any], policy: Policy, desk: Callable[[], Desk]) -> None:
    """Add both to the server."""

    @server.resource(
        POLICY_URI,
        title="Policy in force",
        description="What this server may release, for whom, and how often.",
        mime_type="application/json",
    )
    def policy_in_force() -> str:
        return policy.model_dump_json()

    @server.resource(
        RELEASES_URI,
        title="Newest releases",
        description=f"The {NEWEST} newest requests and what became of them.",
        mime_type="application/json",
    )
    async def newest_releases() -> str:
        found = await (await desk().releases()).find(limit=NEWEST)
        return json.dumps([results.brief(request) for request in found])
