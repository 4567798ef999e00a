"""Logged models with their tags and params; their metrics, which lie beside them, apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa
from mlflow.entities import Metric
from mlflow.store.tracking.dbmodels.models import (
    SqlLoggedModel,
    SqlLoggedModelMetric,
    SqlLoggedModelParam,
    SqlLoggedModelTag,
)

from dynamodb_store import documents, keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities import logged_model as entity
from dynamodb_store.entities.run import COPIED
from dynamodb_store.table import Table
from dynamodb_store.transfer.kind import Child, Kind, not_null
from dynamodb_store.transfer.rows import Row, Rows, by
from dynamodb_store.transfer.sql import Cursor, Sql, chunks
from dynamodb_store.transfer.walk import experiment_ids

_METRICS = SqlLoggedModelMetric.__table__
_AT_ONCE, _METRICS_AT_ONCE = 64, 2000


class LoggedModels(Kind):
    """``logged_models``, their tags and params."""

    name = "logged models"
    root = SqlLoggedModel.__table__
    key = ("model_id",)
    children = (
        Child(SqlLoggedModelTag.__table__, ("model_id",)),
        Child(SqlLoggedModelParam.__table__, ("model_id",)),
    )

    def complete(self, sql: Sql, rows: Rows) -> None:
        """Which of the models have metrics."""
        models = [row["model_id"] for row in rows["logged_models"]]
        query = sa.select(_METRICS.c.model_id).where(_METRICS.c.model_id.in_(models)).distinct()
        rows["measured"] = list(sql.rows(query))

    def problems(self, rows: Rows) -> Iterator[str]:
        home = {row["model_id"]: row["experiment_id"] for row in rows["logged_models"]}
        for table in ("logged_model_tags", "logged_model_params"):
            for row in rows[table]:
                if row["experiment_id"] != home[row["model_id"]]:
                    yield f"{table}: {row['model_id']} is of another experiment"

    def items(self, rows: Rows) -> Iterable[Item]:
        tags = by(rows["logged_model_tags"], "model_id")
        params = by(rows["logged_model_params"], "model_id")
        measured = {row["model_id"] for row in rows["measured"]}
        for row in rows["logged_models"]:
            model_id = row["model_id"]
            document = _document(row, measured=model_id in measured)
            for tag in tags.get(model_id, ()):
                document.set(entity.TAGS, entity.slot(tag["tag_key"]), tag["tag_value"])
            for param in params.get(model_id, ()):
                document.set(entity.PARAMS, entity.slot(param["param_key"]), param["param_value"])
            yield entity.entry(document)[1]["Item"]
            yield from document.items()
            if row["lifecycle_stage"] == "deleted":
                pk, sk = keys.deleted_logged_model(model_id)
                yield {"pk": pk, "sk": sk, "deleted_time": row["last_updated_timestamp_ms"]}

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in stored_models(table):
            yield {
                "logged_models": [_row(one) for one in some],
                "logged_model_tags": [row for one in some for row in _named(one, "tag")],
                "logged_model_params": [row for one in some for row in _named(one, "param")],
            }


class LoggedModelMetrics(Kind):
    """``logged_model_metrics``, model by model and run by run."""

    name = "metrics of logged models"
    root = _METRICS
    key = ("model_id",)

    def pages(self, sql: Sql, after: Cursor | None = None) -> Iterator[tuple[Rows, Cursor]]:
        columns = ("model_id", "run_id", "metric_name", "metric_timestamp_ms", "metric_step")
        order = [_METRICS.c[name] for name in columns]
        for models, cursor in sql.pages(SqlLoggedModel.__table__, ("model_id",), after, _AT_ONCE):
            among = _METRICS.c.model_id.in_([row["model_id"] for row in models])
            metrics = sql.rows(sa.select(_METRICS).where(among).order_by(*order))
            for some in chunks(metrics, _METRICS_AT_ONCE):
                rows: Rows = {"logged_model_metrics": some}
                self._look_up_runs(sql, rows)
                yield rows, after or [""]  # cut short, these models begin again
            after = cursor
            yield {"logged_model_metrics": [], "homes": []}, cursor

    def _look_up_runs(self, sql: Sql, rows: Rows) -> None:
        runs = sa.table("runs", sa.column("run_uuid"), sa.column("experiment_id"))
        wanted = {row["run_id"] for row in rows["logged_model_metrics"]}
        rows["homes"] = list(sql.rows(sa.select(runs).where(runs.c.run_uuid.in_(wanted))))

    def problems(self, rows: Rows) -> Iterator[str]:
        metrics = rows["logged_model_metrics"]
        yield from not_null(metrics, "logged_model_metrics", "metric_value")
        home = {row["run_uuid"]: row["experiment_id"] for row in rows["homes"]}
        for row in metrics:
            if home.get(row["run_id"]) != row["experiment_id"]:
                yield f"logged_model_metrics: run {row['run_id']} is of another experiment"
            if row["dataset_uuid"] is not None:
                yield f"logged_model_metrics: {row['model_id']} has a dataset_uuid"

    def items(self, rows: Rows) -> Iterable[Item]:
        metrics = by(rows["logged_model_metrics"], "model_id", "run_id")
        for (model_id, run_id), some in metrics.items():
            yield from entity.metric_items(model_id, run_id, map(_metric, some))

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in stored_models(table):
            for document in some:
                model_id = entity.id_of(document)
                items = table.query_all(document.pk, prefix=keys.MODEL_METRICS)
                metrics = entity.metrics_of(model_id, items)
                runs = list(dict.fromkeys(str(one.run_id) for one in metrics))
                heads = table.batch_get([(keys.run(one), keys.HEAD) for one in runs])
                home = {item["pk"]: int(item["experiment_id"]) for item in heads}
                yield {"logged_model_metrics": [
                    _metric_row(one, home[keys.run(str(one.run_id))])
                    for one in metrics if keys.run(str(one.run_id)) in home
                ]}  # fmt: skip


def stored_models(table: Table) -> Iterator[list[Document]]:
    """All logged models of the table, some at a time."""
    for experiments in experiment_ids(table):
        for experiment_id in experiments:
            for shard in keys.logged_model_shards(experiment_id):
                held = [item["sk"].partition("#")[2] for item in table.query_all(shard)]
                for at in range(0, len(held), _AT_ONCE):
                    yield _read(table, held[at : at + _AT_ONCE])


def _read(table: Table, model_ids: Sequence[str]) -> list[Document]:
    found = table.parallel(
        lambda one: documents.read(table, keys.logged_model(one), entity.SECTIONS), model_ids
    )
    return [one for one in found if one is not None]


def _document(row: Row, *, measured: bool) -> Document:
    head: Item = {
        "experiment_id": str(row["experiment_id"]),
        "name": row["name"],
        "artifact_location": row["artifact_location"],
        "creation_time": row["creation_timestamp_ms"],
        "last_update_time": row["last_updated_timestamp_ms"],
        "status": row["status"],
        "status_message": row["status_message"],
        "stage": row["lifecycle_stage"],
        "model_type": row["model_type"],
        "source_run_id": row["source_run_id"],
        entity.MEASURED: measured,
        COPIED: False,
    }
    return Document(keys.logged_model(row["model_id"]), head, entity.SECTIONS)


def _row(document: Document) -> Row:
    head = document.head
    return {
        "model_id": entity.id_of(document),
        "experiment_id": int(head["experiment_id"]),
        "name": head["name"],
        "artifact_location": head["artifact_location"],
        "creation_timestamp_ms": head["creation_time"],
        "last_updated_timestamp_ms": head["last_update_time"],
        "status": head["status"],
        "lifecycle_stage": head["stage"],
        "model_type": head["model_type"],
        "source_run_id": head["source_run_id"],
        "status_message": head["status_message"],
    }


def _named(document: Document, what: str) -> Iterator[Row]:
    section = entity.TAGS if what == "tag" else entity.PARAMS
    for key, value in entity.named(document, section).items():
        yield {
            "model_id": entity.id_of(document),
            "experiment_id": int(document.head["experiment_id"]),
            f"{what}_key": key,
            f"{what}_value": value,
        }


def _metric(row: Row) -> Metric:
    return Metric(
        key=row["metric_name"],
        value=row["metric_value"],
        timestamp=row["metric_timestamp_ms"],
        step=row["metric_step"],
        dataset_name=row["dataset_name"],
        dataset_digest=row["dataset_digest"],
    )


def _metric_row(metric: Metric, experiment_id: int) -> Row:
    return {
        "model_id": metric.model_id,
        "metric_name": metric.key,
        "metric_timestamp_ms": metric.timestamp,
        "metric_step": metric.step,
        "metric_value": metric.value,
        "experiment_id": experiment_id,
        "run_id": metric.run_id,
        "dataset_uuid": None,
        "dataset_name": metric.dataset_name,
        "dataset_digest": metric.dataset_digest,
    }
