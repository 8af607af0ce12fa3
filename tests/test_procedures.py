"""Every prompt, followed by a scripted assistant against the sandbox, step by step.

The script calls only tools that the prompt's text names. The portal's count of releases is the
judge.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from server import prompts
from server.sandbox.products import ALLSOURCE, DRONE2MAP
from tests.office import PRO, Office, open_office, structured, typing

pytestmark = pytest.mark.anyio

TOOLS = (
    "find_members",
    "check_license",
    "list_offline_licenses",
    "release_license",
    "list_releases",
)


@dataclass
class Assistant:
    """Follows one prompt: it may call what the text names, and nothing else."""

    office: Office
    text: str

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that the prompt names."""
        assert f"`{tool}`" in self.text
        return structured(await self.office.call(tool, **arguments))


async def follow(office: Office, name: str, **arguments: str) -> Assistant:
    """Ask for a prompt as a client does."""
    got = await office.client.get_prompt(name, arguments)
    block = got.messages[0].content
    assert block.type == "text"
    for value in arguments.values():
        assert all(f"> {line}" in block.text for line in value.splitlines())
    return Assistant(office, block.text)


async def test_release_request(tmp_path: Path) -> None:
    async with open_office(tmp_path, typing()) as office:
        words = "Jane Smith's laptop was stolen, please free her Pro"
        assistant = await follow(office, "release_request", request=words, ticket="INC-7")
        found = await assistant.call("find_members", text="smith")
        assert [member["username"] for member in found["members"]] == ["jsmith", "jsmith2"]
        checked = await assistant.call("check_license", username="jsmith", app_id=PRO)
        assert checked["license"] == "offline"
        told = await assistant.call(
            "release_license",
            username="jsmith",
            app_id=PRO,
            reason="The laptop was stolen",
            ticket="INC-7",
        )
    assert told["message"].endswith("The license was released.")
    assert len(office.portal.releases) == 1


async def test_triage_ticket_that_needs_a_release(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        text = "Pro says it is configured for offline mode on some other device. That laptop broke."
        assistant = await follow(office, "triage_ticket", ticket_text=text, ticket="INC-8")
        assert (await assistant.call("find_members", text="okafor"))["total"] == 1
        checked = await assistant.call("check_license", username="tokafor", app_id=ALLSOURCE)
        assert checked["license"] == "offline"
        told = await assistant.call(
            "release_license",
            username="tokafor",
            app_id=ALLSOURCE,
            reason="The laptop broke",
            ticket="INC-8",
        )
        assert told["status"] == "awaiting_approval"
        later = await assistant.call("list_releases", ticket="INC-8")
    assert [release["release_id"] for release in later["releases"]] == [told["release_id"]]
    assert office.portal.releases == []


@pytest.mark.parametrize(
    ("username", "app_id", "license_is"),
    [("jsmith2", PRO, "not_offline"), ("akowalska", PRO, "not_licensed")],
)
async def test_triage_ticket_that_needs_none(
    tmp_path: Path, username: str, app_id: str, license_is: str
) -> None:
    async with open_office(tmp_path) as office:
        text = "The box to work offline is greyed out."
        assistant = await follow(office, "triage_ticket", ticket_text=text, ticket="INC-9")
        assert "greyed out: usually not" in assistant.text
        checked = await assistant.call("check_license", username=username, app_id=app_id)
    assert checked["license"] == license_is
    assert checked["message"].endswith("there is nothing to release.")
    assert office.portal.releases == []


async def test_lost_or_stolen_device_that_held_two_licenses(tmp_path: Path) -> None:
    async with open_office(tmp_path, typing("sfernandez")) as office:
        assistant = await follow(
            office,
            "lost_or_stolen_device",
            username="sfernandez",
            what_happened="Laptop left on a train,\nwith Pro and Drone2Map on it",
            ticket="INC-10",
        )
        assert "security team" in assistant.text
        states = {
            app_id: (await assistant.call("check_license", username="sfernandez", app_id=app_id))[
                "license"
            ]
            for app_id in (PRO, DRONE2MAP, ALLSOURCE)
        }
        assert states == {PRO: "offline", DRONE2MAP: "offline", ALLSOURCE: "not_licensed"}
        told = [
            await assistant.call(
                "release_license",
                username="sfernandez",
                app_id=app_id,
                reason="The laptop was lost on a train",
                ticket="INC-10",
            )
            for app_id in (PRO, DRONE2MAP)
        ]
    assert [each["status"] for each in told] == ["released", "released"]
    assert len(office.questions) == 2
    assert [received.form["appId"] for received in office.portal.releases] == [PRO, DRONE2MAP]


async def test_offboarding_reports_first_and_releases_for_one_alone(tmp_path: Path) -> None:
    leavers = ["rleaver", "jsmith2", "mlee"]
    async with open_office(tmp_path, typing("rleaver")) as office:
        assistant = await follow(office, "offboarding", leavers="\n".join(leavers))
        offline = {}
        for app_id in (PRO, DRONE2MAP, ALLSOURCE):
            listed = await assistant.call("list_offline_licenses", app_id=app_id)
            offline[app_id] = {row["username"] for row in listed["offline"]} & set(leavers)
        assert offline == {PRO: {"rleaver"}, DRONE2MAP: set(), ALLSOURCE: set()}
        found = await assistant.call("find_members", text="mlee")
        assert [member["username"] for member in found["members"]] == ["CORP\\mlee"]
        assert "Never release for the whole list" in assistant.text
        told = await assistant.call(
            "release_license", username="rleaver", app_id=PRO, reason="The device is not returned"
        )
    assert told["status"] == "released"
    assert len(office.portal.releases) == 1


async def test_license_report_changes_nothing(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await office.release()
        assistant = await follow(office, "license_report", app_id=PRO)
        assert "Do not call `release_license`" in assistant.text
        listed = await assistant.call("list_offline_licenses", app_id=PRO)
        waiting = await assistant.call("list_releases")
        released = len(office.portal.releases)
    assert {"jsmith", "sfernandez"} <= {row["username"] for row in listed["offline"]}
    assert 0 < listed["total_offline"] < listed["total_licensed"]
    assert [r["status"] for r in waiting["releases"]] == ["awaiting_approval"]
    assert released == 0


def test_every_prompt_has_a_conversation_and_names_only_tools_that_there_are() -> None:
    conversations = {
        match[1]
        for match in re.finditer(
            r'follow\(\s*office,\s*"(\w+)"', Path(__file__).read_text(encoding="utf-8")
        )
    }
    assert {procedure.prompt.name for procedure in prompts.load()} == conversations
    for procedure in prompts.load():
        named = set(re.findall(r"`([a-z]+_[a-z_]+)`", str(procedure.prompt.fn())))
        words = {"app_id", "release_id", "awaiting_approval"}
        assert named - words <= set(TOOLS)


async def completed(office: Office, prompt: str, argument: str, begun: str) -> list[str]:
    """Complete an argument as a client does while somebody types."""
    from mcp_types import PromptReference

    result = await office.client.complete(
        PromptReference(name=prompt), {"name": argument, "value": begun}
    )
    return list(result.completion.values)


@pytest.mark.parametrize(
    ("argument", "begun", "expected"),
    [
        ("username", "smi", ["jsmith", "jsmith2"]),
        ("username", "s", []),
        ("what_happened", "smith", []),
    ],
)
async def test_usernames_are_completed_from_the_portal(
    tmp_path: Path, argument: str, begun: str, expected: list[str]
) -> None:
    async with open_office(tmp_path) as office:
        assert await completed(office, "lost_or_stolen_device", argument, begun) == expected


async def test_products_are_completed_without_asking_the_portal(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        assert await completed(office, "license_report", "app_id", PRO[:-1]) == [PRO]
        assert office.portal.requests == []


async def test_a_portal_that_fails_completes_nothing(tmp_path: Path) -> None:
    async with open_office(tmp_path, PORTAL_PASSWORD="wrong") as office:
        assert await completed(office, "lost_or_stolen_device", "username", "smith") == []
