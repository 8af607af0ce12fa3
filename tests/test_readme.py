"""What the README and the examples say is what the code does."""

import re
import tomllib
from pathlib import Path

from tests.postgres import RIGHTS
from tests.reference import README, updated

ROOT = README.parent


def test_the_tables_come_from_the_code() -> None:
    """Run `python -m tests.reference` to write them anew."""
    text = README.read_text(encoding="utf-8")
    assert updated(text) == text


def test_the_team_s_rights_are_those_that_the_tests_have() -> None:
    for right in RIGHTS:
        assert f"GRANT {right} TO license_team;" in README.read_text(encoding="utf-8")


def test_the_versions_are_pinned_with_hashes_and_name_no_index() -> None:
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "://" not in pins
    for requirement in project["dependencies"]:
        name = requirement.split(">=")[0]
        assert f"\n{name}==" in f"\n{pins}"
    pinned = [line for line in pins.splitlines() if "==" in line and not line.startswith(" ")]
    assert pins.count("--hash=sha256:") >= len(pinned)


def test_the_package_tells_the_version_of_the_project() -> None:
    from server import __version__

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__
    assert Path(ROOT / "CHANGELOG.md").read_text(encoding="utf-8").count(f"## {__version__}") == 1


def test_every_picture_and_file_that_the_readme_names_is_there() -> None:
    text = README.read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)#:]+)\)", text)
    assert {"docs/demo.svg", "docs/page-request.png", "CONTRIBUTING.md"} <= set(linked)
    assert [name for name in linked if not (ROOT / name).is_file()] == []
