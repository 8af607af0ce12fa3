"""Starts the server for real settings, or beside an embedded portal."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from server import app, logs, settings
from server.boundary import LicenseServer
from server.errors import SettingsError
from server.releases import policy


@contextmanager
def real(environment: Mapping[str, str]) -> Iterator[LicenseServer]:
    """Make the server for the settings in the environment.

    Raises:
        SettingsError: a setting or the policy file cannot be used.
    """
    chosen = settings.load(environment)
    logs.start(chosen.log_level)
    yield app.build(chosen, policy.load(chosen.policy_file, shared=chosen.ledger_is_shared))


@contextmanager
def sandbox(environment: Mapping[str, str]) -> Iterator[LicenseServer]:
    """Make the server beside an embedded portal that runs in a thread of its own."""
    from anyio.from_thread import start_blocking_portal

    from server.sandbox.portal import SandboxPortal
    from server.sandbox.runner import running

    with (
        start_blocking_portal() as thread,
        thread.wrap_async_context_manager(running(SandboxPortal())) as url,
        real(sandbox_environment(environment, url)) as server,
    ):
        yield server


def sandbox_environment(environment: Mapping[str, str], url: str) -> dict[str, str]:
    """Point the settings at a sandbox: its address, its account, and a ledger of its own."""
    from server.sandbox.portal import ADMINISTRATOR, PASSWORD

    kept = {key: value for key, value in environment.items() if not key.startswith("PORTAL_")}
    kept.setdefault("LEDGER_URL", settings.ledger_url("sandbox.db"))
    return kept | {
        "PORTAL_URL": url,
        "PORTAL_USERNAME": ADMINISTRATOR,
        "PORTAL_PASSWORD": PASSWORD,
    }


def portal_alone(port: int, members: int, offline: int, release: str) -> None:
    """Run the embedded portal until it is interrupted, and print how to reach it.

    Raises:
        SettingsError: the port is taken.
    """
    from server.sandbox import members as people
    from server.sandbox.portal import ADMINISTRATOR, PASSWORD, SandboxPortal
    from server.sandbox.runner import serve_forever

    crowd = people.crowd(members, offline=min(offline, members))
    portal = SandboxPortal(members=[*people.MEMBERS(), *crowd], version=release)
    click.echo(f"PORTAL_URL=http://127.0.0.1:{port}/{portal.context}")
    click.echo(f"PORTAL_USERNAME={ADMINISTRATOR}")
    click.echo(f"PORTAL_PASSWORD={PASSWORD}")
    try:
        serve_forever(portal, port)
    except OSError as error:
        raise SettingsError(f"--port {port} cannot be used: {error.strerror}") from error
