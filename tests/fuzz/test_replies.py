"""Whatever a portal answers, a question ends in a value that the answer proves, or a PortalError.

The client's answers are judged by what was really given, read anew from the documented replies. An
error never shows what was sent as a secret, even where the portal repeats it.
"""

import html
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.errors import PortalError
from server.portal.client import PortalClient
from server.releases.models import PRODUCTS, AppId, Member, PortalFacts
from server.text import has_unseen
from tests.fuzz.answers import plans
from tests.fuzz.conftest import Run
from tests.fuzz.found import REPLIES
from tests.fuzz.portal import MANAGE, NAME, Given, Kind, Portal, version_in
from tests.fuzz.values import ASKED_FOR, examples
from tests.portal.portals import SECRET, TOKEN

Check = Callable[[Any, Portal], None]

SECRETS = {form(s) for s in (SECRET, TOKEN) for form in (str, quote, quote_plus, html.escape)}
PRO: AppId = "arcgisprodesktop"


def harmless(text: str, limit: int) -> None:
    """One bounded line that hides nothing and shows no secret."""
    assert len(text) <= limit
    assert not has_unseen(text)
    assert not [secret for secret in SECRETS if secret in text]


def a_member(found: Any, portal: Portal) -> None:
    assert type(found) is Member
    assert found.username == NAME == portal.gave("member")[-1].told["username"]
    assert found.last_login is None or type(found.last_login) is int
    for shown in (found.full_name, found.email, found.role):
        assert len(shown) <= 120
        assert not has_unseen(shown)


def facts(found: Any, portal: Portal) -> None:
    assert type(found) is PortalFacts
    told = portal.gave("facts")[-1].told
    me = told.get("user")
    me = me if isinstance(me, dict) else portal.gave("me")[-1].told
    assert found.version in (None, version_in(told.get("enterpriseVersion")))
    assert not found.is_enterprise or told.get("isPortal") is True
    assert not found.may_release or may_release(me)
    assert not has_unseen(found.name)


def may_release(me: dict[str, Any]) -> bool:
    """Whether a profile says that this account may release licenses."""
    return me.get("role") == "org_admin" or MANAGE in me.get("privileges", [])


def proves(state: str, answer: Given) -> bool:
    """Whether an answer says so of a member's license."""
    right = answer.told.get("userEntitlements")
    if not isinstance(right, dict) or not right.get("entitlements"):
        return state == "not_licensed"
    return state == ("offline" if right.get("disconnected") is True else "not_offline")


def a_license(state: Any, portal: Portal) -> None:
    assert state in ("offline", "not_offline", "not_licensed")
    read = portal.gave("license")
    assert state == "not_licensed" or any(proves(state, answer) for answer in read)


def members(found: Any, portal: Portal) -> None:
    rows, total = found
    assert all(type(row) is Member for row in rows)
    assert len(rows) <= 10
    assert type(total) is int
    assert 0 <= total < 10**9


def products(found: Any, _: Portal) -> None:
    assert set(found) <= set(PRODUCTS)


def licenses(found: Any, _: Portal) -> None:
    assert all(type(row) is dict for row in found)


def nothing(found: Any, _: Portal) -> None:
    assert found is None


def released(found: Any, portal: Portal) -> None:
    assert found is None
    assert portal.gave("release")[-1].succeeds


async def everybody(client: PortalClient) -> list[dict[str, Any]]:
    return [row async for page in client.entitlements("drone2map") for row in page]


Question = tuple[Callable[[PortalClient], Awaitable[Any]], tuple[Kind, ...], Check]
QUESTIONS: dict[str, Question] = {
    "health": (lambda c: c.health(), ("health",), nothing),
    "sign_in": (lambda c: c.sign_in(), ("sign_in",), nothing),
    "facts": (lambda c: c.facts(), ("facts", "me", "sign_in"), facts),
    "member": (lambda c: c.member(NAME), ("member", "sign_in"), a_member),
    "search": (lambda c: c.search("smith", 10), ("search",), members),
    "products": (lambda c: c.products(), ("purchases",), products),
    "license": (lambda c: c.license(NAME, PRO), ("purchases", "license", "sign_in"), a_license),
    "entitlements": (everybody, ("purchases", "listing"), licenses),
    "release": (lambda c: c.release(NAME, PRO), ("release", "sign_in", "facts"), released),
}  # fmt: skip
CASES = st.sampled_from([*QUESTIONS, *["release", "facts", "license"] * 2]).flatmap(
    lambda name: st.tuples(st.just(name), plans(QUESTIONS[name][1]))
)


def test_every_question_that_the_client_asks_is_fuzzed() -> None:
    public = {name for name in vars(PortalClient) if not name.startswith("_")}
    assert public == set(QUESTIONS)


@pytest.mark.timeout(0 if ASKED_FOR else 300)
@pytest.mark.promise("no-lockout")
@pytest.mark.promise("no-secrets")
@pytest.mark.promise("not-fooled")
def test_a_question_ends_in_what_was_answered_or_in_a_portal_error(
    run: Run, tally: Counter[str]
) -> None:
    @examples(600, 0.4)
    @given(case=CASES, account=st.sampled_from([{}, {}, {}, {"portal_token": TOKEN}]))
    def holds(case: tuple[str, dict[Kind, list[Given]]], account: dict[str, str]) -> None:
        name, plan = case
        portal = Portal({kind: [*given] for kind, given in plan.items()})
        run(asked_twice(name, portal, account, tally))
        tally["examples"] += 1
        tally["fuzzed replies"] += portal.fuzzed

    for case in REPLIES:
        holds = example(case=case, account={})(holds)
    holds()


async def asked_twice(
    name: str, portal: Portal, account: dict[str, str], tally: Counter[str]
) -> None:
    ask, _, check = QUESTIONS[name]
    async with portal.client(**account) as client:
        for times in (1, 2):
            try:
                found = await ask(client)
            except PortalError as error:
                harmless(str(error), 1_000)
                tally[f"ended in {type(error).__name__}"] += 1
            else:
                check(found, portal)
                tally["ended in a value"] += 1
            assert len(portal.posts) <= times * (name == "release")
    tried = portal.gave("sign_in")
    assert not any(answer.rejects_the_password for answer in tried[:-1])
