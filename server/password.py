"""Where the portal account's password is kept: the system's keyring, or a file for one user alone.

A client's configuration then names the place, and does not hold the password itself.
"""

import os
import stat
from pathlib import Path

from pydantic import SecretStr

from server.errors import SettingsError
from server.text import plain

KEYRING = "keyring"
SERVICE = "arcgis-license-mcp"


def keep(password: SecretStr, *, account: str, file: Path) -> str:
    """Keep a password in the keyring, or in `file` where there is none; return the place."""
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(SERVICE, account, password.get_secret_value())
    except (KeyringError, OSError):
        return str(_write(password, file))
    return KEYRING


def read(place: str, *, account: str) -> SecretStr:
    """Read a password from where `keep` put it.

    Raises:
        SettingsError: it is not there, or a file is open to others; says what to do.
    """
    found = _from_keyring(account) if place == KEYRING else _from_file(Path(place))
    if not found:
        raise SettingsError(
            f"PORTAL_PASSWORD_FROM: {plain(place)} holds no password of {plain(account)}; run "
            "`arcgis-license-mcp init` to keep it there"
        )
    return SecretStr(found)


def account_of(username: str, portal_url: str) -> str:
    """Name an account of a portal, as the keyring lists it."""
    return f"{username} at {portal_url}"


def _from_keyring(account: str) -> str | None:
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(SERVICE, account)
    except KeyringError as error:
        why = plain(error) or type(error).__name__
        raise SettingsError(f"PORTAL_PASSWORD_FROM: the keyring cannot be read: {why}") from error


def _from_file(file: Path) -> str:
    try:
        open_to_others = os.name == "posix" and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"PORTAL_PASSWORD_FROM: {plain(file)} cannot be read: give `keyring`, or the path of a "
            "file that holds the password alone"
        ) from error
    if open_to_others:
        raise SettingsError(
            f"PORTAL_PASSWORD_FROM: others may read {plain(file)}; make it yours alone (chmod 600)"
        )
    return text.removesuffix("\n").removesuffix("\r")


def _write(password: SecretStr, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.unlink(missing_ok=True)
    with os.fdopen(
        os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8"
    ) as opened:
        opened.write(f"{password.get_secret_value()}\n")
    return file
