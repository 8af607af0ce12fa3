"""Answering at a terminal: needs the ledger alone, and a person who types.

The running server that asked, or another one on the same ledger and portal, sends what is approved
here; this command waits and shows what became of it.
"""

import sys
import time
from collections.abc import Callable

import click

from server.consent import shown
from server.releases.ledger import Ledger
from server.releases.models import Request, Verdict
from server.releases.wording import message
from server.text import plain

HINT_SECONDS = 10.0
LOOK_SECONDS = 0.5
_FINAL = ("released", "not_released", "unknown")


def milliseconds() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def show_waiting(ledger: Ledger) -> None:
    """Print what a person may still answer, oldest first."""
    waiting = [r for r in ledger.waiting(None, milliseconds()) if r.state == "open"]
    if not waiting:
        click.echo("Nothing is waiting for an answer.")
    for request in waiting:
        click.echo(
            f"{request.release_id}  until {shown.moment(request.expires_at)}  "
            f"{request.product.title}: {request.full_name} ({request.username}), "
            f"asked by {request.asked_by}"
        )


def answer(
    ledger: Ledger,
    release_id: str,
    *,
    approve: bool,
    approver: str,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Show a request, take the person's answer, wait for the outcome; return the exit status."""
    if not sys.stdin.isatty():
        click.echo("A person answers here: use a terminal.", err=True)
        return 2
    request = _find(ledger, release_id)
    if request is None:
        return 1
    if request.state != "open":
        click.echo(f"It is not waiting for an answer. {message(request)}")
        return 1
    _show(request)
    if approve and not _typed(ledger, request):
        return 1
    verdict: Verdict = "approved" if approve else "declined"
    decided = ledger.decide(
        request.release_id, verdict, route="page", approver=approver, now=milliseconds()
    )
    return _outcome(ledger, decided, pause)


def _find(ledger: Ledger, release_id: str) -> Request | None:
    try:
        return ledger.get(release_id.upper(), now=milliseconds())
    except KeyError:
        click.echo(f"There is no request {plain(release_id, 40)} in this ledger.", err=True)
        return None


def _show(request: Request) -> None:
    click.echo(click.style(f"Request {request.release_id}", bold=True))
    for label, text in shown.facts(request):
        click.echo(f"  {label:<16} {text}")
    click.echo()
    for sentence in shown.consequences(request):
        click.echo(f"  {sentence}")
    click.echo()


def _typed(ledger: Ledger, request: Request) -> bool:
    typed = click.prompt("Type the member's username to release", default="", show_default=False)
    if typed.strip() == request.username:
        return True
    ledger.remark(request.release_id, "mistyped", "at a terminal", now=milliseconds())
    click.echo("That is not the member's username. Nothing was released; the request is open.")
    return False


def _outcome(ledger: Ledger, request: Request, pause: Callable[[float], None]) -> int:
    waited = 0.0
    if request.state == "open":
        click.echo(message(request))
        return 1
    while request.state not in _FINAL:
        if waited == HINT_SECONDS:
            click.echo(
                "No running server has sent it yet. One that runs on this ledger sends it until "
                f"{shown.moment(request.expires_at)}; Ctrl-C leaves it approved."
            )
        pause(LOOK_SECONDS)
        waited += LOOK_SECONDS
        request = ledger.get(request.release_id, now=milliseconds())
    click.echo(message(request))
    return 0 if request.state == "released" or request.reason == "declined" else 1
