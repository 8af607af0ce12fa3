"""What a portal, or whatever stands in front of it, might answer: true, almost true, anything."""

from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
from hypothesis import strategies as st

from tests.fuzz.portal import TRUE, Given, Kind
from tests.fuzz.values import DEPTHS, LONG, anything, changed, dumped, texts
from tests.portal.portals import SECRET, TOKEN

VERSIONS = [
    "11.3.0", "11.4", "10.6.1", "11.5.0x", "11.5 ", "\u0661\u0661.\u0665", "9999.1", "11.5.0.1",
    "11.4.12345", "-11.5",
]  # fmt: skip
REDIRECTS = st.sampled_from([301, 302, 307, 308])
CODES = [400, 400, 403, 403, 404, 429, 498, 498, 499, 500, 503, "498", None, 1.5, True, -1, 10**400]
ALMOST = ["success with warnings", "in progress", "SUCCESS", " success", "successful", True]
MANNERS = ["changed"] * 8 + ["error"] * 4 + ["any", "junk", "junk", "http", "http", "http"]
STATUSES = [100, 201, 202, 204, 302, 307, 400, 401, 403, 404, 408, 429, 500, 502, 503]


@cache
def _errors(*echo: str) -> st.SearchStrategy[Any]:
    code = st.sampled_from(CODES)
    lists = st.lists(texts(*echo), max_size=12) | st.just([LONG] * 12)
    words = st.one_of(texts(*echo), lists, anything(*echo), st.sampled_from([*echo, LONG]))
    return st.one_of(
        st.fixed_dictionaries({"error": words | anything(*echo)}),
        st.fixed_dictionaries({"code": code, "message": words, "details": words}).map(
            lambda error: {"error": error}
        ),
        st.fixed_dictionaries(
            {"status": st.sampled_from(["error", "failure", "success"]), "messages": words},
            optional={"code": code, "error": words},
        ),
        st.fixed_dictionaries({"status": st.sampled_from(ALMOST) | words}),
    )


@cache
def _junk(true: bytes, *echo: str) -> st.SearchStrategy[bytes]:
    """Bytes that are no JSON, or hardly; `true` is what they were before."""
    page = texts(*echo).map(lambda text: f"<html>{text}</html>".encode("utf-8", "replace"))
    deep = st.sampled_from(DEPTHS)
    return st.one_of(
        st.binary(max_size=40),
        st.integers(0, len(true)).map(lambda end: true[:end]),
        st.sampled_from([true + b"}", b"[" + true + b"]", true.decode().encode("utf-16"), b"null"]),
        page,
        deep.map(lambda n: b'{"status":' + b"[" * n + b"]" * n + b"}"),
        deep.map(lambda n: b'{"error":{"message":' + b'{"a":' * n + b"1" + b"}" * (n + 2)),
        st.sampled_from([b'{"status":"success","n":NaN}', b'{"expires":' + b"9" * 5_000 + b"}"]),
    )


@cache
def _headers(*echo: str) -> st.SearchStrategy[tuple[tuple[bytes, bytes], ...]]:
    lines = [
        "https://sso.example.com/x", "/x", "mailto:x", "http://[", "//\xff", "javascript:x", "",
        "https://h:99999999/", "text/html; charset=nothing", "a=b; Max-Age=9e99; expires=\xff",
        *(form for text in echo for form in (f"https://{text}@h/", f"https://h:{text}/", text)),
        LONG.encode("ascii", "ignore").decode().replace("\x1b", ""),
    ]  # fmt: skip
    name = st.sampled_from([b"location", b"location", b"set-cookie", b"content-type", b"x-any"])
    value = st.sampled_from(lines).map(lambda line: line.encode("latin-1", "replace"))
    pairs = st.lists(st.tuples(name, value), min_size=1, max_size=2).map(tuple)
    return pairs | st.just(((b"content-encoding", b"gzip"),))


FAILURES: list[type[httpx.TransportError]] = [
    httpx.ReadTimeout,
    httpx.RemoteProtocolError,
    httpx.ReadError,
    httpx.ConnectError,
]


@st.composite
def answers(draw: st.DrawFn, kind: Kind) -> Given:
    """Any answer to a question of this kind: on most, one thing about the true one is wrong."""
    # Only what was sent can be echoed: a sign-in sends the password, and everything else a token.
    echo = [{"sign_in": SECRET, "health": "nothing"}.get(kind, TOKEN)]
    echo += [quote(echo[0], safe=""), f"{echo[0][:7]}\u200b{echo[0][7:]}", "success", "org_admin"]
    # Names and addresses are the portal's to tell, so no secret is among them.
    told = echo if kind in ("sign_in", "health", "release") else echo[3:]
    true = TRUE[kind]
    manner = draw(st.sampled_from(MANNERS + ["version"] * 8 * (kind == "facts")))
    match manner:
        case "version":
            versions = st.sampled_from(VERSIONS) | st.from_regex(r"1[01]\.\d.*") | anything()
            body = dumped({**true, "enterpriseVersion": draw(versions)})
        case "changed":
            body = dumped(_one_token(draw(changed(true, *told))))
        case "error":
            body = dumped(draw(_errors(*echo)))
        case "any":
            body = dumped(draw(anything(*echo)))
        case "junk":
            body = draw(_junk(dumped(true), *echo))
        case _:
            body = dumped(true)
    return _sent(draw, body, manner == "http", echo)


def _one_token(value: Any) -> Any:
    """Leave a token whole: a part of another token, repeated, is no secret that was sent."""
    if TOKEN in str(value.get("token", "")):
        value["token"] = TOKEN
    return value


def _sent(draw: st.DrawFn, body: bytes, other: bool, echo: list[str]) -> Given:
    status = draw(
        st.integers(101, 999) | REDIRECTS if other else st.sampled_from([200] * 20 + STATUSES)
    )
    headers = draw(_headers(*echo)) if other or draw(st.integers(0, 5)) == 0 else ()
    if draw(st.integers(0, 30)) == 0:
        return Given(fails=draw(st.sampled_from(FAILURES)))
    packed = (b"content-encoding", b"gzip") in headers and draw(st.booleans())
    return Given(body, status, headers, packed=packed)


@st.composite
def plans(draw: st.DrawFn, kinds: tuple[Kind, ...], at_most: int = 2) -> dict[Kind, list[Given]]:
    """One to `at_most` of these questions are answered anyhow, each up to three times."""
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=at_most, unique=True))
    return {kind: draw(st.lists(answers(kind), min_size=1, max_size=3)) for kind in chosen}
