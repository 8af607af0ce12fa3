"""What may be released: a pure function of the request and of the facts.

The same function is asked twice, when a request is made and again right before it is sent, so a
change in between counts. It errs towards refusing: an unknown version, an unreadable file or a
misspelt key never widens what is allowed.
"""

import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from server.errors import SettingsError
from server.releases.models import PRODUCTS, AppId, Ask, Evidence, Refusal, Request, Usage
from server.text import plain, quoted

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)


class Limits(BaseModel):
    """How many releases may be sent, and how long a release is worth a notice."""

    model_config = _STRICT

    requester_per_hour: Annotated[int, Field(ge=0)] = 10
    portal_per_day: Annotated[int, Field(ge=0)] = 50
    notice_days: Annotated[int, Field(ge=0)] = 7


class Policy(BaseModel):
    """The policy file; what it leaves out has these defaults."""

    model_config = _STRICT

    read_only: bool = False
    products: Annotated[list[AppId], Field(min_length=1)] = list(PRODUCTS)
    protected_members: list[str] = []
    protect_administrators: bool = True
    ticket_pattern: str | None = None
    four_eyes: bool = False
    limits: Limits = Limits()

    @field_validator("ticket_pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            re.compile(pattern)
        return pattern


def load(path: Path | None, *, shared: bool = False) -> Policy:
    """Read the policy from a TOML file, or return the defaults where there is none.

    `shared` is whether the ledger is on a server, which knows who is signed in.

    Raises:
        SettingsError: the file cannot be read, is not TOML, has an unknown key or a wrong type, or
            wants four eyes of a ledger that knows nobody; one line that names it.
    """
    policy = Policy() if path is None else _read(path)
    if policy.four_eyes and not shared:
        raise SettingsError(
            f"POLICY_FILE {path}: four_eyes needs a ledger that knows who is signed in: set "
            "LEDGER_URL to a PostgreSQL database, with an account for each person and agent"
        )
    return policy


def _read(path: Path) -> Policy:
    try:
        return Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except ValidationError as error:
        raise SettingsError(f"POLICY_FILE {path}: {_first_fault(error)}") from error
    except re.error as error:
        raise SettingsError(
            f"POLICY_FILE {path}: ticket_pattern is not a regular expression: {error}"
        ) from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"POLICY_FILE {path}: cannot be used: {plain(error)}") from error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key!r}; remove it or correct its spelling"
    return f"{key}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def refusal(policy: Policy, ask: Ask, usage: Usage, evidence: Evidence | None) -> Refusal | None:
    """Return the first rule that forbids this release, or None.

    Without evidence only the rules that need none are asked, so that nothing is read from the
    portal for a request that could never be granted.
    """
    return next(_objections(policy, ask, usage, evidence), None)


def self_approval(policy: Policy, request: Request) -> Refusal | None:
    """Refuse a yes of the account that asked, where the policy of either side wants four eyes."""
    if not (policy.four_eyes or request.four_eyes):
        return None
    if request.approver_account != request.requester_account:
        return None
    return Refusal("self_approval", "The policy (four_eyes) wants somebody else to say yes.")


def _objections(
    policy: Policy, ask: Ask, usage: Usage, evidence: Evidence | None
) -> Iterator[Refusal]:
    if policy.read_only:
        yield Refusal("read_only", "The policy (read_only) allows no release on this server.")
    if ask.app_id not in policy.products:
        allowed = ", ".join(policy.products)
        yield Refusal("policy", f"The policy allows releases of these products only: {allowed}.")
    if _is_protected(policy, ask.username):
        yield Refusal("policy", "The policy protects this member (protected_members).")
    yield from _ticket_objections(policy, ask)
    yield from _limit_objections(policy.limits, usage)
    if evidence is not None:
        yield from _fact_objections(policy, evidence)


def _is_protected(policy: Policy, username: str) -> bool:
    name = username.casefold()
    return any(fnmatchcase(name, pattern.casefold()) for pattern in policy.protected_members)


def _ticket_objections(policy: Policy, ask: Ask) -> Iterator[Refusal]:
    pattern = policy.ticket_pattern
    if pattern is not None and not re.fullmatch(pattern, ask.ticket):
        yield Refusal(
            "policy",
            f"The policy requires a ticket that matches {quoted(pattern)}; ask the person for its "
            "number and do not invent one.",
        )


def _limit_objections(limits: Limits, usage: Usage) -> Iterator[Refusal]:
    if usage.requester_hour >= limits.requester_per_hour:
        yield Refusal(
            "limit",
            f"This requester has reached {limits.requester_per_hour} releases in an hour "
            "(limits.requester_per_hour); wait, or hand it to an administrator.",
        )
    if usage.portal_day >= limits.portal_per_day:
        yield Refusal(
            "limit",
            f"This portal has reached {limits.portal_per_day} releases in a day "
            "(limits.portal_per_day); try again tomorrow.",
        )


def _fact_objections(policy: Policy, evidence: Evidence) -> Iterator[Refusal]:
    product, portal, member = PRODUCTS[evidence.app_id], evidence.portal, evidence.member
    if not portal.is_enterprise:
        yield Refusal(
            "not_an_enterprise_portal",
            "This is ArcGIS Online, which has no such operation; Esri support does it there.",
        )
    if product.since is not None and (portal.version is None or portal.version < product.since):
        needed = f"{product.since[0]}.{product.since[1]}"
        yield Refusal(
            "unsupported_version",
            f"{product.title} needs ArcGIS Enterprise {needed} or later, and this portal's version "
            f"is {portal.version_text}; an older one might release ArcGIS Pro instead.",
        )
    if not portal.may_release:
        yield Refusal(
            "missing_privilege",
            "The account of this server may not release licenses; give it the privilege "
            '"Manage licenses" (before Enterprise 10.8, the default administrator role).',
        )
    if policy.protect_administrators and member.is_administrator:
        yield Refusal(
            "policy", "The policy protects administrators (protect_administrators = true)."
        )
    if evidence.license == "not_licensed":
        yield Refusal("not_licensed", f"This member has no license for {product.title}.")
    if evidence.license == "not_offline" and product.reliable:
        yield Refusal(
            "not_checked_out",
            f"The portal says that no {product.title} license is checked out for this member, so "
            "there is nothing to release. A greyed-out offline box in ArcGIS Pro usually means "
            "that Pro is not signed in to the licensing portal.",
        )
