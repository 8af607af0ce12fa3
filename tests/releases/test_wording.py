"""What a caller is told: every state and reason has words, and the last sentence is true of it."""

from dataclasses import replace
from typing import get_args

import pytest

from server.releases.models import AppId, LicenseState, Request, State
from server.releases.wording import LAST_SENTENCE, message
from tests.conftest import ASK, Desk

pytestmark = [pytest.mark.anyio, pytest.mark.promise("four-outcomes")]


@pytest.fixture
async def asked(desk: Desk) -> Request:
    return await desk.releases.request(ASK)


@pytest.mark.parametrize(
    ("state", "last"),
    [
        ("open", "Nothing has been released so far."),
        ("approved", "Nothing has been released so far."),
        ("sending", "It is not known whether the license was released."),
        ("unknown", "It is not known whether the license was released."),
        ("released", "The license was released."),
        ("not_released", "Nothing was released."),
    ],
)
async def test_the_last_sentence_says_whether_anything_was_released(
    asked: Request, state: State, last: str
) -> None:
    told = message(replace(asked, state=state))
    assert told.startswith(f"{asked.release_id}: ArcGIS Pro of ")
    assert told.endswith(f" {last}")
    assert [sentence for sentence in LAST_SENTENCE.values() if sentence in told] == [last]


def test_every_state_is_tried_above() -> None:
    assert len(get_args(State)) == 6


@pytest.mark.parametrize(
    ("state", "app_id", "read", "verified", "expected"),
    [
        ("released", "arcgisprodesktop", "offline", True, "no longer checked out"),
        ("released", "arcgisprodesktop", "offline", False, "look with check_license"),
        ("released", "drone2map", "not_offline", False, "cannot confirm it"),
        ("unknown", "arcgisprodesktop", "offline", False, "If it stays unknown for hours"),
        ("unknown", "drone2map", "not_offline", False, "or asks the member"),
        ("approved", "arcgisprodesktop", "offline", False, "about to be sent"),
        ("sending", "arcgisprodesktop", "offline", False, "it is being sent"),
    ],
)
async def test_it_says_what_follows_and_where_to_look(
    asked: Request,
    state: State,
    app_id: AppId,
    read: LicenseState,
    verified: bool,
    expected: str,
) -> None:
    request = replace(asked, state=state, app_id=app_id, license=read, verified=verified)
    assert expected in message(request)


async def test_a_ledger_that_failed_after_a_yes_leaves_open_what_becomes_of_it(
    asked: Request,
) -> None:
    told = message(replace(asked, state="unknown", reason="ledger_unavailable"))
    assert "may have been recorded" in told
    assert told.endswith("It is not known whether the license was released.")


async def test_a_member_without_a_full_name_is_named_by_the_username(asked: Request) -> None:
    assert 'ArcGIS Pro of ("mlopez").' in message(replace(asked, full_name=""))
