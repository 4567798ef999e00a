"""The matcher against a naive one: every row, its twins, and paths that look like them."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.routes.catalogue import ROUTES
from gateway.routes.match import Match, Matcher
from gateway.routes.route import BARE, Route
from gateway.routes.target import encode_path, segments_of

MATCHER = Matcher(ROUTES)
TEMPLATES = [(row, prefix + row.path) for row in ROUTES for prefix in row.prefixes]
WORDS = sorted({s for _, t in TEMPLATES for s in t.split("/") if s and "{" not in s})
METHODS = sorted({row.method for row in ROUTES})


def naive(method: str, segments: tuple[str, ...]) -> list[tuple[Route, int]]:
    """Every row that fits, with how many of its segments are fixed."""
    found = []
    for row, template in TEMPLATES:
        if row.method == method and fits(template[1:].split("/"), segments):
            found.append((row, sum("{" not in part for part in template[1:].split("/"))))
    return found


def fits(parts: list[str], segments: tuple[str, ...]) -> bool:
    if parts[-1].endswith(":path}"):
        ahead = len(parts) - 1
        rest = segments[ahead:]
        return bool(rest) and all(rest) and fits_plainly(parts[:-1], segments[:ahead])
    return fits_plainly(parts, segments)


def fits_plainly(parts: list[str], segments: tuple[str, ...]) -> bool:
    return len(parts) == len(segments) and all(
        bool(got) if want.startswith("{") else want == got
        for want, got in zip(parts, segments, strict=True)
    )


def example(template: str) -> tuple[str, dict[str, str]]:
    params: dict[str, str] = {}

    def fill(found: re.Match[str]) -> str:
        value = "x/y z" if found[2] else "v-1"
        params[found[1]] = value
        return quote(value)

    return re.sub(r"\{(\w+)(:path)?\}", fill, template), params


@pytest.mark.parametrize(
    ("row", "template"), TEMPLATES, ids=[f"{r.method} {t}" for r, t in TEMPLATES]
)
def test_every_template_finds_its_own_row(row: Route, template: str) -> None:
    path, params = example(template)
    found = MATCHER.match(row.method, path)
    assert found is not None
    assert found.route is row
    assert dict(found.params) == params
    assert found.path == encode_path(segments_of(path))


paths = st.one_of(
    st.sampled_from([example(template)[0] for _, template in TEMPLATES]),
    st.lists(st.sampled_from(WORDS) | st.just("x"), min_size=1, max_size=7).map(
        lambda parts: "/" + "/".join(parts)
    ),
)


@given(st.sampled_from(METHODS), paths, st.sampled_from(["", "/", "/x", "%20"]))
@settings(max_examples=400, deadline=None)
def test_the_matcher_agrees_with_a_naive_one(method: str, path: str, more: str) -> None:
    raw = path + more
    try:
        segments = segments_of(raw)
    except BadRequest:
        with pytest.raises(BadRequest):
            MATCHER.match(method, raw)
        return
    found, expected = MATCHER.match(method, raw), naive(method, segments)
    if found is None:
        assert not expected
    else:
        most = max(fixed for _, fixed in expected)
        assert found.route in [row for row, fixed in expected if fixed == most]


@pytest.mark.parametrize("method", ["get", "HEAD", "OPTIONS", "TRACE", "CONNECT", ""])
def test_a_method_without_rows_finds_nothing(method: str) -> None:
    assert MATCHER.match(method, "/api/2.0/mlflow/runs/get") is None


def test_a_case_or_a_slash_more_is_another_path() -> None:
    for path in ("/API/2.0/mlflow/runs/get", "/api/2.0/mlflow/runs/get/", "/2.0/mlflow/runs/get"):
        assert MATCHER.match("GET", path) is None


def test_an_encoded_spelling_of_a_fixed_path_is_found_and_forwarded_plain() -> None:
    found = MATCHER.match("GET", "/api/2.0/mlflow/runs/g%65t")
    assert isinstance(found, Match)
    assert found.path == "/api/2.0/mlflow/runs/get"


def test_the_static_prefix_is_part_of_every_path() -> None:
    matcher = Matcher(ROUTES, "/ml")
    assert matcher.match("GET", "/ml/api/2.0/mlflow/runs/get") is not None
    assert matcher.match("GET", "/api/2.0/mlflow/runs/get") is None


def test_two_rows_for_one_path_are_a_mistake() -> None:
    row = Route(method="GET", path="/x", prefixes=BARE, call="x", does="read")
    with pytest.raises(ValueError, match="two rows"):
        Matcher((row, row))


@pytest.mark.parametrize("path", ["/static-files/", "/static-files/a/", "/static-files"])
def test_a_rest_does_not_end_with_a_slash_and_is_never_empty(path: str) -> None:
    assert MATCHER.match("GET", path) is None
