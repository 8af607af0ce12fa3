"""Ready entries for clients: each is read, holds no password, and its command starts the server."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from server.sandbox.portal import ADMINISTRATOR, PASSWORD, SandboxPortal
from server.sandbox.runner import running
from server.settings import Settings
from tests.packaging.served import ROOT, SANDBOX, UV, empty, of_the_checkout, offer, uv_cache

PATH = "/path/to/arcgis-license-mcp"
DESKTOP = ROOT / "claude_desktop_config.example.json"
FILES = [DESKTOP, *sorted((ROOT / "packaging" / "clients").glob("*.json"))]
# How each client writes what it takes from elsewhere: a question, or its own environment. Claude
# Desktop can do neither.
ELSEWHERE = re.compile(r"\$\{(?:env:PORTAL_PASSWORD|PORTAL_PASSWORD|input:portal-password)\}")


def read(file: Path) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return whole


def entries(file: Path) -> dict[str, dict[str, Any]]:
    """Return a file's entries by name, under the key that the client reads."""
    found: dict[str, dict[str, Any]] = read(file)[
        "servers" if file.stem == "vscode" else "mcpServers"
    ]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_entries_name_real_settings_and_hold_no_password(file: Path) -> None:
    for entry in entries(file).values():
        env = entry.get("env", {})
        assert {name.lower() for name in env} <= Settings.model_fields.keys()
        assert "PORTAL_TOKEN" not in env
        assert ELSEWHERE.fullmatch(env.get("PORTAL_PASSWORD", "${PORTAL_PASSWORD}"))


def test_vs_code_asks_for_the_password_without_showing_it() -> None:
    (asked,) = read(ROOT / "packaging" / "clients" / "vscode.json")["inputs"]
    assert (asked["type"], asked["id"], asked["password"]) == (
        "promptString",
        "portal-password",
        True,
    )


@pytest.mark.anyio
@pytest.mark.thorough
@pytest.mark.timeout(300)
@pytest.mark.skipif(UV is None, reason="uvx starts the entries")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_their_commands_serve_what_the_checkout_serves(file: Path, tmp_path: Path) -> None:
    expected = await of_the_checkout(tmp_path)
    home = empty(tmp_path / "home", UV_CACHE_DIR=uv_cache())
    async with running(SandboxPortal()) as url:
        for entry in entries(file).values():
            arguments = [word.replace(PATH, str(ROOT)) for word in entry["args"]]
            assert arguments != entry["args"]
            env = {**home, **substituted(entry.get("env", {}), url, tmp_path)}
            served = await offer(entry["command"], *arguments, env=env, cwd=tmp_path)
            assert served == expected
            assert env.keys() > home.keys() or arguments[-2:] == SANDBOX


def substituted(env: dict[str, str], url: str, folder: Path) -> dict[str, str]:
    """Put in what a person has, and what the client takes from elsewhere."""
    if not env:
        return env
    real = {**env, "PORTAL_URL": url, "PORTAL_USERNAME": ADMINISTRATOR}
    if "PORTAL_PASSWORD_FROM" in env:
        kept = folder / "password"
        kept.write_text(PASSWORD, encoding="utf-8")
        kept.chmod(stat.S_IRUSR | stat.S_IWUSR)
        return real | {"PORTAL_PASSWORD_FROM": os.fspath(kept)}
    return real | {"PORTAL_PASSWORD": ELSEWHERE.sub(PASSWORD, env["PORTAL_PASSWORD"])}
