"""Sets up this server for a client: a few questions, each answer tried, and no password left open.

The settings are tried against the portal as `check` does. The password goes into the system's
keyring, or a private file where there is none; the client's entry names that place.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import click
from pydantic import SecretStr

from server import check, clients, password, settings
from server.clients import Client
from server.errors import SettingsError

CLIENTS: tuple[Client, ...] = get_args(Client)
QUESTIONS = {
    clients.NAME: '"Who has ArcGIS Pro checked out offline?"',
    clients.SANDBOX: '"Jane Smith\'s laptop was stolen. Can you free her ArcGIS Pro license?"',
}


def main(environment: Mapping[str, str], client: Client | None, *, sandbox: bool) -> int:
    """Ask, check, keep the password, and write or print the entry; return the exit status."""
    if sandbox:
        made = clients.entry(["serve", "--sandbox"], {})
        return _hand_over(made, client or "claude-desktop", sandbox=True)
    others = {key: value for key, value in environment.items() if key not in _REPLACED}
    answers = _asked(others)
    click.echo()
    if check.main(others | answers) != 0:
        click.echo("Nothing was kept. Correct it, and run init again.", err=True)
        return 1
    env = _without_password(answers) | _set_already(environment)
    return _hand_over(clients.entry([], env), client or _client())


_REPLACED = ("PORTAL_TOKEN", "PORTAL_PASSWORD_FROM")
_KEPT = ("PORTAL_CA_BUNDLE", "PORTAL_CLIENT_CERT", "PORTAL_CLIENT_KEY", "POLICY_FILE", "LEDGER_URL")


def _set_already(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what is set for this run and belongs to the server as well."""
    kept = {name: environment[name] for name in _KEPT if environment.get(name)}
    if urlsplit(kept.get("LEDGER_URL", "")).password is not None:
        del kept["LEDGER_URL"]
        click.echo(
            "LEDGER_URL holds a password and is left out: keep that in libpq's password file, and "
            "add LEDGER_URL to the entry without it."
        )
    return kept


def _client() -> Client:
    asked: Client = click.prompt("Which client", type=click.Choice(CLIENTS), default=CLIENTS[0])
    return asked


def _asked(environment: Mapping[str, str]) -> dict[str, str]:
    url = environment.get("PORTAL_URL") or click.prompt(
        "The portal's address, as in https://gis.example.com/portal"
    )
    username = environment.get("PORTAL_USERNAME") or click.prompt(
        'A built-in account with the privilege "Manage licenses"'
    )
    secret = environment.get("PORTAL_PASSWORD") or click.prompt(
        "Its password (not shown; tried once)", hide_input=True
    )
    return {"PORTAL_URL": url, "PORTAL_USERNAME": username, "PORTAL_PASSWORD": secret}


def _without_password(answers: Mapping[str, str]) -> dict[str, str]:
    chosen = settings.load(answers)
    username, portal_url = answers["PORTAL_USERNAME"], chosen.portal_url
    place = password.keep(
        SecretStr(answers["PORTAL_PASSWORD"]),
        account=password.account_of(username, portal_url),
        file=settings.data_folder() / "portal-password",
    )
    where = "the system's keyring" if place == password.KEYRING else f"{place}, for you alone"
    click.echo(f"The password is kept in {where}.")
    return {
        "PORTAL_URL": portal_url,
        "PORTAL_USERNAME": username,
        "PORTAL_PASSWORD_FROM": place,
    }


def _hand_over(made: clients.Entry, client: Client, *, sandbox: bool = False) -> int:
    name = clients.SANDBOX if sandbox else clients.NAME
    if client == "claude-desktop":
        file = clients.desktop_file()
        if sandbox or click.confirm(f"Write the entry into {file}?", default=True):
            return _written(name, made, file)
    click.echo(f"{clients.place(client)}:\n")
    click.echo(clients.text(client, name, made))
    return 0


def _written(name: str, made: clients.Entry, file: Path) -> int:
    try:
        clients.write(name, made, file)
    except SettingsError as error:
        click.echo(f"{error}:\n", err=True)
        click.echo(clients.text("claude-desktop", name, made))
        return 1
    click.echo(f"Written to {file}. Restart Claude Desktop, and ask:\n  {QUESTIONS[name]}")
    return 0
