"""From a raw request to a call: every identifier found, every second meaning refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import BadRequest, UnknownEndpoint
from gateway.routes.call import Call
from gateway.routes.catalogue import ROUTES
from gateway.routes.describe import Describer, header_refs, narrow_body
from gateway.routes.route import RefKind
from gateway.routes.schema import schema

DESCRIBER = Describer(ROUTES, schema())
ROWS = {row.call: row for row in ROUTES}
_2 = "/api/2.0/mlflow"
_3 = "/api/3.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


def describe(method: str, target: str, body: Any = None) -> Call:
    match, query = DESCRIBER.match(method, target)
    raw = json.dumps(body or {}).encode() if match.route.takes_json else None
    return DESCRIBER.describe(match, query, raw)


def ids(call: Call) -> list[tuple[RefKind, str]]:
    return [(ref.kind, ref.id) for ref in call.refs]


REFUSED: dict[str, tuple[str, str, Any]] = {
    "run_id and run_uuid differ": ("GET", f"{_2}/runs/get?run_id=a&run_uuid=b", None),
    "run_id twice": ("GET", f"{_2}/runs/get?run_id=a&run_id=a", None),
    "run_id is missing": ("GET", f"{_2}/runs/get", None),
    "run_id is empty": ("GET", f"{_2}/runs/get?run_id=", None),
    "run id with a slash": ("GET", f"{_2}/runs/get?run_id=a%2fb", None),
    "run id is dots": ("GET", f"{_2}/runs/get?run_id=..", None),
    "run id with a blank": ("GET", f"{_2}/runs/get?run_id=a%20", None),
    "run id is too long": ("GET", f"{_2}/runs/get?run_id=" + "a" * 257, None),
    "run id in other letters": ("GET", f"{_2}/runs/get?run_id=%C3%A9", None),
    "body: run_id and run_uuid differ": (
        "POST", f"{_2}/runs/update", {"run_id": "a", "run_uuid": "b"}),
    "body: camelCase": ("POST", f"{_2}/runs/update", {"run_id": "a", "runUuid": "b"}),
    "body: run_id is a number": ("POST", f"{_2}/runs/update", {"run_id": 1}),
    "body: run_id is missing": ("POST", f"{_2}/runs/delete", {}),
    "body and path differ": ("PATCH", f"{_3}/traces/tr-1/tags", {"trace_id": "tr-2", "key": "a"}),
    "query and path differ": ("GET", f"{_3}/traces/tr-1?trace_id=tr-2", None),
    "experiment id with a zero": ("GET", f"{_2}/experiments/get?experiment_id=07", None),
    "experiment id with a sign": ("GET", f"{_2}/experiments/get?experiment_id=%2B7", None),
    "experiment id with a blank": ("GET", f"{_2}/experiments/get?experiment_id=7%20", None),
    "experiment id in Arabic digits": ("GET", f"{_2}/experiments/get?experiment_id=%D9%A7", None),
    "experiment id as float": ("GET", f"{_2}/experiments/get?experiment_id=7.0", None),
    "model name with a blank": ("GET", f"{_2}/registered-models/get?name=a%20", None),
    "model name with a newline": ("GET", f"{_2}/registered-models/get?name=a%0a", None),
    "no experiments to search": ("GET", f"{_3}/datasets/search", None),
    "artifact of no experiment": ("GET", f"{FILES}/models/x", None),
    "artifact path climbs": ("GET", f"{FILES}/7/..%252f8", None),
    "artifact path with a query": ("GET", f"{FILES}/7/a%3Fb", None),
    "artifact path with a fragment": ("GET", f"{FILES}/7/a%23b", None),
    "artifact path encoded again": ("GET", f"{FILES}/7/%252e%252e/8", None),
    "artifact list: climbs": ("GET", f"{FILES}?path=7/../8", None),
    "artifact list: empty": ("GET", f"{FILES}?path=", None),
    "artifact list: absolute": ("GET", f"{FILES}?path=/7", None),
    "inner path climbs": ("GET", f"{_2}/artifacts/list?run_id=a&path=../b", None),
    "inner path is absolute": ("GET", f"{_2}/artifacts/list?run_id=a&path=/etc", None),
    "inner path encoded again": ("GET", f"{_2}/artifacts/list?run_id=a&path=%252e%252e/b", None),
    "inner path in the middle": ("GET", "/get-artifact?run_id=a&path=b/../../c", None),
    "inner path with a backslash": ("GET", "/get-artifact?run_id=a&path=..%5cb", None),
    "file name is a path": (
        "POST", "/api/2.0/mlflow-artifacts/mpu/create/7/a", {"path": "../8/b"}),
    "file name is dots": ("POST", "/api/2.0/mlflow-artifacts/mpu/create/7/a", {"path": ".."}),
    "query type: not a number": ("GET", f"{_2}/experiments/search?max_results=x", None),
    "query type: beyond int32": (
        "GET", f"{_2}/metrics/get-history?run_id=a&max_results=2147483648", None),
    "query type: beyond int64": (
        "GET", f"{_2}/experiments/search?max_results=9999999999999999999", None),
    "query type: no such name": ("GET", f"{_2}/experiments/search?view_type=NOPE", None),
    "query type: no such number": ("GET", f"{_2}/experiments/search?view_type=99", None),
    "query type: no boolean": ("GET", f"{_3}/traces/get?trace_id=tr-1&allow_partial=1", None),
    "query with raw letters": ("GET", f"{_2}/registered-models/get?name=é", None),
    "query with a fragment": ("GET", f"{_2}/registered-models/get?name=a#b", None),
    "path with raw letters": ("GET", f"{FILES}/7/é", None),
    "path that is no text": ("GET", f"{FILES}/7/\udcff", None),
}  # fmt: skip


@pytest.mark.parametrize(("method", "target", "body"), REFUSED.values(), ids=REFUSED)
def test_a_request_with_a_second_meaning_is_refused(method: str, target: str, body: Any) -> None:
    with pytest.raises(BadRequest):
        describe(method, target, body)


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("run_id=a", "run_id=a"),
        ("run_uuid=a", "run_id=a"),
        ("run_id=a&run_uuid=a", "run_id=a"),
        ("run_id=&run_uuid=a", "run_id=a"),
        ("run_id=a&run_uuid=", "run_id=a"),
        ("run_id=%61", "run_id=a"),
        ("run_id=a&unknown=b", "run_id=a"),
        ("run_id=a&", "run_id=a"),
        ("RUN_ID=b&run_id=a", "run_id=a"),
    ],
)
def test_one_spelling_of_the_run_leaves(target: str, sent: str) -> None:
    call = describe("GET", f"{_2}/runs/get?{target}")
    assert ids(call) == [(RefKind.RUN, "a")]
    assert call.target() == f"{_2}/runs/get?{sent}"


def test_body_spellings_are_folded_too() -> None:
    call = describe("POST", f"{_2}/runs/update", {"run_uuid": "a"})
    assert ids(call) == [(RefKind.RUN, "a")]
    assert call.body == {"run_id": "a"}


def test_every_identifier_of_a_batch_is_found() -> None:
    metrics = [
        {"key": "m", "model_id": "m-1", "run_id": "r2"}, {"key": "n", "model_id": ""}, {"key": "o"},
    ]  # fmt: skip
    call = describe("POST", f"{_2}/runs/log-batch", {"run_id": "r1", "metrics": metrics})
    assert ids(call) == [
        (RefKind.RUN, "r1"),
        (RefKind.LOGGED_MODEL, "m-1"),
        (RefKind.RUN, "r2"),
    ]


def test_an_artifact_belongs_to_the_experiment_its_path_begins_with() -> None:
    call = describe("GET", f"{FILES}/7/abc/artifacts/a%20b.txt")
    assert ids(call) == [(RefKind.ARTIFACT_PATH, "7")]
    assert call.target() == f"{FILES}/7/abc/artifacts/a%20b.txt"


def test_a_query_is_sent_as_it_came_only_while_nobody_changed_it() -> None:
    call = describe("GET", f"{_3}/datasets/search?experiment_ids=1&experiment_ids=2")
    assert call.target().endswith("?experiment_ids=1&experiment_ids=2")
    call.query = {"experiment_ids": ["2"]}
    assert call.target().endswith("?experiment_ids=2")
    call.query = {}
    assert call.target() == f"{_3}/datasets/search"


def test_narrowing_takes_out_of_query_and_body() -> None:
    call = describe("GET", f"{_3}/datasets/search?experiment_ids=1&experiment_ids=2")
    assert [ref.id for ref in call.narrow] == ["1", "2"]
    assert call.refs == ()
    narrow_body(call, "experiment_ids[]", frozenset({"2"}))
    assert call.target().endswith("?experiment_ids=2")
    body = {"experiment_ids": ["1", "", "2"], "filter": "x"}
    call = describe("POST", f"{_2}/runs/search", body)
    narrow_body(call, "experiment_ids[]", frozenset({"1"}))
    assert call.body == {"experiment_ids": ["1"], "filter": "x"}


def test_narrowing_drops_whole_locations_that_name_nothing_allowed() -> None:
    def place(one: str) -> dict[str, Any]:
        return {"mlflow_experiment": {"experiment_id": one}}

    table = {"inference_table": {"full_table_name": "a.b.c"}}
    call = describe(
        "POST", f"{_3}/traces/search", {"locations": [place("1"), place("2"), table, {}]}
    )
    narrow_body(call, "locations[].mlflow_experiment.experiment_id", frozenset({"2"}))
    assert call.body == {"locations": [place("2")]}


RESERVED = {
    "plain": "mlgate.owner",
    "unknown one": "mlgate.x",
    "the prefix": "mlgate.",
    "upper case": "MLGATE.OWNER",
    "mixed case": "MlGate.Owner",
    "blank in front": " mlgate.owner",
    "blank behind": "mlgate.owner ",
    "tab in front": "\tmlgate.owner",
    "no-break space in front": "\u00a0mlgate.owner",
    "accent": "mlg\u00e1te.owner",
    "combining accent": "mlga\u0301te.owner",
    "full width": "\uff4d\uff4cgate\uff0eowner",
    "one dot leader": "mlgate\u2024owner",
    "zero width space": "ml\u200bgate.owner",
    "soft hyphen": "ml\u00adgate.owner",
    "zero width in front": "\ufeffmlgate.owner",
    "control character": "ml\x01gate.owner",
    "variation selector": "m\ufe0flgate.owner",
    "mathematical letters": "\U0001d426\U0001d425gate.owner",
}
TAGGING: dict[str, tuple[str, str, Any]] = {
    "run": ("POST", f"{_2}/runs/set-tag", lambda key: {"run_id": "a", "key": key}),
    "run, delete": ("POST", f"{_2}/runs/delete-tag", lambda key: {"run_id": "a", "key": key}),
    "run, batch": (
        "POST", f"{_2}/runs/log-batch", lambda key: {"run_id": "a", "tags": [{"key": key}]}),
    "run, create": (
        "POST", f"{_2}/runs/create", lambda key: {"experiment_id": "7", "tags": [{"key": key}]}),
    "experiment": (
        "POST", f"{_2}/experiments/set-experiment-tag",
        lambda key: {"experiment_id": "7", "key": key}),
    "experiment, create": (
        "POST", f"{_2}/experiments/create", lambda key: {"name": "x", "tags": [{"key": key}]}),
    "model": ("POST", f"{_2}/registered-models/set-tag", lambda key: {"name": "m", "key": key}),
    "model, create": (
        "POST", f"{_2}/registered-models/create",
        lambda key: {"name": "m", "tags": [{"key": key}]}),
    "trace": ("PATCH", f"{_3}/traces/tr-1/tags", lambda key: {"key": key, "value": "v"}),
    "trace, create": (
        "POST", f"{_3}/traces",
        lambda key: {"trace": {"trace_info": {
            "tags": {key: "v"},
            "trace_location": {"mlflow_experiment": {"experiment_id": "7"}}}}}),
}  # fmt: skip


@pytest.mark.parametrize("key", RESERVED.values(), ids=RESERVED)
@pytest.mark.parametrize(("method", "target", "make"), TAGGING.values(), ids=TAGGING)
def test_a_reserved_tag_is_seen_in_any_spelling(
    method: str, target: str, make: Any, key: str
) -> None:
    assert describe(method, target, make(key)).reserved_tags == (key,)


@pytest.mark.parametrize("key", ["mlgate", "mlgateway.x", "x.mlgate.owner", "team", "ml gate.x"])
@pytest.mark.parametrize(("method", "target", "make"), TAGGING.values(), ids=TAGGING)
def test_an_ordinary_tag_is_not(method: str, target: str, make: Any, key: str) -> None:
    assert describe(method, target, make(key)).reserved_tags == ()


@pytest.mark.parametrize(
    "key",
    ["mlflow.artifactLocation", "mlflow.artifactlocation", "MLFLOW.ARTIFACTLOCATION",
     "mlflow.artifactLocation ", "mlflow.\u00e1rtifactLocation", "mlflow.trace.spansLocation"],
    ids=ascii,
)  # fmt: skip
def test_where_a_trace_is_cannot_be_said_by_its_tags(key: str) -> None:
    method, target, make = TAGGING["trace"]
    assert describe(method, target, make(key)).reserved_tags == (key,)
    method, target, make = TAGGING["trace, create"]
    assert describe(method, target, make(key)).reserved_tags == (key,)


_SET_VERSION_TAG = (
    "POST", f"{_2}/model-versions/set-tag", lambda key: {"name": "m", "version": "1", "key": key}
)  # fmt: skip


@pytest.mark.parametrize(
    ("tagging", "key", "also"),
    [
        (TAGGING["run"], "mlflow.runName", "runs/update"),
        (TAGGING["run"], "mlflow.user", "runs/update"),
        (TAGGING["run"], "MLFLOW.runname ", "runs/update"),
        (TAGGING["run"], "ml\u200bflow.runName", "runs/update"),
        (TAGGING["run, delete"], "mlflow.source.name", "runs/update"),
        (TAGGING["run"], "mlflow.note.content", None),
        (TAGGING["run"], "mlflow", None),
        (TAGGING["run"], "team", None),
        (TAGGING["experiment"], "mlflow.trace.archiveNow", "traces/{id}:PATCH"),
        (TAGGING["experiment"], "mlflow.trace.archivalRetention", "traces/{id}:PATCH"),
        (
            TAGGING["experiment"],
            "mlflow.latestOnlineScoring.trace.checkpoint",
            "scorers/online-config",
        ),
        (TAGGING["experiment"], "mlflow.note.content", None),
        (TAGGING["experiment"], "mlflow.sharedViewState.1", None),
        (
            TAGGING["experiment"],
            "mlflow.customView.view.v1.a",
            "experiments/delete-experiment-tag",
        ),
        (TAGGING["model"], "mlflow.prompt.is_prompt", "registered-models/update"),
        (TAGGING["model"], "_mlflow_experiment_ids", None),
        (_SET_VERSION_TAG, "mlflow.prompt.text", "model-versions/update"),
        (_SET_VERSION_TAG, "_MLFLOW_prompt_model_config", "model-versions/update"),
        (_SET_VERSION_TAG, "mlflow.note.content", None),
    ],
)
def test_a_tag_that_mlflow_acts_by_needs_another_call_too(
    tagging: tuple[str, str, Any], key: str, also: str | None
) -> None:
    method, target, make = tagging
    call = describe(method, target, make(key))
    assert call.tags_needing == (((key, also),) if also else ())
    (first, *others) = call.refs
    assert first.call == call.route.call
    assert others == ([first._replace(call=also)] if also else [])


@pytest.mark.parametrize(
    ("value", "found"), [("s3://b", True), ("", False), (None, False), (" ", True)]
)
def test_a_field_for_admins_is_noticed_when_it_is_filled(value: Any, found: bool) -> None:
    call = describe("POST", f"{_2}/experiments/create", {"name": "x", "artifact_location": value})
    assert bool(call.admin_fields) is found


def test_admin_fields_are_found_by_path() -> None:
    info = {"trace_location": {"mlflow_experiment": {"experiment_id": "7"}}}
    plain = describe("POST", f"{_3}/traces", {"trace": {"trace_info": info}})
    assert plain.admin_fields == ()
    info["assessments"] = [{}, {"assessment_id": "a-1"}]  # type: ignore[assignment]
    call = describe("POST", f"{_3}/traces", {"trace": {"trace_info": info}})
    assert call.admin_fields == ("trace.trace_info.assessments[].assessment_id",)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/nope"), ("PUT", f"{_2}/runs/get"), ("GET", f"{_2}/runs/get/x")],
)
def test_what_is_not_in_the_catalogue_is_unknown(method: str, path: str) -> None:
    if (method, path) == ("GET", "/"):
        assert describe(method, path).route.call == "ui"
        return
    with pytest.raises(UnknownEndpoint):
        describe(method, path)


def test_an_absent_body_is_an_empty_message() -> None:
    match, _ = DESCRIBER.match("POST", f"{_2}/experiments/search")
    assert DESCRIBER.describe(match, "", b"").body == {}


HEADERS = {
    "missing": {},
    "empty": {"x-mlflow-experiment-id": [""]},
    "twice": {"x-mlflow-experiment-id": ["7", "7"]},
    "a zero in front": {"x-mlflow-experiment-id": ["07"]},
    "a list": {"x-mlflow-experiment-id": ["7,8"]},
    "two runs": {"x-mlflow-experiment-id": ["7"], "x-mlflow-run-id": ["a", "b"]},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_headers_that_name_no_single_thing_are_refused(headers: dict[str, list[str]]) -> None:
    with pytest.raises(BadRequest):
        header_refs(ROWS["v1/traces"], headers)


def test_identifiers_in_headers_are_found() -> None:
    headers = {"x-mlflow-experiment-id": ["7"], "x-mlflow-run-id": ["r"]}
    refs = header_refs(ROWS["v1/traces"], headers)
    assert [(ref.kind, ref.id) for ref in refs] == [(RefKind.EXPERIMENT, "7"), (RefKind.RUN, "r")]
