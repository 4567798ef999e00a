"""Request bodies: what passes is read by MLflow's own parser as exactly what was checked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.protos.model_registry_pb2 import ModelRegistryService
from mlflow.protos.service_pb2 import MlflowService
from mlflow.protos.webhooks_pb2 import WebhookService

from gateway.errors import BadRequest
from gateway.routes.bodies import BodyChecks, dump, parse_object
from gateway.routes.schema import schema

SCHEMA = schema()
CHECKS = BodyChecks(SCHEMA)
MESSAGES = {
    method.input_type.full_name.removeprefix("mlflow."): GetMessageClass(method.input_type)
    for service in (MlflowService, ModelRegistryService, WebhookService)
    for method in service.DESCRIPTOR.methods
}
NAMES = sorted(name for name in MESSAGES if SCHEMA.messages.get(name))


def as_mlflow_reads(name: str, value: Any) -> Message:
    message = MESSAGES[name]()
    ParseDict(value, message, ignore_unknown_fields=True)
    return message


def passed(name: str, raw: bytes) -> dict[str, Any]:
    return dict(json.loads(dump(CHECKS.message(name)(parse_object(raw), ""))))


# --- whatever passes ------------------------------------------------------------------------------

ODD = [
    None, True, False, 0, 1, -1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, -(2**63), 2**64, 10**30,
    0.0, 1.0, 1.5, -0.0, 1e18, 1e308, 1e39, "", "0", "1", "-0", "01", "+1", "1e3", "1.0", " 1",
    "NaN", "Infinity", "-Infinity", "nan", "inf", "true", "ACTIVE_ONLY", "active_only", "RUNNING",
    "a", "runId", "a_b,c", "a,b", "A=", "AA==", "QUJD", "-_-_", "A", "2026-01-31T12:00:00Z",
    "2026-02-30T12:00:00Z", "2026-01-31T25:00:00Z", "2026-01-31T12:00:61Z", "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-23:59", "2026-01-31T12:00:00.5+02:00",
    "2026-01-31t12:00:00z", "1s", "1.5s", "-0.5s", "999999999999s", "315576000000.5s", "1m", "s",
    "\u00e9", "\ud800", "\x00", [], [None], ["1"], [1, "x"], [[]], {}, {"a": None}, {"a": 1},
    {"key": "k", "value": "v"}, [{"key": "k"}], {"a": {"b": [1, None, "x"]}},
]  # fmt: skip
odd = st.sampled_from(ODD)


def of_type(text: str, depth: int) -> st.SearchStrategy[Any]:
    """Values that mostly fit, so that nested fields are reached; now and then an odd one."""
    if text.endswith("[]"):
        return st.lists(of_type(text[:-2], depth), max_size=2) | odd
    if text.startswith("map:"):
        return st.dictionaries(st.sampled_from(["a", "A b"]), of_type(text[4:], depth), max_size=2)
    if text.startswith("@"):
        return odd if depth <= 0 else of_message(text[1:], depth - 1)
    if text.startswith("enum:"):
        return st.sampled_from([*SCHEMA.enums[text[5:]], *range(-1, 4), "NO_SUCH"])
    if text in ("string", "bool"):
        return st.booleans() if text == "bool" else st.text(max_size=3) | odd
    return odd


def of_message(name: str, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    fields = SCHEMA.messages[name]
    if not fields:
        return st.just({})

    def some(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries({n: of_type(fields.get(n, "string"), depth) for n in names})

    return st.lists(
        st.sampled_from([*fields, "unknown"]), min_size=1, max_size=4, unique=True
    ).flatmap(some)


requests = st.sampled_from(NAMES).flatmap(
    lambda name: st.tuples(st.just(name), of_message(name, 4))
)


@given(requests)
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_passes_is_read_whole_by_mlflow_and_as_it_was_sent(
    request_: tuple[str, dict[str, Any]],
) -> None:
    name, sent = request_
    try:
        clean = passed(name, json.dumps(sent).encode())
    except BadRequest:
        return
    read = as_mlflow_reads(name, clean)  # never a ParseError: MLflow would go on with half of it
    assert passed(name, json.dumps(clean).encode()) == clean
    try:
        directly = as_mlflow_reads(name, sent)
    except ParseError:
        return  # a null in a map: MLflow refuses it, here the key counts as absent
    assert read.SerializeToString(deterministic=True) == directly.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize(
    "text", sorted(ODD, key=repr), ids=[ascii(v) for v in sorted(ODD, key=repr)]
)
@pytest.mark.parametrize(
    ("message", "place"),
    [
        ("LogMetric", "value"),
        ("LogMetric", "timestamp"),
        ("LogMetric", "step"),
        ("SearchRuns", "max_results"),
        ("SearchRuns", "run_view_type"),
        ("UpdateRun", "status"),
        ("CreateRun", "tags"),
        ("GetRun", "run_id"),
        ("StartTraceV3", "trace.trace_info.request_time"),
        ("StartTraceV3", "trace.trace_info.execution_duration"),
        ("StartTraceV3", "trace.trace_info.tags"),
        ("StartTraceV3", "trace.spans"),
        ("CreateAssessment", "assessment.feedback.value"),
        ("CreateAssessment", "assessment.create_time"),
        ("UpdateAssessment", "update_mask"),
        ("CreateGatewayEndpoint", "model_configs"),
    ],
)
def test_an_odd_value_in_a_known_place_is_refused_or_read_alike(
    message: str, place: str, text: Any
) -> None:
    *outer, last = place.split(".")
    sent: dict[str, Any] = {last: text}
    for step in reversed(outer):
        sent = {step: sent}
    try:
        clean = passed(message, json.dumps(sent).encode())
    except BadRequest:
        return
    read = as_mlflow_reads(message, clean)
    if text != {"a": None}:  # in a map: MLflow refuses it, here the key counts as absent
        assert read == as_mlflow_reads(message, sent) or "nan" in str(read)


# --- what must not pass ---------------------------------------------------------------------------

REFUSED_BYTES = {
    "BOM": b'\xef\xbb\xbf{"run_id": "a"}',
    "UTF-16 with BOM": '{"run_id": "a"}'.encode("utf-16"),
    "UTF-16 little endian": '{"run_id": "a"}'.encode("utf-16-le"),
    "UTF-32": '{"run_id": "a"}'.encode("utf-32-be"),
    "latin-1": '{"run_id": "é"}'.encode("latin-1"),
    "JSON in a string": json.dumps('{"run_id": "a"}').encode(),
    "list": b'[{"run_id": "a"}]',
    "null": b"null",
    "number": b"1",
    "two values": b'{"run_id": "a"} {"run_id": "b"}',
    "trailing comma": b'{"run_id": "a",}',
    "single quotes": b"{'run_id': 'a'}",
    "comment": b'{"run_id": "a" /* b */}',
    "control character in a string": b'{"run_id": "a\n"}',
    "NaN": b'{"value": NaN}',
    "Infinity": b'{"value": Infinity}',
    "minus Infinity": b'{"x": [-Infinity]}',
    "same key twice": b'{"run_id": "a", "run_id": "b"}',
    "same key twice, equal": b'{"run_id": "a", "run_id": "a"}',
    "same key twice, escaped": b'{"run_id": "a", "run\\u005fid": "b"}',
    "same key twice, nested": b'{"x": {"y": [{"a": 1, "a": 2}]}}',
    "same key twice in an unknown field": b'{"unknown": {"a": 1, "a": 1}}',
    "empty key twice": b'{"": 1, "": 2}',
    "too deep for the parser": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "number of too many digits": b'{"x": ' + b"9" * 5000 + b"}",
    "nothing but blanks": b"  ",
}


@pytest.mark.parametrize("raw", REFUSED_BYTES.values(), ids=REFUSED_BYTES)
def test_bytes_that_another_parser_reads_otherwise_are_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_object(raw)


def spellings(descriptor: Any, at: tuple[str, ...] = (), seen: tuple[str, ...] = ()) -> list[Any]:
    """(path to it, proto name, camelCase name) of every field that has two spellings."""
    found = []
    for field in descriptor.fields:
        if field.json_name != field.name:
            found.append(((*at,), field.name, field.json_name))
        inner = field.message_type
        nested = inner is not None and not inner.GetOptions().map_entry
        if nested and inner.full_name.startswith("mlflow.") and inner.full_name not in seen:
            step = field.name + ("[]" if field.is_repeated else "")
            found += spellings(inner, (*at, step), (*seen, inner.full_name))
    return found


def nest(path: tuple[str, ...], value: Any) -> Any:
    for step in reversed(path):
        value = {step[:-2]: [value]} if step.endswith("[]") else {step: value}
    return value


@pytest.mark.parametrize("name", NAMES)
def test_the_second_spelling_of_a_field_is_refused_at_any_depth(name: str) -> None:
    for path, _, camel in spellings(MESSAGES[name].DESCRIPTOR):
        with pytest.raises(BadRequest):
            CHECKS.message(name)(nest(path, {camel: None}), "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LogMetric", {"value": True}),
        ("LogMetric", {"value": 10**400}),
        ("LogMetric", {"value": "1e999"}),
        ("LogMetric", {"timestamp": 2**63}),
        ("LogMetric", {"timestamp": "9223372036854775808"}),
        ("LogMetric", {"timestamp": 1.5}),
        ("LogMetric", {"timestamp": True}),
        ("LogMetric", {"run_id": 1}),
        ("LogMetric", {"run_id": ["a"]}),
        ("LogBatch", {"metrics": {}}),
        ("LogBatch", {"metrics": [None]}),
        ("LogBatch", {"metrics": [[]]}),
        ("SearchRuns", {"experiment_ids": "1"}),
        ("SearchRuns", {"experiment_ids": [1]}),
        ("SearchRuns", {"max_results": 2**31}),
        ("SearchRuns", {"run_view_type": "active_only"}),
        ("SearchRuns", {"run_view_type": 99}),
        ("StartTraceV3", {"trace": {"trace_info": {"tags": {"a": 1}}}}),
        ("StartTraceV3", {"trace": {"trace_info": {"request_time": "2026-02-30T00:00:00Z"}}}),
        ("StartTraceV3", {"trace": {"trace_info": {"execution_duration": "999999999999s"}}}),
        ("UpdateAssessment", {"update_mask": "assessment_name"}),
    ],
)
def test_a_wrong_type_is_refused(name: str, value: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        CHECKS.message(name)(value, "")


def test_only_one_of_a_oneof_may_be_given() -> None:
    one = {"assessment": {"feedback": {}}}
    both = {"assessment": {"feedback": {}, "expectation": {}}}
    assert passed("CreateAssessment", json.dumps(one).encode()) == one
    with pytest.raises(BadRequest, match="only one of"):
        CHECKS.message("CreateAssessment")(both, "")
    both["assessment"]["expectation"] = None  # type: ignore[assignment]
    assert passed("CreateAssessment", json.dumps(both).encode()) == one


def test_nulls_and_unknown_fields_are_left_out() -> None:
    raw = b'{"run_id": "a", "run_uuid": null, "nope": {"run_id": "b"}}'
    assert passed("UpdateRun", raw) == {"run_id": "a"}


def test_a_null_feedback_stays_a_value() -> None:
    raw = {"assessment": {"feedback": {"value": None}}}
    assert passed("CreateAssessment", json.dumps(raw).encode()) == raw


@pytest.mark.parametrize("deep", [49, 90, 120, 900])
def test_a_free_value_is_not_deeper_than_mlflow_reads(deep: int) -> None:
    value: Any = 1
    for _ in range(deep):
        value = [value]
    with pytest.raises(BadRequest, match="deeply"):
        passed(
            "CreateAssessment", json.dumps({"assessment": {"feedback": {"value": value}}}).encode()
        )


def test_a_free_value_of_any_ordinary_depth_passes() -> None:
    value: Any = 1
    for _ in range(40):
        value = {"a": value}
    sent = {"assessment": {"feedback": {"value": value}}}
    clean = passed("CreateAssessment", json.dumps(sent).encode())
    assert as_mlflow_reads("CreateAssessment", clean) == as_mlflow_reads("CreateAssessment", sent)


@pytest.mark.parametrize("value", ["\ud800", {"a": ["\udfff"]}, 2**64, -(2**63) - 1])
def test_what_cannot_be_written_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest):
        dump({"a": value})


def test_an_infinite_number_in_a_free_value_is_refused() -> None:
    with pytest.raises(BadRequest, match="too large"):
        passed("CreateAssessment", b'{"assessment": {"feedback": {"value": [1e999]}}}')
