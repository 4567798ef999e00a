"""Request targets: refused, or decoded once to what leaves again as exactly that."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.routes.target import (
    check_artifact_segments,
    encode_path,
    encode_query,
    is_plain_query,
    parse_query,
    segments_of,
    split_target,
)

REFUSED_TARGETS = {
    "absolute form": "http://host/api",
    "authority form": "host:443",
    "asterisk": "*",
    "empty": "",
    "no slash": "api/2.0",
    "two slashes": "//api/2.0",
    "fragment": "/a#b",
    "fragment in the query": "/a?b#c",
    "backslash": "/a\\b",
    "backslash in the query": "/a?b=\\",
    "space": "/a b",
    "tab": "/a\tb",
    "NUL": "/a\x00",
    "DEL": "/a\x7f",
    "latin-1": "/a\xe9",
    "surrogate": "/a\udcff",
}
REFUSED_PATHS = {
    "dot": "/a/./b",
    "dot dot": "/a/../b",
    "dot dot at the end": "/a/..",
    "encoded dot": "/a/%2e/b",
    "encoded dots": "/a/%2E%2e/b",
    "half encoded dots": "/a/.%2e",
    "doubled slash": "/a//b",
    "encoded slash": "/a/b%2fc",
    "encoded slash, upper case": "/a/b%2Fc",
    "encoded backslash": "/a/b%5cc",
    "encoded NUL": "/a/%00",
    "encoded newline": "/a/%0a",
    "encoded carriage return": "/a/%0D",
    "encoded DEL": "/a/%7f",
    "encoded C1 control": "/a/%c2%85",
    "line separator": "/a/%e2%80%a8",
    "percent alone": "/a/%",
    "half an escape": "/a/%2",
    "no hexadecimal": "/a/%zz",
    "not UTF-8": "/a/%ff",
    "overlong slash": "/a/%c0%af",
    "encoded surrogate": "/a/%ed%a0%80",
    "encoded empty end": "/a/%2e%2e",
}


@pytest.mark.parametrize("target", REFUSED_TARGETS.values(), ids=REFUSED_TARGETS)
def test_an_odd_target_is_refused(target: str) -> None:
    with pytest.raises(BadRequest):
        split_target(target)


@pytest.mark.parametrize("path", REFUSED_PATHS.values(), ids=REFUSED_PATHS)
def test_a_path_that_is_not_canonical_after_one_decoding_is_refused(path: str) -> None:
    with pytest.raises(BadRequest):
        segments_of(path)


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/", ("",)),
        ("/a/b", ("a", "b")),
        ("/a/", ("a", "")),
        ("/a%20b", ("a b",)),
        ("/%61", ("a",)),
        ("/%C3%A9", ("é",)),
        ("/%252e%252e", ("%2e%2e",)),
        ("/a%252fb", ("a%2fb",)),
        ("/...", ("...",)),
        ("/a+b", ("a+b",)),
        ("/a;b=c", ("a;b=c",)),
    ],
)
def test_a_path_is_decoded_exactly_once(path: str, segments: tuple[str, ...]) -> None:
    assert segments_of(path) == segments


raw_paths = st.lists(
    st.sampled_from(["/", ".", "..", "%2e", "%2F", "%5c", "%", "a", "B", "%41", "é", "%C3%A9"])
    | st.text(alphabet="abz09._-~%/+;: ", max_size=4),
    max_size=8,
).map(lambda parts: "/" + "".join(parts))


@given(raw_paths)
@settings(max_examples=200, deadline=None)
def test_what_leaves_decodes_to_what_was_decided_and_stays_as_it_is(raw: str) -> None:
    try:
        path, _ = split_target(raw)
        segments = segments_of(path)
    except BadRequest:
        return
    written = encode_path(segments)
    assert segments_of(written) == segments
    assert encode_path(segments_of(written)) == written
    assert unquote(written, errors="strict") == "/" + "/".join(segments)
    assert split_target(written) == (written, "")
    assert all(part not in (".", "..") for part in unquote(written).split("/"))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)


@given(st.dictionaries(texts.filter(bool), st.lists(texts, min_size=1, max_size=3), max_size=4))
@settings(max_examples=150, deadline=None)
def test_a_written_query_reads_as_what_it_was_written_from(fields: dict[str, list[str]]) -> None:
    raw = encode_query(fields)
    assert raw.isascii()
    assert parse_query(raw) == fields
    pairs = [(name, value) for name, values in fields.items() for value in values]
    assert parse_qsl(raw, keep_blank_values=True, strict_parsing=bool(pairs)) == pairs


@given(st.text(alphabet="ab01=&%+./:,-_~@;# é\"'", max_size=16))
@settings(max_examples=300, deadline=None)
def test_a_plain_query_is_read_by_others_as_here(raw: str) -> None:
    if is_plain_query(raw):
        others: dict[str, list[str]] = {}
        for name, value in parse_qsl(raw, keep_blank_values=True, strict_parsing=True):
            others.setdefault(name, []).append(value)
        assert others == parse_query(raw)


@pytest.mark.parametrize(
    "raw", ["", "a", "a=1&", "&a=1", "a=1=2&b", "=1", "a=b=c", "a=%31", "a=+", "a=1;b=2"]
)
def test_a_query_that_needs_a_second_look_is_not_plain(raw: str) -> None:
    assert not is_plain_query(raw)


@pytest.mark.parametrize("raw", ["a=%", "a=%0", "%gg=1", "a=%ff", "a=%00", "%00=a"])
def test_a_query_that_does_not_decode_is_refused(raw: str) -> None:
    with pytest.raises(BadRequest):
        parse_query(raw)


@pytest.mark.parametrize(
    "segment",
    ["", ".", "..", "%2e", "a%", "a?b", "a#b", "a;b", "a\\b", " a", "a ", "\u00a0a", "a/b", "a\nb"],
    ids=ascii,
)
def test_an_artifact_path_that_mlflow_reads_otherwise_is_refused(segment: str) -> None:
    with pytest.raises(BadRequest):
        check_artifact_segments(["1", segment])


@pytest.mark.parametrize("segment", ["model", "a b", ".hidden", "a..b", "...", "é.png", "a=b&c"])
def test_an_ordinary_artifact_name_passes(segment: str) -> None:
    check_artifact_segments([segment])
