"""The one reading of an OTLP trace export (``POST /v1/traces``).

MLflow writes a span into whatever trace its 16 bytes name, takes protobuf or JSON, compressed
or not, and lets span and resource attributes become tags of the trace. Here the body is read
once within bounds, the trace ids come out in MLflow's spelling, and what is forwarded is
protobuf written from the parsed message: unknown fields and second readings are gone.

After ``mlflow/server/otel_api.py`` and ``SqlAlchemyStore.log_spans`` of MLflow 3.17.2.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import Error as JsonFormatError
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.errors import BadRequest, TooLarge
from gateway.model import RESERVED_TAG_PREFIX
from gateway.routes.bodies import parse_object
from gateway.routes.tag_keys import folded

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

_TAG_ATTRIBUTE = "mlflow.traceTag."
"""``SpanAttributeKey.TRACE_TAG_PREFIX``: such an attribute of a root span becomes a tag."""
_MLFLOW = "mlflow."
_TRACE_NAME = "mlflow.tracename"
_ID_BYTES = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
_HEX = re.compile(r"[0-9a-fA-F]*", re.ASCII)
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class OtlpCall:
    """An export as it may be forwarded: without Content-Encoding, with this Content-Type.

    ``trace_ids`` are all traces that it writes into, each once, as MLflow spells them.
    """

    trace_ids: tuple[str, ...]
    body: bytes
    content_type: str = PROTOBUF


def read_otlp(
    body: bytes, content_type: str, content_encoding: str = "", *, max_decoded: int
) -> OtlpCall:
    """Read an export; ``max_decoded`` bounds the bytes after decompression.

    Raises BadRequest for what MLflow would refuse or could read in two ways, and for attributes
    that would write reserved trace tags; TooLarge for a body over the bound.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media not in (PROTOBUF, JSON):
        raise BadRequest(f"Send spans with Content-Type {PROTOBUF} or {JSON}.")
    plain = _decoded(body, content_encoding.strip().lower(), max_decoded)
    message = _from_json(plain) if media == JSON else _from_protobuf(plain)
    message.DiscardUnknownFields()
    if not message.resource_spans:
        raise BadRequest("The export has no spans; send at least one resourceSpans entry.")
    trace_ids = dict.fromkeys(
        trace_id for resource in message.resource_spans for trace_id in _check(resource)
    )
    return OtlpCall(tuple(trace_ids), message.SerializeToString())


def _decoded(body: bytes, encoding: str, most: int) -> bytes:
    if encoding in ("", "identity"):
        if len(body) > most:
            raise _too_large(most)
        return body
    if encoding == "gzip":
        return _inflated(body, _GZIP, most)
    if encoding == "deflate":
        # MLflow takes both: the zlib format of the RFC, and raw deflate of some clients.
        try:
            return _inflated(body, zlib.MAX_WBITS, most)
        except BadRequest:
            return _inflated(body, -zlib.MAX_WBITS, most)
    raise BadRequest("Send spans plain or with Content-Encoding gzip or deflate.")


def _inflated(body: bytes, window: int, most: int) -> bytes:
    inflate = zlib.decompressobj(window)
    try:
        plain = inflate.decompress(body, most + 1)
    except zlib.error as error:
        raise BadRequest("The body cannot be decompressed; check Content-Encoding.") from error
    if len(plain) > most:
        raise _too_large(most)
    if not inflate.eof or inflate.unused_data:
        raise BadRequest("The compressed body is cut short or has bytes behind its end.")
    return plain


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The spans take more than {most} bytes; export them in smaller batches.")


def _from_protobuf(plain: bytes) -> Any:
    message = ExportTraceServiceRequest()
    try:
        message.ParseFromString(plain)
    except DecodeError as error:
        raise BadRequest("The body is not an OTLP ExportTraceServiceRequest.") from error
    return message


def _from_json(plain: bytes) -> Any:
    value = parse_object(plain)
    for span in _spans_of(value):
        _ids_to_base64(span, _ID_BYTES)
        for link in _objects(span, "links"):
            _ids_to_base64(link, ("traceId", "spanId"))
    try:
        return ParseDict(value, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except (JsonFormatError, ValueError, TypeError, RecursionError) as error:
        raise BadRequest("The body is not an OTLP ExportTraceServiceRequest in JSON.") from error


def _spans_of(value: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for resource in _objects(value, "resourceSpans"):
        for scope in _objects(resource, "scopeSpans"):
            yield from _objects(scope, "spans")


def _objects(value: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _ids_to_base64(value: dict[str, Any], names: Iterable[str]) -> None:
    """OTLP writes ids in hex where protobuf's JSON wants base64.

    https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
    """
    for name in names:
        text = value.get(name)
        if not text:
            continue
        if not isinstance(text, str) or len(text) % 2 or not _HEX.fullmatch(text):
            raise BadRequest(f"'{name}' must be hexadecimal text.")
        value[name] = base64.b64encode(bytes.fromhex(text)).decode("ascii")


def _check(resource_spans: Any) -> Iterable[str]:
    """Check one ResourceSpans and give the trace ids that it writes into."""
    for attribute in resource_spans.resource.attributes:
        _refuse_resource_attribute(attribute.key)
    for scope in resource_spans.scope_spans:
        for span in scope.spans:
            _check_lengths(span)
            for attribute in span.attributes:
                if attribute.key.startswith(_TAG_ATTRIBUTE):
                    _refuse_tag_attribute(attribute.key)
            # MLflow reads the bytes as a number and prints it; so does this.
            yield f"tr-{int.from_bytes(span.trace_id, 'big'):032x}"


def _check_lengths(span: Any) -> None:
    # A shorter or longer id would be the same number, or one that a database cuts off.
    if len(span.trace_id) != 16 or not any(span.trace_id):
        raise BadRequest("Every span needs a trace id of 16 bytes that are not all zero.")
    if len(span.span_id) != 8 or not any(span.span_id):
        raise BadRequest("Every span needs a span id of 8 bytes that are not all zero.")
    if len(span.parent_span_id) not in (0, 8):
        raise BadRequest("A parent span id has 8 bytes, or none for a root span.")


def _refuse_tag_attribute(key: str) -> None:
    """A tag below ``mlflow.`` could point a trace at other people's artifacts.

    MLflow's own clients send only tags outside ``mlflow.`` this way.
    """
    tag = folded(key[len(_TAG_ATTRIBUTE) :])
    if tag.startswith(RESERVED_TAG_PREFIX) or (tag.startswith(_MLFLOW) and tag != _TRACE_NAME):
        raise _reserved(key)


def _refuse_resource_attribute(key: str) -> None:
    """Resource attributes become tags too; MLflow skips only the exact spelling ``mlflow.``."""
    tag = folded(key)
    if tag.startswith(RESERVED_TAG_PREFIX) or (
        tag.startswith(_MLFLOW) and not key.startswith(_MLFLOW)
    ):
        raise _reserved(key)


def _reserved(key: str) -> BadRequest:
    return BadRequest(
        f"The attribute '{key[:100]}' would write a reserved trace tag; remove it from the spans."
    )
