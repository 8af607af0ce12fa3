"""The commands, as somebody at a terminal meets them."""

import json
import os
import sqlite3
from hashlib import sha256
from pathlib import Path

import anyio.to_thread
import pytest
from click.testing import CliRunner, Result

from server import __version__, cli
from server.releases.ledger import Ledger
from server.sandbox.members import VIEWER
from server.sandbox.portal import SandboxPortal
from server.sandbox.runner import running
from tests.conftest import ASK, Desk
from tests.office import environment
from tests.postgres import Postgres

GOOD = {
    "PORTAL_URL": "https://gis.example.com/portal",
    "PORTAL_USERNAME": "helpdesk",
    "PORTAL_PASSWORD": "secret-password",
}


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    cleared: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith("PORTAL_")
    }
    return CliRunner().invoke(cli.commands, arguments, env={**cleared, **(env or {})})


def test_the_version_is_shown() -> None:
    assert __version__ in run("--version").output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["serve"]),
        (["--sandbox"], ["serve", "--sandbox"]),
        (["demo", "--yes"], ["demo", "--yes"]),
        (["--help"], ["--help"]),
    ],
)
def test_serve_is_what_runs_without_a_command(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: list[str]
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr("sys.argv", ["arcgis-license-mcp", *arguments])
    monkeypatch.setattr(cli, "commands", lambda given, **_: called.append(given))
    cli.main()
    assert called == [expected]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "gis.example.com", "::"])
def test_http_is_refused_on_any_other_address_with_a_reason(host: str) -> None:
    result = run("serve", "--transport", "http", "--host", host, env=GOOD)
    assert result.exit_code == 2
    assert "this machine only" in result.output


def test_a_missing_setting_stops_the_start_with_one_line() -> None:
    result = run("serve", env={})
    assert result.exit_code == 1
    assert result.output.splitlines() == [result.output.strip()]
    assert "PORTAL_URL: not set" in result.output


def test_a_wrong_policy_stops_the_start_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("readonly = true", encoding="utf-8")
    result = run("serve", env=GOOD | {"POLICY_FILE": str(file)})
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert "'readonly'" in result.output


def test_demo_without_a_terminal_asks_for_one() -> None:
    result = run("demo")
    assert result.exit_code == 2
    assert "--yes" in result.output


def test_demo_plays_to_its_end() -> None:
    result = run("demo", "--yes")
    assert result.exit_code == 0, result.output
    for part in (
        "The license was released.",
        "POST /portal/portaladmin/license/releaseLicense",
        "#4",
    ):
        assert part in " ".join(result.output.split())


async def check(tmp_path: Path, portal: SandboxPortal | None = None, /, **more: str) -> Result:
    async with running(portal or SandboxPortal()) as url:
        env = environment(url, tmp_path, **more)
        return await anyio.to_thread.run_sync(lambda: run("check", env=env))


@pytest.mark.anyio
async def test_check_prints_what_holds_and_changes_nothing(tmp_path: Path) -> None:
    portal = SandboxPortal()
    result = await check(tmp_path, portal)
    assert result.exit_code == 0, result.output
    assert result.output.count("ok ") == 7
    assert "Nothing was changed" in result.output
    assert portal.releases == []
    assert not (tmp_path / "ledger.db").exists()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("more", "step"),
    [
        ({"PORTAL_PASSWORD": "wrong"}, "Sign-in"),
        ({"PORTAL_USERNAME": VIEWER}, "Privilege"),
        ({"PORTAL_URL": "http://127.0.0.1:9/portal"}, "Connection"),
        ({"PORTAL_URL": ""}, "Settings"),
        ({"POLICY_FILE": __file__}, "Policy"),
    ],
)
async def test_check_stops_at_the_step_that_does_not_hold(
    tmp_path: Path, more: dict[str, str], step: str
) -> None:
    result = await check(tmp_path, **more)
    last = result.output.splitlines()[-1]
    assert result.exit_code == 1
    assert last.startswith("failed")
    assert step in last


@pytest.mark.anyio
async def test_check_recognises_arcgis_online(tmp_path: Path) -> None:
    result = await check(tmp_path, SandboxPortal(is_portal=False))
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith("failed")


async def one_release(desk: Desk) -> str:
    request = await desk.releases.request(ASK)
    await desk.releases.decide(request.release_id, "approved", route="form", approver="ana@desk")
    return (await desk.releases.carry_out(request.release_id)).release_id


@pytest.mark.anyio
async def test_the_ledger_is_listed_shown_and_verified(desk: Desk, ledger_url: str) -> None:
    release_id = await one_release(desk)
    env = {"LEDGER_URL": ledger_url}
    listed, shown = (
        run("ledger", "list", env=env),
        run("ledger", "show", release_id.lower(), env=env),
    )
    assert f"{release_id}  " in listed.output
    assert "released" in listed.output
    for part in ("Maria Lopez", "ana@desk by form", "laptop stolen", "#4"):
        assert part in shown.output
    verified = run("ledger", "verify", env=env)
    head = desk.ledger.verify().head
    assert verified.exit_code == 0
    assert head in verified.output
    assert run("ledger", "verify", "--head", head, env=env).exit_code == 0
    assert run("ledger", "verify", "--head", "f" * 64, env=env).exit_code == 1


@pytest.mark.anyio
@pytest.mark.promise("tamper-evident")
async def test_a_ledger_that_was_changed_is_found_out(
    desk: Desk, ledger_url: str, tmp_path: Path
) -> None:
    await one_release(desk)
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("UPDATE requests SET approver = 'eve'")
    connection.commit()
    connection.close()
    result = run("ledger", "verify", env={"LEDGER_URL": ledger_url})
    assert result.exit_code == 1
    assert "approver" in result.output


@pytest.mark.anyio
@pytest.mark.promise("tamper-evident")
async def test_an_export_is_enough_to_follow_the_chain_elsewhere(
    desk: Desk, ledger_url: str
) -> None:
    release_id = await one_release(desk)
    exported = run("ledger", "export", env={"LEDGER_URL": ledger_url}).output
    previous = "0" * 64
    for number, line in enumerate(exported.splitlines(), 1):
        entry = json.loads(line)
        changes = json.dumps(entry["changes"], sort_keys=True, separators=(",", ":"))
        hashed = [number, release_id, entry["at"], entry["event"], changes, previous]
        previous = sha256(json.dumps(hashed, separators=(",", ":")).encode()).hexdigest()
        assert (entry["seq"], entry["hash"]) == (number, previous)
    assert previous == desk.ledger.verify().head


def test_a_ledger_is_made_by_its_owner(tmp_path: Path) -> None:
    env = {"LEDGER_URL": f"sqlite:///{(tmp_path / 'new.db').as_posix()}"}
    assert "is ready" in run("ledger", "init", env=env).output
    assert run("ledger", "init", env=env).exit_code == 0
    assert "Nothing has been asked" in run("ledger", "list", env=env).output


@pytest.mark.promise("no-secrets")
def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    url = "postgresql+psycopg://ana:a-secret@127.0.0.1:1/ledger?connect_timeout=1"
    result = run("ledger", "list", env={"LEDGER_URL": url})
    assert result.exit_code == 1
    assert "The ledger cannot be used" in result.output
    assert "LEDGER_URL" in result.output
    assert "a-secret" not in result.output


@pytest.mark.promise("no-secrets")
def test_a_database_without_a_ledger_is_named_without_its_password(postgres: Postgres) -> None:
    result = run("ledger", "list", env={"LEDGER_URL": postgres.new_ledger()})
    assert result.exit_code == 1
    assert "There is no ledger at" in result.output
    assert "@" not in result.output


def test_a_ledger_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    env = {"LEDGER_URL": f"sqlite:///{(tmp_path / 'none.db').as_posix()}"}
    for command in (["list"], ["show", "R-2222-2222"], ["verify"], ["export"]):
        result = run("ledger", *command, env=env)
        assert result.exit_code == 1
        assert "There is no ledger" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_is_not_there_is_said_so(ledger: Ledger, ledger_url: str) -> None:
    ledger.verify()
    result = run("ledger", "show", "R-2222-2222", env={"LEDGER_URL": ledger_url})
    assert result.exit_code == 1
    assert "R-2222-2222" in result.output
    assert "Nothing has been asked" in run("ledger", "list", env={"LEDGER_URL": ledger_url}).output


def test_the_sandbox_says_when_its_port_is_taken() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run("sandbox", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 1
    assert "cannot be used" in result.output
