"""The portal's JSON turned into the values that a release is decided on.

Every field may be missing, null or of another type; what decides something is read strictly, and
what is only shown becomes empty. Field names are those of the documented replies of `portals/self`,
`community/users`, `purchases` and `userEntitlements`.
"""

import re
from typing import Any, TypeGuard

from server.errors import NoClearAnswer, NotAnEnterprisePortal
from server.portal.replies import Json
from server.releases.models import LicenseState, Member, PortalFacts, Version
from server.text import plain

# Read in Esri's own client (`arcgis` 2.4), which tells Kubernetes by this field and value.
KUBERNETES = "ArcGISEnterpriseOnKubernetes"
MANAGE_LICENSES = "portal:admin:manageLicenses"
LAST_MOMENT = 253_402_300_799_999
_NUMBERS = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4})(?:\.[0-9]+)*)?")
_ITEM_ID = re.compile(r"[0-9A-Za-z]{1,64}")
_SYNTAX = re.compile(r"[\\\"():\[\]{}^~*?!&|+/<>=]")


def portal_facts(url: str, answer: Json) -> PortalFacts:
    """Read `portals/self`, with the account's profile as its `user`.

    Raises:
        NotAnEnterprisePortal: the portal runs on Kubernetes, whose path differs.
    """
    if answer.get("portalDeploymentType") == KUBERNETES:
        raise NotAnEnterprisePortal(
            "This portal is ArcGIS Enterprise on Kubernetes, which is not supported yet; release "
            "the license through its own administrator API."
        )
    found = version(answer.get("enterpriseVersion"))
    return PortalFacts(
        url=url,
        name=_shown(answer.get("portalName") or answer.get("name"), 80),
        version=found,
        is_enterprise=answer.get("isPortal") is True,
        may_release=_may_release(answer.get("user"), found),
        old_path=_is_older(found or version(answer.get("currentVersion")), found is not None),
    )


def version(text: object) -> Version | None:
    """Read an Enterprise version such as "11.3.0"; None where it is not exactly one."""
    match = _NUMBERS.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch or 0)


def _is_older(found: Version | None, is_enterprise_version: bool) -> bool:
    # Esri's own client (`arcgis` 2.4) takes a `currentVersion` below 7.1 for one before 10.7.
    since = (10, 7, 0) if is_enterprise_version else (7, 1, 0)
    return found is not None and found < since


def _may_release(user: object, found: Version | None) -> bool:
    if not isinstance(user, dict):
        return False
    if user.get("role") == "org_admin":
        return True
    privileges = user.get("privileges")
    by_privilege = isinstance(privileges, list) and MANAGE_LICENSES in privileges
    return by_privilege and (found is None or found >= (10, 8, 0))


def member(answer: Json) -> Member:
    """Read a member's profile."""
    username = answer.get("username")
    if not isinstance(username, str) or not username:
        raise NoClearAnswer("The portal described a member without a username.")
    login = answer.get("lastLogin")
    return Member(
        username=username,
        full_name=_shown(answer.get("fullName"), 80),
        email=_shown(answer.get("email"), 120),
        role=_shown(answer.get("role"), 60),
        disabled=answer.get("disabled") is True,
        last_login=login if _is_a_moment(login) else None,
    )


def _shown(value: object, limit: int) -> str:
    return plain(value, limit) if isinstance(value, str) else ""


def _is_a_moment(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 < value <= LAST_MOMENT


def license_state(entitlement: object) -> LicenseState:
    """Read one `userEntitlements` object; empty means that the member has no license.

    Raises:
        NoClearAnswer: it does not say whether the license is checked out, which proves nothing.
    """
    if not isinstance(entitlement, dict) or not entitlement.get("entitlements"):
        return "not_licensed"
    disconnected = entitlement.get("disconnected")
    if not isinstance(disconnected, bool):
        raise NoClearAnswer("The portal does not say whether the license is checked out.")
    return "offline" if disconnected else "not_offline"


def listing_ids(answer: Json, title: str) -> list[str]:
    """Return a product's listings among `purchases`; titles repeat, some lack a listing."""
    ids: dict[str, None] = {}
    for purchase in rows(answer, "purchases"):
        listing = purchase.get("listing")
        if not isinstance(listing, dict):
            continue
        item_id = listing.get("itemId")
        same = _shown(listing.get("title"), 200).casefold() == title.casefold()
        if same and isinstance(item_id, str) and _ITEM_ID.fullmatch(item_id):
            ids[item_id] = None
    return list(ids)


def rows(answer: Json, key: str) -> list[dict[str, Any]]:
    """Return the objects of a list in a reply.

    Raises:
        NoClearAnswer: the reply has no such list.
    """
    found = answer.get(key)
    if not isinstance(found, list):
        raise NoClearAnswer(f"The portal's answer lacks the list {key!r}.")
    return [row for row in found if isinstance(row, dict)]


def total(answer: Json, shown: int) -> int:
    """Return how many there are in all, or `shown` where the reply gives no usable number."""
    told = answer.get("total")
    return told if type(told) is int and shown <= told < 10**9 else shown


def search_words(text: str) -> str:
    """Return the words of `text` without the search syntax of the portal."""
    return " ".join(_SYNTAX.sub(" ", text).split())
