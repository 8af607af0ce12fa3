"""The README's loop for an agent that nobody watches, run as it stands, with a scripted model."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server import watcher
from server.app import milliseconds
from tests.office import Office, open_office, until
from tests.reference import README

pytestmark = pytest.mark.anyio
STOLEN = "Offline mode on some other device, it says. That laptop was stolen. I am jsmith."
GREY = "The box to work offline is greyed out."


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("START_SECONDS", "WATCH_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(watcher, name, 0.01)


def loop() -> dict[str, Any]:
    """The README's code as a module's names."""
    found = re.search(r"<!-- triage -->\n```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert found is not None
    assert len([line for line in found[1].splitlines() if line.strip()]) < 50
    names: dict[str, Any] = {"__name__": "loop"}
    exec(found[1], names)
    return names


def model(prompt: str) -> dict[str, str] | str:
    """Decide as the procedure says, by the ticket's words."""
    assert "Decide what this ticket needs" in prompt
    if f"> {GREY}" in prompt:
        return "Sign in to the licensing portal first."
    assert f"> {STOLEN}" in prompt
    return {"username": "jsmith", "app_id": "arcgisprodesktop", "reason": "The laptop was stolen"}


async def one_pass(names: dict[str, Any], office: Office, tickets: list[Path]) -> list[Any]:
    return [await names["triage"](office.client, ticket) for ticket in tickets]


async def test_tickets_are_triaged_asked_for_once_and_their_outcome_is_found_later(
    tmp_path: Path,
) -> None:
    names = loop()
    names["model"] = model
    tickets = [tmp_path / "INC-1.txt", tmp_path / "INC-2.txt"]
    for ticket, text in zip(tickets, (STOLEN, GREY), strict=True):
        ticket.write_text(text, encoding="utf-8")
    async with open_office(tmp_path, OPEN_BROWSER="false") as office:
        asked, answered = await one_pass(names, office, tickets)
        assert asked["status"] == "awaiting_approval"
        assert answered == {
            "status": "no_release",
            "message": "Sign in to the licensing portal first.",
        }
        (again, _) = await one_pass(names, office, tickets)
        assert (again["release_id"], len(office.ledger.recent(9))) == (asked["release_id"], 1)
        office.ledger.decide(
            asked["release_id"], "approved", route="page", approver="ben@pc", now=milliseconds()
        )
        await until(lambda: office.ledger.get(asked["release_id"]).state == "released")
        (done, _) = await one_pass(names, office, tickets)
    assert done["message"].endswith("The license was released.")
    assert len(office.portal.releases) == 1


async def test_the_loop_writes_an_outcome_beside_each_ticket_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = loop()
    names["model"] = model
    (tmp_path / "INC-2.txt").write_text(GREY, encoding="utf-8")

    class Over(Exception):
        pass

    async def pause(_: float) -> None:
        raise Over

    async with open_office(tmp_path, OPEN_BROWSER="false") as office:
        for name, value in office.env.items():
            monkeypatch.setenv(name, value)
        command = started_by_this_python(names["StdioServerParameters"])
        names["StdioServerParameters"] = command
        names["anyio"] = type("anyio", (), {"sleep": staticmethod(pause)})
        with pytest.raises((Over, BaseExceptionGroup)):
            await names["main"](tmp_path)
    assert json.loads((tmp_path / "INC-2.json").read_text("utf-8"))["status"] == "no_release"


def started_by_this_python(parameters: Callable[..., Any]) -> Callable[..., Any]:
    import sys

    def made(command: str, env: dict[str, str]) -> Any:
        assert command == "arcgis-license-mcp"
        return parameters(command=sys.executable, args=["-m", "server"], env=env)

    return made
