"""Whatever a portal answers, the tools tell it harmlessly: bounded, visible, in their shape.

The whole server runs, and only what the portal answers is anything at all.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.portal.client import PortalClient
from server.releases.models import PRODUCTS
from tests.fuzz.answers import plans
from tests.fuzz.found import TOLD
from tests.fuzz.portal import Given, Kind, Portal
from tests.fuzz.served import Served, judged, serving
from tests.fuzz.values import ASKED_FOR, examples

NAMES = itertools.count()
MEMBER: tuple[Kind, ...] = ("facts", "me", "member", "purchases", "license", "sign_in")
ASKED: dict[str, tuple[Kind, ...]] = {
    "find_members": ("search",),
    "check_license": MEMBER,
    "list_offline_licenses": ("listing", "purchases"),
    "release_license": MEMBER,
}
CALLS: dict[str, tuple[str, ...]] = {
    "find_members": ("text",),
    "check_license": ("username", "app_id"),
    "list_offline_licenses": ("app_id",),
    "release_license": ("username", "app_id", "reason"),
}
CASES = st.sampled_from([*CALLS]).flatmap(
    lambda tool: st.tuples(st.just(tool), st.sampled_from([*PRODUCTS]), plans(ASKED[tool]))
)


class Current:
    """Stands for the client of the portal of the moment."""

    client: ClassVar[PortalClient]

    def __init__(self, *_: object, **__: object) -> None:
        pass

    async def __aenter__(self) -> "Current":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(Current.client, name)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("server.portal.client.PortalClient", Current)
        with serving("auto", "form") as opened:
            yield opened


@pytest.mark.timeout(0 if ASKED_FOR else 300)
@pytest.mark.promise("not-fooled")
def test_the_tools_tell_any_answer_of_a_portal_harmlessly(
    served: Served, tally: Counter[str]
) -> None:
    @examples(100, 0.05)
    @given(case=CASES)
    def holds(case: tuple[str, str, dict[Kind, list[Given]]]) -> None:
        tool, app_id, plan = case
        portal = Portal({kind: [*given] for kind, given in plan.items()})
        Current.client = portal.client()
        values = {"username": f"jsmith{next(NAMES)}", "app_id": app_id, "reason": "stolen"}
        arguments = {name: values.get(name, "smith") for name in CALLS[tool]}
        judged(served, tool, arguments, tally)
        assert portal.posts == []
        tally["examples"] += 1
        tally["fuzzed replies"] += portal.fuzzed

    for tool, plan in TOLD:
        holds = example(case=(tool, "arcgisprodesktop", plan))(holds)
    holds()
