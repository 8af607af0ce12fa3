"""Whatever a portal answers on the way of a release, the outcome is one of four, and true.

A yes is always given; each question on the way may be answered anyhow. Afterwards an honest portal
lets another process settle what stayed unknown.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.portal.client import PortalClient
from server.releases.ledger import Ledger
from server.releases.models import PRODUCTS, AppId, Ask, Caller, Request
from server.releases.outcomes import Timing
from server.releases.policy import Policy
from server.releases.service import Releases
from server.releases.wording import LAST_SENTENCE, REASONS, message
from tests.conftest import START
from tests.fuzz.answers import plans
from tests.fuzz.conftest import Run
from tests.fuzz.found import OUTCOMES
from tests.fuzz.portal import NAME, Given, Kind, Portal, version_in
from tests.fuzz.test_replies import SECRETS, harmless, may_release, proves
from tests.fuzz.values import ASKED_FOR, examples

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # What a commit costs is not the point.
ROWS = 500
LATER = 700_000
ASKED: tuple[Kind, ...] = (
    "release", "reading", "facts", "me", "member", "license", "purchases", "sign_in",
)  # fmt: skip
PLANS = st.one_of(plans(("release", "reading")), plans(("facts",)), plans(ASKED, 3))
CASES = st.tuples(st.sampled_from([*PRODUCTS]), PLANS)
Case = tuple[AppId, dict[Kind, list[Given]]]


class Desks:
    """One ledger for many examples; each is another portal and requester, so that limits hold."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count, self.now = folder, 0, START
        self.ledger = self._opened()

    def next(self) -> str:
        self._count += 1
        self.now += LATER
        if self._count % ROWS == 0:
            self.close()
            self.ledger = self._opened()
        return f"https://gis.example.com/{self._count}"

    def server(self, client: PortalClient, address: str) -> Releases:
        return Releases(
            portal=client,
            portal_url=address,
            ledger=self.ledger,
            policy=Policy(),
            caller=Caller(address),
            clock=lambda: self.now,
            timing=Timing(),
        )

    def close(self) -> None:
        assert self.ledger.verify().fault is None
        self.ledger.close()

    def _opened(self) -> Ledger:
        return Ledger(f"sqlite:///{(self._folder / f'{self._count}.db').as_posix()}")


@pytest.fixture(scope="module")
def desks() -> Iterator[Desks]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        opened = Desks(Path(folder))
        yield opened
        opened.close()


@pytest.mark.timeout(0 if ASKED_FOR else 300)
@pytest.mark.promise("four-outcomes")
@pytest.mark.promise("one-post")
@pytest.mark.promise("right-product")
def test_an_outcome_is_true_whatever_the_portal_answers(
    run: Run, desks: Desks, tally: Counter[str]
) -> None:
    @examples(80, 0.1)
    @given(case=CASES)
    def holds(case: Case) -> None:
        portal = Portal({kind: [*given] for kind, given in case[1].items()})
        run(released(case[0], portal, desks, tally))
        tally["examples"] += 1
        tally["fuzzed replies"] += portal.fuzzed

    for case in OUTCOMES:
        holds = example(case=case)(holds)
    holds()


async def released(app_id: AppId, portal: Portal, desks: Desks, tally: Counter[str]) -> None:
    address = desks.next()
    async with portal.client() as client:
        server = desks.server(client, address)
        request = await server.request(Ask(NAME, app_id, "stolen"))
        if request.state == "open":
            request = await server.answer(
                request.release_id, "approved", route="page", approver="p"
            )
        told_truly(request, portal)
        looked = (await server.find(limit=9, release_id=request.release_id))[0]
        told_truly(looked, portal)
        assert len(portal.posts) <= 1
    tally[f"{request.status}: {request.reason}"] += 1
    await settled(request, address, desks)


def told_truly(request: Request, portal: Portal) -> None:
    harmless(request.detail, 1_500)
    harmless(message(request), 3_000)
    assert message(request).endswith(LAST_SENTENCE[request.status])
    assert request.reason in REASONS
    kept = {name: asdict(request)[name] for name in ("email", "portal_version", "detail", "notice")}
    assert not [secret for secret in SECRETS if secret in str(kept)]
    if not portal.posts:
        assert request.status == "not_released"
        return
    was_allowed(request.app_id, portal)
    (answer,) = portal.gave("release")
    read_back = request.reading_settles and any(
        proves("not_offline", reading) for reading in portal.gave("reading")
    )
    match request.status:
        case "released":
            assert answer.succeeds or (request.verified and read_back)
        case "not_released":
            assert answer.may_refuse
        case status:
            assert status == "unknown"
            assert not answer.succeeds


def was_allowed(app_id: AppId, portal: Portal) -> None:
    """A release was sent: the portal had said everything that allows it."""
    ((path, form),) = portal.posts
    assert (form["username"], form["appId"]) == (NAME, app_id)
    told = portal.gave("facts")[-1].told
    user = told.get("user")
    me = user if isinstance(user, dict) else portal.gave("me")[-1].told
    assert told.get("isPortal") is True
    assert may_release(me)
    version = version_in(told.get("enterpriseVersion"))
    since = PRODUCTS[app_id].since
    assert since is None or (version is not None and version >= since)
    assert ("/system/licenses/" not in path) or version is None or version < (10, 7, 0)
    assert portal.gave("member")[-1].told["username"] == NAME
    read = [proves("offline", answer) for answer in portal.gave("license")]
    assert any(read) or not PRODUCTS[app_id].reliable


async def settled(request: Request, address: str, desks: Desks) -> None:
    """Another process, much later, on an honest portal where the license is still checked out."""
    honest = Portal()
    desks.now += LATER
    async with honest.client() as client:
        server = desks.server(client, address)
        later = (await server.find(limit=9, release_id=request.release_id))[0]
    assert honest.posts == []
    assert later.status in ("released", "not_released")
    assert request.status == "unknown" or later == request
