"""The entry of this server in a client's configuration: what starts it, and with which settings."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from server.errors import SettingsError
from server.text import plain

Client = Literal["claude-desktop", "claude-code", "vscode", "cursor"]
NAME, SANDBOX = "arcgis-license", "arcgis-license-sandbox"
Entry = dict[str, Any]


def command() -> list[str]:
    """Return what starts this program again, as it is installed here."""
    if "archive-v0" in Path(sys.prefix).parts:  # uv's cache, which may be emptied.
        return [shutil.which("uvx") or "uvx", "arcgis-license-mcp"]
    script = Path(sys.executable).with_name(
        "arcgis-license-mcp.exe" if sys.platform == "win32" else "arcgis-license-mcp"
    )
    return [str(script)] if script.is_file() else [sys.executable, "-m", "server"]


def entry(arguments: list[str], env: Mapping[str, str]) -> Entry:
    """Return the entry that starts the server with these arguments and settings."""
    program, *rest = [*command(), *arguments]
    return {"command": program, "args": rest, "env": dict(env)}


def text(client: Client, name: str, made: Entry) -> str:
    """Return what a person runs or pastes for a client."""
    match client:
        case "claude-code":
            settings = [f"--env={key}={value}" for key, value in made["env"].items()]
            words = ["claude", "mcp", "add", name, *settings, "--", made["command"], *made["args"]]
            return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
        case "vscode":
            return json.dumps({"servers": {name: {"type": "stdio", **made}}}, indent=2)
        case "claude-desktop" | "cursor":
            return json.dumps({"mcpServers": {name: made}}, indent=2)


def place(client: Client) -> str:
    """Say where a client's entry belongs."""
    match client:
        case "claude-code":
            return "Run this in a terminal"
        case "vscode":
            return "Put this into .vscode/mcp.json, or into the user's mcp.json"
        case "cursor":
            return f"Put this into {Path.home() / '.cursor' / 'mcp.json'}"
        case "claude-desktop":
            return f"Put this into {desktop_file()}"


def desktop_file() -> Path:
    """Return Claude Desktop's configuration file, as each system has it."""
    from platformdirs import user_config_path

    return user_config_path("Claude", appauthor=False, roaming=True) / "claude_desktop_config.json"


def write(name: str, made: Entry, file: Path) -> None:
    """Add the entry to Claude Desktop's file; what else stands there is kept, and a copy of it.

    Raises:
        SettingsError: the file is not one that an entry can be added to; it is left alone.
    """
    whole: Any = {}
    try:
        if file.is_file():
            whole = json.loads(file.read_text(encoding="utf-8-sig") or "{}")
            whole.setdefault("mcpServers", {})[name] = made
            shutil.copyfile(file, file.with_suffix(".json.bak"))
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            whole = {"mcpServers": {name: made}}
        fresh = file.with_suffix(".json.new")
        fresh.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        fresh.replace(file)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise SettingsError(
            f"{plain(file)} cannot be changed ({plain(error)}); put the entry in by hand"
        ) from error
