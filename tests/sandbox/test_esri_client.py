"""Esri's own Python client is the judge: a sandbox that it works with is close to the real thing.

It is not among the development dependencies, being large. To run this file:
`uv run --with arcgis --with six pytest tests/sandbox/test_esri_client.py`.
"""

import warnings
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio.from_thread
import pytest
import trustme

from server.sandbox.members import HELPDESK
from server.sandbox.portal import ADMINISTRATOR, KUBERNETES, PASSWORD, SandboxPortal
from server.sandbox.products import DRONE2MAP, PRO
from server.sandbox.runner import running

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    esri = pytest.importorskip("arcgis.gis", reason="Esri's client is not installed")

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(180)]


@dataclass(frozen=True)
class Authority:
    """Esri's client turns http into https, so that the sandbox needs a certificate."""

    bundle: str
    certificate: str


@dataclass(frozen=True)
class Judge:
    portal: SandboxPortal
    base: str
    bundle: str

    def sign_in(self, username: str = ADMINISTRATOR, password: str = PASSWORD, **how: bool) -> Any:
        return esri.GIS(self.base, username, password, ca_bundles=self.bundle, **how)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder: Path = tmp_path_factory.mktemp("certificates")
    root = trustme.CA()
    root.cert_pem.write_to_path(str(folder / "root.pem"))
    root.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(folder / "server.pem")
    )
    return Authority(bundle=str(folder / "root.pem"), certificate=str(folder / "server.pem"))


def judging(portal: SandboxPortal, authority: Authority) -> Generator[Judge]:
    """The sandbox in a thread of its own, since Esri's client blocks."""
    serving = running(portal, ssl_certfile=authority.certificate)
    with (
        anyio.from_thread.start_blocking_portal() as loop,
        loop.wrap_async_context_manager(serving) as base,
    ):
        yield Judge(portal, base, authority.bundle)


@pytest.fixture
def judge(authority: Authority) -> Generator[Judge]:
    yield from judging(SandboxPortal(), authority)


@pytest.fixture
def old_judge(authority: Authority) -> Generator[Judge]:
    yield from judging(SandboxPortal(version="10.6.1"), authority)


@pytest.fixture
def kubernetes_judge(authority: Authority) -> Generator[Judge]:
    yield from judging(SandboxPortal(deployment=KUBERNETES), authority)


@pytest.mark.parametrize("username", [ADMINISTRATOR, HELPDESK])
@pytest.mark.parametrize("use_gen_token", [False, True])
def test_it_signs_in_on_the_page_and_by_generate_token(
    judge: Judge, username: str, use_gen_token: bool
) -> None:
    gis = judge.sign_in(username, use_gen_token=use_gen_token)
    assert gis.users.me.username == username
    assert gis.users.me._is_admin
    assert gis.properties["enterpriseVersion"] == "11.5.0"
    assert gis.version == [2025, 1]
    asked = {request.path.rsplit("/", 1)[-1] for request in judge.portal.requests}
    assert ("generateToken" in asked) is use_gen_token


@pytest.mark.parametrize("use_gen_token", [False, True])
def test_a_wrong_password_is_told(judge: Judge, use_gen_token: bool) -> None:
    with pytest.raises(Exception, match="Invalid username or password"):
        judge.sign_in(password="wrong", use_gen_token=use_gen_token)


def test_it_finds_members(judge: Judge) -> None:
    gis = judge.sign_in()
    found = gis.users.search("username:jsmith")
    assert [member.username for member in found] == ["jsmith", "jsmith2"]
    for username in ("jsmith", "CORP\\mlee", "jdoe@CORP.EXAMPLE", "field crew 7", "jürgen.groß"):
        assert gis.users.get(username).username == username
    assert gis.users.get("rleaver").disabled is True
    assert gis.users.get("nobody") is None
    assert len(gis.users.search(max_users=1000)) == len(judge.portal.members)


def test_it_lists_licenses_and_who_is_offline(judge: Judge) -> None:
    manager = judge.sign_in().admin.license
    titles = [bought.properties["listing"]["title"] for bought in manager.all() if _listed(bought)]
    assert titles.count("ArcGIS Pro") == 2
    pro, drone2map = manager.get("ArcGIS Pro"), manager.get("arcgis drone2map")
    away = {row["username"] for row in pro.all() if row["disconnected"]}
    assert away == {name for name, m in judge.portal.members.items() if PRO in m.offline}
    assert pro.user_entitlement("CORP\\mlee")["disconnected"] is True
    assert drone2map.check("lnguyen") == ["drone2map"]
    assert drone2map.check("jsmith") == []
    assert set(pro.offline_report.columns) == {"Username", "Disconnected"}
    assert manager.offline_pro is True


def test_it_reads_the_administration(judge: Judge) -> None:
    admin = judge.sign_in().admin
    assert admin.system.licenses.properties["version"] == "11.5.0"
    assert admin.logs.query(start_time=datetime.now(UTC))["logMessages"] == []


def test_its_release_names_nobody_and_so_releases_nothing(judge: Judge) -> None:
    judge.sign_in().admin.system.licenses.release_license("jsmith")
    (sent,) = judge.portal.releases
    assert sent.form == {"f": "json"}
    assert judge.portal.is_offline("jsmith", PRO)
    assert judge.portal.is_offline("lnguyen", DRONE2MAP)


def test_its_release_on_an_old_portal_is_a_get(old_judge: Judge) -> None:
    old_judge.sign_in().admin.system.licenses.release_license("jsmith")
    sent = old_judge.portal.requests[-1]
    assert (sent.method, sent.query) == ("GET", {"f": "json", "username": "jsmith"})
    assert sent.path.endswith("/portaladmin/system/licenses/releaseLicense")


def test_it_recognises_kubernetes(kubernetes_judge: Judge) -> None:
    assert kubernetes_judge.sign_in()._is_kubernetes


def _listed(bought: Any) -> bool:
    return "listing" in bought.properties
