"""Whom the client believes to be the portal, and what it shows of itself. There is no way round."""

import contextlib
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from server.errors import NoClearAnswer, PortalError, PortalUnreachable, SettingsError
from server.portal.client import PortalClient
from server.sandbox.portal import SandboxPortal
from server.sandbox.runner import running
from server.settings import Settings

from .portals import settings

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"
PHRASE = "phrase"


@dataclass(frozen=True)
class Authority:
    """A private authority, as most portals have one, and its certificates as files."""

    ca: trustme.CA
    folder: Path

    @property
    def file(self) -> str:
        path = self.folder / "authority.pem"
        self.ca.cert_pem.write_to_path(str(path))
        return str(path)

    def issue(self, *names: str) -> tuple[str, str]:
        """The files of a certificate and of its key."""
        issued = self.ca.issue_cert(*names)
        certificate = self.folder / f"{names[0]}.pem"
        key = self.folder / f"{names[0]}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return str(certificate), str(key)

    def together(self, *files: str) -> str:
        """One file with the contents of several."""
        path = self.folder / "together.pem"
        path.write_bytes(b"".join(Path(file).read_bytes() for file in files))
        return str(path)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return _authority(tmp_path / "one")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return _authority(tmp_path / "other")


def _authority(folder: Path) -> Authority:
    folder.mkdir()
    return Authority(trustme.CA(), folder)


@contextlib.asynccontextmanager
async def secured(
    authority: Authority, portal: SandboxPortal, *, host: str = HOST, clients: str | None = None
) -> AsyncGenerator[str]:
    """A portal over TLS; with `clients`, only for those that this authority signed."""
    certificate, key = authority.issue(host)
    required = ssl.CERT_NONE if clients is None else ssl.CERT_REQUIRED
    async with running(
        portal,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ssl_ca_certs=clients,
        ssl_cert_reqs=required,
    ) as base:
        yield base


async def refusal(chosen: Settings) -> PortalError:
    async with PortalClient(chosen) as client:
        with pytest.raises(PortalError) as caught:
            await client.sign_in()
    return caught.value


async def test_an_untrusted_certificate_is_refused_and_the_setting_named(
    authority: Authority,
) -> None:
    portal = SandboxPortal()
    async with secured(authority, portal) as base:
        error = await refusal(settings(base))
    assert type(error) is PortalUnreachable
    assert "PORTAL_CA_BUNDLE" in str(error)
    assert portal.requests == []


async def test_a_certificate_of_an_authority_in_the_bundle_is_accepted(
    authority: Authority,
) -> None:
    portal = SandboxPortal()
    async with (
        secured(authority, portal) as base,
        PortalClient(settings(base, portal_ca_bundle=authority.file)) as client,
    ):
        await client.release("jsmith", "arcgisprodesktop")
    assert len(portal.releases) == 1


async def test_the_bundle_of_another_authority_does_not_help(
    authority: Authority, stranger: Authority
) -> None:
    portal = SandboxPortal()
    async with secured(authority, portal) as base:
        error = await refusal(settings(base, portal_ca_bundle=stranger.file))
    assert type(error) is PortalUnreachable
    assert portal.requests == []


@pytest.mark.skipif(sys.platform != "linux", reason="the system's trust store is a file on Linux")
async def test_the_bundle_is_trusted_beside_the_system_and_not_instead_of_it(
    authority: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    for issuer in (authority, stranger):
        portal = SandboxPortal()
        async with (
            secured(issuer, portal) as base,
            PortalClient(settings(base, portal_ca_bundle=stranger.file)) as client,
        ):
            await client.sign_in()
        assert len(portal.requests) == 1


@pytest.mark.parametrize("host", ["gis.example.com", "127.0.0.2", "localhost"])
async def test_a_certificate_for_another_host_is_refused(authority: Authority, host: str) -> None:
    portal = SandboxPortal()
    async with secured(authority, portal, host=host) as base:
        error = await refusal(settings(base, portal_ca_bundle=authority.file))
    assert type(error) is PortalUnreachable
    assert portal.requests == []


SWITCHES = ("VERIFY", "VERIFY_TLS", "TLS_VERIFY", "SSL_VERIFY", "INSECURE", "VERIFY_CERT")


async def test_verification_cannot_be_switched_off(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    switches = {f"portal_{name}".lower(): "false" for name in SWITCHES}
    for value in ("0", "false", "none", ""):
        monkeypatch.setenv("CURL_CA_BUNDLE", value)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", value)
    portal = SandboxPortal()
    async with secured(authority, portal) as base:
        error = await refusal(settings(base, **switches))
    assert type(error) is PortalUnreachable
    assert portal.requests == []


@pytest.mark.parametrize("word", ["verify", "insecure", "tls", "ssl"])
def test_no_setting_speaks_of_verification(word: str) -> None:
    assert [name for name in Settings.model_fields if word in name] == []


@pytest.mark.parametrize("in_one_file", [False, True])
async def test_a_client_certificate_that_the_portal_requires_is_sent(
    authority: Authority, stranger: Authority, in_one_file: bool
) -> None:
    certificate, key = stranger.issue("ana")
    account = {"portal_client_cert": certificate, "portal_client_key": key}
    if in_one_file:
        account = {"portal_client_cert": stranger.together(certificate, key)}
    portal = SandboxPortal()
    async with (
        secured(authority, portal, clients=stranger.file) as base,
        PortalClient(settings(base, portal_ca_bundle=authority.file, **account)) as client,
    ):
        await client.sign_in()
    assert len(portal.requests) == 1


async def test_without_the_client_certificate_the_portal_is_not_reached(
    authority: Authority, stranger: Authority
) -> None:
    portal = SandboxPortal()
    async with secured(authority, portal, clients=stranger.file) as base:
        error = await refusal(settings(base, portal_ca_bundle=authority.file))
    assert isinstance(error, PortalUnreachable | NoClearAnswer)
    assert portal.requests == []


async def test_a_client_certificate_of_another_authority_is_not_enough(
    authority: Authority, stranger: Authority
) -> None:
    certificate, key = authority.issue("ana")
    given = {"portal_client_cert": certificate, "portal_client_key": key}
    portal = SandboxPortal()
    async with secured(authority, portal, clients=stranger.file) as base:
        error = await refusal(settings(base, portal_ca_bundle=authority.file, **given))
    assert isinstance(error, PortalUnreachable | NoClearAnswer)
    assert portal.requests == []


def opened(**given: str) -> str:
    """What is said of settings that name files which cannot be used."""
    with pytest.raises(SettingsError) as caught:
        PortalClient(settings("https://gis.example.com/portal", **given))
    return str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a certificate", b"\x30\x82\x00\x01", b"\xff" * 99])
def test_a_bundle_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bundle.pem"
    path.write_bytes(content)
    assert "PORTAL_CA_BUNDLE" in opened(portal_ca_bundle=str(path))


@pytest.mark.parametrize("name", ["ca_bundle", "client_cert", "client_key"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    given = {f"portal_{name}": str(tmp_path / "missing.pem")}
    assert opened(**given).startswith(f"PORTAL_{name.upper()}")
    assert opened(**{f"portal_{name}": str(tmp_path)}).startswith(f"PORTAL_{name.upper()}")


def test_a_client_certificate_that_is_none_is_named(tmp_path: Path, authority: Authority) -> None:
    _, key = authority.issue("ana")
    broken = tmp_path / "broken.pem"
    broken.write_bytes(b"not a certificate")
    assert "PORTAL_CLIENT_CERT" in opened(portal_client_cert=str(broken), portal_client_key=key)


def test_a_key_that_is_missing_or_of_another_certificate_is_named(authority: Authority) -> None:
    certificate, _ = authority.issue("ana")
    _, other = authority.issue("ben")
    assert "PORTAL_CLIENT_KEY" in opened(portal_client_cert=certificate)
    said = opened(portal_client_cert=certificate, portal_client_key=other)
    assert "PORTAL_CLIENT_KEY" in said


def test_a_key_without_a_certificate_is_named(authority: Authority) -> None:
    _, key = authority.issue("ana")
    assert "PORTAL_CLIENT_CERT" in opened(portal_client_key=key)


_OPENING = """
import sys
from server.errors import SettingsError
from server.portal.client import PortalClient
from tests.portal.portals import settings

try:
    PortalClient(settings(portal_client_cert=sys.argv[1], portal_client_key=sys.argv[2]))
except SettingsError as error:
    sys.exit(7 if "PORTAL_CLIENT_KEY" in str(error) else 8)
"""


def test_a_key_with_a_pass_phrase_asks_nobody_for_it(authority: Authority) -> None:
    certificate, key = authority.issue("ana")
    private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    Path(key).write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PHRASE.encode()),
        )
    )
    ended = subprocess.run(
        [sys.executable, "-c", _OPENING, certificate, key],
        input=f"{PHRASE}\n".encode(),
        capture_output=True,
        check=False,
        start_new_session=True,
        timeout=30,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, b"", b"")
