"""GraphQL requests: one reading, and nothing runs at MLflow that was not among the refs."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from graphql import parse, validate
from mlflow.server.graphql.graphql_schema_extensions import schema as mlflow_schema

from gateway.errors import BadRequest
from gateway.routes import graphql
from gateway.routes.graphql import GraphQLCall, TrimPath, read_graphql
from gateway.routes.graphql_answer import models_in, trim_graphql
from gateway.routes.route import Ref, RefKind
from tests.fakes.graphql_mlflow import FakeGraphQLMlflow


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> FakeGraphQLMlflow:
    return FakeGraphQLMlflow(monkeypatch)


def read(query: str, variables: object = None, **more: Any) -> GraphQLCall:
    return read_graphql({"query": query, "variables": variables, **more})


def run(run_id: str, call: str = "runs/get") -> Ref:
    return Ref(RefKind.RUN, run_id, call)


def experiment(experiment_id: str, call: str = "experiments/get") -> Ref:
    return Ref(RefKind.EXPERIMENT, experiment_id, call)


UI_RUN_PAGE = """
query GetRun($data: MlflowGetRunInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetRun(input: $data) {
    apiError { helpUrl code message }
    run {
      info { runName status runUuid experimentId artifactUri endTime lifecycleStage userId }
      experiment { experimentId name tags { key value } artifactLocation lifecycleStage }
      modelVersions { status version name source }
      data { metrics { key value step timestamp } params { key value } tags { key value } }
      inputs { datasetInputs { dataset { digest name profile schema source sourceType }
                               tags { key value } }
               modelInputs { modelId } }
      outputs { modelOutputs { modelId step } }
    }
  }
}"""


def test_the_run_page_of_mlflows_ui(mlflow: FakeGraphQLMlflow) -> None:
    body = {
        "query": UI_RUN_PAGE,
        "operationName": "GetRun",
        "variables": {"data": {"runUuid": "r7"}},
    }
    call = read_graphql(body)
    assert call.refs == (run("r7"), run("r7", "experiments/get"))
    assert call.calls == ("runs/get", "experiments/get", "model-versions/search")
    assert call.trims == (TrimPath(("mlflowGetRun", "run", "modelVersions"), "name", added=False),)
    before = mlflow.execute(body)
    after = mlflow.execute(call.body)
    assert before["errors"] is None
    assert after == before
    trimmed = trim_graphql(after, call, frozenset({"open"}))
    versions = trimmed["data"]["mlflowGetRun"]["run"]["modelVersions"]
    assert [v["name"] for v in versions] == ["open"]
    assert "hidden" not in json.dumps(trimmed)


@pytest.mark.parametrize(
    "query, refs",
    [
        ('{ mlflowGetExperiment(input:{experimentId:"2"}){experiment{name}} }', [experiment("2")]),
        ('{ mlflowGetRun(input:{runId:"rb"}){run{info{runId}}} }', [run("rb")]),
        ('{ mlflowGetRun(input:{runUuid:"rb"}){run{info{runId}}} }', [run("rb")]),
        ('{ mlflowGetRun(input:{runId:"rb",runUuid:"rb"}){run{info{runId}}} }', [run("rb")]),
        ('{ mlflowGetRun(input:{runId:null,runUuid:"rb"}){run{info{runId}}} }', [run("rb")]),
        ('{ mlflowListArtifacts(input:{runId:"rb",path:"a/b"}){rootUri} }',
         [run("rb", "artifacts/list")]),
        ('{ mlflowGetMetricHistoryBulkInterval(input:{runIds:["a","b","a"]}){metrics{key}} }',
         [run("a", "metrics/get-history-bulk-interval"),
          run("b", "metrics/get-history-bulk-interval")]),
        ('{ mlflowGetMetricHistoryBulkInterval(input:{runIds:"a"}){metrics{key}} }',
         [run("a", "metrics/get-history-bulk-interval")]),
        ('{ mlflowSearchRuns(input:{experimentIds:["1","2"]}){runs{info{runId}}} }',
         [experiment("1", "runs/search"), experiment("2", "runs/search")]),
        ('mutation { mlflowSearchRuns(input:{experimentIds:["2"]}){runs{experiment{name}}} }',
         [experiment("2", "runs/search"), experiment("2")]),
        ('mutation { mlflowSearchDatasets(input:{experimentIds:["2"]}){datasetSummaries{name}} }',
         [experiment("2", "experiments/search-datasets")]),
        ("{ mlflowSearchModelVersions(input:{}){modelVersions{name}} }", []),
        ("{ __typename }", []),
        ('{a:mlflowGetExperiment(input:{experimentId:"1"}){experiment{name}}'
         ' b:mlflowGetExperiment(input:{experimentId:"2"}){experiment{name}}}',
         [experiment("1"), experiment("2")]),
        ('query{...F} fragment F on Query {mlflowGetRun(input:{runId:"rb"}){...G}}'
         " fragment G on MlflowGetRunResponse{run{... on MlflowRunExtension{experiment{name}}}}",
         [run("rb"), run("rb", "experiments/get")]),
        ('{mlflowGetRun(input:{runId:"rb"}){run{info{runId}}}'
         ' mlflowGetRun(input:{runId:"rb"}){run{experiment{name}}}}',
         [run("rb"), run("rb", "experiments/get")]),
    ],
)  # fmt: skip
def test_every_identifier_of_a_document_is_found(
    query: str, refs: list[Ref], mlflow: FakeGraphQLMlflow
) -> None:
    call = read(query)
    assert list(call.refs) == refs
    assert validate(mlflow_schema.graphql_schema, parse(call.document)) == []
    after = trim_graphql(mlflow.execute(call.body), call, lambda name: True)
    assert after["errors"] is None
    assert after == mlflow.execute({"query": query})


def test_variables_are_put_in_by_graphqls_own_rules() -> None:
    query = 'query Q($x: MlflowGetRunInput = {runId: "default"}, $s: Boolean!) {' \
            " mlflowGetRun(input: $x) { run { info @include(if: $s) { runId }" \
            " data @skip(if: $s) { params { key } } } } }"  # fmt: skip
    assert read(query, {"s": True}).refs == (run("default"),)
    call = read(query, {"s": False, "x": {"runUuid": "rb"}}, operationName="Q")
    assert call.refs == (run("rb"),)
    assert "info" not in call.document
    assert "$" not in call.document
    assert call.body == {"query": call.document}


@pytest.mark.parametrize(
    "variables",
    [{}, {"x": None}, {"x": {}}, {"x": {"runId": ""}}, {"x": {"runId": 5}}, {"x": "rb"},
     {"x": {"runId": "a", "runUuid": "b"}}, {"x": {"runId": "", "runUuid": "b"}}, [],
     {"x": {"runId": "a", "other": 1}}, {"x": {"run_id": "a"}}, {"x": {"runId": "a b"}},
     {"x": {"runId": "../x"}}, {"x": {"runId": ["a"]}}],
)  # fmt: skip
def test_an_input_that_names_no_run_or_two_is_refused(variables: object) -> None:
    with pytest.raises(BadRequest):
        read("query($x: MlflowGetRunInput){mlflowGetRun(input:$x){run{info{runId}}}}", variables)


GET_2 = '{mlflowGetExperiment(input:{experimentId:"2"}){experiment{name}}}'
DEEP = "{" + "a{" * 300 + "b" + "}" * 301
MANY_ALIASES = "{" + " ".join(
    f'a{n}:mlflowGetExperiment(input:{{experimentId:"1"}}){{apiError{{code}}}}' for n in range(11)
) + "}"  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        "query A " + GET_2 + " query B " + GET_2,
        GET_2 + GET_2,
        "",
        "{",
        "fragment F on Query { __typename }",
        "subscription { x }",
        "{ test(inputString: \"x\") { output } }",
        "mutation { testMutation(inputString: \"x\") { output } }",
        "{ __schema { types { name } } }",
        "{ __type(name: \"Query\") { name } }",
        "query { ...F } fragment F on Query { __schema { types { name } } }",
        "{ unknownField }",
        "{ mlflowGetExperiment { experiment { name } } }",
        "{ mlflowGetExperiment(input: null) { experiment { name } } }",
        "{ mlflowGetExperiment(input: {}) { experiment { name } } }",
        '{ mlflowGetExperiment(input: {experimentId: ""}) { experiment { name } } }',
        '{ mlflowGetExperiment(input: {experimentId: " 2"}) { experiment { name } } }',
        '{ mlflowGetExperiment(input: {experimentId: "02"}) { experiment { name } } }',
        '{ mlflowGetExperiment(input: {experimentId: "\\u0662"}) { experiment { name } } }',
        "{ mlflowGetExperiment(input: {experimentId: 2}) { experiment { name } } }",
        '{ mlflowGetExperiment(input: {experiment_id: "2"}) { experiment { name } } }',
        "{ mlflowSearchRuns(input: {}) { runs { info { runId } } } }",
        "{ mlflowSearchRuns(input: {experimentIds: []}) { runs { info { runId } } } }",
        '{ mlflowSearchRuns(input: {experimentIds: ["1", null]}) { runs { info { runId } } } }',
        '{ mlflowListArtifacts(input: {runId: "a", path: "../b"}) { rootUri } }',
        '{ mlflowListArtifacts(input: {runId: "a", path: "%2e%2e/b"}) { rootUri } }',
        '{ mlflowListArtifacts(input: {runId: "a", path: "/etc"}) { rootUri } }',
        '{ mlflowSearchModelVersions(input: {maxResults: "x"}) { modelVersions { name } } }',
        '{ mlflowSearchModelVersions(input: {maxResults: "7"}) { modelVersions { name } } }',
        '{ mlflowSearchModelVersions(input: {pageToken: ""}) { nextPageToken } }',
        '{ mlflowSearchModelVersions(input: {}) { modelVersions { mlgate_name: source } } }',
        '{ mlflowSearchModelVersions(input: {filter: "\\ud800"}) { modelVersions { name } } }',
        '{ mlflowGetExperiment(input: {experimentId: "2"}) { apiError @skip(if: true) { code } } }',
        'query { ...A } fragment A on Query { ...B } fragment B on Query { ...A }',
        DEEP,
        MANY_ALIASES,
        "{ a: __typename " + "#" + "x" * graphql.MAX_LENGTH + "\n}",
    ],
)  # fmt: skip
def test_what_is_refused(query: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(query)
    assert len(caught.value.message) < 500


WIDE = (
    "fragment I on MlflowRunInfo{"
    + " ".join(f"{field} a{n}: {field}" for n, field in enumerate(["runId", "runUuid", "runName"]))
    + "}fragment R on MlflowRunExtension{"
    + " ".join(f"i{n}:info{{...I}}" for n in range(10))
    + "}"
)
OF_TYPE = "ofType{" * 9 + "name" + "}" * 9


@pytest.mark.parametrize(
    "query, variables, says",
    [
        ("query($i:[String]){mlflowGetMetricHistoryBulkInterval(input:{runIds:$i}){metrics{key}}}",
         {"i": [f"r{n}" for n in range(101)]}, "at most 100 ids"),
        ("query($f:String){mlflowSearchModelVersions(input:{filter:$f}){modelVersions{name}}}",
         {"f": "\ud800"}, "not valid Unicode"),
        ("{mlflowSearchModelVersions(input:{}){modelVersions{"
         + " ".join(f"a{n}:version" for n in range(10)) + "}}}", {}, "at most 10 GraphQL aliases"),
        ("{" + " ".join(f'm{n}:mlflowSearchRuns(input:{{experimentIds:"1"}})' "{runs{...R}}"
                        for n in range(10)) + "}" + WIDE, {}, None),
        ("{" + " ".join(
            f'm{n}:mlflowSearchRuns(input:{{experimentIds:"1"}})' "{a:runs{...R} b:runs{...R}}"
            for n in range(10)) + "}" + WIDE, {}, "at most 1000 GraphQL fields"),
        ('{__type(name:"Query"){fields{type{' + OF_TYPE + "}}}}", {}, "at most 10 deep"),
    ],
    ids=["ids", "surrogate", "aliases", "wide enough", "too wide", "deep"],
)  # fmt: skip
def test_limits(query: str, variables: dict[str, Any], says: str | None) -> None:
    body = {"query": query, "variables": variables}
    if says is None:
        assert read_graphql(body).refs == (experiment("1", "runs/search"),)
        return
    with pytest.raises(BadRequest, match=says):
        read_graphql(body, introspection=True)


@pytest.mark.parametrize("body", [{}, {"query": 5}, {"query": [GET_2]},
                                  {"query": GET_2, "operationName": "B"},
                                  {"query": "query A " + GET_2, "operationName": "B"},
                                  {"query": GET_2, "variables": "x"}])  # fmt: skip
def test_odd_bodies_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        read_graphql(body)


def test_an_admin_may_look_at_the_schema(mlflow: FakeGraphQLMlflow) -> None:
    query = "{ __schema { queryType { name fields(includeDeprecated: true) { name } } } }"
    call = read_graphql({"query": query}, introspection=True)
    assert mlflow.execute(call.body) == mlflow.execute({"query": query})
    assert call.refs == call.trims == ()
    named = read_graphql({"query": '{ __type(name: "Query") { kind } }'}, introspection=True)
    assert mlflow.execute(named.body)["data"] == {"__type": {"kind": "OBJECT"}}


def test_a_version_without_its_name_in_the_document_is_trimmed_all_the_same(
    mlflow: FakeGraphQLMlflow,
) -> None:
    query = (
        '{ m: mlflowSearchModelVersions(input:{filter:"", orderBy:["name ASC"]}) '
        "{ v: modelVersions { name: source x: version tags { value } } nextPageToken } }"
    )
    call = read(query)
    assert call.trims == (TrimPath(("m", "v"), graphql.PRIVATE_ALIAS, added=True),)
    answer = mlflow.execute(call.body)
    assert models_in(answer, call) == {"open", "hidden"}
    assert trim_graphql(answer, call, frozenset({"open"})) == {
        "data": {
            "m": {
                "v": [{"name": "s3://open", "x": "1", "tags": [{"value": "open"}]}],
                "nextPageToken": "",
            }
        },
        "errors": None,
    }


def test_versions_below_the_runs_of_a_search_are_trimmed(mlflow: FakeGraphQLMlflow) -> None:
    call = read(
        '{mlflowSearchRuns(input:{experimentIds:["1","2"]}){runs{w:modelVersions{n:name}}}}'
    )
    trimmed = trim_graphql(mlflow.execute(call.body), call, frozenset({"open"}))
    assert trimmed["data"]["mlflowSearchRuns"]["runs"] == [{"w": [{"n": "open"}]}] * 2


@pytest.mark.parametrize("data", [None, {}, {"mlflowSearchModelVersions": None},
                                  {"mlflowSearchModelVersions": {"modelVersions": None}},
                                  {"mlflowSearchModelVersions": {"modelVersions": [None, {}, 5]}},
                                  {"mlflowSearchModelVersions": {"modelVersions": {"name": "x"}}},
                                  "text"])  # fmt: skip
def test_odd_answers_never_show_a_version(data: object) -> None:
    call = read("{ mlflowSearchModelVersions(input:{}){modelVersions{name}} }")
    trimmed = trim_graphql({"data": data}, call, frozenset())
    assert "name" not in json.dumps(trimmed)


def test_error_texts_of_mlflow_do_not_pass() -> None:
    call = read("{ __typename }")
    errors = [
        "Run with id=secret not found",
        "(sqlite3.IntegrityError) INSERT INTO secret",
        "Cannot query field 'x' on type 'Query'.",
        {"message": "secret", "path": ["a"], "extensions": {"trace": "secret"}},
        None,
    ]
    scrubbed = trim_graphql({"data": None, "errors": errors}, call, frozenset())["errors"]
    assert "secret" not in json.dumps(scrubbed)
    assert scrubbed[2] == "Cannot query field 'x' on type 'Query'."
    assert scrubbed[3]["path"] == ["a"]
    assert len(scrubbed) == 5


@pytest.mark.parametrize(
    "query",
    [
        "{" + " ".join(["mlflowGetRun(input:{runId:\"a\"}){run{info{runId}}}"] * 60) + "}",
        "{mlflowGetRun(input:{runId:\"a\"}){run{" + "info{runId} " * 240 + "}}}",
        "{mlflowGetRun(input:{runId:\"a\"}){run{" + "info{runId} " * 99 + "}}}",
        "query{...F0}" + "".join(
            f"fragment F{n} on Query{{...F{n + 1} ...F{n + 1} __typename}}" for n in range(90)
        ) + "fragment F90 on Query{__typename}",
        "{mlflowGetRun(input:{runId:\"a\"}){run{" + "info{...I} " * 100 + "}}}"
        "fragment I on MlflowRunInfo{" + "runId runUuid " * 200 + "}",
    ],
    ids=["roots", "fields", "repeats", "fragments", "spreads"],
)  # fmt: skip
def test_costly_documents_are_refused_or_read_quickly(query: str) -> None:
    began = time.process_time()
    with contextlib.suppress(BadRequest):
        read(query)
    assert time.process_time() - began < 5
