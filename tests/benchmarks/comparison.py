"""This server beside a bare `mcp` server and Esri's own client, as a table in the README.

`python -m tests.benchmarks.comparison` writes it. Esri's client is measured where it is installed
(`uv run --with arcgis --with six python -m …`): importing it stands for its start, and its way to a
release is counted by the embedded portal.
"""

import re
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import anyio
import trustme
from anyio.from_thread import start_blocking_portal

from server.releases.models import ROUTES
from server.sandbox.portal import ADMINISTRATOR, PASSWORD, SandboxPortal
from server.sandbox.runner import running
from tests.benchmarks import measures
from tests.reference import README

ROUNDS = 7
_IMPORT = (
    "from arcgis.gis import GIS; "
    "print(next(l for l in open('/proc/self/status') if l.startswith('VmRSS')).split()[1])"
)
_RELEASE = (
    "import sys; from arcgis.gis import GIS; "
    "GIS(*sys.argv[1:4], ca_bundles=sys.argv[4]).admin.system.licenses.release_license('jsmith')"
)
NONE = "none"
MISSING = ("not measured", "not measured", "not measured")
Row = tuple[str, str, str, str]


def rows(folder: Path) -> list[Row]:
    """Measure everything once."""
    starts = measures.starts(folder, 15, 15, "auto")
    cold, warm = anyio.run(measures.requests_for_a_release, folder, "auto")
    tools = starts.ours[0].tools
    tokens = f"{measures.tokens(tools, with_output=False):,.0f}"
    bare = measures.tokens(starts.bare[0].tools, with_output=False)
    esri = _esri(folder, starts) if find_spec("arcgis") else MISSING
    return [
        ("start, times the bare server's", f"{starts.time_ratio:.2f}", "1", esri[0]),
        ("resident memory, times the bare server's", f"{starts.memory_ratio:.2f}", "1", esri[1]),
        ("tokens of the tool list", tokens, f"{bare:,.0f} (one tool)", "no tools"),
        ("portal requests for a release", f"{cold}, or {warm} right after a look", NONE, esri[2]),
        ("routes to a person", ", ".join(ROUTES), NONE, NONE),
    ]


def _esri(folder: Path, starts: measures.Starts) -> tuple[str, str, str]:
    command = [sys.executable, "-W", "ignore", "-c"]
    times, sizes = [], []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        printed = subprocess.check_output([*command, _IMPORT], stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
        sizes.append(int(printed))
    bare_time = min(start.seconds for start in starts.bare)
    bare_size = median(start.resident for start in starts.bare)
    asked = f"{_esri_requests(folder, command)}, naming no member"
    return f"{min(times) / bare_time:.1f}", f"{median(sizes) / bare_size:.1f}", asked


def _esri_requests(folder: Path, command: list[str]) -> int:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "root.pem"))
    certificate = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
    certificate.write_to_path(str(folder / "server.pem"))
    portal = SandboxPortal()
    serving = running(portal, ssl_certfile=str(folder / "server.pem"))
    with start_blocking_portal() as loop, loop.wrap_async_context_manager(serving) as url:
        account = [url, ADMINISTRATOR, PASSWORD, str(folder / "root.pem")]
        subprocess.check_call([*command, _RELEASE, *account], stderr=subprocess.DEVNULL)
    (release,) = portal.releases
    assert "username" not in release.form
    return portal.requests.index(release) + 1


def table(measured: list[Row]) -> str:
    """Return the README's table."""
    head = ("", "This server", "A bare `mcp` server", "Esri's client `arcgis`")
    lines = [head, ("---",) * 4, *measured]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Measure, and write the README's table."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        fresh = table(rows(Path(name)))
    text = README.read_text(encoding="utf-8")
    block = re.compile(r"(<!-- comparison -->\n).*?(<!-- end -->)", re.DOTALL)
    README.write_text(block.sub(rf"\g<1>{fresh}\g<2>", text), encoding="utf-8")
    print(fresh)  # noqa: T201


if __name__ == "__main__":
    main()
