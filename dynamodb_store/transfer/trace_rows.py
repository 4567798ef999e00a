"""Assessments and spans between the rows of SQL and what the table's items hold of them."""

from __future__ import annotations

import json

from mlflow.store.tracking.utils.trace_analytics import assessment_aggregate

from dynamodb_store.entities.assessment import Assessed
from dynamodb_store.entities.spans import SpanRow
from dynamodb_store.transfer.rows import Row

_ASSESSED = {
    "assessment_id": "assessment_id",
    "kind": "assessment_type",
    "name": "name",
    "value": "value",
    "error": "error",
    "created": "created_timestamp",
    "updated": "last_updated_timestamp",
    "source_type": "source_type",
    "source_id": "source_id",
    "run_id": "run_id",
    "span_id": "span_id",
    "rationale": "rationale",
    "overrides": "overrides",
    "valid": "valid",
    "metadata": "assessment_metadata",
}
"""Fields of Assessed and columns of ``assessments``."""

_SPAN = {
    "span_id": "span_id",
    "parent_id": "parent_span_id",
    "name": "name",
    "type": "type",
    "status": "status",
    "start_ns": "start_time_unix_nano",
    "end_ns": "end_time_unix_nano",
    "input_cost": "input_cost",
    "output_cost": "output_cost",
    "total_cost": "total_cost",
    "model_name": "model_name",
    "model_provider": "model_provider",
    "content": "content",
}
"""Fields of SpanRow and columns of ``spans``."""


def assessed_of_row(row: Row, number: int) -> Assessed:
    """The assessment of a row."""
    return Assessed(number=number, **{mine: row[theirs] for mine, theirs in _ASSESSED.items()})


def row_of_assessed(one: Assessed, trace: Row) -> Row:
    """The row of an assessment of the trace with this row."""
    row: Row = {theirs: getattr(one, mine) for mine, theirs in _ASSESSED.items()}
    row["trace_id"] = trace["request_id"]
    derive(row, trace)
    return row


def derive(row: Row, trace: Row) -> None:
    """Set the columns of an assessment that MLflow makes of its value and its trace."""
    number, numeric = assessment_aggregate(json.loads(row["value"]))
    row |= {
        "experiment_id": trace["experiment_id"],
        "trace_timestamp_ms": trace["timestamp_ms"],
        "aggregate_value": number,
        "is_numeric_value": numeric,
    }


def span_of_row(row: Row) -> SpanRow:
    """The span of a row."""
    return SpanRow(**{mine: row[theirs] for mine, theirs in _SPAN.items()})


def row_of_span(span: SpanRow, trace: Row) -> Row:
    """The row of a span of the trace with this row."""
    row: Row = {theirs: getattr(span, mine) for mine, theirs in _SPAN.items()}
    return {**row, "trace_id": trace["request_id"], "experiment_id": trace["experiment_id"]}
