"""Every setting, from the environment, checked once at the start.

A setting that cannot be used stops the start with one line that names it; secrets are held as
`SecretStr`, so neither a log nor an error shows them.
"""

import getpass
import platform
import re
from collections.abc import Mapping
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from server import password
from server.errors import SettingsError
from server.releases.models import ROUTES, Caller, Route

APP_NAME = "arcgis-license-mcp"
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

_SQLITE = "sqlite:///"
_POSTGRESQL = "postgresql+psycopg://"
_TAIL = re.compile(r"/(home|sharing|portaladmin)(/.*)?$")


def data_folder() -> Path:
    """Return the folder of the user's data, where the ledger is kept by default."""
    from platformdirs import user_data_path

    return user_data_path(APP_NAME, appauthor=False)


def ledger_url(file_name: str) -> str:
    """Return the URL of a SQLite ledger in the user's data folder."""
    return f"sqlite:///{(data_folder() / file_name).as_posix()}"


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this very machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def caller() -> Caller:
    """Return the account that this process runs under, as `name@machine`."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # Windows has no `pwd` to ask.
        name = "unknown"
    return Caller(f"{name}@{platform.node() or 'unknown'}")


def _comma_separated(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class LedgerSettings(BaseModel):
    """What the commands need that only read the ledger."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    ledger_url: Annotated[
        str,
        Field(
            default_factory=lambda: ledger_url("ledger.db"),
            repr=False,
            description=(
                "`sqlite:///` and a path, by default a file in the user's data folder; or "
                "`postgresql+psycopg://`, a server that a team shares."
            ),
        ),
    ]

    @property
    def ledger_file(self) -> Path | None:
        """The file of a SQLite ledger; None for a server."""
        path = self.ledger_url.removeprefix(_SQLITE)
        return None if path == self.ledger_url else Path(path)

    @property
    def ledger_is_shared(self) -> bool:
        """Whether the ledger is on a server, which several machines may use."""
        return self.ledger_file is None

    @property
    def ledger_name(self) -> str:
        """Where the ledger is, without account and password."""
        address = urlsplit(self.ledger_url)
        place = f"{address.hostname or 'localhost'}{address.path}"
        return place if self.ledger_file is None else str(self.ledger_file)

    @field_validator("ledger_url")
    @classmethod
    def _is_durable(cls, value: str) -> str:
        if value.startswith(_POSTGRESQL):
            if find_spec("psycopg") is None:
                raise ValueError("install arcgis-license-mcp[postgres] for a PostgreSQL ledger")
            return value
        path = value.removeprefix(_SQLITE)
        if path == value or path in ("", ":memory:") or "?" in path:
            raise ValueError("give sqlite:/// and the path of a file, or postgresql+psycopg://")
        return value


class Settings(LedgerSettings):
    """The settings in force; the field names in capitals are the environment's names."""

    portal_url: Annotated[
        str, Field(description="The portal's address, as in `https://gis.example.com/portal`.")
    ]
    portal_username: Annotated[
        str | None,
        Field(description='A built-in account with the privilege "Manage licenses".'),
    ] = None
    portal_password: Annotated[
        SecretStr | None, Field(description="Its password; tried once, never again if rejected.")
    ] = None
    portal_password_from: Annotated[
        str | None,
        Field(
            description="Where `init` has put the password instead: `keyring`, or a private file."
        ),
    ] = None
    portal_token: Annotated[
        SecretStr | None,
        Field(description="A token instead of both, bound to `PORTAL_URL` as its referer."),
    ] = None
    portal_ca_bundle: Annotated[
        Path | None,
        Field(description="A PEM file of certificate authorities to trust beside the system's."),
    ] = None
    portal_client_cert: Annotated[
        Path | None, Field(description="A PEM client certificate, for portals behind PKI.")
    ] = None
    portal_client_key: Annotated[
        Path | None, Field(description="Its key, where the certificate's file lacks it.")
    ] = None
    portal_timeout: Annotated[
        float, Field(gt=0, le=300, description="Seconds that one answer of the portal may take.")
    ] = 30.0
    policy_file: Annotated[Path | None, Field(description="The policy, a TOML file.")] = None
    consent_routes: Annotated[
        tuple[Route, ...],
        BeforeValidator(_comma_separated),
        Field(min_length=1, description="The ways to a person, in the order they are tried."),
    ] = ROUTES
    consent_timeout: Annotated[
        float, Field(gt=0, le=3600, description="Seconds that an answer to a form is waited for.")
    ] = 55.0
    consent_expires: Annotated[
        int, Field(ge=60, le=604_800, description="Seconds that an unanswered request stays open.")
    ] = 3600
    open_browser: Annotated[
        bool, Field(description="Whether the approval page is opened in this machine's browser.")
    ] = True
    log_level: Annotated[
        LogLevel, BeforeValidator(str.upper), Field(description="What is logged on stderr.")
    ] = "WARNING"

    @property
    def is_local(self) -> bool:
        """Whether the portal runs on this machine (the sandbox does)."""
        return is_loopback(urlsplit(self.portal_url).hostname or "")

    @field_validator("portal_url")
    @classmethod
    def _is_a_portal_address(cls, value: str) -> str:
        parts = urlsplit(value.strip())
        host = parts.hostname or ""
        if parts.port == 0:
            raise ValueError("port 0 is none")
        if parts.scheme not in ("https", "http") or not host:
            raise ValueError("give the portal's address, as in https://gis.example.com/portal")
        if parts.scheme == "http" and not is_loopback(host):
            raise ValueError("use https; http is accepted for a portal on this machine only")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("give the address alone, without account, query or fragment")
        path = _TAIL.sub("", parts.path.rstrip("/"))
        return f"{parts.scheme}://{parts.netloc}{path}"

    @field_validator("portal_ca_bundle", "portal_client_cert", "portal_client_key", "policy_file")
    @classmethod
    def _exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"there is no file {value}")
        return value

    @model_validator(mode="after")
    def _has_one_way_to_sign_in(self) -> "Settings":
        missing = [self.portal_password, self.portal_password_from].count(None)
        account = self.portal_username is not None or missing < 2
        if missing == 0:
            raise ValueError("set PORTAL_PASSWORD or PORTAL_PASSWORD_FROM, not both")
        if account and self.portal_token is not None:
            raise ValueError("set PORTAL_TOKEN, or PORTAL_USERNAME with PORTAL_PASSWORD, not both")
        if self.portal_token is None and not (self.portal_username and missing == 1):
            raise ValueError("set PORTAL_USERNAME and PORTAL_PASSWORD, or PORTAL_TOKEN")
        return self


S = TypeVar("S", bound=LedgerSettings)


def load(environment: Mapping[str, str]) -> Settings:
    """Check the environment; an empty variable counts as not set.

    Raises:
        SettingsError: one line that names the setting and says what to give.
    """
    chosen = _load(Settings, environment)
    if chosen.portal_password_from is None or chosen.portal_username is None:
        return chosen
    account = password.account_of(chosen.portal_username, chosen.portal_url)
    found = password.read(chosen.portal_password_from, account=account)
    return chosen.model_copy(update={"portal_password": found})


def load_ledger(environment: Mapping[str, str]) -> LedgerSettings:
    """Check the settings of the ledger alone.

    Raises:
        SettingsError: as `load`.
    """
    return _load(LedgerSettings, environment)


def _load(kind: type[S], environment: Mapping[str, str]) -> S:
    given: dict[str, Any] = {
        name: value
        for name in kind.model_fields
        if (value := environment.get(name.upper(), "")) != ""
    }
    try:
        return kind(**given)
    except ValidationError as error:
        raise SettingsError(_first_fault(error)) from None


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    text = fault["msg"].removeprefix("Value error, ")
    name = "_".join(str(part) for part in fault["loc"][:1]).upper()
    if fault["type"] == "missing":
        text = "not set; " + str(Settings.model_fields[name.lower()].description)
    return f"{name}: {text}" if name else text
