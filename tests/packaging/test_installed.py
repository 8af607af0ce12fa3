"""The wheel and the source distribution each start where nothing is, and serve what this does."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from server import __version__
from tests.packaging.served import ROOT, SANDBOX, UV, empty, of_the_checkout, offer

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.thorough,
    pytest.mark.timeout(300),
    pytest.mark.skipif(UV is None, reason="uv builds and installs them"),
]


def uv(*arguments: str | Path, cwd: Path, **more: str) -> str:
    """Run uv, and return what it printed."""
    words = [str(UV), *map(str, arguments)]
    env = {**os.environ, **more}
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel, made from the source distribution, and that."""
    folder = tmp_path_factory.mktemp("built")
    uv("build", "--out-dir", folder, ROOT, cwd=folder)
    return folder


def installed(built: Path, pattern: str, venv: Path) -> Path:
    """Install what was built into a new environment, and return its command."""
    (made,) = built.glob(pattern)
    uv("venv", "--quiet", venv, cwd=built)
    uv("pip", "install", "--quiet", "--python", venv, made, cwd=built)
    return next(venv.glob("*/arcgis-license-mcp*"))


@pytest.mark.parametrize("pattern", ["*.whl", "*.tar.gz"])
async def test_it_starts_in_an_empty_environment(built: Path, tmp_path: Path, pattern: str) -> None:
    command = installed(built, pattern, tmp_path / "venv")
    env = {**empty(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    served = await offer(str(command), *SANDBOX, env=env, cwd=tmp_path)
    assert served == await of_the_checkout(tmp_path)
    assert served.tools
    assert served.prompts


def test_uvx_and_an_installed_tool_run_the_wheel(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    once = uv("tool", "run", "--from", wheel, "arcgis-license-mcp", "--version", cwd=tmp_path)
    assert once.split()[-1] == __version__
    places = {"UV_TOOL_DIR": f"{tmp_path / 'tools'}", "UV_TOOL_BIN_DIR": f"{tmp_path / 'bin'}"}
    uv("tool", "install", "--quiet", wheel, cwd=tmp_path, **places)
    (command,) = (tmp_path / "bin").glob("arcgis-license-mcp*")
    shown = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == once


def test_the_source_distribution_has_all_that_it_is_made_and_tested_with(built: Path) -> None:
    (made,) = built.glob("*.tar.gz")
    with tarfile.open(made) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    needed = {str(file.relative_to(ROOT).as_posix()) for file in (ROOT / "prompts").glob("*.md")}
    needed |= {
        "pyproject.toml",
        "requirements.txt",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "claude_desktop_config.example.json",
        "server.json",
        "Dockerfile",
        ".dockerignore",
        "packaging/bundle.py",
        "packaging/mcpb/manifest.json",
        "packaging/clients/vscode.json",
        "server/py.typed",
        "tests/conftest.py",
        "tests/releases/ledger_v1.sql",
        "tests/conformance/scenarios.toml",
    }
    assert needed <= names
    assert not [name for name in names if name.endswith((".db", ".pyc", "uv.lock"))]
