"""OTLP exports: one reading, MLflow's trace ids, no way to write reserved tags."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.entities.span import Span
from mlflow.server.otel_api import _convert_otlp_json_ids_to_base64
from mlflow.tracing.constant import SpanAttributeKey, TraceTagKey
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.errors import BadRequest, GatewayError, TooLarge
from gateway.routes.otlp import JSON, PROTOBUF, OtlpCall, read_otlp

MOST = 1 << 20
TRACE = bytes(range(1, 17))
TRACE_ID = "tr-0102030405060708090a0b0c0d0e0f10"


def export(*trace_ids: bytes, attributes: dict[str, str] | None = None,
           resource: dict[str, str] | None = None) -> Any:  # fmt: skip
    message = ExportTraceServiceRequest()
    spans = message.resource_spans.add()
    for key, value in (resource or {}).items():
        spans.resource.attributes.add(key=key).value.string_value = value
    scope = spans.scope_spans.add()
    for n, trace_id in enumerate(trace_ids):
        span = scope.spans.add(trace_id=trace_id, span_id=bytes([n + 1] * 8), name=f"s{n}")
        for key, value in (attributes or {}).items():
            span.attributes.add(key=key).value.string_value = value
    return message


def as_json(trace_id: str = TRACE.hex(), **span: Any) -> bytes:
    full = {"traceId": trace_id, "spanId": "01" * 8, "name": "s", **span}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [full]}]}]}).encode()


def read(body: bytes, content_type: str = PROTOBUF, encoding: str = "") -> OtlpCall:
    return read_otlp(body, content_type, encoding, max_decoded=MOST)


def mlflow_ids(body: bytes) -> list[str]:
    """What MLflow itself makes of a protobuf body."""
    message = ExportTraceServiceRequest()
    message.ParseFromString(body)
    return [
        Span.from_otel_proto(span).trace_id
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


@settings(max_examples=50, deadline=None)
@given(ids=st.lists(st.binary(min_size=16, max_size=16).filter(any), min_size=1, max_size=5))
def test_trace_ids_are_those_that_mlflow_derives(ids: list[bytes]) -> None:
    call = read(export(*ids).SerializeToString())
    assert set(call.trace_ids) == set(mlflow_ids(call.body))
    assert len(call.trace_ids) == len(set(ids))


@pytest.mark.parametrize("trace_id", [TRACE.hex(), TRACE.hex().upper()])
def test_json_reads_as_mlflow_reads_it_and_leaves_as_protobuf(trace_id: str) -> None:
    body = as_json(trace_id, attributes=[{"key": "k", "value": {"intValue": "7"}}])
    call = read(body, "application/json; charset=utf-8")
    theirs = Parse(_convert_otlp_json_ids_to_base64(body), ExportTraceServiceRequest())
    ours = ExportTraceServiceRequest.FromString(call.body)
    assert ours == theirs
    assert call.trace_ids == (TRACE_ID,)
    assert call.content_type == PROTOBUF


@pytest.mark.parametrize(
    "encoding, pack",
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda b: zlib.compress(b)[2:-4]),
        ("", bytes),
        ("identity", bytes),
    ],
)
def test_compressed_bodies_are_forwarded_decoded(encoding: str, pack: Any) -> None:
    body = export(TRACE).SerializeToString()
    assert read(pack(body), encoding=encoding) == OtlpCall((TRACE_ID,), body)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_decompression_bomb_is_too_large(encoding: str) -> None:
    bomb = b"\0" * (50 << 20)
    packed = gzip.compress(bomb) if encoding == "gzip" else zlib.compress(bomb)
    with pytest.raises(TooLarge, match="smaller batches"):
        read(packed, encoding=encoding)
    with pytest.raises(TooLarge):
        read(bomb)


def test_a_decompression_bomb_is_not_inflated_beyond_the_bound() -> None:
    packed = gzip.compress(b"\0" * (50 << 20))
    tracemalloc.start()
    with pytest.raises(TooLarge):
        read(packed, encoding="gzip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * MOST


@pytest.mark.parametrize(
    "body, encoding",
    [
        (gzip.compress(b"x" * 50, mtime=0)[:-3], "gzip"),
        (
            gzip.compress(b"", mtime=0) + gzip.compress(export(TRACE).SerializeToString(), mtime=0),
            "gzip",
        ),
        (gzip.compress(export(TRACE).SerializeToString(), mtime=0) + b"tail", "gzip"),
        (b"plain", "gzip"),
        (b"\xff\xff\xff", "deflate"),
        (b"", "gzip"),
        (gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "gzip, gzip"),
        (b"x", "br"),
    ],
)
def test_odd_compression_is_refused(body: bytes, encoding: str) -> None:
    with pytest.raises(BadRequest):
        read(body, encoding=encoding)


@pytest.mark.parametrize("media", ["", "text/plain", "application/x-protobuf, application/json",
                                   "application/protobuf"])  # fmt: skip
def test_other_content_types_are_refused(media: str) -> None:
    with pytest.raises(BadRequest, match="Content-Type"):
        read(export(TRACE).SerializeToString(), media)


def test_unknown_fields_vanish_at_every_depth() -> None:
    unknown = b"\xfa\x3f\x03abc"  # field 1023, length-delimited
    span = export(TRACE).resource_spans[0].scope_spans[0].spans[0].SerializeToString() + unknown
    scope = b"\x12" + bytes([len(span)]) + span + unknown
    resource = b"\x12" + bytes([len(scope)]) + scope + unknown
    body = b"\x0a" + bytes([len(resource)]) + resource + unknown
    assert read(body).body == export(TRACE).SerializeToString()


@pytest.mark.parametrize(
    "trace_id", [b"", b"\1", TRACE[:15], TRACE + b"\0", b"\0" + TRACE, bytes(16)]
)
def test_a_trace_id_of_another_length_is_refused(trace_id: bytes) -> None:
    with pytest.raises(BadRequest, match="trace id of 16 bytes"):
        read(export(trace_id).SerializeToString())


def test_span_ids_of_another_length_are_refused() -> None:
    for name, value in (("span_id", b"\1"), ("span_id", bytes(8)), ("parent_span_id", b"\1")):
        message = export(TRACE)
        setattr(message.resource_spans[0].scope_spans[0].spans[0], name, value)
        with pytest.raises(BadRequest):
            read(message.SerializeToString())


@pytest.mark.parametrize(
    "tag",
    [
        "mlflow.artifactLocation",
        "MLflow.ArtifactLocation",
        "mlflów.artifactLocation",
        "ｍlflow.artifactLocation",
        TraceTagKey.SPANS_LOCATION,
        TraceTagKey.ARCHIVE_LOCATION,
        "mlgate.owner",
        "MLGATE.owner ",
    ],
)
def test_a_span_attribute_cannot_write_a_reserved_tag(tag: str) -> None:
    key = SpanAttributeKey.TRACE_TAG_PREFIX + tag
    with pytest.raises(BadRequest, match="reserved trace tag"):
        read(export(TRACE, attributes={key: "x"}).SerializeToString())
    with pytest.raises(BadRequest, match="reserved trace tag"):
        read(as_json(attributes=[{"key": key, "value": {"stringValue": "x"}}]), JSON)


@pytest.mark.parametrize(
    "key", ["mlgate.owner", "MLFLOW.artifactLocation", "mlflÖw.artifactLocation"]
)
def test_a_resource_attribute_cannot_write_a_reserved_tag(key: str) -> None:
    with pytest.raises(BadRequest, match="reserved trace tag"):
        read(export(TRACE, resource={key: "x"}).SerializeToString())


def test_ordinary_attributes_pass() -> None:
    attributes = {
        "mlflow.spanInputs": "{}", "mlflow.traceTag.team": "a", "user.id": "u",
        "mlflow.traceTag.mlflow.traceName": "n", "mlflow.traceRequestId": '"tr-other"',
    }  # fmt: skip
    resource = {"service.name": "x", "mlflow.source": "ignored by MLflow"}
    body = export(TRACE, attributes=attributes, resource=resource).SerializeToString()
    call = read(body)
    assert call.body == body
    assert mlflow_ids(call.body) == [TRACE_ID] == list(call.trace_ids)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b'{"resourceSpans":[]}', b'{"resourceSpans":5}', b"\xef\xbb\xbf{}",
        b'{"resourceSpans":[],"resourceSpans":[{}]}', as_json("zz" * 16), as_json("1"),
        as_json(name="\\ud800").replace(b"\\\\", b"\\"),
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":5}]}]}]}',
        b'{"resourceSpans":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)  # fmt: skip
def test_json_that_is_no_export_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(body, JSON)


def test_snake_case_json_is_checked_like_any_other() -> None:
    body = json.dumps({"resource_spans": [{"scope_spans": [{"spans": [
        {"trace_id": "AQIDBAUGBwgJCgsMDQ4PEA==", "span_id": "AQEBAQEBAQE="}]}]}]})  # fmt: skip
    assert read(body.encode(), JSON).trace_ids == (TRACE_ID,)


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=200), media=st.sampled_from([PROTOBUF, JSON]),
       encoding=st.sampled_from(["", "gzip", "deflate"]))  # fmt: skip
def test_any_bytes_are_read_or_refused(body: bytes, media: str, encoding: str) -> None:
    try:
        call = read(body, media, encoding)
    except GatewayError:
        return
    assert set(mlflow_ids(call.body)) == set(call.trace_ids)
