"""Lays out the Claude Desktop bundle in a folder: `python packaging/bundle.py FOLDER`.

`mcpb pack FOLDER` then makes the `.mcpb` of it. Version, tools and prompts come from the code and
the dependencies from `requirements.txt`, so none of them can drift. Tools of the card alone are
left out, as they are for a client that shows no cards. The host brings Python and the dependencies
itself, from the bundle's project file. A prompt's text is its description alone: the server gives
the whole text, and there quotes what it is given as data.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from server import __version__, prompts
from server.catalogue import tools

ROOT = Path(__file__).parent.parent
START = '''"""Starts the server from the bundle's folder."""

from server.cli import main

if __name__ == "__main__":
    main()
'''
_PINNED = re.compile(r"^([a-z0-9][\w.-]*==[^\\\n]*?) *\\?$", re.MULTILINE | re.IGNORECASE)


def lay_out(folder: Path) -> None:
    """Fill a folder, which must not exist yet, with all that the bundle holds."""
    folder.mkdir(parents=True)
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in ("server", "prompts"):
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    for name in ("README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    _write(folder / "manifest.json", json.dumps(manifest(), indent=2) + "\n")
    _write(folder / "pyproject.toml", project())
    _write(folder / "start.py", START)


def manifest() -> dict[str, Any]:
    """Return the manifest, with what the code knows filled in."""
    file = ROOT / "packaging" / "mcpb" / "manifest.json"
    written: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return written | {
        "version": __version__,
        "tools": [
            {"name": tool.name, "description": tool.description}
            for tool in tools()
            if (tool.meta or {}).get("ui", {}).get("visibility") != ["app"]
        ],
        "prompts": [_prompt(procedure) for procedure in prompts.load()],
    }


def _prompt(procedure: prompts.Procedure) -> dict[str, Any]:
    told = procedure.prompt.description or procedure.prompt.name
    names = [argument.name for argument in procedure.prompt.arguments or []]
    return {
        "name": procedure.prompt.name,
        "description": told,
        "arguments": names,
        "text": told,
    }


def project() -> str:
    """Return the bundle's project file: the dependencies at the versions that were tested."""
    pinned = _PINNED.findall((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    lines = "".join(f"  {json.dumps(line)},\n" for line in pinned)
    return (
        f'[project]\nname = "arcgis-license-mcp"\nversion = "{__version__}"\n'
        f'requires-python = ">=3.11"\ndependencies = [\n{lines}]\n\n[tool.uv]\npackage = false\n'
    )


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
