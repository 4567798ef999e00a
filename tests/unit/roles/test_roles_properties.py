"""The algebra of roles.yaml, against brute force over small catalogues."""

import json
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Kind
from gateway.roles import CallNames, RoleMatrix, RolesError, parse_roles

CALLS = sorted(
    {f"{a}/{b}" for a in ("runs", "traces", "run") for b in ("get", "set-tag", "delete")}
    | {"acl/read", "acl/write", "deep/a/b", "logged-models/{model_id}:PATCH"}
)
NAMES = CallNames(frozenset(CALLS), frozenset({"acl/read", "acl/write"}), frozenset({"info"}))
PATTERNS = ["*", "runs/*", "*/get", "r*n*/*t*", "run*", "acl/*", "*PATCH", "*{model_id}*", "**"]


def matrix(*lists: list[str]) -> RoleMatrix:
    """Roles r0, r1 extends r0, … and one that may share, so that the file is complete."""
    roles: dict[str, object] = {"boss": {"experiment": ["acl/*"], "model": ["acl/*"]}}
    for i, entries in enumerate(lists):
        roles[f"r{i}"] = {"experiment": entries, **({"extends": f"r{i - 1}"} if i else {})}
    defaults = {kind.value: {"creator": "boss", "group": "none"} for kind in Kind}
    text = {"version": 1, "roles": roles, "server": {}, "defaults": defaults}
    return parse_roles(json.dumps(text), NAMES)


def of(built: RoleMatrix, i: int) -> frozenset[str]:
    return built.calls[f"r{i}", Kind.EXPERIMENT]


some_calls = st.lists(st.sampled_from(CALLS), unique=True)
some_patterns = st.lists(st.sampled_from(PATTERNS), unique=True)


@given(some_calls, some_calls)
@settings(max_examples=50)
def test_extends_only_adds(first: list[str], second: list[str]) -> None:
    built = matrix(first, second)
    assert of(built, 0) == set(first)
    assert of(built, 1) == set(first) | set(second)
    assert built.covers("r1", "r0", Kind.EXPERIMENT)


@given(some_patterns.filter(bool))
@settings(max_examples=50)
def test_a_pattern_is_what_brute_force_finds(patterns: list[str]) -> None:
    # fnmatch reads [] and ? as well; no call has one of them.
    expected = {call for call in CALLS if any(fnmatchcase(call, p) for p in patterns)}
    assert of(matrix(patterns), 0) == expected


@given(some_calls.filter(bool), st.data())
@settings(max_examples=50)
def test_a_removal_removes_exactly_what_it_names(first: list[str], data: st.DataObject) -> None:
    gone = data.draw(st.lists(st.sampled_from(first), unique=True))
    built = matrix(first, [f"-{call}" for call in gone])
    assert of(built, 1) == set(first) - set(gone)


@given(some_calls.filter(bool), st.sampled_from(PATTERNS))
@settings(max_examples=50)
def test_a_removed_pattern_leaves_the_rest(first: list[str], pattern: str) -> None:
    gone = {call for call in first if fnmatchcase(call, pattern)}
    if gone:
        assert of(matrix(first, [f"-{pattern}"]), 1) == set(first) - gone
    else:
        with pytest.raises(RolesError, match="takes away nothing"):
            matrix(first, [f"-{pattern}"])


@given(some_calls, some_calls, some_calls)
@settings(max_examples=50)
def test_covers_is_an_order(a: list[str], b: list[str], c: list[str]) -> None:
    built = matrix(a, b, c)
    assert built.covers("r2", "r0", Kind.EXPERIMENT)
    for one, other in (("r0", "r1"), ("r1", "r2"), ("r0", "r2")):
        both = built.covers(one, other, Kind.EXPERIMENT) and built.covers(
            other, one, Kind.EXPERIMENT
        )
        assert both == (built.calls[one, Kind.EXPERIMENT] == built.calls[other, Kind.EXPERIMENT])


@given(st.text(max_size=200))
@settings(max_examples=150)
def test_no_text_makes_the_reader_fall_over(text: str) -> None:
    with pytest.raises(RolesError) as caught:
        parse_roles(text, NAMES)
    assert caught.value.problems
