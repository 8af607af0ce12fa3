"""The sandbox portal's state and its rules; how they travel is `app`'s business.

It is honest about the one thing that matters: what it received is kept as received, and a release
does exactly what a portal of that version would do, including to the wrong product.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from server.sandbox import documents, members, replies, search
from server.sandbox.members import SandboxMember
from server.sandbox.products import (
    APP_ID_SINCE,
    PRO,
    PRODUCTS,
    Product,
    Version,
    parse_version,
    product_of,
    purchases,
)
from server.sandbox.replies import Json
from server.sandbox.tokens import Tokens

ADMINISTRATOR: Final = members.ADMINISTRATOR
PASSWORD: Final = members.PASSWORD

RELEASE = "releaseLicense"
NEW_LICENSE_PATH = "portaladmin/license"
OLD_LICENSE_PATH = "portaladmin/system/licenses"
KUBERNETES = "ArcGISEnterpriseOnKubernetes"
# Assumption: a portal that tells no `enterpriseVersion` is an old one of this version.
SILENT_VERSION = "10.8.1"


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request, as it came; header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    headers: dict[str, str]


class SandboxPortal:
    """One portal. `members` are added to the three service accounts; None means the dozen.

    `version=None` is a portal that does not tell its version; `token_minutes_cap` -1 is no cap;
    `deployment=KUBERNETES` is one without portaladmin.
    """

    def __init__(
        self,
        *,
        members: Iterable[SandboxMember] | None = None,
        version: str | None = "11.5.0",
        is_portal: bool = True,
        context: str = "portal",
        clock: Callable[[], float] = time.time,
        token_minutes_cap: int = 120,
        deployment: str = "ArcGISEnterprise",
    ) -> None:
        self.version, self.is_portal, self.context = version, is_portal, context
        self.deployment, self.token_minutes_cap = deployment, token_minutes_cap
        self.members = _by_username(members)
        self.requests: list[Received] = []
        self._tokens = Tokens(self.members, clock, token_minutes_cap)

    @property
    def true_version(self) -> Version:
        return parse_version(self.version or SILENT_VERSION)

    @property
    def has_portaladmin(self) -> bool:
        return self.is_portal and self.deployment != KUBERNETES

    @property
    def license_path(self) -> str:
        return NEW_LICENSE_PATH if self.true_version >= (10, 7) else OLD_LICENSE_PATH

    @property
    def current_version(self) -> str:
        return documents.current_version(self.true_version)

    @property
    def releases(self) -> list[Received]:
        """The requests that asked for a release, whatever became of them."""
        endings = tuple(f"/{path}/{RELEASE}" for path in (NEW_LICENSE_PATH, OLD_LICENSE_PATH))
        return [
            request
            for request in self.requests
            if request.method == "POST" and request.path.endswith(endings)
        ]

    def is_offline(self, username: str, app_id: str) -> bool:
        """The truth, which is not always what `disconnected` tells."""
        return app_id in self.members[username].offline

    def check_out(self, username: str, app_id: str) -> None:
        if not self.members[username].holds(app_id):
            raise ValueError(f"{username} has no license for {app_id}")
        self.members[username].offline.add(app_id)

    def hand_back(self, username: str, app_id: str) -> None:
        """The member does it on the device; nothing happens when it is not checked out."""
        self.members[username].offline.discard(app_id)

    def expire_tokens(self) -> None:
        self._tokens.expire_all()

    def locked_out(self, username: str) -> bool:
        return self._tokens.locked_out(username)

    def sign_in(self, form: dict[str, str]) -> Json:
        return self._tokens.sign_in(form)

    def sign_in_by_page(self, form: dict[str, str]) -> Json:
        return self._tokens.sign_in_by_page(form)

    def owner(self, token: str, referer: str | None) -> SandboxMember:
        """Whose token it is; a `Refusal` when it is nobody's."""
        return self._tokens.owner(token, referer)

    def describe(self, caller: SandboxMember | None) -> Json:
        """`portals/self`."""
        document = documents.portal_document(
            version=self.true_version, is_portal=self.is_portal, cap=self.token_minutes_cap
        )
        if self.is_portal:
            document["portalDeploymentType"] = self.deployment
            document |= self._told_version()
        if caller is not None:
            document["user"] = documents.own_document(caller)
        return document

    def root(self) -> Json:
        """`sharing/rest`, which tells the version from 11.3."""
        told = self._told_version() if self.is_portal and self.true_version >= (11, 3) else {}
        return {"currentVersion": self.current_version} | told

    def profile(self, caller: SandboxMember, username: str) -> Json:
        """By username or by `id`, as Esri's client looks up whom it found."""
        # Assumption: the lookup of a profile ignores case, and answers with the true spelling.
        known = self.members.get(username) or self._looked_up(username.casefold())
        if known is None:
            raise replies.no_such_member()
        return (
            documents.own_document(known) if known is caller else documents.member_document(known)
        )

    def custom_roles(self, params: dict[str, str]) -> Json:
        used = {member.custom_role for member in self.members.values() if member.custom_role}
        return search.page(sorted(used), params, show=documents.role, key="roles")

    def list_members(self, params: dict[str, str]) -> Json:
        everybody = list(self.members.values())
        return search.page(everybody, params, show=documents.member_document, key="users")

    def find_members(self, params: dict[str, str]) -> Json:
        found = search.find(list(self.members.values()), params.get("q", ""))
        found.sort(key=lambda member: member.username.casefold())
        return search.page(found, params, show=documents.member_document)

    def purchases(self, caller: SandboxMember) -> Json:
        _require_license_manager(caller)
        return {"purchases": purchases()}

    def entitlement(self, caller: SandboxMember, item_id: str, username: str) -> Json:
        """One member's license; without one, one of the two documented ways of saying so."""
        _require_license_manager(caller)
        product = _listing(item_id)
        # Assumption: here the username is case-sensitive, as it is for a release.
        member = self.members.get(username)
        if member is None:
            raise replies.no_such_member()
        if member.holds(product.app_id):
            return {"userEntitlements": documents.entitlement(member, product)}
        # Assumption: which of the two comes when; a member with no license at all gets the error.
        if not member.licenses:
            raise replies.not_licensed()
        return {"userEntitlements": {}}

    def entitlements(self, caller: SandboxMember, item_id: str, params: dict[str, str]) -> Json:
        _require_license_manager(caller)
        product = _listing(item_id)
        holders = [member for member in self.members.values() if member.holds(product.app_id)]
        show = partial(documents.entitlement, product=product)
        return search.page(holders, params, show=show, key="userEntitlements")

    def license_summary(self, caller: SandboxMember) -> Json:
        self.require_portaladmin(caller)
        return documents.license_document(
            list(self.members.values()), self.version or SILENT_VERSION
        )

    def require_portaladmin(self, caller: SandboxMember) -> None:
        """Before 10.8 privileges counted for nothing: only the default administrator got in."""
        if caller.is_administrator:
            return
        if self.true_version < (10, 8) or members.MANAGE_LICENSES not in caller.privileges:
            raise replies.not_permitted()

    def release_license(self, caller: SandboxMember, form: dict[str, str]) -> Json:
        """Hands back the member's license for the product that *this version* understands."""
        self.require_portaladmin(caller)
        member = self.members.get(form.get("username", ""))
        if member is None:
            # Assumption: nobody documents the reply for an unknown or missing username.
            raise replies.admin_error(400, "The specified user does not exist.")
        if "token" not in form:
            # Assumption: the release itself wants its token in the documented place, the body.
            raise replies.token_required()
        # Assumption: success as well when nothing was checked out; the device notices nothing.
        member.offline.discard(self._product_meant(form).app_id)
        return {"status": "success"}

    def _looked_up(self, wanted: str) -> SandboxMember | None:
        for known in self.members.values():
            if wanted in (known.username.casefold(), documents.member_id(known)):
                return known
        return None

    def _told_version(self) -> Json:
        return {} if self.version is None else {"enterpriseVersion": self.version}

    def _product_meant(self, form: dict[str, str]) -> Product:
        # Assumption: a portal that does not know `appId` ignores it and releases ArcGIS Pro.
        if self.true_version < APP_ID_SINCE:
            return PRODUCTS[PRO]
        # Assumption: `appId` left out means ArcGIS Pro.
        product = PRODUCTS.get(form.get("appId", PRO))
        if product is None or self.true_version < product.releasable_since:
            # Assumption: the reply for an `appId` that the portal does not know.
            raise replies.admin_error(400, "The specified appId is not supported.")
        return product


def _by_username(given: Iterable[SandboxMember] | None) -> dict[str, SandboxMember]:
    people = members.MEMBERS() if given is None else list(given)
    return {member.username: member for member in [*members.service_accounts(), *people]}


def _listing(item_id: str) -> Product:
    product = product_of(item_id)
    if product is None:
        raise replies.no_such_listing()
    return product


def _require_license_manager(caller: SandboxMember) -> None:
    # Assumption: listings and entitlements need what releasing needs.
    if not caller.is_administrator and members.MANAGE_LICENSES not in caller.privileges:
        raise replies.not_permitted()
