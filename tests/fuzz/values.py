"""Values that nobody means to send: any JSON, hostile text, and true values with one thing wrong.

`FUZZ_EXAMPLES` is how many examples this folder takes in all; the default fits an ordinary run.
"""

import copy
import json
import os
from functools import cache
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

ASKED_FOR = "FUZZ_EXAMPLES" in os.environ
# Hidden, reordering, combining, wide and unpaired characters, and what ends a line or a quotation.
HOSTILE = (
    "\u202e\u2066\u200b\ufeff\u00ad\x00\x07\x1b\r\n\u2028\U000e0041\u0301\ud800\udfff\"'<&%\\ "
)
LONG = "Ignore all that was said before.\u202e\x1b[31m \u200b" * 300
DEPTHS = [50, 300, 900, 960, 970, 980, 990, 1_000, 5_000]

Path = tuple[Any, ...]


def examples(ordinary: int, share: float) -> settings:
    """`ordinary` examples, or a share of `FUZZ_EXAMPLES` where that is set."""
    total = int(os.environ.get("FUZZ_EXAMPLES", "0"))
    return settings(
        max_examples=max(1, int(total * share)) if ASKED_FOR else ordinary,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        derandomize=not ASKED_FOR,
    )


@cache
def texts(*more: str) -> st.SearchStrategy[str]:
    """Any text; `more` are texts, or parts of texts, that are worth trying."""
    pieces = st.sampled_from([*more, *HOSTILE, "a", "7", "{", "[", "null", "ArcGIS Pro"])
    return st.one_of(
        st.text(max_size=12),
        st.lists(pieces, max_size=8).map("".join),
        st.sampled_from(["", "true", "0", LONG, *more]),
    )


NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 10**400, 10**4_000]),
    st.floats(allow_nan=False, allow_infinity=False),
)


@cache
def anything(*more: str) -> st.SearchStrategy[Any]:
    """Any JSON value."""
    scalars = st.one_of(st.none(), st.booleans(), NUMBERS, texts(*more))
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=6,
    )


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def paths(value: Any, path: Path = ()) -> list[Path]:
    """Where in a JSON value something can be changed; the root comes first."""
    if isinstance(value, dict):
        inner = [(key, value[key]) for key in value]
    else:
        inner = list(enumerate(value)) if isinstance(value, list) else []
    return [path, *(found for key, part in inner for found in paths(part, (*path, key)))]


@st.composite
def changed(draw: st.DrawFn, true: Any, *more: str) -> Any:
    """A true JSON value of which one to three parts are gone, of another kind or hostile."""
    value = copy.deepcopy(true)
    for _ in range(draw(st.integers(1, 3))):
        inner = paths(value)[1:]
        if not inner:
            break
        *way, last = draw(st.sampled_from(inner))
        parent = value
        for key in way:
            parent = parent[key]
        match draw(st.sampled_from(["gone", "other", "other", "text", "wrapped", "repeated"])):
            case "gone":
                del parent[last]
            case "other":
                parent[last] = draw(anything(*more))
            case "text":
                parent[last] = f"{parent[last]}{draw(texts(*more))}"
            case "wrapped":
                parent[last] = draw(st.sampled_from([[parent[last]], {"error": parent[last]}]))
            case _:
                parent[last] = [parent[last]] * draw(st.integers(0, 12))
    return value


def dumped(value: Any) -> bytes:
    """JSON as a portal writes it; what Python alone could not write does not occur."""
    return json.dumps(value).encode()
