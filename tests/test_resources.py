"""The resources: small, true, and without secrets."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.resources import NEWEST, POLICY_URI, RELEASES_URI
from tests.office import Office, open_office, typing

pytestmark = pytest.mark.anyio


async def read(office: Office, uri: str) -> Any:
    (content,) = (await office.client.read_resource(uri)).contents
    assert content.mime_type == "application/json"
    assert hasattr(content, "text")
    assert len(content.text) < 4_000
    return json.loads(content.text)


async def test_the_policy_in_force_can_be_read(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('protected_members = ["svc_*"]\n[limits]\nportal_per_day = 3\n')
    async with open_office(tmp_path, POLICY_FILE=str(policy)) as office:
        read_back = await read(office, POLICY_URI)
    assert read_back["protected_members"] == ["svc_*"]
    assert read_back["limits"]["portal_per_day"] == 3
    assert read_back["four_eyes"] is False


async def test_the_newest_releases_can_be_read(tmp_path: Path) -> None:
    async with open_office(tmp_path, typing()) as office:
        assert await read(office, RELEASES_URI) == []
        told = await office.release()
        for number in range(NEWEST):
            await office.release(username=f"nobody{number}")
        found = await read(office, RELEASES_URI)
    assert len(found) == NEWEST
    assert found[0]["reason"] == "no_such_member"
    assert told["release_id"] not in {each["release_id"] for each in found}


async def test_both_are_listed_with_words_for_people(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        listed = {str(r.uri): r for r in (await office.client.list_resources()).resources}
    for uri in (POLICY_URI, RELEASES_URI):
        assert listed[uri].title
        assert listed[uri].description
