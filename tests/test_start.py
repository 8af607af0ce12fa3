"""Starting imports no more than listing the tools needs."""

import json
import subprocess
import sys

from tests.test_settings import GOOD

LATER = {"sqlalchemy", "httpx", "jinja2", "stamina", "truststore", "server.sandbox"}


def test_what_only_a_release_needs_is_not_imported_at_the_start() -> None:
    script = (
        "import json, sys; from server import serving\n"
        f"with serving.real({GOOD!r}): print(json.dumps(list(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    imported = set(json.loads(shown.stdout))
    assert "server.app" in imported
    assert imported & LATER == set()
