"""The history of metrics: run by run, so that the points of a metric lie in few items."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from mlflow.store.tracking.dbmodels.models import SqlMetric, SqlRun

from dynamodb_store import keys, schema
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities import run
from dynamodb_store.entities.points import Point, chunk_items, raw_points, unpack
from dynamodb_store.table import Table
from dynamodb_store.transfer.kind import Kind
from dynamodb_store.transfer.rows import Row, Rows, by
from dynamodb_store.transfer.sql import Cursor, Sql, chunks
from dynamodb_store.transfer.walk import stored_runs

_METRICS = SqlMetric.__table__
_RUNS_AT_ONCE = 200


class Metrics(Kind):
    """``metrics``."""

    name = "points of metrics"
    root = _METRICS
    key = ("run_uuid",)

    def pages(self, sql: Sql, after: Cursor | None = None) -> Iterator[tuple[Rows, Cursor]]:
        # Not in the order of the table's own key, which begins with the metric's name: the points
        # of a run would come one by one, and each be an item.
        order = [_METRICS.c[name] for name in ("run_uuid", "key", "timestamp", "step", "value")]
        for runs, cursor in sql.pages(SqlRun.__table__, ("run_uuid",), after, _RUNS_AT_ONCE):
            among = _METRICS.c.run_uuid.in_([row["run_uuid"] for row in runs])
            points = sql.rows(sa.select(_METRICS).where(among).order_by(*order))
            for some in chunks(points, schema.POINTS_PER_CHUNK):
                yield {"metrics": some}, after or [""]  # cut short, these runs begin again
            after = cursor
            yield {"metrics": []}, cursor

    def items(self, rows: Rows) -> Iterable[Item]:
        for (run_id, name), points in by(rows["metrics"], "run_uuid", "key").items():
            yield from chunk_items(keys.run(run_id), name, map(point_of_row, points))

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in stored_runs(table):
            for document in some:
                yield from _points(table, document)


def _points(table: Table, document: Document) -> Iterator[Rows]:
    run_id = run.id_of(document)
    for name in document.section(run.METRICS):
        seen: set[bytes] = set()
        for item in table.query_all(document.pk, prefix=keys.points_of(name)):
            packed = raw_points(item)
            fresh: list[Row] = []
            for at, point in enumerate(unpack(packed)):
                raw = packed[24 * at : 24 * at + 24]
                if raw not in seen:
                    seen.add(raw)
                    fresh.append(row_of_point(run_id, name, point))
            yield {"metrics": fresh}


def point_of_row(row: Row) -> Point:
    """The point of a row of ``metrics`` or ``latest_metrics``."""
    value = math.nan if row["is_nan"] else float(row["value"])
    return Point(row["step"], row["timestamp"], value)


def row_of_point(run_id: str, name: str, point: Point) -> dict[str, Any]:
    """The row of a point."""
    is_nan = math.isnan(point.value)
    return {
        "key": name,
        "value": 0.0 if is_nan else point.value,
        "timestamp": point.timestamp,
        "step": point.step,
        "is_nan": is_nan,
        "run_uuid": run_id,
    }
