"""`decide_release`: for the card alone, by a key that nobody else is given."""

from pathlib import Path
from typing import Any

import pytest

from server.consent.card import META, URI, CardKeys
from tests.benchmarks import measures
from tests.office import (
    ERAS,
    NOTHING,
    PRO,
    RELEASE,
    Era,
    Office,
    action,
    open_office,
    structured,
    text,
)

pytestmark = pytest.mark.anyio
both_eras = pytest.mark.parametrize("era", ERAS)


async def asked(office: Office) -> tuple[str, str]:
    """Ask for a release, and return its id and the card's key."""
    result = await office.call("release_license", **RELEASE)
    assert result.meta is not None
    return structured(result)["release_id"], result.meta[META]["key"]


@both_eras
async def test_a_client_that_shows_only_cards_gets_one_and_a_release_after_a_yes(
    tmp_path: Path, era: Era
) -> None:
    async with open_office(tmp_path, era=era, apps=True) as office:
        release_id, key = await asked(office)
        told = structured(
            await office.call(
                "decide_release",
                release_id=release_id,
                verdict="approve",
                key=key,
                username="jsmith",
            )
        )
    assert (told["status"], told["verified"]) == ("released", True)
    assert told["consent"]["route"] == "card"
    assert len(office.portal.releases) == 1


@both_eras
async def test_the_card_s_tool_is_listed_for_cards_alone(tmp_path: Path, era: Era) -> None:
    async with open_office(tmp_path, era=era) as office:
        plain = {tool.name: tool for tool in (await office.client.list_tools()).tools}
    async with open_office(tmp_path, era=era, apps=True) as office:
        cards = {tool.name: tool for tool in (await office.client.list_tools()).tools}
    assert "decide_release" not in plain
    assert all(tool.meta is None for tool in plain.values())
    assert (cards["decide_release"].meta or {})["ui"]["visibility"] == ["app"]
    assert (cards["release_license"].meta or {})["ui"]["resourceUri"] == URI


async def test_a_model_behind_a_client_with_cards_reads_few_tokens_too(tmp_path: Path) -> None:
    async with open_office(tmp_path, apps=True) as office:
        listed = (await office.client.list_tools()).tools
    # A host does not show the card's own tool to a model.
    seen = [tool for tool in listed if tool.name != "decide_release"]
    tools = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in seen]
    assert measures.tokens(tools, with_output=False) <= measures.TOKENS
    assert measures.tokens(tools, with_output=True) <= measures.TOKENS_WITH_OUTPUT


@both_eras
async def test_a_client_that_declines_by_itself_gets_the_card_the_next_time(
    tmp_path: Path, era: Era
) -> None:
    async with open_office(tmp_path, action("decline"), era=era, apps=True) as office:
        first = await office.call("release_license", **RELEASE)
        second = await office.call("release_license", **RELEASE)
    assert structured(first)["status"] == "not_released"
    assert META not in (first.meta or {})
    assert structured(second)["status"] == "awaiting_approval"
    assert META in (second.meta or {})


@pytest.mark.promise("never-the-model")
@pytest.mark.parametrize("key", ["", "guess", "0" * 64, "\ud7ff" * 20, None])
async def test_without_the_key_nothing_is_answered(tmp_path: Path, key: str | None) -> None:
    async with open_office(tmp_path, apps=True) as office:
        release_id, _ = await asked(office)
        other = CardKeys().key(release_id)
        result = await office.call(
            "decide_release",
            release_id=release_id,
            verdict="approve",
            key=other if key is None else key,
            username="jsmith",
        )
        state = office.ledger.get(release_id).state
    assert result.is_error
    assert text(result).endswith(NOTHING)
    assert state == "open"
    assert office.portal.releases == []


@pytest.mark.promise("bound-consent")
async def test_a_key_fits_its_own_request_alone(tmp_path: Path) -> None:
    async with open_office(tmp_path, apps=True) as office:
        _, key = await asked(office)
        other = structured(await office.call(
            "release_license", **{**RELEASE, "username": "sfernandez"}
        ))["release_id"]  # fmt: skip
        result = await office.call(
            "decide_release", release_id=other, verdict="approve", key=key, username="sfernandez"
        )
        state = office.ledger.get(other).state
    assert result.is_error
    assert state == "open"
    assert office.portal.releases == []


@pytest.mark.promise("bound-consent")
async def test_the_same_answer_again_changes_nothing(tmp_path: Path) -> None:
    async with open_office(tmp_path, apps=True) as office:
        release_id, key = await asked(office)
        yes = {"release_id": release_id, "verdict": "approve", "key": key, "username": "jsmith"}
        await office.call("decide_release", **yes)
        office.portal.check_out("jsmith", PRO)
        again = structured(await office.call("decide_release", **yes))
    assert again["status"] == "released"
    assert len(office.portal.releases) == 1
    assert office.portal.is_offline("jsmith", PRO)


@pytest.mark.promise("no-secrets")
async def test_the_key_travels_in_the_meta_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="server")
    async with open_office(tmp_path, apps=True) as office:
        result = await office.call("release_license", **RELEASE)
        key = (result.meta or {})[META]["key"]
        release_id = structured(result)["release_id"]
        decided = await office.call(
            "decide_release", release_id=release_id, verdict="decline", key=key
        )
        kept = repr(office.ledger.entries()) + repr(office.ledger.recent(9))
    told = result.model_copy(update={"meta": None}).model_dump_json()
    assert key not in told + decided.model_dump_json() + kept + caplog.text


def plausible(name: str, schema: dict[str, Any], known: dict[str, Any]) -> list[Any]:
    """Return values that a model might send for an argument."""
    if name in known:
        return [known[name]]
    if "enum" in schema:
        return list(schema["enum"])
    kinds: dict[str, list[Any]] = {"integer": [1], "boolean": [True], "array": [[]], "object": [{}]}
    return kinds.get(str(schema.get("type")), ["approve", "0" * 64, "jsmith"])


@pytest.mark.promise("never-the-model")
@both_eras
async def test_nothing_that_a_model_can_send_reaches_the_portal(tmp_path: Path, era: Era) -> None:
    """Takes the tools from the list itself, so that a new one is covered without being named."""
    async with open_office(tmp_path, era=era, apps=True, CONSENT_ROUTES="card,page") as office:
        release_id, _ = await asked(office)
        known = {**RELEASE, "release_id": release_id}
        tools = (await office.client.list_tools()).tools
        for tool in tools:
            for arguments in combinations(tool.input_schema, known):
                for extra in ({}, {"confirm": True}, {"approver": "ana"}):
                    await office.call(tool.name, **arguments, **extra)
        state = office.ledger.get(release_id).state
    assert {"release_license", "decide_release"} <= {tool.name for tool in tools}
    assert state == "open"
    assert office.portal.releases == []


def combinations(schema: dict[str, Any], known: dict[str, Any]) -> list[dict[str, Any]]:
    """Vary one argument after the other through its plausible values."""
    choices = {name: plausible(name, part, known) for name, part in schema["properties"].items()}
    base = {name: values[0] for name, values in choices.items()}
    return [base] + [{**base, name: value} for name, vs in choices.items() for value in vs[1:]]
