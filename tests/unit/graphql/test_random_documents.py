"""Random documents of the pinned schema: MLflow runs nothing that was not among the refs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.routes.graphql import GraphQLCall, pinned_schema, read_graphql
from gateway.routes.graphql_answer import trim_graphql
from gateway.routes.route import RefKind
from tests.fakes.graphql_mlflow import FakeGraphQLMlflow

EXPERIMENTS = st.sampled_from(["1", "2", "3"])
RUNS = EXPERIMENTS.map(lambda e: f"r{e}")
INPUTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "MlflowGetExperimentInput": st.fixed_dictionaries({"experimentId": EXPERIMENTS}),
    "MlflowGetRunInput": st.fixed_dictionaries({"runId": RUNS}, optional={"runUuid": st.none()})
    | st.fixed_dictionaries({"runUuid": RUNS}, optional={"runId": RUNS}),
    "MlflowListArtifactsInput": st.fixed_dictionaries(
        {"runUuid": RUNS}, optional={"path": st.just("a/b")}
    ),
    "MlflowGetMetricHistoryBulkIntervalInput": st.fixed_dictionaries(
        {"runIds": st.lists(RUNS, min_size=1, max_size=3), "metricKey": st.text(max_size=5)},
        optional={"startStep": st.integers(0, 9)},
    ),
    "MlflowSearchRunsInput": st.fixed_dictionaries(
        {"experimentIds": st.lists(EXPERIMENTS, min_size=1, max_size=3) | EXPERIMENTS},
        optional={"filter": st.text(max_size=8), "maxResults": st.integers(1, 9)},
    ),
    "MlflowSearchDatasetsInput": st.fixed_dictionaries(
        {"experimentIds": st.lists(EXPERIMENTS, min_size=1, max_size=3)}
    ),
    "MlflowSearchModelVersionsInput": st.fixed_dictionaries(
        {}, optional={"filter": st.text(max_size=8), "orderBy": st.just(["name ASC"])}
    ),
}


class Writer:
    """Writes one random document; fragments and variables gather on the way."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.fragments: list[str] = []
        self.definitions: list[str] = []
        self.variables: dict[str, Any] = {}

    def document(self) -> str:
        kind = self.draw(st.sampled_from(["query", "mutation"]))
        schema = pinned_schema()
        root = schema.query_type if kind == "query" else schema.mutation_type
        assert root is not None
        body = self.selection(root, 1)
        names = f"({', '.join(self.definitions)})" if self.definitions else ""
        return f"{kind} Q{names} {body} {' '.join(self.fragments)}"

    def selection(self, parent: GraphQLObjectType, depth: int) -> str:
        names = [f for f in parent.fields if depth < 6 or self.is_leaf(parent, f)]
        if depth == 1:
            names = [f for f in names if not f.startswith("test")]
        chosen = self.draw(st.lists(st.sampled_from(names), min_size=1, max_size=4))
        parts = [self.wrapped(parent, self.one(parent, name, depth)) for name in chosen]
        return "{ " + " ".join(parts) + " }"

    def one(self, parent: GraphQLObjectType, name: str, depth: int) -> str:
        field = parent.fields[name]
        # A fresh alias nearly always: the same key with other arguments would not be valid.
        alias = f"k{self.draw(st.integers(0, 10**6))}: " if self.draw(st.booleans()) else ""
        if field.args and not alias:
            alias = f"r{self.draw(st.integers(0, 10**6))}: "
        below = get_named_type(field.type)
        inner = self.selection(below, depth + 1) if isinstance(below, GraphQLObjectType) else ""
        return f"{alias}{name}{self.arguments(field)}{self.directive()} {inner}"

    def is_leaf(self, parent: GraphQLObjectType, name: str) -> bool:
        return not isinstance(get_named_type(parent.fields[name].type), GraphQLObjectType)

    def arguments(self, field: Any) -> str:
        if "input" not in field.args:
            return '(inputString: "x")' if field.args else ""
        kind = get_named_type(field.args["input"].type).name
        value = self.draw(INPUTS[kind])
        if self.draw(st.booleans()):
            name = f"v{len(self.variables)}"
            self.definitions.append(f"${name}: {kind}")
            self.variables[name] = value
            return f"(input: ${name})"
        inner = ", ".join(f"{k}: {json.dumps(v)}" for k, v in value.items())
        return f"(input: {{{inner}}})"

    def directive(self) -> str:
        if self.draw(st.integers(0, 30)):
            return ""
        name = f"v{len(self.variables)}"
        self.definitions.append(f"${name}: Boolean!")
        self.variables[name] = self.draw(st.booleans())
        return self.draw(st.sampled_from([" @include", " @skip"])) + f"(if: ${name})"

    def wrapped(self, parent: GraphQLObjectType, text: str) -> str:
        how = self.draw(st.sampled_from(["", "", "inline", "fragment"]))
        if how == "inline":
            return f"... on {parent.name} {{ {text} }}"
        if how == "fragment":
            name = f"F{len(self.fragments)}"
            self.fragments.append(f"fragment {name} on {parent.name} {{ {text} }}")
            return f"...{name}"
        return text


def allowed(call: GraphQLCall) -> set[tuple[str, str]]:
    """(REST call, id) that the refs let MLflow ask; a nested experiment is that of its run."""
    pairs = {(ref.call, ref.id) for ref in call.refs}
    for ref in call.refs:
        if ref.call == "experiments/get" and ref.kind is RefKind.RUN:
            pairs.add((ref.call, ref.id.removeprefix("r")))
    return pairs


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_nothing_runs_that_was_not_among_the_refs(
    data: st.DataObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(data)
    query = writer.document()
    body = {"query": query, "variables": writer.variables}
    try:
        call = read_graphql(body)
    except BadRequest:
        return
    mlflow = FakeGraphQLMlflow(monkeypatch)
    after = mlflow.execute(call.body)
    for asked, ids in mlflow.asked:
        assert asked in call.calls
        for one in ids:
            assert (asked, one) in allowed(call), (query, asked, one)
    everything = trim_graphql(after, call, lambda name: True)
    if "@" not in query:
        # MLflow's schema lacks the standard directives; we decide them before it sees them.
        assert everything["data"] == mlflow.execute(body)["data"]
    assert "hidden" not in json.dumps(trim_graphql(after, call, frozenset({"open"})))


def test_the_strategy_writes_documents_that_are_read() -> None:
    """Guards the test above against refusing everything.

    The same documents each time: of random ones, too few are read once in a few hundred times.
    """
    read = []

    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(data=st.data())
    def count(data: st.DataObject) -> None:
        writer = Writer(data)
        body = {"query": writer.document(), "variables": writer.variables}
        try:
            read.append(len(read_graphql(body).refs))
        except BadRequest:
            read.append(-1)

    count()
    assert sum(n > 0 for n in read) >= 10
