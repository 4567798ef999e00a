"""What a batch of spans says about its trace: times, status, session, user, usage, cost, tags.

Pure: the trace as it is stored comes in when the batch is applied to it. Whatever start_trace has
written is kept, which is how MLflow's SQL store lets either of the two come first.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlflow.entities import Span, SpanStatusCode, TraceState
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.utils.trace_analytics import (
    COST_COLUMN_BY_KEY,
    TOKEN_COLUMN_BY_KEY,
    finite_float_or_none,
    token_count_or_none,
    validate_session_id,
    validate_trace_name,
)
from mlflow.tracing.constant import (
    GenAiSemconvKey,
    SpanAttributeKey,
    SpansLocation,
    TraceMetadataKey,
    TraceTagKey,
)
from mlflow.tracing.otel.translation import translate_span_when_storing
from mlflow.tracing.utils import (
    SpanAggregationNode,
    aggregate_cost_from_span_nodes,
    aggregate_usage_from_span_nodes,
    try_json_loads,
)
from mlflow.tracing.utils.truncation import _get_truncated_preview
from mlflow.utils.validation import _validate_trace_tag

from dynamodb_store.documents import Document
from dynamodb_store.entities.spans import SpanRow, plain_text, row_of
from dynamodb_store.entities.trace import (
    METADATA,
    NAME,
    REQUEST,
    RESPONSE,
    SESSION,
    TAGS,
    TEXTS,
    TraceView,
    put,
    set_columns,
)

_logger = logging.getLogger(__name__)
_OPEN = {TraceState.IN_PROGRESS.value, TraceState.STATE_UNSPECIFIED.value}
_NOT_FOR_TAGS = ("telemetry.sdk.", "mlflow.")


@dataclass
class SpanBatch:
    """The spans of one trace in one call, and what follows from them alone."""

    trace_id: str
    rows: dict[str, SpanRow]
    start_ms: int
    end_ms: int | None
    root_status: str | None
    session_id: str | None = None
    user_id: Any = None
    root: dict[str, Any] | None = None
    tags: dict[str, str] = field(default_factory=dict)
    resource_tags: dict[str, str] = field(default_factory=dict)
    usage: list[SpanAggregationNode] = field(default_factory=list)
    cost: list[SpanAggregationNode] = field(default_factory=list)

    @property
    def status(self) -> str:
        """The status of a trace that has these spans only."""
        return self.root_status or TraceState.IN_PROGRESS.value


def batch_of(trace_id: str, spans: Sequence[Span]) -> SpanBatch:
    """Read the spans of one trace. Raises MlflowException for a session id that is too long."""
    ends = [span.end_time_ns for span in spans if span.end_time_ns is not None]
    batch = SpanBatch(
        trace_id=trace_id,
        rows={},
        start_ms=min(span.start_time_ns for span in spans) // 1_000_000,
        end_ms=max(ends) // 1_000_000 if ends else None,
        root_status=_root_status(spans),
        resource_tags=_resource_tags(spans),
    )
    # One node an id, as there is one row: MLflow's walk from the roots would follow each of several
    # to all children again, and never end where one of them is its own parent.
    usage: dict[str, SpanAggregationNode] = {}
    cost: dict[str, SpanAggregationNode] = {}
    for span in spans:
        fields = translate_span_when_storing(span)
        attributes = fields.get("attributes", {})
        batch.rows[span.span_id] = row_of(span, fields)
        usage[span.span_id] = _node(span.span_id, span.parent_id, attributes, _USAGE)
        cost[span.span_id] = _node(span.span_id, span.parent_id, attributes, _COST)
        _read_people(batch, attributes)
        if span.parent_id is None:
            batch.root = fields
            batch.tags |= _tags_of_root(attributes)
    batch.usage, batch.cost = [*usage.values()], [*cost.values()]
    return batch


_USAGE, _COST = SpanAttributeKey.CHAT_USAGE, SpanAttributeKey.LLM_COST


def apply(batch: SpanBatch, document: Document, stored: Mapping[str, SpanRow]) -> None:
    """Bring the trace up to date; ``stored`` are the spans that it had before."""
    created = document.revision == 0
    usage = aggregate_usage_from_span_nodes(batch.usage) or {}
    cost = aggregate_cost_from_span_nodes(batch.cost) or {}
    # MLflow's SQL store looks for what start_trace wrote only when it has something to compare.
    final = bool(
        (usage or cost or batch.session_id)
        and document.get(METADATA, TraceMetadataKey.TRACE_INFO_FINALIZED) is not None
    )
    if not final:
        _widen(batch, document)
    if document.head["status"] in _OPEN and batch.root_status:
        document.head["status"] = batch.root_status
    _set_texts(batch, document)
    numbers = TraceView(document).numbers
    if usage and not (final and _any(numbers, TOKEN_COLUMN_BY_KEY)):
        if not created:
            nodes = _nodes(stored, batch.rows, _USAGE)
            usage = aggregate_usage_from_span_nodes(batch.usage + nodes) or {}
        _set_numbers(document, TOKEN_COLUMN_BY_KEY, usage, token_count_or_none)
    if cost and not (final and _any(numbers, COST_COLUMN_BY_KEY)):
        if not created:
            nodes = _nodes(stored, batch.rows, _COST)
            cost = aggregate_cost_from_span_nodes(batch.cost + nodes) or {}
        _set_numbers(document, COST_COLUMN_BY_KEY, cost, finite_float_or_none)
    _set_tags(batch, document)


def _widen(batch: SpanBatch, document: Document) -> None:
    head = document.head
    before, duration = head["timestamp"], head["duration"]
    head["timestamp"] = min(before, batch.start_ms)
    if batch.end_ms is not None:
        end = batch.end_ms
        if duration is not None and before + duration > end:
            end = before + duration
        head["duration"] = end - head["timestamp"]


def _set_texts(batch: SpanBatch, document: Document) -> None:
    attributes = (batch.root or {}).get("attributes", {})
    try:
        for name, source, role in (
            (REQUEST, SpanAttributeKey.INPUTS, "user"),
            (RESPONSE, SpanAttributeKey.OUTPUTS, "assistant"),
        ):
            if document.get(TEXTS, name) is None and (value := attributes.get(source)):
                put(document, TEXTS, name, _get_truncated_preview(value, role=role))
    except Exception:  # as MLflow: a preview is never a reason to lose spans
        _logger.debug("No preview of trace %s", batch.trace_id, exc_info=True)
    if TraceTagKey.TRACE_NAME in batch.tags:
        put(document, TEXTS, NAME, batch.tags[TraceTagKey.TRACE_NAME])
    if batch.session_id and document.get(TEXTS, SESSION) is None:
        put(document, TEXTS, SESSION, batch.session_id)
    if batch.user_id and document.get(METADATA, TraceMetadataKey.TRACE_USER) is None:
        put(document, METADATA, TraceMetadataKey.TRACE_USER, str(batch.user_id))


def _set_numbers(document: Document, columns: Any, values: Any, convert: Any) -> None:
    found = {column: convert(values.get(key)) for key, column in columns.items()}
    set_columns(document, {name: value for name, value in found.items() if value is not None})


def _set_tags(batch: SpanBatch, document: Document) -> None:
    tags = {TraceTagKey.SPANS_LOCATION: SpansLocation.TRACKING_STORE.value}
    tags |= batch.resource_tags | batch.tags  # what a person set goes before resources
    for key, value in tags.items():
        if key != TraceTagKey.TRACE_NAME:
            put(document, TAGS, key, value)


def _any(numbers: Mapping[str, Any], columns: Mapping[str, str]) -> bool:
    return any(numbers[column] is not None for column in columns.values())


def _nodes(
    stored: Mapping[str, SpanRow], batch: Mapping[str, SpanRow], key: str
) -> list[SpanAggregationNode]:
    """Nodes of stored spans, so that usage counts once although parents came in other batches."""
    nodes = []
    for span_id, row in stored.items():
        if span_id in batch:
            continue
        try:
            attributes = json.loads(row.content).get("attributes") or {}
        except (json.JSONDecodeError, AttributeError):
            continue
        nodes.append(_node(span_id, row.parent_id, attributes, key))
    return nodes


def _node(
    span_id: str, parent_id: str | None, attributes: Mapping[str, Any], key: str
) -> SpanAggregationNode:
    value = attributes.get(key)
    if isinstance(value, str):
        value = try_json_loads(value)
    return SpanAggregationNode(
        span_id=span_id, parent_id=parent_id, data=value if isinstance(value, dict) else None
    )


def _root_status(spans: Iterable[Span]) -> str | None:
    for span in spans:
        if span.parent_id is None:
            failed = span.status.status_code == SpanStatusCode.ERROR
            return str((TraceState.ERROR if failed else TraceState.OK).value)
    return None


def _read_people(batch: SpanBatch, attributes: Mapping[str, Any]) -> None:
    session = attributes.get(SpanAttributeKey.SESSION_ID) or attributes.get(
        GenAiSemconvKey.CONVERSATION_ID
    )
    if batch.session_id is None and session:
        batch.session_id = validate_session_id(plain_text(session))
    if batch.user_id is None and (user := attributes.get("user.id")):
        batch.user_id = plain_text(user)


def _tags_of_root(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Tags that came over OTLP as attributes of the root span."""
    found = {}
    prefix = SpanAttributeKey.TRACE_TAG_PREFIX
    for name, value in attributes.items():
        if name.startswith(prefix):
            try:
                key, text = _validate_trace_tag(name.removeprefix(prefix), str(plain_text(value)))
            except MlflowException:
                _logger.debug("Skipping an invalid trace tag %r", name)
                continue
            found[key] = validate_trace_name(text) if key == TraceTagKey.TRACE_NAME else text
    return found


def _resource_tags(spans: Iterable[Span]) -> dict[str, str]:
    """Attributes of the OpenTelemetry resource, such as service.name, but for internal ones."""
    resources = (getattr(span._span, "resource", None) for span in spans)
    resource = next((one for one in resources if one is not None and one.attributes), None)
    found = {}
    for name, value in (resource.attributes if resource is not None else {}).items():
        if name.startswith(_NOT_FOR_TAGS):
            continue
        try:
            key, text = _validate_trace_tag(
                name, value if isinstance(value, str) else json.dumps(value)
            )
        except Exception:  # noqa: BLE001 - as MLflow: an odd resource is never a reason to lose spans
            _logger.debug("Skipping an invalid resource attribute %r", name)
            continue
        found[key] = text
    return found
