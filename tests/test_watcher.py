"""What a server does without being called: it carries out, and settles, what others left."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import anyio
import pytest

from server import watcher
from server.releases.models import LicenseState, State
from server.releases.outcomes import Timing
from server.releases.service import Releases
from server.watcher import Watcher, news
from tests.conftest import ASK, Desk, MakeDesk
from tests.office import until

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("START_SECONDS", "WATCH_SECONDS", "IDLE_SECONDS", "SETTLE_SECONDS"):
        monkeypatch.setattr(watcher, name, 0.001)


class Looks:
    """Stands for the use case: counts the looks, and tells what each finds."""

    def __init__(self, waiting: list[bool | Exception]) -> None:
        self.waiting, self.looked, self.settled = waiting, 0, 0

    async def carry_out_approved(self) -> bool:
        self.looked += 1
        found = self.waiting.pop(0) if self.waiting else False
        if isinstance(found, Exception):
            raise found
        return found

    async def settle(self) -> bool:
        self.settled += 1
        return False


@asynccontextmanager
async def watching(
    releases: object, may_be_news: Callable[[], bool] = lambda: True
) -> AsyncGenerator[Watcher]:
    async def opened() -> Releases:
        return cast(Releases, releases)

    watch = Watcher(opened, may_be_news)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.run)
        yield watch
        tasks.cancel_scope.cancel()


async def sent_and_left(desk: Desk) -> str:
    request = await desk.releases.request(ASK)
    await desk.releases.decide(request.release_id, "approved", route="page", approver="ben@desk")
    desk.ledger.begin_sending(
        request.release_id, now=desk.clock(), lease=Timing().lease, may=lambda _: None
    )
    return request.release_id


@pytest.mark.promise("no-blind-retry")
@pytest.mark.parametrize(
    ("reading", "state"), [("not_offline", "released"), ("offline", "unknown")]
)
async def test_what_a_dead_server_left_is_settled_at_the_next_start_by_reading(
    make_desk: MakeDesk, reading: LicenseState, state: State
) -> None:
    desk = make_desk()
    release_id = await sent_and_left(desk)
    desk.portal.license_state = reading
    desk.clock.pass_seconds(Timing().lease / 1000)
    async with watching(make_desk(requester="ben@desk").releases):
        await until(lambda: desk.ledger.get(release_id).state == state)
    assert desk.portal.released == []


async def test_a_request_that_another_server_is_sending_is_watched_until_its_lease_ends(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk()
    release_id = await sent_and_left(desk)
    desk.portal.license_state = "not_offline"
    reads, looks = len(desk.portal.asked), 0

    def only_at_first() -> bool:
        nonlocal looks
        looks += 1
        return looks == 1

    async with watching(desk.releases, only_at_first):
        await until(lambda: looks > 5)
        assert desk.ledger.get(release_id).state == "sending"
        assert len(desk.portal.asked) == reads
        desk.clock.pass_seconds(Timing().lease / 1000)
        await until(lambda: desk.ledger.get(release_id).state == "released")


async def test_nothing_is_looked_at_while_there_is_no_news() -> None:
    looks, asked = Looks([]), []

    def none() -> bool:
        asked.append(1)
        return False

    async with watching(looks, none):
        await until(lambda: len(asked) > 3)
    assert looks.looked == 0


async def test_it_goes_on_looking_while_something_waits() -> None:
    looks, once = Looks([True, True, True]), iter([True])
    async with watching(looks, lambda: next(once, False)):
        await until(lambda: looks.looked >= 4)
    assert looks.waiting == []


async def test_it_looks_at_once_when_it_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "START_SECONDS", 3600)
    looks = Looks([])
    async with watching(looks, lambda: False) as watch:
        watch.wake()
        await until(lambda: looks.looked)


async def test_a_look_that_fails_is_logged_and_followed_by_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    looks = Looks([RuntimeError("passing")])
    async with watching(looks):
        await until(lambda: looks.looked > 1)
    assert "passing" in caplog.text


def test_a_ledger_s_file_is_news_when_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    changed = news(file)
    assert not changed()
    file.write_bytes(b"1")
    assert (changed(), changed()) == (True, False)
    (tmp_path / "ledger.db-wal").write_bytes(b"2")
    assert (changed(), changed()) == (True, False)


def test_a_server_s_ledger_may_always_be_news() -> None:
    changed = news(None)
    assert (changed(), changed()) == (True, True)
