"""Settings: what is accepted, and the one line that a wrong one ends in."""

from pathlib import Path
from typing import get_args

import pytest

from server.errors import SettingsError
from server.settings import LogLevel, caller, is_loopback, load, load_ledger

GOOD = {
    "PORTAL_URL": "https://gis.example.com/portal",
    "PORTAL_USERNAME": "helpdesk",
    "PORTAL_PASSWORD": "secret-password",
}


def test_address_and_account_are_enough() -> None:
    settings = load(GOOD)
    assert settings.portal_url == "https://gis.example.com/portal"
    assert (settings.portal_timeout, settings.consent_timeout) == (30, 55)
    assert (settings.consent_expires, settings.log_level) == (3600, "WARNING")
    assert settings.ledger_url.startswith("sqlite:///")
    assert settings.ledger_file is not None
    assert settings.ledger_file.name == "ledger.db"


def test_a_token_replaces_the_account() -> None:
    settings = load({"PORTAL_URL": GOOD["PORTAL_URL"], "PORTAL_TOKEN": "abc"})
    assert settings.portal_token is not None
    assert settings.portal_username is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://gis.example.com/portal/", "https://gis.example.com/portal"),
        ("https://gis.example.com/portal/home/index.html", "https://gis.example.com/portal"),
        ("https://gis.example.com/portal/sharing/rest", "https://gis.example.com/portal"),
        ("https://gis.example.com/portal/portaladmin", "https://gis.example.com/portal"),
        ("https://gis.example.com:7443/arcgis", "https://gis.example.com:7443/arcgis"),
        ("http://127.0.0.1:8080/portal", "http://127.0.0.1:8080/portal"),
        (" https://gis.example.com ", "https://gis.example.com"),
    ],
)
def test_an_address_is_taken_as_people_paste_it(given: str, expected: str) -> None:
    assert load(GOOD | {"PORTAL_URL": given}).portal_url == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORTAL_URL", ""),
        ("PORTAL_URL", "gis.example.com/portal"),
        ("PORTAL_URL", "http://gis.example.com/portal"),
        ("PORTAL_URL", "https://me:secret-password@gis.example.com/portal"),
        ("PORTAL_URL", "https://gis.example.com/portal?token=secret-password"),
        ("PORTAL_URL", "https://gis.example.com:soon/portal"),
        ("PORTAL_URL", "https://gis.example.com:70000/portal"),
        ("PORTAL_URL", "https://[gis/portal"),
        ("PORTAL_TIMEOUT", "soon"),
        ("PORTAL_TIMEOUT", "0"),
        ("PORTAL_CA_BUNDLE", "/no/such/file.pem"),
        ("PORTAL_CLIENT_CERT", "/no/such/file.pem"),
        ("POLICY_FILE", "/no/such/policy.toml"),
        ("LEDGER_URL", "ledger.db"),
        ("LEDGER_URL", "sqlite:///:memory:"),
        ("LEDGER_URL", "sqlite://"),
        ("LEDGER_URL", "mysql://u:secret-password@h/db"),
        ("LEDGER_URL", "postgresql://u:secret-password@h/db"),
        ("CONSENT_ROUTES", "fax"),
        ("CONSENT_TIMEOUT", "-1"),
        ("CONSENT_EXPIRES", "1"),
        ("LOG_LEVEL", "loud"),
    ],
)
@pytest.mark.promise("no-secrets")
def test_a_wrong_setting_is_named_in_one_line_without_its_value(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(GOOD | {name: value})
    message = str(caught.value)
    assert message.startswith(name)
    assert "\n" not in message
    assert "secret-password" not in message


@pytest.mark.parametrize(
    "environment",
    [
        GOOD | {"PORTAL_TOKEN": "abc"},
        GOOD | {"PORTAL_PASSWORD": ""},
        GOOD | {"PORTAL_USERNAME": ""},
    ],
)
def test_there_must_be_exactly_one_way_to_sign_in(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="PORTAL_TOKEN"):
        load(environment)


@pytest.mark.promise("no-secrets")
def test_settings_show_no_secret() -> None:
    settings = load(GOOD)
    assert "secret-password" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_the_ledger_alone_needs_no_portal(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    assert load_ledger({"LEDGER_URL": f"sqlite:///{file.as_posix()}"}).ledger_file == file


@pytest.mark.parametrize("level", [level.lower() for level in get_args(LogLevel)])
def test_log_levels_ignore_case(level: str) -> None:
    assert load(GOOD | {"LOG_LEVEL": level}).log_level == level.upper()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("gis", False)],
)
def test_loopback_is_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_the_requester_is_the_account_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ana")
    monkeypatch.setattr("platform.node", lambda: "desk")
    assert caller().requester == "ana@desk"


def test_a_process_without_an_account_still_has_a_requester(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody() -> str:
        raise OSError("no such user")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert caller().requester.startswith("unknown@")


@pytest.mark.promise("no-secrets")
def test_a_ledger_on_a_server_is_shared_and_named_without_its_password() -> None:
    url = "postgresql+psycopg://ana:secret-password@db.example.com/licenses"
    settings = load(GOOD | {"LEDGER_URL": url})
    assert settings.ledger_is_shared
    assert (settings.ledger_file, settings.ledger_name) == (None, "db.example.com/licenses")
    assert "secret-password" not in repr(settings)


def test_a_ledger_on_a_server_needs_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.settings.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"install arcgis-license-mcp\[postgres\]"):
        load(GOOD | {"LEDGER_URL": "postgresql+psycopg://h/db"})
