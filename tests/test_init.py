"""`init`, as somebody meets it who has never seen this program."""

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import anyio.to_thread
import keyring
import pytest
from click.testing import CliRunner, Result
from keyring.errors import NoKeyringError
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult, ErrorData

from server import cli, clients, settings
from server.errors import SettingsError
from server.sandbox.portal import ADMINISTRATOR, PASSWORD, SandboxPortal
from server.sandbox.runner import running
from tests.office import RELEASE, structured

pytestmark = pytest.mark.anyio
Ring = dict[tuple[str, str], str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder in which nothing has ever been done."""
    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in [n for n in os.environ if n.startswith(("XDG_", "PORTAL_", "LEDGER_"))]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture(params=[True, False], ids=["keyring", "no keyring"])
def ring(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ring:
    """The system's keyring, and a system that has none."""
    kept: Ring = {}

    def put(service: str, account: str, secret: str) -> None:
        if not request.param:
            raise NoKeyringError
        kept[service, account] = secret

    monkeypatch.setattr(keyring, "set_password", put)
    monkeypatch.setattr(keyring, "get_password", lambda *key: kept.get(key))
    return kept


def init(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(cli.commands, ["init", *arguments], input=typed)


def written() -> Any:
    return json.loads(clients.desktop_file().read_text(encoding="utf-8"))["mcpServers"]


async def test_the_sandbox_is_set_up_without_a_question_and_releases_a_license(home: Path) -> None:
    result = init("--sandbox")
    assert result.exit_code == 0
    assert "Restart Claude Desktop" in result.output
    made = written()[clients.SANDBOX]

    async def asked(
        context: ClientRequestContext, params: ElicitRequestParams
    ) -> ElicitResult | ErrorData:
        return ElicitResult(action="accept", content={"username": "jsmith"})

    started = StdioServerParameters(
        command=made["command"], args=made["args"], env={**os.environ, **made["env"]}, cwd=home
    )
    async with Client(started, elicitation_callback=asked) as client:
        told = structured(await client.call_tool("release_license", RELEASE))
    assert told["message"].endswith("The license was released.")


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


async def set_up(*arguments: str, secret: str = PASSWORD, then: str = "y\n") -> tuple[Result, str]:
    portal = SandboxPortal()
    async with running(portal) as url:
        typed = f"{url}\n{ADMINISTRATOR}\n{secret}\n{then}"
        result = await anyio.to_thread.run_sync(lambda: init(*arguments, typed=typed))
    assert portal.releases == []
    return result, url


@pytest.mark.promise("no-secrets")
async def test_a_real_portal_is_tried_and_the_entry_holds_no_password(
    home: Path, ring: Ring
) -> None:
    result, url = await set_up("--client", "claude-desktop")
    assert result.exit_code == 0, result.output
    assert "Everything holds" in result.output
    made = written()[clients.NAME]
    assert PASSWORD not in result.output
    assert PASSWORD not in json.dumps(made)
    assert made["env"]["PORTAL_URL"] == url
    chosen = settings.load(made["env"])
    assert chosen.portal_password is not None
    assert chosen.portal_password.get_secret_value() == PASSWORD
    place = made["env"]["PORTAL_PASSWORD_FROM"]
    if ring:
        assert (place, list(ring.values())) == ("keyring", [PASSWORD])
    elif os.name == "posix":
        assert mode(Path(place)) == 0o600


@pytest.mark.promise("no-secrets")
@pytest.mark.parametrize(
    ("ledger_url", "kept"),
    [
        ("postgresql+psycopg://ana@db.example.com/licenses", True),
        ("postgresql+psycopg://ana:a-secret@db.example.com/licenses", False),
    ],
)
async def test_a_ledger_that_is_set_already_is_kept_unless_it_holds_a_password(
    home: Path, monkeypatch: pytest.MonkeyPatch, ledger_url: str, kept: bool
) -> None:
    monkeypatch.setenv("LEDGER_URL", ledger_url)
    result, _ = await set_up("--client", "cursor", then="")
    assert result.exit_code == 0, result.output
    assert (ledger_url in result.output) is kept
    assert ("LEDGER_URL holds a password" in result.output) is not kept
    assert "a-secret" not in result.output


async def test_what_does_not_hold_is_said_and_nothing_is_kept(home: Path, ring: Ring) -> None:
    result, _ = await set_up("--client", "claude-desktop", secret="wrong")
    assert result.exit_code == 1
    assert "Sign-in" in result.output
    assert "Nothing was kept" in result.output
    assert not clients.desktop_file().exists()
    assert ring == {}
    assert not (settings.data_folder() / "portal-password").exists()


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("claude-code", "claude mcp add arcgis-license --env=PORTAL_URL=http"),
        ("vscode", '"servers": {'),
        ("cursor", '"mcpServers": {'),
    ],
)
async def test_other_clients_entries_are_printed(home: Path, client: str, expected: str) -> None:
    result, _ = await set_up("--client", client, then="")
    assert result.exit_code == 0, result.output
    assert expected in result.output
    assert PASSWORD not in result.output


async def test_the_client_is_asked_for_and_its_file_is_written_only_when_agreed(
    home: Path,
) -> None:
    result, _ = await set_up(then="claude-desktop\nn\n")
    assert result.exit_code == 0
    assert '"mcpServers": {' in result.output
    assert not clients.desktop_file().exists()


def test_what_else_is_configured_is_kept_and_copied(home: Path) -> None:
    file = clients.desktop_file()
    file.parent.mkdir(parents=True)
    before = '{"theme": "dark", "mcpServers": {"other": {"command": "x"}}}'
    file.write_text(before, encoding="utf-8")
    assert init("--sandbox").exit_code == 0
    assert set(written()) == {"other", clients.SANDBOX}
    assert json.loads(file.read_text(encoding="utf-8"))["theme"] == "dark"
    assert file.with_suffix(".json.bak").read_text(encoding="utf-8") == before


@pytest.mark.parametrize("content", ["{not json", "[]", '{"mcpServers": []}'])
def test_a_file_that_cannot_be_understood_is_left_alone(home: Path, content: str) -> None:
    file = clients.desktop_file()
    file.parent.mkdir(parents=True)
    file.write_text(content, encoding="utf-8")
    result = init("--sandbox")
    assert result.exit_code == 1
    assert "put the entry in by hand" in result.output
    assert '"--sandbox"' in result.output
    assert file.read_text(encoding="utf-8") == content


def test_a_program_in_a_cache_that_may_be_emptied_is_started_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "prefix", "/home/ana/.cache/uv/archive-v0/x1")
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/uvx")
    assert clients.command() == ["/usr/bin/uvx", "arcgis-license-mcp"]


REAL = {"PORTAL_URL": "https://gis.example.com/portal", "PORTAL_USERNAME": "helpdesk"}


@pytest.mark.promise("no-secrets")
@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_a_password_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("a-secret\n", encoding="utf-8")
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600") as caught:
        settings.load({**REAL, "PORTAL_PASSWORD_FROM": str(file)})
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "more", "expected"),
    [
        ("/no/such/file", {}, "cannot be read"),
        ("keyring", {}, "run `arcgis-license-mcp init`"),
        ("keyring", {"PORTAL_PASSWORD": "x"}, "not both"),
        ("keyring", {"PORTAL_TOKEN": "x"}, "not both"),
    ],
)
def test_a_place_without_a_password_is_named(
    ring: object, place: str, more: dict[str, str], expected: str
) -> None:
    with pytest.raises(SettingsError, match=expected):
        settings.load({**REAL, **more, "PORTAL_PASSWORD_FROM": place})


def test_a_keyring_that_is_locked_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: str) -> None:
        raise keyring.errors.KeyringLocked

    monkeypatch.setattr(keyring, "get_password", locked)
    with pytest.raises(SettingsError, match="the keyring cannot be read: KeyringLocked"):
        settings.load({**REAL, "PORTAL_PASSWORD_FROM": "keyring"})
