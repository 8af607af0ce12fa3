"""The machine's clock is set back and forward in the middle of a release."""

from pathlib import Path

import pytest

from server.errors import LedgerUnavailable
from server.releases.models import AppId, Request
from server.releases.outcomes import Timing
from tests.conftest import ASK, Desk, MakeDesk

pytestmark = pytest.mark.anyio
MINUTE = 60
HOUR = 60 * MINUTE


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{(tmp_path / 'ledger.db').as_posix()}"
    url: str = request.getfixturevalue("postgres").new_ledger()
    return url


async def approved(desk: Desk) -> Request:
    request = await desk.releases.request(ASK)
    return await desk.releases.decide(
        request.release_id, "approved", route="form", approver="ana@desk"
    )


def judge(desk: Desk) -> None:
    """The chain verifies, and its times never go back."""
    assert desk.ledger.verify().fault is None
    times = [entry.at for entry in desk.ledger.entries()]
    assert times == sorted(times)


@pytest.mark.promise("bound-consent")
@pytest.mark.promise("durable-intent")
async def test_a_clock_that_was_set_back_sends_nothing_until_it_is_corrected(desk: Desk) -> None:
    request = await approved(desk)
    desk.clock.pass_seconds(-2 * HOUR)
    told = await desk.releases.carry_out(request.release_id)
    assert (told.status, told.reason) == ("unknown", "ledger_unavailable")
    assert "clock" in told.detail
    assert desk.portal.released == []
    desk.clock.pass_seconds(2 * HOUR)
    told = await desk.releases.carry_out(request.release_id)
    assert (told.status, len(desk.portal.released)) == ("released", 1)
    judge(desk)


@pytest.mark.promise("bound-consent")
async def test_a_yes_by_a_clock_that_was_set_back_does_not_count(desk: Desk) -> None:
    request = await desk.releases.request(ASK)
    desk.clock.pass_seconds(-31)
    with pytest.raises(LedgerUnavailable, match="clock"):
        await desk.releases.decide(
            request.release_id, "approved", route="form", approver="ana@desk"
        )
    assert desk.ledger.get(request.release_id).state == "open"


@pytest.mark.promise("refusals-kept")
async def test_a_no_counts_whatever_the_clock_says(desk: Desk) -> None:
    request = await desk.releases.request(ASK)
    desk.clock.pass_seconds(-2 * HOUR)
    told = await desk.releases.decide(
        request.release_id, "declined", route="form", approver="ana@desk"
    )
    assert (told.status, told.reason) == ("not_released", "declined")
    judge(desk)


async def test_a_clock_that_goes_back_a_little_changes_nothing(desk: Desk) -> None:
    request = await approved(desk)
    desk.clock.pass_seconds(-29)
    told = await desk.releases.carry_out(request.release_id)
    assert (told.status, len(desk.portal.released)) == ("released", 1)
    judge(desk)


@pytest.mark.promise("bound-consent")
async def test_a_clock_that_was_set_forward_past_the_expiry_sends_nothing(desk: Desk) -> None:
    request = await approved(desk)
    desk.clock.pass_seconds(HOUR)
    told = await desk.releases.carry_out(request.release_id)
    assert (told.status, told.reason) == ("not_released", "expired")
    assert desk.portal.released == []
    judge(desk)


@pytest.mark.promise("one-post")
@pytest.mark.promise("four-outcomes")
@pytest.mark.promise("no-blind-retry")
async def test_the_sender_has_the_last_word_when_a_fast_clock_called_it_without_effect(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, ben = make_desk(), make_desk(requester="ben@desk")
    request = await approved(desk)
    arrives = desk.portal.release
    meanwhile: list[tuple[str, str]] = []

    async def settled_meanwhile(username: str, app_id: AppId) -> None:
        desk.clock.pass_seconds(3 * HOUR)
        await ben.releases.settle()
        found = desk.ledger.get(request.release_id)
        meanwhile.append((found.status, found.reason))
        desk.clock.pass_seconds(-3 * HOUR)
        await arrives(username, app_id)

    monkeypatch.setattr(desk.portal, "release", settled_meanwhile)
    told = await desk.releases.carry_out(request.release_id)
    assert meanwhile == [("not_released", "no_effect")]
    kept = desk.ledger.get(request.release_id)
    assert (told.status, kept.status, kept.reason) == ("released", "released", "confirmed")
    assert len(desk.portal.released) == 1
    judge(desk)


@pytest.mark.promise("no-blind-retry")
async def test_a_clock_that_was_set_back_settles_nothing_early(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, ben = make_desk(), make_desk(requester="ben@desk")
    request = await approved(desk)
    arrives = desk.portal.release

    async def looked_at_meanwhile(username: str, app_id: AppId) -> None:
        desk.clock.pass_seconds(-2 * HOUR)
        await ben.releases.settle()
        assert desk.ledger.get(request.release_id).state == "sending"
        desk.clock.pass_seconds(2 * HOUR)
        await arrives(username, app_id)

    monkeypatch.setattr(desk.portal, "release", looked_at_meanwhile)
    told = await desk.releases.carry_out(request.release_id)
    assert (told.status, len(desk.portal.released)) == ("released", 1)


@pytest.mark.promise("bound-consent")
async def test_entries_of_a_clock_that_ran_ahead_hold_everything_up_until_then(
    desk: Desk,
) -> None:
    desk.clock.pass_seconds(40 * MINUTE)
    request = await approved(desk)
    desk.clock.pass_seconds(-40 * MINUTE)
    told = await desk.releases.carry_out(request.release_id)
    assert (told.reason, desk.portal.released) == ("ledger_unavailable", [])
    desk.clock.pass_seconds(40 * MINUTE - 30)
    assert Timing().expires > HOUR * 999
    told = await desk.releases.carry_out(request.release_id)
    assert (told.status, len(desk.portal.released)) == ("released", 1)
    judge(desk)
