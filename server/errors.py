"""Everything that can go wrong, grouped by what the reader can do next.

    LicenseServerError
    ├── SettingsError              correct the named setting, then start again
    ├── WrongKey                   answer in the card itself
    ├── LedgerUnavailable          mend the ledger, as its text says; nothing is released
    └── PortalError
        ├── PortalUnreachable      nothing reached the portal: address, network, certificate
        ├── NoClearAnswer          something was sent, and no answer says what became of it
        ├── PortalRefused          the portal answered no
        │   ├── MissingPrivilege   give the account "Manage licenses"
        │   ├── TokenRejected      the portal no longer accepts the token
        │   └── NoSuchMember       use the exact username
        ├── SignInFailed           correct the account's name or password; it is not tried again
        └── NotAnEnterprisePortal  the address leads to a system without this operation

Each carries the facts as attributes, and the reason that the ledger and the tools report.
"""

from typing import ClassVar

from server.releases.models import Reason


class LicenseServerError(Exception):
    """The root: its text is one sentence for a person, with no secret in it."""


class SettingsError(LicenseServerError):
    """A setting or the policy file cannot be used; names which one, and why."""


class WrongKey(LicenseServerError):
    """An answer claimed to come from the card, and does not have its key."""

    reason: ClassVar[Reason] = "invalid_arguments"

    def __init__(self) -> None:
        super().__init__("Only the card answers here, by a key that nobody else is given.")


class LedgerUnavailable(LicenseServerError):
    """The ledger cannot be read or written: `why`, and what to do about it."""

    reason: ClassVar[Reason] = "ledger_unavailable"

    def __init__(self, why: str, todo: str) -> None:
        super().__init__(f"The ledger cannot be used ({why}). {todo}")


class PortalError(LicenseServerError):
    """The portal could not do what was asked of it."""

    reason: ClassVar[Reason] = "portal_refused"


class PortalUnreachable(PortalError):
    """No request left for the portal: nothing can have been changed by it."""

    reason: ClassVar[Reason] = "portal_unreachable"


class NoClearAnswer(PortalError):
    """A request left, and no usable answer came back: it may have been carried out.

    `again` is whether asking the same question again may help (a read only).
    """

    reason: ClassVar[Reason] = "portal_unreachable"

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


class PortalRefused(PortalError):
    """The portal answered that it did not do it. `code` is its own, where it gave one."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class MissingPrivilege(PortalRefused):
    """The account is signed in, but lacks what the operation needs."""

    reason: ClassVar[Reason] = "missing_privilege"


class TokenRejected(PortalRefused):
    """The portal does not accept the token (codes 498 and 499)."""

    reason: ClassVar[Reason] = "sign_in_failed"


class NoSuchMember(PortalRefused):
    """The portal has no member of exactly this username."""

    reason: ClassVar[Reason] = "no_such_member"


class SignInFailed(PortalError):
    """The portal rejected the account or the token that the settings give."""

    reason: ClassVar[Reason] = "sign_in_failed"


class NotAnEnterprisePortal(PortalError):
    """The address leads to ArcGIS Online or to another system without this operation."""

    reason: ClassVar[Reason] = "not_an_enterprise_portal"
