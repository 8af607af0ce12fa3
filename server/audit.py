"""The ledger as an auditor reads it, at a terminal."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict

import click

from server.errors import SettingsError
from server.releases.chain import Entry, canonical
from server.releases.ledger import Ledger
from server.releases.models import Request
from server.releases.wording import REASONS
from server.results import iso
from server.settings import LedgerSettings
from server.text import plain


@contextmanager
def existing(settings: LedgerSettings) -> Iterator[Ledger]:
    """Open the ledger, and create none where there is none.

    Raises:
        SettingsError: there is no ledger at this address.
    """
    file = settings.ledger_file
    with closing(Ledger(settings.ledger_url)) as ledger:
        if (file is not None and not file.is_file()) or not ledger.exists():
            raise SettingsError(
                f"There is no ledger at {settings.ledger_name} yet; the first request makes it. "
                "LEDGER_URL names another."
            )
        yield ledger


def init(settings: LedgerSettings) -> None:
    """Make the tables of a new ledger, or bring old ones up to date."""
    with closing(Ledger(settings.ledger_url)) as ledger:
        ledger.prepare()
    click.echo(f"The ledger at {settings.ledger_name} is ready.")


def show_list(ledger: Ledger, limit: int) -> None:
    """Print the newest requests, a line each."""
    requests = ledger.recent(limit)
    if not requests:
        click.echo("Nothing has been asked for yet.")
    for request in requests:
        click.echo(_line(request))


def show_one(ledger: Ledger, release_id: str) -> int:
    """Print a request and its entries; return the exit status."""
    try:
        request = ledger.get(release_id.upper())
    except KeyError:
        click.echo(f"There is no request {plain(release_id, 40)} in this ledger.", err=True)
        return 1
    click.echo(_line(request))
    for name, value in _facts(request):
        click.echo(f"  {name:<12} {value}")
    show_entries(ledger.entries(request.release_id))
    return 0


def show_entries(entries: Sequence[Entry]) -> None:
    """Print what happened to a request, an entry a line."""
    for entry in entries:
        click.echo(f"  #{entry.seq:<5} {iso(entry.at)}  {entry.event:<13} {_changes(entry)}")


def verify(ledger: Ledger, head: str | None) -> int:
    """Print what the chain proves; return the exit status."""
    found = ledger.verify(head)
    if found.fault is not None:
        click.echo(f"The ledger was tampered with: {found.fault}.", err=True)
        return 1
    click.echo(f"{found.entries} entries agree with their chain and with the requests.")
    click.echo(f"Head: {found.head}")
    return 0


def export(ledger: Ledger) -> None:
    """Print every entry as a line of JSON, in the chain's order."""
    for entry in ledger.export():
        click.echo(canonical(asdict(entry) | {"changes": entry.changed}))


def _line(request: Request) -> str:
    status = click.style(f"{request.status:<17}", fg=_COLOURS[request.status])
    return (
        f"{request.release_id}  {iso(request.created_at)}  {status} {request.reason:<18} "
        f"{request.app_id:<16} {plain(request.username, 128)}"
    )


_COLOURS = {
    "released": "green",
    "not_released": None,
    "awaiting_approval": "yellow",
    "unknown": "red",
}


def _facts(request: Request) -> list[tuple[str, str]]:
    answered = f"{request.answered_by} by {request.route}" if request.approver else "nobody"
    facts = [
        ("Member", f"{request.full_name} <{request.email}>"),
        ("Portal", f"{request.portal_name} {request.portal} (version {request.portal_version})"),
        ("License", f"{request.license} when it was read at {iso(request.read_at)}"),
        ("Asked by", f"{request.asked_by} through {request.client or 'an unnamed client'}"),
        ("Because", request.ask_reason),
        ("Ticket", request.ticket or "none"),
        ("Notice", request.notice),
        ("Answered by", answered),
        ("Outcome", f"{REASONS[request.reason].meaning} {request.detail}".strip()),
        ("Verified", "a later reading agrees" if request.verified else "no"),
    ]
    return [(name, value) for name, value in facts if value]


def _changes(entry: Entry) -> str:
    changed = entry.changed
    if "created_at" in changed:
        return f"{changed['state']}, {changed['reason']}"
    shown = (
        f"{name}={value}"
        for name, value in changed.items()
        if value not in ("", None) and not name.endswith(("_at", "_until"))
    )
    return plain(", ".join(shown), 160)
