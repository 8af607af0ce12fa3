"""What all tests share: the event loop, a clock that stands still, and a portal made of values."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from server.releases.ledger import Ledger
from server.releases.models import AppId, Ask, Caller, LicenseState, Member, PortalFacts, Version
from server.releases.outcomes import Timing
from server.releases.policy import Policy
from server.releases.service import Releases
from tests import postgres as postgres_server
from tests.postgres import Postgres

PORTAL_URL = "https://gis.example.com/portal"
START = 1_795_000_000_000
ASK = Ask("mlopez", "arcgisprodesktop", "laptop stolen", "INC-1")


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, as the server does."""
    return "asyncio"


@dataclass
class Clock:
    """A clock that moves only when it is told to, in milliseconds since 1970."""

    now: int = START

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass."""
        self.now += int(seconds * 1000)


@dataclass
class FakePortal:
    """A portal of values. It records what it is asked, and `released` what it was sent.

    `fail[name]` is raised by that method; `before_answer` is called when a release has
    arrived, before it takes effect; `acts` is whether a release takes effect at all.
    """

    version: Version | None = (11, 5, 0)
    is_enterprise: bool = True
    may_release: bool = True
    role: str = "org_user"
    license_state: LicenseState = "offline"
    acts: bool = True
    asked: list[str] = field(default_factory=list)
    released: list[tuple[str, AppId]] = field(default_factory=list)
    fail: dict[str, Exception] = field(default_factory=dict)
    before_answer: Callable[[], None] = lambda: None

    async def facts(self) -> PortalFacts:
        self._asked("facts")
        return PortalFacts(PORTAL_URL, "GIS", self.version, self.is_enterprise, self.may_release)

    async def member(self, username: str) -> Member:
        self._asked("member")
        return Member(username, "Maria Lopez", "mlopez@example.com", self.role, False, START)

    async def license(self, username: str, app_id: AppId) -> LicenseState:
        self._asked("license")
        return self.license_state

    async def release(self, username: str, app_id: AppId) -> None:
        self.released.append((username, app_id))
        self.before_answer()
        if self.acts:
            self.license_state = "not_offline"
        self._asked("release")

    def _asked(self, name: str) -> None:
        self.asked.append(name)
        if name in self.fail:
            raise self.fail[name]


@dataclass
class Desk:
    """The use case with everything that it was given, for one caller."""

    releases: Releases
    ledger: Ledger
    portal: FakePortal
    clock: Clock


MakeDesk = Callable[..., Desk]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, started when a test first needs it."""
    with postgres_server.running() as server:
        yield server


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    return f"sqlite:///{(tmp_path / 'ledger.db').as_posix()}"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger(ledger_url, same_clock=False)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def portal() -> FakePortal:
    return FakePortal()


LedgerOf = Callable[[str], Ledger]


@pytest.fixture
def ledger_of(ledger: Ledger) -> LedgerOf:
    """The ledger as a requester opens it."""
    return lambda _: ledger


@pytest.fixture
def make_desk(ledger_of: LedgerOf, portal: FakePortal, clock: Clock) -> MakeDesk:
    """Make a use case; several of them share one ledger and one portal, as instances do."""

    def make(
        policy: Policy | None = None,
        requester: str = "ana@desk",
        timing: Timing | None = None,
        portal_url: str = PORTAL_URL,
    ) -> Desk:
        ledger = ledger_of(requester)
        releases = Releases(
            portal=portal,
            portal_url=portal_url,
            ledger=ledger,
            policy=policy or Policy(),
            caller=Caller(requester),
            clock=clock,
            timing=timing or Timing(),
        )
        return Desk(releases, ledger, portal, clock)

    return make


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The links that a browser was asked to open."""
    opened: list[str] = []

    def open_link(link: str) -> bool:
        opened.append(link)
        return True

    monkeypatch.setattr("server.consent.browser.opener", lambda: open_link)
    return opened


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    return make_desk()


__all__ = ["ASK", "PORTAL_URL", "START", "Clock", "Desk", "FakePortal", "MakeDesk"]
