"""A team across machines: an agent asks on one, a person says yes on another, one ledger is shared.

Each machine runs the real server and the real commands in a home folder of its own, under its own
account of a real PostgreSQL server. What the portal received is the judge.
"""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from server.releases.ledger import Ledger
from server.sandbox.portal import SandboxPortal
from server.sandbox.runner import running
from tests.faults.machine import Machine
from tests.office import RELEASE, environment, structured
from tests.postgres import Postgres

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.thorough,
    pytest.mark.skipif(sys.platform == "win32", reason="a terminal is a pty here"),
]

PERSON = "jsmith"
KEPT = ("PATH", "PYTHONPATH", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV")


@dataclass
class Team:
    """The agent's machine, the person's, and what both share."""

    portal: SandboxPortal
    ledger: Ledger
    agent: Machine
    person: Machine

    def events(self, release_id: str) -> list[str]:
        return [entry.event for entry in self.ledger.entries(release_id)]


@pytest.fixture
def shared(postgres: Postgres) -> Iterator[tuple[str, Ledger]]:
    """The owner's ledger, with its tables."""
    url = postgres.new_ledger()
    ledger = Ledger(url)
    ledger.prepare()
    yield url, ledger
    ledger.close()


@asynccontextmanager
async def team(
    folder: Path, postgres: Postgres, shared: tuple[str, Ledger], **more: str
) -> AsyncIterator[Team]:
    portal = SandboxPortal()
    url, ledger = shared
    async with running(portal) as portal_url:

        def machine(account: str) -> Machine:
            home = folder / account
            home.mkdir()
            kept = {name: os.environ[name] for name in KEPT if name in os.environ}
            own = {"HOME": f"{home}", "XDG_DATA_HOME": f"{home / 'data'}"}
            named = {"USER": account, "LOGNAME": account}
            settings = environment(
                portal_url,
                home,
                LEDGER_URL=postgres.account(url, account),
                CONSENT_ROUTES="page",
                **more,
            )
            return Machine(kept | own | named | settings)

        yield Team(portal, ledger, machine("agent"), machine("ana"))


async def ask(client: Client) -> dict[str, Any]:
    told = structured(await client.call_tool("release_license", RELEASE))
    assert told["status"] == "awaiting_approval"
    return told


async def look(client: Client, release_id: str) -> dict[str, Any]:
    listed = structured(await client.call_tool("list_releases", {"release_id": release_id}))
    (told,) = listed["releases"]
    assert isinstance(told, dict)
    return told


def assert_released_once(at: Team, release_id: str) -> None:
    row = at.ledger.get(release_id)
    assert (row.state, row.reason, row.verified) == ("released", "confirmed", True)
    assert (row.requester_account, row.approver_account) == ("agent", "ana")
    assert [post.form["username"] for post in at.portal.releases] == [RELEASE["username"]]
    assert at.ledger.verify().fault is None


@pytest.mark.promise("one-post")
async def test_a_yes_on_another_machine_releases_once_and_the_agent_learns_it(
    tmp_path: Path, postgres: Postgres, shared: tuple[str, Ledger]
) -> None:
    async with team(tmp_path, postgres, shared) as at:
        async with at.agent.server() as agent, at.person.server() as person:
            asked = await ask(agent)
            assert at.portal.releases == []
            status, printed = await at.person.approve(asked["release_id"], PERSON)
            learnt = await look(agent, asked["release_id"])
            seen = await look(person, asked["release_id"])
        assert status == 0, printed
        assert "The license was released." in printed
        assert (learnt["status"], learnt["consent"]["route"]) == ("released", "page")
        assert seen["status"] == "released"
        assert_released_once(at, asked["release_id"])


@pytest.mark.promise("one-post")
async def test_where_the_asking_server_has_ended_the_person_s_own_sends_it(
    tmp_path: Path, postgres: Postgres, shared: tuple[str, Ledger]
) -> None:
    async with team(tmp_path, postgres, shared) as at:
        async with at.agent.server() as agent:
            asked = await ask(agent)
        async with at.person.server():
            status, printed = await at.person.approve(asked["release_id"], PERSON)
        async with at.agent.server() as agent:
            learnt = await look(agent, asked["release_id"])
        assert status == 0, printed
        assert learnt["status"] == "released"
        assert_released_once(at, asked["release_id"])


@pytest.mark.promise("bound-consent")
@pytest.mark.promise("refusals-kept")
async def test_with_four_eyes_the_account_decides_whatever_name_is_claimed(
    tmp_path: Path, postgres: Postgres, shared: tuple[str, Ledger]
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("four_eyes = true\n")
    async with team(tmp_path, postgres, shared, POLICY_FILE=f"{policy}") as at:
        async with at.agent.server() as agent:
            release_id = (await ask(agent))["release_id"]
            own = [
                await at.agent.approve(release_id, PERSON),
                await at.agent.approve(release_id, PERSON, user="ana"),
            ]
            refused = at.ledger.get(release_id)
            assert [status for status, _ in own] == [1, 1], own
            assert refused.state == "open"
            assert at.events(release_id).count("self_approval") == 2
            assert at.portal.releases == []
            status, printed = await at.person.approve(release_id, PERSON, user="agent")
            learnt = await look(agent, release_id)
        assert status == 0, printed
        assert learnt["status"] == "released"
        assert_released_once(at, release_id)
