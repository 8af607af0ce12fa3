"""The commands. Each imports its own machinery when it runs, so that `serve` starts quickly."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING

import click

from server import __version__
from server.errors import LicenseServerError

if TYPE_CHECKING:
    from server.clients import Client
    from server.settings import LedgerSettings

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main() -> None:
    """Run a command; without one, `serve`."""
    for stream in (sys.stdout, sys.stderr):
        # A console or a file that cannot show a member's name must not end the command.
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError):
                stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:]
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in _OF_THE_GROUP):
        arguments = ["serve", *arguments]
    commands(arguments, prog_name="arcgis-license-mcp")


_OF_THE_GROUP = ("--help", "-h", "--version")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def commands() -> None:
    """Release offline ArcGIS licenses from an AI assistant, when a person says yes."""


@contextmanager
def _plainly() -> Iterator[None]:
    """End a command that cannot go on with one line and exit status 1."""
    try:
        yield
    except LicenseServerError as error:
        raise click.ClickException(str(error)) from error


@commands.command()
@click.option("--transport", type=click.Choice(["stdio", "http"]), default="stdio")
@click.option("--host", default="127.0.0.1", help="For http: an address of this machine only.")
@click.option("--port", default=8000, type=click.IntRange(0, 65535), help="For http.")
@click.option("--sandbox", is_flag=True, help="Use an embedded portal instead of a real one.")
def serve(transport: str, host: str, port: int, sandbox: bool) -> None:
    """Serve MCP (the default command): over stdio, or over http on this machine."""
    if transport == "http" and host not in LOOPBACK:
        raise click.UsageError(
            f"--host {host}: http is served on this machine only ({', '.join(LOOPBACK)}), since "
            "whoever reaches the port could ask for releases in your name."
        )
    gc.disable()  # Importing the SDK makes much that lives as long as the process.
    from server import serving

    with _plainly():
        server_of = serving.sandbox if sandbox else serving.real
        with server_of(os.environ) as server:
            gc.freeze()
            gc.enable()
            if transport == "http":
                click.echo(f"Serving MCP at http://{host}:{port}/mcp until Ctrl-C.", err=True)
                server.run("streamable-http", host=host, port=port)
            else:
                server.run("stdio")


@commands.command()
@click.option("--yes", is_flag=True, help="Type the username by itself.")
def demo(yes: bool) -> None:
    """Play a short helpdesk conversation against the embedded portal."""
    from server import demo as play

    with _plainly():
        sys.exit(play.main(yes=yes))


@commands.command()
def check() -> None:
    """Try the settings against the portal, and change nothing."""
    from server import check as checking

    with _plainly():
        sys.exit(checking.main(os.environ))


@commands.command()
@click.option("--client", type=click.Choice(["claude-desktop", "claude-code", "vscode", "cursor"]))
@click.option("--sandbox", is_flag=True, help="For the embedded portal: asks nothing.")
def init(client: "Client | None", sandbox: bool) -> None:
    """Set this server up for a client: ask, try it, keep the password, write the entry."""
    from server import init as setting_up

    with _plainly():
        sys.exit(setting_up.main(os.environ, client, sandbox=sandbox))


@commands.command()
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@click.option("--members", default=0, type=click.IntRange(0, 100_000), help="More members.")
@click.option(
    "--offline", default=0, type=click.IntRange(0, 100_000), help="So many of them offline."
)
@click.option("--version", "release", default="11.5.0", show_default=True, help="Its version.")
def sandbox(port: int, members: int, offline: int, release: str) -> None:
    """Run the embedded portal by itself, until Ctrl-C."""
    from server import serving

    with _plainly():
        serving.portal_alone(port, members, offline, release)


def _ledger_settings(sandbox: bool) -> "LedgerSettings":
    from server import settings

    environment = dict(os.environ)
    if sandbox:
        environment["LEDGER_URL"] = settings.ledger_url("sandbox.db")
    with _plainly():
        return settings.load_ledger(environment)


_sandbox_ledger = click.option("--sandbox", is_flag=True, help="The ledger of `serve --sandbox`.")


@commands.group(invoke_without_command=True)
@_sandbox_ledger
@click.pass_context
def approvals(context: click.Context, sandbox: bool) -> None:
    """Answer requests at a terminal; without a command, list them."""
    context.obj = _ledger_settings(sandbox)
    if context.invoked_subcommand is None:
        context.invoke(list_waiting)


@approvals.command("list")
@click.pass_obj
def list_waiting(settings: "LedgerSettings") -> None:
    """List what is waiting for an answer."""
    from server import approvals, audit

    with _plainly(), audit.existing(settings) as ledger:
        approvals.show_waiting(ledger)


@approvals.command("approve")
@click.argument("release_id")
@click.pass_obj
def approve_request(settings: "LedgerSettings", release_id: str) -> None:
    """Show a request, ask for the member's username, and wait for the outcome."""
    _answer(settings, release_id, approve=True)


@approvals.command("decline")
@click.argument("release_id")
@click.pass_obj
def decline_request(settings: "LedgerSettings", release_id: str) -> None:
    """Show a request and decline it."""
    _answer(settings, release_id, approve=False)


def _answer(settings: "LedgerSettings", release_id: str, *, approve: bool) -> None:
    from server import approvals, audit
    from server.settings import caller

    with _plainly(), audit.existing(settings) as ledger:
        who = caller().requester
        sys.exit(approvals.answer(ledger, release_id, approve=approve, approver=who))


@commands.group()
@_sandbox_ledger
@click.pass_context
def ledger(context: click.Context, sandbox: bool) -> None:
    """Read what was asked, answered and released."""
    context.obj = _ledger_settings(sandbox)


@ledger.command("init")
@click.pass_obj
def init_ledger(settings: "LedgerSettings") -> None:
    """Make the tables as their owner, before a team's other accounts use them."""
    from server import audit

    with _plainly():
        audit.init(settings)


@ledger.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.pass_obj
def list_requests(settings: "LedgerSettings", limit: int) -> None:
    """List the newest requests first."""
    from server import audit

    with _plainly(), audit.existing(settings) as ledger:
        audit.show_list(ledger, limit)


@ledger.command("show")
@click.argument("release_id")
@click.pass_obj
def show_request(settings: "LedgerSettings", release_id: str) -> None:
    """Show one request and everything that happened to it."""
    from server import audit

    with _plainly(), audit.existing(settings) as ledger:
        sys.exit(audit.show_one(ledger, release_id))


@ledger.command()
@click.option("--head", help="The head that was noted earlier: it must still be in the chain.")
@click.pass_obj
def verify(settings: "LedgerSettings", head: str | None) -> None:
    """Follow the chain of entries, and name the first that was changed, removed or reordered."""
    from server import audit

    with _plainly(), audit.existing(settings) as ledger:
        sys.exit(audit.verify(ledger, head))


@ledger.command()
@click.pass_obj
def export(settings: "LedgerSettings") -> None:
    """Print all entries as JSON Lines, for keeping them where this ledger's writers cannot."""
    from server import audit

    with _plainly(), audit.existing(settings) as ledger:
        audit.export(ledger)
