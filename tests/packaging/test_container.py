"""The Dockerfile's claims, as far as they can be read: docker itself is not needed."""

import re
import shutil
import subprocess
import tomllib

import pytest

from server.settings import Settings
from tests.packaging.served import ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
LINES = [line.split(maxsplit=1) for line in TEXT.splitlines() if line and line[0] != "#"]
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")


def of(instruction: str) -> list[str]:
    return [rest for name, rest in LINES if name == instruction]


def copied() -> set[str]:
    """What is copied from the checkout, not from another stage."""
    words = [line.split() for line in of("COPY") if not line.startswith("--from")]
    return {name for line in words for name in line[:-1]}


def test_it_does_not_run_as_root_and_keeps_the_ledger_in_a_volume() -> None:
    (user,) = of("USER")
    (volume,) = of("VOLUME")
    last = [name for name, _ in LINES]
    assert user not in ("root", "0")
    assert volume == of("WORKDIR")[-1]
    assert last.index("USER") < last.index("ENTRYPOINT")
    assert of("ENTRYPOINT") == ['["arcgis-license-mcp"]']


def test_dependencies_are_installed_by_hash_and_compiled() -> None:
    hashed, ours = (line for line in of("RUN") if "uv pip install" in line)
    assert "--require-hashes" in hashed
    assert "requirements.txt" in hashed
    assert "--no-deps" in ours
    assert any("UV_COMPILE_BYTECODE=1" in line for line in of("ENV"))


def test_what_it_copies_is_there_and_nothing_else_reaches_the_build() -> None:
    assert copied() == {line[1:] for line in IGNORED if line.startswith("!")}
    assert IGNORED[1] == "*"
    assert all((ROOT / name).exists() for name in copied())


def test_it_holds_what_the_build_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {project["readme"], *project["license-files"]} <= copied()


def test_it_sets_no_secret() -> None:
    names = set(re.findall(r"\b([A-Z_]+)=", " ".join(of("ENV"))))
    settings = {name.upper() for name in Settings.model_fields}
    assert names & settings == {"OPEN_BROWSER"}
    assert of("ARG") == []


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint lints it")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        ["hadolint", str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
