"""Four eyes: who asked does not say yes, as the database knows them and whatever name is given."""

import pytest

from server.errors import SettingsError
from server.releases.ledger import Ledger
from server.releases.models import Request
from server.releases.policy import Policy, load
from tests.conftest import ASK, LedgerOf, MakeDesk

pytestmark = [pytest.mark.anyio, pytest.mark.promise("bound-consent")]
FOUR_EYES = Policy(four_eyes=True)


def events(ledger: Ledger, request: Request) -> list[str]:
    return [entry.event for entry in ledger.entries(request.release_id)]


@pytest.mark.promise("refusals-kept")
async def test_the_requester_s_own_yes_is_refused_as_an_entry_and_leaves_the_request_open(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk(FOUR_EYES)
    request = await desk.releases.request(ASK)
    told = await desk.releases.answer(
        request.release_id, "approved", route="form", approver="ana@desk"
    )
    assert (told.state, told.status, told.reason) == ("open", "awaiting_approval", "self_approval")
    assert told.approver is None
    assert events(desk.ledger, request) == ["asked", "self_approval"]
    assert desk.portal.released == []


async def test_somebody_else_s_yes_counts(make_desk: MakeDesk) -> None:
    desk, other = make_desk(FOUR_EYES), make_desk(FOUR_EYES, requester="ben@desk")
    request = await desk.releases.request(ASK)
    await desk.releases.answer(request.release_id, "approved", route="form", approver="ana@desk")
    told = await other.releases.answer(
        request.release_id, "approved", route="page", approver="ben@desk"
    )
    assert (told.status, told.approver) == ("released", "ben@desk")
    assert len(desk.portal.released) == 1


async def test_the_requester_may_say_no(make_desk: MakeDesk) -> None:
    desk = make_desk(FOUR_EYES)
    request = await desk.releases.request(ASK)
    told = await desk.releases.answer(
        request.release_id, "declined", route="form", approver="ana@desk"
    )
    assert (told.status, told.reason) == ("not_released", "declined")


async def test_another_name_for_the_same_account_is_not_somebody_else(
    make_desk: MakeDesk, ledger_url: str
) -> None:
    if ledger_url.startswith("sqlite"):
        pytest.skip("SQLite has no accounts, so this policy is refused there")
    desk = make_desk(FOUR_EYES)
    request = await desk.releases.request(ASK)
    told = await desk.releases.answer(
        request.release_id, "approved", route="page", approver="ben@desk"
    )
    assert told.reason == "self_approval"
    assert desk.portal.released == []


@pytest.mark.promise("re-checked")
async def test_a_server_whose_policy_wants_four_eyes_sends_no_self_approved_request(
    make_desk: MakeDesk,
) -> None:
    lenient, strict = make_desk(), make_desk(FOUR_EYES, requester="ben@desk")
    request = await lenient.releases.request(ASK)
    await lenient.releases.decide(request.release_id, "approved", route="form", approver="ana@desk")
    told = await strict.releases.carry_out(request.release_id)
    assert (told.status, told.reason) == ("not_released", "self_approval")
    assert strict.portal.released == []


async def test_the_accounts_are_what_the_database_says(
    make_desk: MakeDesk, ledger_of: LedgerOf, ledger_url: str
) -> None:
    desk = make_desk()
    request = await desk.releases.request(ASK)
    told = ledger_of("ben@desk").decide(
        request.release_id, "approved", route="page", approver="eve@elsewhere", now=desk.clock()
    )
    on_a_server = ledger_url.startswith("postgresql")
    assert told.requester_account == ("ana_desk" if on_a_server else "ana@desk")
    assert told.approver_account == ("ben_desk" if on_a_server else "eve@elsewhere")
    if on_a_server:
        assert told.answered_by == "eve@elsewhere (account ben_desk)"


@pytest.mark.parametrize(("shared", "accepted"), [(True, True), (False, False)])
def test_four_eyes_need_a_ledger_that_knows_who_is_signed_in(
    tmp_path_factory: pytest.TempPathFactory, shared: bool, accepted: bool
) -> None:
    file = tmp_path_factory.mktemp("policy") / "policy.toml"
    file.write_text("four_eyes = true\n", encoding="utf-8")
    if accepted:
        assert load(file, shared=shared).four_eyes
        return
    with pytest.raises(SettingsError, match=r"four_eyes needs a ledger .* PostgreSQL"):
        load(file, shared=shared)
