"""The numbers that the project keeps to."""

import sys
from pathlib import Path

import pytest

from tests.benchmarks import measures
from tests.benchmarks.measures import Starts
from tests.office import ERAS, Era

FEWEST, MOST = 6, 20


@pytest.fixture(scope="module", params=ERAS)
def starts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Starts:
    return measures.starts(tmp_path_factory.mktemp("starts"), FEWEST, MOST, request.param)


@pytest.mark.thorough
def test_starting_takes_little_longer_than_a_bare_server(starts: Starts) -> None:
    assert starts.time_ratio <= measures.START_RATIO


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_memory_is_little_more_than_a_bare_server_s(starts: Starts) -> None:
    assert starts.memory_ratio <= measures.MEMORY_RATIO


@pytest.mark.thorough
def test_the_list_of_tools_costs_a_model_few_tokens(starts: Starts) -> None:
    tools = starts.ours[0].tools
    assert measures.tokens(tools, with_output=False) <= measures.TOKENS
    assert measures.tokens(tools, with_output=True) <= measures.TOKENS_WITH_OUTPUT


@pytest.mark.anyio
@pytest.mark.parametrize("era", ERAS)
async def test_a_release_asks_the_portal_little(tmp_path: Path, era: Era) -> None:
    cold, warm = await measures.requests_for_a_release(tmp_path, era)
    assert cold <= measures.COLD
    assert warm <= measures.WARM


@pytest.mark.anyio
async def test_everybody_offline_is_found_without_asking_member_by_member(tmp_path: Path) -> None:
    asked = await measures.requests_for_a_listing(tmp_path, 11_000, 137)
    assert asked <= measures.LISTING
