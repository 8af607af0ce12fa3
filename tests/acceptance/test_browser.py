"""The server opens the person's browser, as the operating system's `BROWSER` names it."""

import sys
from pathlib import Path

import httpx
import pytest

from tests.office import open_office, until


@pytest.mark.anyio
@pytest.mark.promise("never-the-model")
async def test_the_browser_gets_the_link_and_the_protocol_does_not(tmp_path: Path) -> None:
    script, opened = tmp_path / "browser.py", tmp_path / "opened.txt"
    script.write_text(
        "import pathlib, sys\n"
        "print('a chatty browser')\n"
        f"pathlib.Path({str(opened)!r}).write_text(sys.argv[1])\n",
        encoding="utf-8",
    )
    async with open_office(
        tmp_path,
        stdio=True,
        CONSENT_ROUTES="page",
        OPEN_BROWSER="true",
        BROWSER=f"{sys.executable} {script} %s",
    ) as office:
        told = await office.release()
        await until(lambda: opened.is_file() and opened.read_text())
        link = opened.read_text()
        async with httpx.AsyncClient(follow_redirects=True) as browser:
            shown = await browser.get(link)
        again = await office.call("list_releases")
    assert told["status"] == "awaiting_approval"
    assert link.rsplit("/", 1)[1] not in told["message"] + again.model_dump_json()
    assert "Jane Smith" in shown.text
    assert str(shown.url) == told["approval_url"]
