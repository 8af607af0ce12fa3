"""Where four eyes are wanted, the person in the chat is not asked, since that person asked."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from server import watcher
from server.app import milliseconds
from server.releases.ledger import Ledger
from tests.consent.page_desk import open_desk
from tests.office import ERAS, Era, open_office, typing, until
from tests.postgres import Postgres

pytestmark = [pytest.mark.anyio, pytest.mark.promise("bound-consent")]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("START_SECONDS", "WATCH_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(watcher, name, 0.01)


@pytest.mark.parametrize("era", ERAS)
async def test_nobody_is_asked_here_and_another_account_s_yes_is_sent(
    tmp_path: Path, postgres: Postgres, era: Era, links: list[str]
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("four_eyes = true\n", encoding="utf-8")
    url = postgres.new_ledger()
    async with open_office(
        tmp_path,
        typing(),
        era=era,
        apps=True,
        OPEN_BROWSER="true",
        LEDGER_URL=url,
        POLICY_FILE=str(policy),
    ) as office:
        told, again = await office.release(), await office.release()
        assert told["reason"] == "waiting", told["message"]
        with closing(Ledger(postgres.account(url, "ben_desk"))) as other:
            other.decide(
                told["release_id"], "approved", route="page", approver="ben@pc", now=milliseconds()
            )
            await until(lambda: other.get(told["release_id"]).state == "released")
        found = await office.call("list_releases", release_id=told["release_id"])
    assert again["release_id"] == told["release_id"]
    assert "Somebody else must answer" in told["message"]
    assert "approvals approve" in told["message"]
    assert (office.questions, links) == ([], [])
    assert found.structured_content is not None
    (outcome,) = found.structured_content["releases"]
    assert outcome["consent"] == {"route": "page", "approver": "ben@pc (account ben_desk)"}
    assert len(office.portal.releases) == 1


async def test_the_page_says_why_the_requester_s_own_yes_does_not_count(
    tmp_path: Path, links: list[str]
) -> None:
    async with open_desk(tmp_path, links) as desk:
        first = desk.office.ledger.get(desk.told["release_id"])
        own = desk.office.ledger.open(replace(first, username="mlopez", four_eyes=True))
        path = f"/requests/{own.release_id}"
        form = {
            "token": await desk.token(path),
            "verdict": "approve",
            "username": "mlopez",
        }
        answered = await desk.http.post(path, data=form, headers=desk.headers)
        kept = desk.office.ledger.get(own.release_id)
    assert answered.status_code == 403
    assert "Your answer did not count" in answered.text
    assert "may not approve" in answered.text
    assert (kept.state, kept.reason) == ("open", "self_approval")
    assert desk.office.portal.releases == []
