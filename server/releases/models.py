"""The words of a release, as closed sets and frozen values.

A request is asked for by a model, answered by a person and carried out once. Everything here is
plain data: no portal, no protocol, no clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

AppId = Literal["arcgisprodesktop", "drone2map", "arcgisallsource"]

Status = Literal["released", "not_released", "awaiting_approval", "unknown"]
"""What a caller is told; every call ends in exactly one."""

State = Literal["open", "approved", "sending", "released", "not_released", "unknown"]
"""Where a request stands in the ledger. `approved` and `sending` pass within one carrying-out."""

Verdict = Literal["approved", "declined", "cancelled", "mistyped"]
"""What a person's answer amounts to. Only `approved` may release anything."""

Route = Literal["form", "card", "page"]
"""The way that a person is asked."""

LicenseState = Literal["offline", "not_offline", "not_licensed"]
"""What the portal's `disconnected` says of one member's license for one product."""

Reason = Literal[
    "confirmed",
    "declined",
    "cancelled",
    "expired",
    "mistyped",
    "no_route",
    "waiting",
    "no_form",
    "no_answer",
    "form_failed",
    "not_checked_out",
    "not_licensed",
    "no_such_member",
    "policy",
    "limit",
    "read_only",
    "self_approval",
    "unsupported_version",
    "not_an_enterprise_portal",
    "portal_refused",
    "portal_unreachable",
    "sign_in_failed",
    "missing_privilege",
    "ledger_unavailable",
    "invalid_arguments",
    "under_way",
    "no_effect",
    "outcome_unknown",
]

ROUTES: tuple[Route, ...] = get_args(Route)

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Product:
    """One product whose license can be checked out.

    `since` is the first Enterprise version that is known to tell this product from ArcGIS Pro in
    `releaseLicense`; None where any version does. `reliable` is whether a reading of "not checked
    out" can be believed (Esri/arcgis-python-api#2521 reports that it cannot for Drone2Map).
    """

    app_id: AppId
    title: str
    since: Version | None
    reliable: bool = True


PRODUCTS: dict[AppId, Product] = {
    product.app_id: product
    for product in (
        Product("arcgisprodesktop", "ArcGIS Pro", None),
        Product("drone2map", "ArcGIS Drone2Map", (11, 4, 0), reliable=False),
        Product("arcgisallsource", "ArcGIS AllSource", (11, 5, 0)),
    )
}


@dataclass(frozen=True, slots=True)
class PortalFacts:
    """Which portal this is, and what its account may do there.

    `version` is None where the portal does not say. `may_release` is whether the signed-in account
    has what `releaseLicense` needs, `old_path` whether the portal has the path of before 10.7.
    """

    url: str
    name: str
    version: Version | None
    is_enterprise: bool
    may_release: bool
    old_path: bool = False

    @property
    def version_text(self) -> str:
        """The Enterprise version as people write it, for instance `11.3`."""
        if self.version is None:
            return "unknown"
        major, minor, patch = self.version
        return f"{major}.{minor}.{patch}" if patch else f"{major}.{minor}"


@dataclass(frozen=True, slots=True)
class Member:
    """One member's profile. `last_login` is in milliseconds since 1970, None for never."""

    username: str
    full_name: str
    email: str
    role: str
    disabled: bool
    last_login: int | None

    @property
    def is_administrator(self) -> bool:
        """Whether this is a default administrator (`role` is `org_admin`)."""
        return self.role == "org_admin"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the portal said of a member and a product, read at `read_at` (ms since 1970)."""

    portal: PortalFacts
    member: Member
    app_id: AppId
    license: LicenseState
    read_at: int


@dataclass(frozen=True, slots=True)
class Ask:
    """What a model may say when it asks for a release."""

    username: str
    app_id: AppId
    reason: str
    ticket: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf this process asks, as the operating system knows it; and which client."""

    requester: str
    client: str = ""


_STATUS: dict[State, Status] = {
    "open": "awaiting_approval",
    "approved": "awaiting_approval",
    "sending": "unknown",
    "released": "released",
    "not_released": "not_released",
    "unknown": "unknown",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the ledger holds it. Times are in milliseconds since 1970.

    `requester` and `approver` are the names that the processes give, as `name@machine`; the
    accounts are who the database says is signed in, or the same names where it knows nobody.
    """

    release_id: str
    created_at: int
    portal: str
    portal_name: str
    portal_version: str
    username: str
    full_name: str
    email: str
    app_id: AppId
    license: str
    last_login: int | None
    read_at: int | None
    requester: str
    client: str
    ask_reason: str
    ticket: str
    notice: str
    expires_at: int
    state: State
    reason: Reason
    detail: str = ""
    route: Route | None = None
    approver: str | None = None
    decided_at: int | None = None
    sent_at: int | None = None
    lease_until: int | None = None
    verified: bool = False
    finished_at: int | None = None
    requester_account: str = ""
    approver_account: str | None = None
    four_eyes: bool = False

    @property
    def product(self) -> Product:
        """The product that this request is about."""
        return PRODUCTS[self.app_id]

    @property
    def status(self) -> Status:
        """The state as a caller is told it: `sending` is `unknown` until it is settled."""
        return _STATUS[self.state]

    @property
    def asked_by(self) -> str:
        """Who asked: the name given, and the database's account where that is another."""
        return _with_account(self.requester, self.requester_account)

    @property
    def answered_by(self) -> str | None:
        """Who answered, likewise; None where nobody has."""
        return self.approver and _with_account(self.approver, self.approver_account or "")

    @property
    def ask(self) -> Ask:
        """What was asked for."""
        return Ask(self.username, self.app_id, self.ask_reason, self.ticket)

    @property
    def reading_settles(self) -> bool:
        """Whether reading "no longer checked out" proves a release of this request."""
        return self.product.reliable and self.license == "offline"


def _with_account(name: str, account: str) -> str:
    return name if account in ("", name) else f"{name} (account {account})"


class Wanted(TypedDict, total=False):
    """Which requests are looked for; what is left out does not matter.

    `since` is when they were asked for at the earliest, in milliseconds since 1970.
    """

    release_id: str
    username: str
    ticket: str
    states: Sequence[State]
    since: int


@dataclass(frozen=True, slots=True)
class Usage:
    """The intents of this requester in the last hour, and of all on this portal in a day."""

    requester_hour: int = 0
    portal_day: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not done: the reason, and a sentence that says what to do next."""

    reason: Reason
    detail: str
