"""The dozen and the crowd."""

from itertools import pairwise

import pytest

from server.sandbox.members import MEMBERS, crowd
from server.sandbox.portal import SandboxPortal
from server.sandbox.products import ALLSOURCE, DRONE2MAP, PRO


def test_the_members_are_made_afresh() -> None:
    SandboxPortal().members["jsmith"].offline.clear()
    assert SandboxPortal().is_offline("jsmith", PRO)


def test_every_state_has_a_member() -> None:
    members = MEMBERS()
    offline = {app_id for member in members for app_id in member.offline}
    assert offline >= {PRO, DRONE2MAP, ALLSOURCE}
    assert any(member.disabled and member.offline for member in members)
    assert any(member.is_administrator and member.offline for member in members)
    assert any(not member.licenses for member in members)
    assert any(len(member.offline) == 2 for member in members)
    assert all(member.offline <= member.licenses for member in members)
    assert all(member.email.endswith("@example.com") for member in members)
    assert all(member.password is None for member in members)


def test_one_full_name_is_hostile() -> None:
    name = next(member.full_name for member in MEMBERS() if member.username == "contractor99")
    assert "\u202e" in name
    assert "\x1b" in name
    assert "ignore previous instructions" in name.lower()


def test_a_crowd_is_always_the_same_and_evenly_offline() -> None:
    people = crowd(1000, offline=10)
    assert people == crowd(1000, offline=10)
    assert len({member.username for member in people}) == 1000
    away = [number for number, member in enumerate(people) if PRO in member.offline]
    assert {later - earlier for earlier, later in pairwise(away)} == {100}
    assert len(away) == 10


def test_a_crowd_joins_the_dozen_without_a_clash() -> None:
    portal = SandboxPortal(members=[*MEMBERS(), *crowd(20, offline=20)])
    assert len(portal.members) == len(MEMBERS()) + 20 + 3


def test_no_more_can_be_offline_than_there_are() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        crowd(2, offline=3)


def test_only_what_is_licensed_can_be_checked_out() -> None:
    with pytest.raises(ValueError, match="akowalska"):
        SandboxPortal().check_out("akowalska", PRO)
