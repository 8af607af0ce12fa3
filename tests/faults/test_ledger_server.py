"""Every failure of a ledger on a server, at every step of a release, ends as the matrix says.

The judge is the portal's own count of what it was sent, beside the ledger once it is mended.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from server.app import milliseconds
from server.errors import LedgerUnavailable
from server.releases import database
from server.releases.database import PostgreSQL, open_database
from server.releases.ledger import Ledger
from server.releases.models import Request
from tests.conftest import ASK, Clock, Desk, FakePortal, MakeDesk
from tests.faults.commits import commits
from tests.faults.ledger_matrix import POSTGRES, Ends, OnPostgres, Step, cells
from tests.faults.ledger_walk import Walk
from tests.faults.postgres_faults import PostgresFaults
from tests.postgres import Postgres

pytestmark = pytest.mark.anyio
ACCOUNT = "walker"


@pytest.fixture(autouse=True)
def nobody_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    long = f"SET LOCAL lock_timeout = '{database.LOCK_SECONDS}s'"
    short = PostgreSQL._WRITING.replace(long, "SET LOCAL lock_timeout = '50ms'")
    monkeypatch.setattr(PostgreSQL, "_WRITING", short)


@pytest.fixture
def owned(postgres: Postgres) -> str:
    """A ledger, as its owner opens it."""
    url = postgres.new_ledger()
    owner = Ledger(url)
    owner.prepare()
    owner.close()
    return url


@pytest.fixture
def ledger_url(postgres: Postgres, owned: str) -> str:
    return postgres.account(owned, ACCOUNT)


@pytest.fixture
def faults(postgres: Postgres, owned: str, ledger: Ledger) -> Iterator[PostgresFaults]:
    faults = PostgresFaults(postgres, owned, ACCOUNT)
    assert ledger.recent(1) == []
    yield faults
    faults.close()


@pytest.mark.promise("durable-intent")
@pytest.mark.promise("one-post")
@pytest.mark.promise("four-outcomes")
@pytest.mark.promise("no-blind-retry")
@pytest.mark.parametrize(("fault", "step", "ends"), cells(POSTGRES))
async def test_a_fault_of_the_server_ends_as_the_matrix_says(
    make_desk: MakeDesk,
    portal: FakePortal,
    clock: Clock,
    faults: PostgresFaults,
    fault: OnPostgres,
    step: Step,
    ends: Ends,
) -> None:
    walk = Walk(make_desk, portal, clock, partial(faults.of, fault), faults.holds_an_intent)
    told = await walk.at(step)
    assert told == ends.told
    walk.judge(make_desk(), ends)
    await walk.go_on()
    walk.judge_end(make_desk(), ends)


async def approved(desk: Desk) -> Request:
    request = await desk.releases.request(ASK)
    return await desk.releases.decide(
        request.release_id, "approved", route="form", approver="ana@desk"
    )


@pytest.mark.promise("durable-intent")
async def test_who_vanishes_with_the_turn_loses_it_and_what_it_did(
    desk: Desk, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await approved(desk)
    vanishing = PostgreSQL._WRITING.replace(
        f"idle_in_transaction_session_timeout = '{database.LOCK_SECONDS}s'",
        "idle_in_transaction_session_timeout = '50ms'",
    )
    patient = PostgreSQL._WRITING.replace("lock_timeout = '50ms'", "lock_timeout = '10s'")
    monkeypatch.setattr(PostgreSQL, "_WRITING", patient)
    other = open_database(ledger_url)
    monkeypatch.setattr(other, "_WRITING", vanishing)
    with pytest.raises(DBAPIError), other.writing() as connection:  # noqa: PT012
        connection.execute(text("UPDATE requests SET state = 'released'"))
        told = await desk.releases.carry_out(request.release_id)
        assert told.status == "released"
    other.close()
    assert desk.ledger.get(request.release_id).verified
    assert desk.ledger.verify().fault is None
    assert len(desk.portal.released) == 1


@pytest.mark.promise("durable-intent")
async def test_every_commit_waits_for_the_disk_whatever_the_account_s_own_setting(
    postgres: Postgres, ledger: Ledger, desk: Desk
) -> None:
    ledger.close()
    postgres.run(f"ALTER ROLE {ACCOUNT} SET synchronous_commit = off")
    waits: list[tuple[str]] = []

    def look(driver: Any) -> None:
        waits.append(driver.execute("SHOW synchronous_commit").fetchone())

    with commits(before=look):
        request = await approved(desk)
        await desk.releases.carry_out(request.release_id)
    postgres.run(f"ALTER ROLE {ACCOUNT} RESET synchronous_commit")
    assert waits == [("on",)] * 4


@pytest.mark.promise("bound-consent")
@pytest.mark.parametrize(
    ("seconds", "refused"), [(-33, True), (-20, False), (20, False), (33, True)]
)
async def test_a_clock_off_the_database_s_own_is_refused(
    ledger: Ledger, ledger_url: str, make_desk: MakeDesk, seconds: int, refused: bool
) -> None:
    desk = make_desk()
    desk.clock.now = milliseconds()
    request = await approved(desk)
    other = Ledger(ledger_url)
    now = milliseconds() + seconds * 1000
    calls: list[Callable[[], object]] = [
        lambda: other.open(replace(request, username="other", state="open", created_at=now)),
        lambda: other.decide(
            request.release_id, "approved", route="form", approver="ana@desk", now=now
        ),
        lambda: other.begin_sending(request.release_id, now=now, lease=1, may=lambda _: None),
    ]
    for call in calls:
        with pytest.raises(LedgerUnavailable, match="clock") if refused else nullcontext():
            call()
    other.close()


RIGHTS = [
    ((), "no schema has been selected"),
    (("USAGE ON SCHEMA {0}",), "permission denied"),
    (("USAGE ON SCHEMA {0}", "SELECT ON ALL TABLES IN SCHEMA {0}"), "permission denied"),
]


@pytest.mark.promise("durable-intent")
@pytest.mark.parametrize(("rights", "why"), RIGHTS)
async def test_an_account_without_its_rights_is_told_so(
    postgres: Postgres, owned: str, desk: Desk, rights: tuple[str, ...], why: str
) -> None:
    request = await approved(desk)
    url = make_url(owned)
    schema = str(url.query["options"]).removeprefix("-csearch_path=")
    name = f"guest_{schema}"
    postgres.run(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    postgres.run(*(f"GRANT {right.format(schema)} TO {name}" for right in rights))
    its_own = url.set(username=name, password=name).render_as_string(hide_password=False)
    guest = Ledger(its_own, same_clock=False)
    with pytest.raises(LedgerUnavailable, match=why) as told:
        guest.begin_sending(request.release_id, now=desk.clock(), lease=1, may=lambda _: None)
    assert name not in str(told.value)
    guest.close()
    postgres.run(f"DROP OWNED BY {name}", f"DROP ROLE {name}")
