"""Heads of requests: what could be framed or read in two ways never gets further."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.web.head import FORWARDED, Head, HeadReader, wants_html

HOST = (b"Host", b"gate")
Raw = list[tuple[bytes, bytes]]


def read(*headers: tuple[bytes, bytes], method: str = "POST", host: bool = True) -> Head:
    raw = [HOST, *headers] if host else list(headers)
    return HeadReader(65536).read(method, "/x", raw)


SMUGGLING: dict[str, Raw] = {
    "length and chunked": [(b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")],
    "chunked and length": [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"0")],
    "two lengths": [(b"Content-Length", b"3"), (b"Content-Length", b"4")],
    "two equal lengths": [(b"Content-Length", b"3"), (b"content-length", b"3")],
    "length list": [(b"Content-Length", b"3, 3")],
    "length with sign": [(b"Content-Length", b"+3")],
    "negative length": [(b"Content-Length", b"-1")],
    "hexadecimal length": [(b"Content-Length", b"0x3")],
    "length with a blank": [(b"Content-Length", b"3 ")],
    "empty length": [(b"Content-Length", b"")],
    "length in other digits": [(b"Content-Length", "٣".encode())],
    "length beyond all": [(b"Content-Length", b"9" * 19)],
    "identity": [(b"Transfer-Encoding", b"identity")],
    "gzip": [(b"Transfer-Encoding", b"gzip, chunked")],
    "chunked twice": [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
    "chunked twice in one": [(b"Transfer-Encoding", b"chunked, chunked")],
    "chunked and a parameter": [(b"Transfer-Encoding", b"chunked;q=1")],
    "xchunked": [(b"Transfer-Encoding", b"xchunked")],
    "empty coding": [(b"Transfer-Encoding", b"")],
    "Content_Length": [(b"Content_Length", b"3")],
    "Transfer_Encoding": [(b"Transfer_Encoding", b"chunked")],
    "TRANSFER_ENCODING": [(b"TRANSFER_ENCODING", b"chunked")],
    "two hosts": [(b"Host", b"other")],
    "two hosts, other case": [(b"HOST", b"gate")],
    "two content types": [(b"Content-Type", b"a/b"), (b"Content-Type", b"a/b")],
    "two content encodings": [(b"Content-Encoding", b"gzip"), (b"content-encoding", b"")],
    "two ranges": [(b"Range", b"bytes=0-1"), (b"Range", b"bytes=0-1")],
    "another expectation": [(b"Expect", b"200-ok")],
    "expectations": [(b"Expect", b"100-continue, x")],
    "workspace": [(b"X-MLFLOW-WORKSPACE", b"other")],
    "workspace in lower case": [(b"x-mlflow-workspace", b"other")],
    "workspace with underscores": [(b"X_MLFLOW_WORKSPACE", b"other")],
    "workspace with one underscore": [(b"x-mlflow_workspace", b"other")],
}


@pytest.mark.parametrize("raw", SMUGGLING.values(), ids=SMUGGLING)
def test_what_two_servers_could_frame_differently_is_refused(raw: Raw) -> None:
    with pytest.raises(BadRequest):
        read(*raw)
    with pytest.raises(BadRequest):
        read(*reversed(raw))


def test_a_request_without_host_is_refused() -> None:
    with pytest.raises(BadRequest):
        read(host=False)


def test_what_was_refused_is_refused_again() -> None:
    reader = HeadReader(65536)
    for _ in range(2):
        with pytest.raises(BadRequest):
            reader.read("GET", "/x", [HOST, *SMUGGLING["two lengths"]])


def test_an_empty_workspace_header_means_none() -> None:
    assert read((b"X-MLFLOW-WORKSPACE", b" ")).headers.forward == []


@pytest.mark.parametrize(
    ("raw", "has_body"),
    [
        ([], False),
        ([(b"Content-Length", b"0")], False),
        ([(b"Content-Length", b"3")], True),
        ([(b"Transfer-Encoding", b"Chunked")], True),
    ],
)
def test_a_body_is_where_the_framing_says(raw: Raw, has_body: bool) -> None:
    assert read(*raw).headers.has_body is has_body


def test_an_expectation_is_noted() -> None:
    assert read((b"Expect", b"100-Continue")).headers.expects_continue


tokens = st.text(alphabet="abcXYZ-_0", min_size=1, max_size=12).map(str.encode)
known = st.sampled_from(
    [b"Authorization", b"Cookie", b"X-Forwarded-For", b"X-Forwarded-User", b"X-Remote-User",
     b"Connection", b"Upgrade", b"TE", b"Trailer", b"Keep-Alive", b"Proxy-Authorization",
     b"X-Mlflow-Experiment-Id", b"X-HTTP-Method-Override", b"Forwarded", b"X-Original-URL",
     b"X-Request-Id", b"Origin", b"Referer", b"Accept-Encoding", b"User_Agent", b"Accept"]
)  # fmt: skip


@given(st.lists(st.tuples(tokens | known, st.binary(max_size=6)), max_size=6))
@settings(max_examples=200, deadline=None)
def test_only_listed_headers_go_on(raw: Raw) -> None:
    try:
        forward = read(*raw).headers.forward
    except BadRequest:
        return
    assert {name for name, _ in forward} <= FORWARDED
    assert forward == [(n.lower(), v) for n, v in raw if n.lower() in FORWARDED]


names = st.sampled_from([b"Authorization", b"authorization", b"AUTHORIZATION", b"Accept", b"Cookie",
                         b"X-Request-Id", b"Content-Type", b"User-Agent"])  # fmt: skip
values = st.sampled_from([b"", b"Bearer a", b"Bearer b", b"request-1", b"request-2", b"x=1"])
heads = st.lists(st.tuples(names, values), max_size=4, unique_by=lambda pair: pair[0].lower())


@given(st.lists(heads, min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_what_is_remembered_never_mixes_two_requests(requests: list[Raw]) -> None:
    shared = HeadReader(65536)
    for raw in [*requests, *requests]:
        got = shared.read("GET", "/x", [HOST, *raw])
        alone = HeadReader(65536).read("GET", "/x", [HOST, *raw])
        assert list(got.authorizations) == list(alone.authorizations)
        assert got.headers == alone.headers


def test_two_requests_that_differ_in_their_credential_keep_their_own() -> None:
    reader = HeadReader(65536)
    for name in (b"Authorization", b"AUTHORIZATION"):
        for secret in (b"Bearer tok-first", b"Bearer tok-second"):
            head = reader.read("GET", "/x", [HOST, (name, secret)])
            assert list(head.authorizations) == [secret.decode()]
    assert list(reader.read("GET", "/x", [HOST]).authorizations) == []
    kept = repr(reader._known)
    assert "tok-first" not in kept
    assert "tok-second" not in kept


def test_cookies_are_not_remembered() -> None:
    reader = HeadReader(65536)
    head = reader.read("GET", "/x", [HOST, (b"Cookie", b"session=secret")])
    assert head.headers.cookie == "session=secret"
    assert reader.read("GET", "/x", [HOST]).headers.cookie is None
    assert "secret" not in repr(reader._known)


@pytest.mark.parametrize("blank", [b"\xa0", b"\x85", b"\x1c", b"\x0b", b"\xc2\xa0"])
def test_only_what_http_calls_blank_is_taken_from_the_ends_of_cookies(blank: bytes) -> None:
    cookie = read((b"Cookie", b" \t" + blank + b"__Host-x=1" + blank + b"\t")).headers.cookie
    assert cookie == (blank + b"__Host-x=1" + blank).decode("latin-1")


def test_what_is_remembered_is_bounded() -> None:
    reader = HeadReader(65536)
    for i in range(3000):
        reader.read("GET", "/x", [HOST, (b"User-Agent", str(i).encode())])
    reader.read("GET", "/x", [HOST, (b"User-Agent", b"x" * 5000)])
    assert len(reader._known) <= 1024


def test_both_credentials_of_a_request_are_seen() -> None:
    head = read((b"Authorization", b"a"), (b"AUTHORIZATION", b"b"), (b"authorization", b"c"))
    assert sorted(head.authorizations) == ["a", "b", "c"]


def test_a_head_over_the_limit_is_refused() -> None:
    reader = HeadReader(100)
    with pytest.raises(BadRequest):
        reader.read("GET", "/x", [HOST, (b"User-Agent", b"x" * 100)])
    with pytest.raises(BadRequest):
        reader.read("GET", "/" + "x" * 100, [HOST])
    with pytest.raises(BadRequest):
        reader.read("GET", "/x", [HOST, (b"Authorization", b"x" * 100)])


@pytest.mark.parametrize("value", [b"", b"short", b"a b c d e f", b"x" * 65, b"-leading-", b"a\nb"])
def test_a_request_id_that_is_not_plain_is_ignored(value: bytes) -> None:
    assert read((b"X-Request-Id", value)).headers.request_id is None


def test_a_page_is_for_browsers_that_navigate() -> None:
    html = (b"Accept", b"text/html,*/*")
    assert wants_html(read(html, method="GET"))
    assert not wants_html(read(html, method="POST"))
    assert not wants_html(read((b"Accept", b"*/*"), method="GET"))
