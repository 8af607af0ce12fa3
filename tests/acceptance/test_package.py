"""What is installed is what is in the checkout: the wheel carries its prompts."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv builds the wheel")
def test_the_wheel_serves_the_prompts_and_knows_its_types(tmp_path: Path) -> None:
    uv = shutil.which("uv") or "uv"
    built = subprocess.run(
        [uv, "build", "--wheel", "--out-dir", str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    assert (installed / "server" / "py.typed").is_file()
    assert not (installed / "tests").exists()
    listing = "from server import prompts; print(*[p.prompt.name for p in prompts.load()])"
    shown = subprocess.run(
        [sys.executable, "-P", "-c", listing],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(installed)},
        cwd=tmp_path,
        check=True,
    )
    expected = sorted(file.stem for file in (ROOT / "prompts").glob("*.md"))
    assert sorted(shown.stdout.split()) == expected
