"""Traces with tags, metadata, assessments, linked prompts and spans."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from mlflow.store.tracking.dbmodels.models import (
    SqlAssessments,
    SqlEntityAssociation,
    SqlSpan,
    SqlTraceInfo,
    SqlTraceMetadata,
    SqlTraceTag,
)
from mlflow.store.tracking.utils.trace_analytics import (
    COST_COLUMN_BY_KEY,
    PROMOTED_TRACE_METADATA_KEYS,
    TOKEN_COLUMN_BY_KEY,
)
from mlflow.tracing.constant import TraceTagKey

from dynamodb_store import documents, keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities import assessment, trace
from dynamodb_store.entities.spans import (
    SpanRow,
    chunk_items,
    columns_item,
    kinds_of,
    latest_start,
    rows_from,
)
from dynamodb_store.table import Table
from dynamodb_store.transfer.kind import Child, Kind, not_null
from dynamodb_store.transfer.rows import Row, Rows, by, made_id
from dynamodb_store.transfer.sql import Sql
from dynamodb_store.transfer.trace_rows import (
    assessed_of_row,
    derive,
    row_of_assessed,
    row_of_span,
    span_of_row,
)
from dynamodb_store.transfer.walk import experiment_ids

PROMPT_LINK = ("trace", "prompt_version")
GENERATION = "generation"
"""MLflow's counter of changes of the spans in the database; kept for the way back."""
_NUMBERS = (*TOKEN_COLUMN_BY_KEY.values(), *COST_COLUMN_BY_KEY.values())
_TEXTS = (trace.NAME, trace.SESSION, trace.REQUEST, trace.RESPONSE, trace.CLIENT_ID)
_AT_ONCE = 32


class Traces(Kind):
    """``trace_info`` and what hangs on it; the prompts among ``entity_associations``."""

    name = "traces"
    root = SqlTraceInfo.__table__
    key = ("request_id",)
    page = 20
    children = (
        Child(SqlTraceTag.__table__, ("request_id",)),
        Child(SqlTraceMetadata.__table__, ("request_id",)),
        Child(SqlAssessments.__table__, ("trace_id",), "trace_info", ("request_id",)),
        Child(SqlSpan.__table__, ("trace_id",), "trace_info", ("request_id",)),
        Child(SqlEntityAssociation.__table__, ("source_id",), "trace_info", ("request_id",)),
    )

    def complete(self, sql: Sql, rows: Rows) -> None:
        """Columns that MLflow derives are derived again; other associations are not ours."""
        for row in rows["spans"]:
            row.pop("duration_ns")
        home = {row["request_id"]: row for row in rows["trace_info"]}
        for row in rows["assessments"]:
            derive(row, home[row["trace_id"]])
        rows["entity_associations"] = [
            row
            for row in rows["entity_associations"]
            if (row["source_type"], row["destination_type"]) == PROMPT_LINK
        ]

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from not_null(rows["trace_tags"], "trace_tags", "value")
        yield from not_null(rows["trace_request_metadata"], "trace_request_metadata", "value")
        if any(row["key"] == TraceTagKey.TRACE_NAME for row in rows["trace_tags"]):
            yield "trace_tags: names of traces that MLflow's migration should have moved"
        if any(
            row["key"] in PROMOTED_TRACE_METADATA_KEYS for row in rows["trace_request_metadata"]
        ):
            yield "trace_request_metadata: values that MLflow's migration should have moved"
        home = {row["request_id"]: row["experiment_id"] for row in rows["trace_info"]}
        if any(row["experiment_id"] != home[row["trace_id"]] for row in rows["spans"]):
            yield "spans: some are of another experiment than their trace"

    def items(self, rows: Rows) -> Iterable[Item]:
        below = {
            name: by(rows[name], "request_id") for name in ("trace_tags", "trace_request_metadata")
        }
        below |= {name: by(rows[name], "trace_id") for name in ("assessments", "spans")}
        below["entity_associations"] = by(rows["entity_associations"], "source_id")
        for row in rows["trace_info"]:
            its = {name: some.get(row["request_id"], []) for name, some in below.items()}
            yield from _items(row, its)

    def stored(self, table: Table) -> Iterator[Rows]:
        for trace_ids in _stored_ids(table):
            rows: Rows = {name: [] for name in self.tables()}
            for document, spans in table.parallel(lambda one: _read(table, one), trace_ids):
                if document is not None:
                    _add_rows(rows, document, spans)
            yield rows


def _items(row: Row, its: Rows) -> Iterator[Item]:
    document = _document(row, its)
    spans = [span_of_row(one) for one in its["spans"]]
    if spans:
        document.head |= {
            "span_count": len(spans),
            "span_kinds": kinds_of(spans),
            "latest_span": latest_start(spans),
        }
        if not any(one.content for one in spans):
            document.head[trace.EMPTIED] = trace.WHOLLY
    for _, action in trace.relisted(document, None):
        yield action["Item"]
    if spans:
        chunk, parts = chunk_items(document.pk, spans, 1)
        yield from [*parts, chunk]
        listed = trace.place_of(document).spans
        assert listed is not None
        yield columns_item(listed, row["request_id"], spans)
    yield from document.items()


def _document(row: Row, its: Rows) -> Document:
    document = trace.new_trace(
        row["request_id"], str(row["experiment_id"]), row["timestamp_ms"], row["status"]
    )
    document.head["duration"] = row["execution_time_ms"]
    document.head[GENERATION] = row["db_payload_generation"]
    trace.set_columns(document, {name: row[name] for name in _NUMBERS})
    for name in _TEXTS:
        trace.put(document, trace.TEXTS, name, row[name])
    for tag in its["trace_tags"]:
        trace.put(document, trace.TAGS, tag["key"], tag["value"])
    for datum in its["trace_request_metadata"]:
        trace.put(document, trace.METADATA, datum["key"], datum["value"])
    for number, one in enumerate(its["assessments"]):
        packed = assessment.pack(assessed_of_row(one, number))
        document.set(trace.ASSESSMENTS, one["assessment_id"], packed)
    for link in its["entity_associations"]:
        kept = json.dumps([link["association_id"], link["created_time"]])
        document.set(trace.PROMPTS, link["destination_id"], kept)
    return document


def _stored_ids(table: Table) -> Iterator[list[str]]:
    for experiments in experiment_ids(table):
        for experiment_id in experiments:
            for shard in keys.trace_shards(experiment_id):
                held = [str(item["trace"]) for item in table.query_all(shard)]
                for at in range(0, len(held), _AT_ONCE):
                    yield held[at : at + _AT_ONCE]


def _read(table: Table, trace_id: str) -> tuple[Document | None, list[SpanRow]]:
    pk = keys.trace(trace_id)
    items = list(table.query_all(pk))
    head = [one for one in items if keys.HEAD <= one["sk"] < keys.HEAD_END]
    rest = [one for one in items if not keys.HEAD <= one["sk"] < keys.HEAD_END]
    return documents.assemble(head, pk, trace.SECTIONS), list(rows_from(rest).values())


def _add_rows(rows: Rows, document: Document, spans: list[SpanRow]) -> None:
    view = trace.TraceView(document)
    trace_id = view.trace_id
    row: Row = {
        "request_id": trace_id,
        "experiment_id": int(view.experiment_id),
        "timestamp_ms": view.timestamp,
        "execution_time_ms": view.duration,
        "status": view.status,
        "db_payload_generation": document.head.get(GENERATION, 0),
        **{name: view.text(name) for name in _TEXTS},
        **{name: view.numbers[name] for name in _NUMBERS},
    }
    rows["trace_info"].append(row)
    for section, table in ((trace.TAGS, "trace_tags"), (trace.METADATA, "trace_request_metadata")):
        for key, value in document.section(section).items():
            rows[table].append({"key": key, "value": value, "request_id": trace_id})
    for one in view.assessments:
        rows["assessments"].append(row_of_assessed(one, row))
    for span in spans:
        rows["spans"].append(row_of_span(span, row))
    for name, kept in document.section(trace.PROMPTS).items():
        association = json.loads(str(kept)) if kept else [None, None]
        rows["entity_associations"].append(
            link_row(PROMPT_LINK, trace_id, name, association[0], association[1])
        )


def link_row(
    kind: tuple[str, str], source: str, to: str, made: str | None, created: int | None
) -> Row:
    """A row of ``entity_associations``; links of the store itself have neither id nor time."""
    return {
        "association_id": made or made_id(*kind, source, to),
        "source_type": kind[0],
        "source_id": source,
        "destination_type": kind[1],
        "destination_id": to,
        "created_time": created,
    }
