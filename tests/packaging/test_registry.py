"""The entry of the MCP registry says what the code says."""

import json
import re
from typing import Any

from pydantic import SecretStr

from server import __version__
from server.settings import Settings
from tests.packaging.served import ROOT

ENTRY: dict[str, Any] = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
(PACKAGE,) = ENTRY["packages"]
VARIABLES = {variable["name"]: variable for variable in PACKAGE["environmentVariables"]}


def test_it_is_this_version_of_this_package_over_stdio() -> None:
    assert ENTRY["$schema"].endswith("/2025-12-11/server.schema.json")
    assert (ENTRY["version"], PACKAGE["version"]) == (__version__, __version__)
    assert (PACKAGE["registryType"], PACKAGE["identifier"]) == ("pypi", "arcgis-license-mcp")
    assert (PACKAGE["runtimeHint"], PACKAGE["transport"]) == ("uvx", {"type": "stdio"})
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", ENTRY["name"])
    assert len(ENTRY["description"]) <= 100


def test_its_variables_are_the_settings() -> None:
    assert VARIABLES.keys() == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        variable = VARIABLES[name.upper()]
        assert variable["description"] == field.description
        assert variable.get("isRequired", False) == field.is_required()


def test_what_may_hold_a_secret_is_marked() -> None:
    secret = {
        name.upper()
        for name, field in Settings.model_fields.items()
        if SecretStr.__name__ in str(field.annotation)
    }
    # The address of a shared ledger may hold a password.
    assert {name for name, v in VARIABLES.items() if v.get("isSecret")} == secret | {"LEDGER_URL"}


def test_the_readme_names_the_same_server() -> None:
    named = re.findall(r"mcp-name: (\S+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert named == [ENTRY["name"]]
