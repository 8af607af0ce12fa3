"""What the portal shows of a member, of itself and of a license: field by field, as documented."""

import hashlib
from typing import Any

from server.sandbox.members import SandboxMember
from server.sandbox.products import Product, Version
from server.sandbox.replies import Json

# The id of the default organisation of every ArcGIS Enterprise portal.
ORGANISATION = "0123456789ABCDEF"

# Assumption: `currentVersion` by marketing version; Esri's client tells old from new by it.
_CURRENT: tuple[tuple[Version, str], ...] = (
    ((11, 5), "2025.1"),
    ((11, 4), "2024.2"),
    ((11, 3), "2024.1"),
    ((11, 2), "2023.2"),
    ((11, 1), "2023.1"),
    ((11, 0), "10.1"),
    ((10, 9), "9.2"),
    ((10, 8), "8.2"),
    ((10, 7), "7.1"),
    ((10, 0), "6.4"),
)


def current_version(version: Version) -> str:
    return next((text for since, text in _CURRENT if version >= since), "6.4")


def member_id(member: SandboxMember) -> str:
    return hashlib.md5(member.username.encode(), usedforsecurity=False).hexdigest()


def member_document(member: SandboxMember) -> Json:
    return {
        "username": member.username,
        "id": member_id(member),
        "fullName": member.full_name,
        "firstName": member.full_name.split(" ")[0],
        "lastName": member.full_name.split(" ")[-1],
        "email": member.email,
        "role": member.role,
        "roleId": member.custom_role or member.role,
        "level": "2",
        "userType": "arcgisonly",
        "userLicenseTypeId": member.user_type,
        "disabled": member.disabled,
        "lastLogin": member.last_login,
        "provider": member.provider,
        "access": "org",
        "orgId": ORGANISATION,
        "created": 1_700_000_000_000,
        "modified": 1_700_000_000_000,
        "groups": [],
        "tags": [],
    }


def own_document(member: SandboxMember) -> Json:
    """What members see of themselves: also their privileges."""
    return member_document(member) | {"privileges": list(member.privileges)}


def role(role_id: str) -> Json:
    return {"id": role_id, "name": role_id, "description": "A custom role"}


def entitlement(member: SandboxMember, product: Product) -> Json:
    return {
        "username": member.username,
        "lastLogin": member.last_login,
        "disconnected": member.reads_disconnected(product.app_id),
        "entitlements": list(product.entitlements),
    }


def portal_document(*, version: Version, is_portal: bool, cap: int) -> Json:
    """The part of `portals/self` that needs no sign-in, without `enterpriseVersion`."""
    name = "ArcGIS Enterprise (sandbox)" if is_portal else "ArcGIS Online"
    return {
        "id": ORGANISATION,
        "name": name,
        "portalName": name,
        "isPortal": is_portal,
        "portalMode": "singletenant" if is_portal else "multitenant",
        "currentVersion": current_version(version),
        "maxTokenExpirationMinutes": cap,
        "supportsOAuth": True,
        "allSSL": True,
        "access": "private",
        "culture": "en",
        "helperServices": {},
    }


def license_document(members: list[SandboxMember], version: str) -> Json:
    """`portaladmin/license`."""
    types = sorted({member.user_type for member in members})
    return {
        "version": version,
        "currentRegisteredMembers": len(members),
        "maximumRegisteredMembers": max(100, len(members)),
        "userTypes": [_user_type(name, members) for name in types],
    }


def _user_type(name: str, members: list[SandboxMember]) -> dict[str, Any]:
    used = sum(member.user_type == name for member in members)
    return {
        "id": name,
        "maximumRegisteredMembers": max(100, used),
        "currentRegisteredMembers": used,
        "expiration": -1,
    }
