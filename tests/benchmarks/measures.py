"""What is measured, and how: each figure with the bound that the project keeps to.

Times are of whole processes, from the start to the reply to `tools/list`, taken in turns with the
bare server's, since a machine's speed drifts; the ratio is of the shortest, since noise only ever
adds. Memory is what the kernel calls resident at that moment.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mcp import Client
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult

from server import app, settings
from server.releases.policy import Policy
from server.sandbox.members import MEMBERS, crowd
from server.sandbox.portal import SandboxPortal
from server.sandbox.runner import running
from tests.office import PRO, RELEASE, Era, environment, structured

ROOT = Path(__file__).parent.parent.parent
BYTES_A_TOKEN = 4.2
START_RATIO, MEMORY_RATIO = 1.10, 1.20
TOKENS, TOKENS_WITH_OUTPUT = 900, 1_600
WARM, COLD, LISTING = 4, 9, 130

_MODERN_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
_MODERN: list[dict[str, Any]] = [
    {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": _MODERN_META}},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {"_meta": _MODERN_META}},
]
_LEGACY: list[dict[str, Any]] = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
]
_MESSAGES: dict[Era, list[dict[str, Any]]] = {"auto": _MODERN, "legacy": _LEGACY}


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds to the reply, resident memory in KiB, and the reply."""

    seconds: float
    resident: int
    tools: list[dict[str, Any]]


def start(command: Sequence[str], folder: Path, era: Era) -> Start:
    """Start a server over pipes, list its tools, and end it."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    env |= environment("https://gis.example.com/portal", folder)
    begun = time.perf_counter()
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=env,
        cwd=ROOT,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"".join(json.dumps(message).encode() + b"\n" for message in _MESSAGES[era]))
    child.stdin.flush()
    reply = next(r for r in map(json.loads, child.stdout) if r.get("id") == 2)
    seconds = time.perf_counter() - begun
    resident = _resident(child.pid)
    child.communicate()
    return Start(seconds, resident, reply["result"]["tools"])


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0
    line = next(x for x in status.read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1])


@dataclass(frozen=True, slots=True)
class Starts:
    """Starts of this server and of the bare one, in turns."""

    ours: list[Start]
    bare: list[Start]

    @property
    def time_ratio(self) -> float:
        """Our shortest time over the bare server's."""
        return min(s.seconds for s in self.ours) / min(s.seconds for s in self.bare)

    @property
    def memory_ratio(self) -> float:
        """The median of our resident memory over the median of the bare server's."""
        return median(s.resident for s in self.ours) / median(s.resident for s in self.bare)


def starts(folder: Path, fewest: int, most: int, era: Era) -> Starts:
    """Start both servers in turns; the first pair compiles the bytecode and is not counted.

    Beyond the fewest pairs it goes on, to at most the most, while the ratio is above its bound: a
    busy machine needs more of them for one undisturbed start of each.
    """
    ours = [sys.executable, "-m", "server"]
    bare = [sys.executable, "-m", "tests.benchmarks.bare"]
    start(ours, folder, era), start(bare, folder, era)
    measured = Starts([], [])
    while len(measured.ours) < fewest or (
        len(measured.ours) < most and measured.time_ratio > START_RATIO
    ):
        measured.ours.append(start(ours, folder, era))
        measured.bare.append(start(bare, folder, era))
    return measured


def tokens(tools: list[dict[str, Any]], *, with_output: bool) -> float:
    """Return the size of `tools/list` in tokens, by bytes."""
    shown = [
        {key: value for key, value in tool.items() if with_output or key != "outputSchema"}
        for tool in tools
    ]
    compact = json.dumps(shown, separators=(",", ":"), ensure_ascii=False).encode()
    return len(compact) / BYTES_A_TOKEN


async def requests_for_a_release(folder: Path, era: Era) -> tuple[int, int]:
    """Count the portal's requests for a release on a cold server and on a warm one.

    Cold: nothing was asked before. Warm: signed in, and `check_license` has just read the license,
    as the procedure says.
    """

    async def yes(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="accept", content={"username": RELEASE["username"]})

    portal = SandboxPortal()
    async with running(portal) as url:
        server = app.build(settings.load(environment(url, folder)), Policy())
        async with Client(server, mode=era, elicitation_callback=yes) as client:
            await _released(client)
            cold = len(portal.requests)
            portal.check_out(RELEASE["username"], PRO)
            look = {"username": RELEASE["username"], "app_id": PRO}
            await client.call_tool("check_license", look)
            before = len(portal.requests)
            await _released(client)
            return cold, len(portal.requests) - before


async def _released(client: Client) -> None:
    told = structured(await client.call_tool("release_license", RELEASE))
    assert (told["status"], told["verified"]) == ("released", True)


async def requests_for_a_listing(folder: Path, members: int, offline: int) -> int:
    """Count the portal's requests for finding everybody offline among so many members."""
    quiet = [member for member in MEMBERS() if not member.offline]
    portal = SandboxPortal(members=[*quiet, *crowd(members - len(quiet), offline=offline)])
    async with running(portal) as url:
        server = app.build(settings.load(environment(url, folder)), Policy())
        async with Client(server) as client:
            call = await client.call_tool("list_offline_licenses", {"app_id": PRO, "limit": 1000})
            found = structured(call)
    assert found["total_offline"] == len(found["offline"]) == offline
    return len(portal.requests)
