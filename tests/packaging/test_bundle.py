"""The bundle for Claude Desktop: what it holds, and that it starts exactly as its manifest says."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from server import __version__
from server.sandbox.portal import ADMINISTRATOR, PASSWORD, SandboxPortal
from server.sandbox.runner import running
from server.settings import Settings
from tests.packaging.served import ROOT, UV, empty, of_the_checkout, offer, uv_cache

PACKAGE = "@anthropic-ai/mcpb@2.1.2"
NPM = shutil.which("npm")
NODE = shutil.which("node")
# Claude Desktop puts the variables in with this very function.
CONFIGURED = """
const { getMcpConfigForManifest } = await import(process.argv[1]);
const [manifest, extensionPath, userConfig] = process.argv.slice(2);
const options = { manifest: JSON.parse(manifest), extensionPath, pathSeparator: "/" };
const rest = { systemDirs: {}, userConfig: JSON.parse(userConfig) };
console.log(JSON.stringify(await getMcpConfigForManifest({ ...options, ...rest })));
"""


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is packed, as the command makes it."""
    folder = tmp_path_factory.mktemp("bundle") / "arcgis-license-mcp"
    subprocess.run([sys.executable, ROOT / "packaging" / "bundle.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def manifest(laid_out: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((laid_out / "manifest.json").read_text(encoding="utf-8"))
    return read


def test_what_it_asks_for_are_settings_and_the_secret_ones_are_marked(
    manifest: dict[str, Any],
) -> None:
    asked = manifest["user_config"]
    given = manifest["server"]["mcp_config"]["env"]
    assert given == {name.upper(): f"${{user_config.{name}}}" for name in asked}
    assert asked.keys() <= Settings.model_fields.keys()
    for name, facts in asked.items():
        is_secret = SecretStr.__name__ in str(Settings.model_fields[name].annotation)
        # The shared ledger's address may hold a password.
        assert facts.get("sensitive", False) == (is_secret or name == "ledger_url")
        # What has neither a value nor a default would reach the server as the variable's own name.
        assert facts["required"] or facts["default"] == ""


def test_it_holds_no_more_than_it_needs(laid_out: Path, manifest: dict[str, Any]) -> None:
    assert {file.name for file in laid_out.iterdir()} == {
        "LICENSE",
        "README.md",
        "manifest.json",
        "prompts",
        "pyproject.toml",
        "server",
        "start.py",
    }
    assert not [*laid_out.rglob("__pycache__")]
    assert manifest["version"] == __version__
    assert (laid_out / manifest["server"]["entry_point"]).is_file()


@pytest.fixture(scope="module")
def mcpb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the bundle's own tool is installed."""
    if NPM is None or NODE is None:
        pytest.skip("the bundle's tool needs node and npm")
    folder = tmp_path_factory.mktemp("mcpb")
    install = [NPM, "install", "--no-audit", "--no-fund", "--prefix", str(folder), PACKAGE]
    try:
        done = subprocess.run(install, capture_output=True, text=True, timeout=200, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not install {PACKAGE} in 200 s")
    if done.returncode != 0:
        pytest.skip(f"npm could not install {PACKAGE}: {done.stderr[-200:]}")
    return folder / "node_modules" / "@anthropic-ai" / "mcpb" / "dist"


def node(*arguments: str | Path) -> str:
    """Run node, and return what it printed."""
    words = [str(NODE), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.anyio
@pytest.mark.thorough
@pytest.mark.timeout(300)
@pytest.mark.skipif(UV is None, reason="uv runs the bundle")
async def test_it_is_valid_packs_and_serves_what_the_checkout_serves(
    mcpb: Path, laid_out: Path, tmp_path: Path
) -> None:
    tool, unpacked = mcpb / "cli" / "cli.js", tmp_path / "unpacked"
    assert "passes" in node(tool, "validate", laid_out / "manifest.json")
    node(tool, "pack", laid_out, tmp_path / "made.mcpb")
    node(tool, "unpack", tmp_path / "made.mcpb", unpacked)
    manifest = json.loads((unpacked / "manifest.json").read_text(encoding="utf-8"))
    env = empty(tmp_path / "home", UV_CACHE_DIR=uv_cache())
    async with running(SandboxPortal()) as url:
        typed = {
            "portal_url": url,
            "portal_username": ADMINISTRATOR,
            "portal_password": PASSWORD,
        }
        script = ("--input-type=module", "-e", CONFIGURED, mcpb / "index.js")
        entry = json.loads(node(*script, json.dumps(manifest), unpacked, json.dumps(typed)))
        served = await offer(
            entry["command"], *entry["args"], env={**env, **entry["env"]}, cwd=tmp_path
        )
    assert served == await of_the_checkout(tmp_path)
    assert [tool["name"] for tool in manifest["tools"]] == [tool["name"] for tool in served.tools]
    assert [(p["name"], p["arguments"]) for p in manifest["prompts"]] == [
        (p["name"], [argument["name"] for argument in p["arguments"]]) for p in served.prompts
    ]
