"""Windows and macOS, as far as they can be tried elsewhere: paths, names, consoles, commands."""

import os
import sys
from pathlib import Path, PureWindowsPath

import anyio
import pytest
from platformdirs.macos import MacOS
from platformdirs.windows import Windows
from sqlalchemy import make_url

from server import clients, settings
from server.releases.ledger import Ledger
from tests.conftest import ASK, Desk

ENTRY = {
    "command": r"C:\\Program Files\\x\\arcgis-license-mcp.exe",
    "args": [],
    "env": {"A": "b c"},
}


def test_a_ledger_in_a_windows_folder_has_a_url_that_leads_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = PureWindowsPath(r"C:\Users\Jürgen Groß\AppData\Local\arcgis-license-mcp")
    monkeypatch.setattr(settings, "data_folder", lambda: folder)
    url = settings.ledger_url("ledger.db")
    assert PureWindowsPath(str(make_url(url).database)) == folder / "ledger.db"
    chosen = settings.load_ledger({"LEDGER_URL": url})
    assert PureWindowsPath(str(chosen.ledger_file)) == folder / "ledger.db"


def test_claude_desktop_s_file_is_where_each_system_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPDATA", r"C:\Users\ana\AppData\Roaming")
    monkeypatch.setattr("platformdirs.windows.get_win_folder", lambda name: os.environ["APPDATA"])
    windows = Windows("Claude", appauthor=False, roaming=True).user_config_dir
    mac = MacOS("Claude", appauthor=False, roaming=True).user_config_dir
    assert windows.replace(os.sep, "\\") == r"C:\Users\ana\AppData\Roaming\Claude"
    assert mac.endswith("/Library/Application Support/Claude")


@pytest.mark.parametrize(
    ("platform", "quoted"),
    [("win32", '"--env=A=b c"'), ("darwin", "'--env=A=b c'"), ("linux", "'--env=A=b c'")],
)
def test_a_command_is_quoted_for_the_shell_that_runs_it(
    monkeypatch: pytest.MonkeyPatch, platform: str, quoted: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert quoted in clients.text("claude-code", clients.NAME, ENTRY)


@pytest.mark.parametrize(
    ("platform", "name"), [("win32", "arcgis-license-mcp.exe"), ("darwin", "arcgis-license-mcp")]
)
def test_the_installed_program_is_found_by_its_name_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, name: str
) -> None:
    script = tmp_path / name
    script.touch()
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert clients.command() == [str(script)]


def test_an_account_that_windows_does_not_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pwd() -> str:
        raise ModuleNotFoundError("No module named 'pwd'")

    monkeypatch.setattr("getpass.getuser", no_pwd)
    assert settings.caller().requester.startswith("unknown@")


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["cp1252", "cp437"])
async def test_a_console_that_cannot_show_a_name_shows_its_code(
    desk: Desk, ledger: Ledger, ledger_url: str, encoding: str
) -> None:
    await desk.releases.request(ASK)
    ledger.decide(
        ledger.recent(1)[0].release_id,
        "declined",
        route="page",
        approver="ана@стол",
        now=desk.clock(),
    )
    shown = await anyio.run_process(
        [sys.executable, "-m", "server", "ledger", "show", ledger.recent(1)[0].release_id],
        env={**os.environ, "PYTHONIOENCODING": encoding, "LEDGER_URL": ledger_url},
    )
    assert rb"\u0430\u043d\u0430@" in shown.stdout


def test_a_policy_with_a_byte_order_mark_and_windows_line_ends_is_read(tmp_path: Path) -> None:
    from server.releases.policy import load

    file = tmp_path / "policy.toml"
    file.write_bytes("\ufeffread_only = true\r\n".encode())
    assert load(file).read_only
