"""Whatever a model sends to a tool, the answer is in its shape, and nothing is released.

The tools and their schemas are the server's own, so a new tool is fuzzed by itself.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.catalogue import tools
from server.sandbox.members import MEMBERS
from tests.fuzz.served import Served, judged, serving
from tests.fuzz.values import ASKED_FOR, HOSTILE, LONG, NUMBERS, anything, examples, texts
from tests.office import ERAS, RELEASE, structured

TOOLS = {tool.name: tool.parameters for tool in tools()}
WAITING = ("jsmith", "sfernandez")
NAMES = [member.username for member in MEMBERS()]
# What schemas do not say: values that lead further than to a refusal of the arguments.
USUAL: dict[str, list[Any]] = {
    "username": NAMES,
    "text": ["smith", "example.com"],
    "release_id": ["R-2222-2222", "R-"],
    "key": ["0" * 64],
    "reason": ["laptop stolen"],
}
STRANGE = ["confirm", "ctx", "request", "answer", "approved_by", "__class__", "self", "_meta", ""]


def meant(name: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows."""
    if "anyOf" in schema:
        return st.one_of([meant(name, part) for part in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "string":
            most = schema.get("maxLength", 200)
            any_text = st.text(min_size=schema.get("minLength", 0), max_size=most)
            longest = st.just("x" * most)
            return st.sampled_from(USUAL.get(name, ["INC-1"])) | any_text | longest
        case "null":
            return st.none()
        case _:
            return anything()


def not_meant(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values just beside what a schema allows, or of any kind."""
    most = schema.get("maxLength", 200)
    beside = [
        "x" * (most + 1),
        "",
        " ",
        LONG,
        "jsmith\u200b",
        " jsmith",
        ["jsmith"],
        "5",
        1.0,
        True,
    ]
    deep = ["[" * 100_000, "9" * 5_000, '{"a":' * 50_000, "x" * 1_000_000]
    numbers = [schema[key] + by for key, by in (("minimum", -1), ("maximum", 1)) if key in schema]
    inside = st.tuples(st.sampled_from([*NAMES, *schema.get("enum", [])]), texts()).map("".join)
    tried = st.sampled_from([*beside, *numbers, *HOSTILE]) | inside | NUMBERS | texts()
    return st.one_of(tried, anything(), st.sampled_from(deep))


def fits(schema: dict[str, Any], value: Any) -> bool:
    """Whether a schema allows a value: no other may get more than a refusal."""
    if "anyOf" in schema:
        # The SDK reads the text of a null as a null.
        null = isinstance(value, str) and value.strip() == "null"
        return null or any(fits(part, value) for part in schema["anyOf"])
    match schema.get("type"):
        case "object":
            known = schema["properties"]
            return (
                isinstance(value, dict)
                and set(schema.get("required", [])) <= set(value) <= set(known)
                and all(fits(known[name], inner) for name, inner in value.items())
            )
        case "string":
            right = isinstance(value, str) and value in schema.get("enum", [value])
            most = schema.get("maxLength", 10**9)
            return right and schema.get("minLength", 0) <= len(value) <= most
        case "integer":
            right = type(value) is int
            return right and schema.get("minimum", value) <= value <= schema.get("maximum", value)
        case kind:
            return kind == "null" and value is None


@st.composite
def arguments(draw: st.DrawFn, parameters: dict[str, Any]) -> Any:
    """Arguments that are right, right but for one or two things, or not meant at all."""
    known = parameters["properties"]
    manner = draw(st.sampled_from(["right", *["wrong"] * 8, "any", "any", "shapeless"]))
    if manner == "shapeless":
        return draw(anything())
    if manner == "any":
        names = st.sampled_from([*known, *STRANGE]) | texts()
        return draw(st.dictionaries(names, anything(), max_size=6))
    required = parameters.get("required", [])
    chosen = {
        name: draw(meant(name, schema))
        for name, schema in known.items()
        if name in required or draw(st.booleans())
    }
    for _ in range(0 if manner == "right" else draw(st.integers(1, 2))):
        name = draw(st.sampled_from([*known]))
        match draw(st.sampled_from(["other", "other", "other", "gone", "more"])):
            case "gone":
                chosen.pop(name, None)
            case "more":
                chosen[draw(st.sampled_from(STRANGE) | texts())] = draw(anything())
            case _:
                chosen[name] = draw(not_meant(known[name]))
    return chosen


CALLS = st.sampled_from([*TOOLS, "release_license", "decide_release"]).flatmap(
    lambda tool: st.tuples(st.just(tool), arguments(TOOLS[tool]))
)


@pytest.fixture(scope="module", params=ERAS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(request.param, "form,card") as opened:
        yield opened


@pytest.mark.timeout(0 if ASKED_FOR else 300)
@pytest.mark.promise("never-the-model")
@pytest.mark.promise("four-outcomes")
@pytest.mark.promise("not-fooled")
def test_whatever_a_tool_is_given_nothing_is_released(served: Served, tally: Counter[str]) -> None:
    opened = [awaited(served, name, tally) for name in WAITING]

    @examples(200, 0.225)
    @given(call=CALLS, at=st.sampled_from([None, 0, 1]))
    def holds(call: tuple[str, Any], at: int | None) -> None:
        tool, given = call
        if tool == "decide_release" and at is not None and isinstance(given, dict):
            given = {**given, "release_id": opened[at], "username": WAITING[at]}
        result = judged(served, tool, given, tally)
        assert (
            fits(TOOLS[tool], {} if given is None else given) or result is None or result.is_error
        )
        tally["examples"] += 1

    holds()
    still = [served.office.ledger.get(release_id).state for release_id in opened]
    assert still == ["open", "open"]


def awaited(served: Served, username: str, tally: Counter[str]) -> str:
    """Make a request that lacks only a person's answer."""
    result = judged(served, "release_license", {**RELEASE, "username": username}, tally)
    assert result is not None
    told = structured(result)
    assert told["status"] == "awaiting_approval"
    return str(told["release_id"])
