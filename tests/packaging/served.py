"""What a command serves, when it is started as somebody does who has never run this program."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

ROOT = Path(__file__).parent.parent.parent
UV = os.environ.get("UV") or shutil.which("uv")
SANDBOX = ["serve", "--sandbox"]
# What reaching the package index takes, and no setting of this program.
_OF_THE_NETWORK = ("UV_", "PIP_", "SSL_", "HTTP_", "HTTPS_", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client is offered."""

    tools: list[dict[str, Any]]
    prompts: list[dict[str, Any]]
    instructions: str | None


def empty(home: Path, **more: str) -> dict[str, str]:
    """Return an environment with an empty home folder, in which uv and Python are found."""
    home.mkdir(parents=True, exist_ok=True)
    places = [Path(UV).parent] if UV else []
    places += [Path(sys.base_prefix) / "bin", Path("/usr/bin"), Path("/bin")]
    homes = dict.fromkeys(("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"), str(home))
    network = {k: v for k, v in os.environ.items() if k.upper().startswith(_OF_THE_NETWORK)}
    path = os.pathsep.join(str(place) for place in places)
    return {**network, **homes, "PATH": path, "OPEN_BROWSER": "false", **more}


def uv_cache() -> str:
    """Return where uv keeps what it has fetched, which an empty home folder would hide."""
    done = subprocess.run([str(UV), "cache", "dir"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


async def offer(command: str, *arguments: str, env: Mapping[str, str], cwd: Path) -> Offer:
    """Start a command and return what it offers over its pipes."""
    child = StdioServerParameters(command=command, args=[*arguments], env=dict(env), cwd=cwd)
    async with Client(child) as client:
        tools = (await client.list_tools()).tools
        prompts = (await client.list_prompts()).prompts
        return Offer(
            [tool.model_dump(mode="json") for tool in tools],
            [prompt.model_dump(mode="json") for prompt in prompts],
            client.instructions,
        )


async def of_the_checkout(folder: Path) -> Offer:
    """Return what the checkout offers."""
    env = empty(folder / "home of the checkout")
    return await offer(sys.executable, "-m", "server", *SANDBOX, env=env, cwd=ROOT)
