"""What an answer with the card's key amounts to, without a browser."""

from pathlib import Path

import pytest

from server.consent.card import META
from tests.office import ERAS, NOTHING, RELEASE, Era, open_office, structured, text

pytestmark = pytest.mark.anyio
both_eras = pytest.mark.parametrize("era", ERAS)


@pytest.mark.promise("refusals-kept")
@both_eras
@pytest.mark.parametrize("name", ["jsmith2", "JSMITH", "Jane Smith", "", "jsmith\u200b"])
async def test_a_wrong_name_is_kept_and_leaves_the_request_open(
    tmp_path: Path, era: Era, name: str
) -> None:
    async with open_office(tmp_path, era=era, apps=True) as office:
        asked = await office.call("release_license", **RELEASE)
        meta = (asked.meta or {})[META]
        answer = {"release_id": meta["release_id"], "verdict": "approve", "key": meta["key"]}
        told = structured(await office.call("decide_release", **answer, username=name))
        events = [entry.event for entry in office.ledger.entries(meta["release_id"])]
        assert office.portal.releases == []
        mended = structured(await office.call("decide_release", **answer, username="jsmith"))
    assert (told["status"], told["reason"]) == ("awaiting_approval", "mistyped")
    assert events[-1] == "mistyped"
    assert mended["status"] == "released"
    assert len(office.portal.releases) == 1


@pytest.mark.promise("bound-consent")
@both_eras
async def test_a_yes_after_a_no_changes_nothing(tmp_path: Path, era: Era) -> None:
    async with open_office(tmp_path, era=era, apps=True) as office:
        asked = await office.call("release_license", **RELEASE)
        meta = (asked.meta or {})[META]
        answer = {"release_id": meta["release_id"], "key": meta["key"], "username": "jsmith"}
        no = structured(await office.call("decide_release", **answer, verdict="decline"))
        yes = structured(await office.call("decide_release", **answer, verdict="approve"))
    assert (no["status"], no["reason"], no["consent"]["route"]) == (
        "not_released", "declined", "card",
    )  # fmt: skip
    assert (yes["status"], yes["reason"]) == ("not_released", "declined")
    assert office.portal.releases == []


@pytest.mark.promise("never-the-model")
@both_eras
@pytest.mark.parametrize(("apps", "ways"), [(False, "card,page"), (True, "page")])
async def test_where_no_card_is_shown_the_tool_answers_nothing(
    tmp_path: Path, era: Era, apps: bool, ways: str
) -> None:
    async with open_office(tmp_path, era=era, apps=apps, CONSENT_ROUTES=ways) as office:
        asked = await office.call("release_license", **RELEASE)
        release_id = structured(asked)["release_id"]
        result = await office.call(
            "decide_release",
            release_id=release_id,
            verdict="approve",
            key=release_id,
            username="jsmith",
        )
        state = office.ledger.get(release_id).state
    assert META not in (asked.meta or {})
    assert result.is_error
    assert text(result).endswith(NOTHING)
    assert state == "open"
    assert office.portal.releases == []
