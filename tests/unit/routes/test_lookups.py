"""Where an identifier belongs, and what a model version's source points to."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlparse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import _parse_model_uri

from gateway.model import Kind, Resource
from gateway.routes.lookups import (
    LOOKUPS,
    TAGS_OF,
    Source,
    lies_under,
    parse_source,
    tag_dict,
    tags_in,
)
from gateway.routes.route import RefKind

RUN, MODEL, LOGGED = RefKind.RUN, RefKind.MODEL, RefKind.LOGGED_MODEL
SOURCES: dict[str, Source] = {
    "dummy-source": Source(),
    "prompt-template": Source(),
    "models:/m-1a2b": Source(LOGGED, "m-1a2b"),
    "models:/churn/3": Source(MODEL, "churn"),
    "models:/churn/Production": Source(MODEL, "churn"),
    "models:/churn@best": Source(MODEL, "churn"),
    "models:/m-1/2": Source(MODEL, "m-1"),
    "prompts:/ask/1": Source(MODEL, "ask"),
    "runs:/abc/model": Source(RUN, "abc"),
    "runs:/abc/a/b c": Source(RUN, "abc"),
    "mlflow-artifacts:/7/models/m-1/artifacts": Source(RefKind.EXPERIMENT, "7"),
}
UNDER = [
    "", "dummy-source ", "models:/", "models:/a/b/c", "models://churn/1", "models:///churn/1",
    "MODELS:/churn/1", " models:/churn/1", "models:/m-1?x/1", "models:/churn?x/1", "models:/m-1?x",
    "models:/m-1?x@a", "models:/churn",
    "models:/a#b", "models:/a@b@c", "models:/a/1@b", "models:churn/1",
    "runs:/abc", "runs:/abc/", "runs://abc/model", "runs:/abc/../x", "runs:/abc/a/../../x",
    "runs:/abc/./x", "runs:/abc/%2e%2e/x", "runs:/abc/a?b", "runs:/abc/a#b", "runs:/abc/a\\b",
    "runs:/../x", "runs:/-abc/x", "mlflow-artifacts:/7", "mlflow-artifacts:/07/x",
    "mlflow-artifacts:/7/../8/x", "mlflow-artifacts:/7/%2e%2e/8", "mlflow-artifacts://h/7/x",
    "mlflow-artifacts:/models/x", "mlflow-artifacts:/7//x", "mlflow-artifacts:/7/ x",
    "s3://bucket/7/x", "file:///etc/passwd", "/etc/passwd", "https://example.com/x",
]  # fmt: skip


@pytest.mark.parametrize(("source", "meaning"), SOURCES.items(), ids=SOURCES)
def test_a_source_that_is_understood(source: str, meaning: Source) -> None:
    assert parse_source(source) == meaning


@pytest.mark.parametrize("source", UNDER, ids=ascii)
def test_any_other_source_must_lie_under_its_run(source: str) -> None:
    assert parse_source(source) == Source(under=source)


@given(
    st.lists(
        st.sampled_from(["m-1", "churn", "/", "?", "@", "#", "%2f", ";", "1", " ", "é", "x", ":"]),
        max_size=6,
    ).map(lambda parts: "models:/" + "".join(parts))
)
@settings(max_examples=400, deadline=None)
def test_a_models_uri_is_read_as_mlflow_reads_it(uri: str) -> None:
    source = parse_source(uri)
    if source.kind is None:
        return
    assert urlparse(uri).query == ""
    try:
        theirs = _parse_model_uri(uri)
    except MlflowException:
        return
    if source.kind is LOGGED:
        assert theirs.model_id == source.id
    else:
        assert source.id == theirs.name


@pytest.mark.parametrize(
    ("uri", "root", "lies"),
    [
        ("s3://b/1/r/artifacts", "s3://b/1/r/artifacts", True),
        ("s3://b/1/r/artifacts/m", "s3://b/1/r/artifacts", True),
        ("s3://b/1/r/artifacts/m", "s3://b/1/r/artifacts/", True),
        ("s3://b/1/r/artifacts2", "s3://b/1/r/artifacts", False),
        ("s3://b/1/r", "s3://b/1/r/artifacts", False),
        ("s3://b/1/r/artifacts/../../x", "s3://b/1/r/artifacts", False),
        ("s3://b/1/r/artifacts/%2e%2e/x", "s3://b/1/r/artifacts", False),
        ("s3://b/1/r/artifacts/x?y", "s3://b/1/r/artifacts", False),
        ("s3://b/1/r/artifacts/x#y", "s3://b/1/r/artifacts", False),
        ("/etc/passwd", "/", False),
        ("/etc/passwd", "", False),
        ("/etc/passwd", None, False),
    ],
)
def test_below_a_root_means_below_it(uri: str, root: str | None, lies: bool) -> None:
    assert lies_under(uri, root) is lies


def answer(place: str, value: Any) -> dict[str, Any]:
    for step in reversed(place.split(".")):
        value = {step: value}
    return dict(value)


def merged(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    both = dict(a)
    for key, value in b.items():
        both[key] = merged(both[key], value) if isinstance(both.get(key), dict) else value
    return both


@pytest.mark.parametrize("kind", sorted(LOOKUPS))
def test_only_an_answer_that_echoes_the_identifier_is_believed(kind: RefKind) -> None:
    lookup = LOOKUPS[kind]
    place = lookup.experiment.removesuffix("[]")
    where = answer(place, ["7"] if lookup.experiment.endswith("[]") else "7")
    if lookup.echo is None:
        assert lookup.experiments_in(where, "Thing") == ("7",)
        return
    assert lookup.experiments_in(merged(where, answer(lookup.echo, "Thing")), "Thing") == ("7",)
    for other in ("thing", "Thing ", "", None, 7):
        said = merged(where, answer(lookup.echo, other))
        assert lookup.experiments_in(said, "Thing") == ()
    assert lookup.experiments_in({}, "Thing") == ()
    assert lookup.experiments_in(where, "Thing") == ()


@pytest.mark.parametrize("kind", sorted(LOOKUPS))
def test_what_is_asked_is_one_escaped_identifier(kind: RefKind) -> None:
    target = LOOKUPS[kind].target_for("a/b?c=d&e #%é")
    assert "a%2Fb%3Fc%3Dd%26e%20%23%25%C3%A9" in target
    assert target.isascii()


@pytest.mark.parametrize("kind", sorted(TAGS_OF))
def test_tags_are_believed_only_of_the_resource_asked_for(kind: Kind) -> None:
    lookup = TAGS_OF[kind]
    tags = [{"key": "a", "value": "b"}, {"key": "c"}, {"value": "d"}, "e", {"key": 1}]
    said = merged(answer(lookup.experiment, tags), answer(lookup.echo or "", "X"))
    assert tags_in(said, Resource(kind, "X")) == {"a": "b", "c": ""}
    assert tags_in(said, Resource(kind, "x")) is None
    assert tags_in({}, Resource(kind, "X")) is None


@pytest.mark.parametrize("tags", [None, [], {}])
def test_no_tags_are_no_tags(tags: Any) -> None:
    assert tag_dict(tags) == {}
