"""Runs with their tags, params, latest metrics, the datasets and models that they used and made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sqlalchemy as sa
from mlflow.entities import InputTag
from mlflow.store.tracking.dbmodels.models import (
    SqlDataset,
    SqlInput,
    SqlInputTag,
    SqlLatestMetric,
    SqlLoggedModelMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities import run
from dynamodb_store.entities.dataset import input_parts, input_value
from dynamodb_store.entities.points import latest_of, pack
from dynamodb_store.table import Table
from dynamodb_store.transfer.datasets import dataset_id, fields_of_row
from dynamodb_store.transfer.kind import Child, Kind, not_null
from dynamodb_store.transfer.metrics import point_of_row, row_of_point
from dynamodb_store.transfer.rows import Row, Rows, by, made_id
from dynamodb_store.transfer.sql import Sql
from dynamodb_store.transfer.walk import stored_runs

_MODEL_METRICS = SqlLoggedModelMetric.__table__
_DATASET, _MODEL_IN, _MODEL_OUT = ("DATASET", "RUN"), ("RUN_INPUT", "MODEL_INPUT"), (
    "RUN_OUTPUT", "MODEL_OUTPUT",
)  # fmt: skip
LEGACY = ("source_type", "source_name", "entry_point_name", "source_version")
"""Columns that MLflow writes and no call of it shows."""


class Runs(Kind):
    """``runs`` and what hangs on them, but the history of metrics."""

    name = "runs"
    root = SqlRun.__table__
    key = ("run_uuid",)
    children = (
        Child(SqlTag.__table__, ("run_uuid",)),
        Child(SqlParam.__table__, ("run_uuid",)),
        Child(SqlLatestMetric.__table__, ("run_uuid",)),
        Child(SqlInput.__table__, ("destination_id",), "runs", ("run_uuid",)),
        Child(SqlInput.__table__, ("source_id",), "runs", ("run_uuid",)),
        Child(SqlInputTag.__table__, ("input_uuid",), "inputs", ("input_uuid",)),
    )

    def complete(self, sql: Sql, rows: Rows) -> None:
        """Ids of inputs are made anew, and the datasets are looked up."""
        used = [row["source_id"] for row in rows["inputs"] if _kind(row) == _DATASET]
        datasets = sql.matching(SqlDataset.__table__, ("dataset_uuid",), list(dict.fromkeys(used)))
        rows["datasets"] = datasets
        among = _MODEL_METRICS.c.run_id.in_([row["run_uuid"] for row in rows["runs"]])
        pairs = sa.select(_MODEL_METRICS.c.run_id, _MODEL_METRICS.c.model_id)
        rows["measured"] = list(sql.rows(pairs.where(among).distinct()))
        renamed = {row["dataset_uuid"]: dataset_id(row) for row in datasets}
        for row in datasets:
            row["dataset_uuid"] = renamed[row["dataset_uuid"]]
        tags = by(rows["input_tags"], "input_uuid")
        for row in rows["inputs"]:
            if _kind(row) == _DATASET:
                row["source_id"] = renamed.get(row["source_id"], row["source_id"])
            old, row["input_uuid"] = row["input_uuid"], _input_id(row)
            for tag in tags.get(old, ()):
                tag["input_uuid"] = row["input_uuid"]

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from not_null(rows["tags"], "tags", "value")
        yield from not_null(rows["runs"], "runs", "experiment_id")
        known = {row["dataset_uuid"] for row in rows["datasets"]}
        for row in rows["inputs"]:
            if _kind(row) not in (_DATASET, _MODEL_IN, _MODEL_OUT):
                yield f"inputs: {row['source_type']} to {row['destination_type']} is not known"
            elif _kind(row) == _DATASET and row["source_id"] not in known:
                yield f"inputs: run {row['destination_id']} uses a dataset that does not exist"
            elif _kind(row) in (_DATASET, _MODEL_IN) and row["step"]:
                yield f"inputs: the input {row['source_id']} has a step"

    def items(self, rows: Rows) -> Iterable[Item]:
        below = {
            table: by(rows[table], "run_uuid") for table in ("tags", "params", "latest_metrics")
        }
        uses = by((row for row in rows["inputs"] if _kind(row) == _DATASET), "destination_id")
        measured = by(rows["measured"], "run_id")
        models = by((row for row in rows["inputs"] if _kind(row) != _DATASET), "source_id")
        tags = by(rows["input_tags"], "input_uuid")
        datasets = {row["dataset_uuid"]: row for row in rows["datasets"]}
        for row in rows["runs"]:
            run_id = row["run_uuid"]
            document = Document(keys.run(run_id), _head(row), run.SECTIONS)
            _set_values(document, {table: some.get(run_id, []) for table, some in below.items()})
            for used in models.get(run_id, ()):
                if _kind(used) == _MODEL_IN:
                    document.set(run.MODELS_IN, used["destination_id"], "")
                else:
                    document.set(run.MODELS_OUT, used["destination_id"], str(used["step"]))
            for one in measured.get(run_id, ()):
                document.set(run.MEASURED, one["model_id"], "")
            for order, used in enumerate(uses.get(run_id, ())):
                dataset = datasets[used["source_id"]]
                yield _use(document, order, dataset, tags.get(used["input_uuid"], []))
            yield run.entry(document)[1]["Item"]
            yield from document.items()
            if row["lifecycle_stage"] == "deleted" and row["deleted_time"] is not None:
                pk, sk = keys.deleted_run(run_id)
                yield {"pk": pk, "sk": sk, "deleted_time": row["deleted_time"]}

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in stored_runs(table):
            rows: Rows = {name: [] for name in self.tables()}
            for document in some:
                _add_rows(rows, document)
            yield rows


def _set_values(document: Document, rows: Rows) -> None:
    for tag in rows["tags"]:
        document.set(run.TAGS, tag["key"], tag["value"])
    for param in rows["params"]:
        document.set(run.PARAMS, param["key"], param["value"])
    for metric in rows["latest_metrics"]:
        document.set(run.METRICS, metric["key"], pack([point_of_row(metric)]))


def _kind(row: Row) -> tuple[str, str]:
    return row["source_type"], row["destination_type"]


def _input_id(row: Row) -> str:
    return made_id(
        row["source_type"], row["source_id"], row["destination_type"], row["destination_id"]
    )


def _head(row: Row) -> Item:
    head: Item = {
        "experiment_id": str(row["experiment_id"]),
        "name": row["name"],
        "user_id": row["user_id"],
        "status": row["status"],
        "start_time": row["start_time"],
        "end_time": row["end_time"],
        "stage": row["lifecycle_stage"],
        "deleted_time": row["deleted_time"],
        "artifact_uri": row["artifact_uri"],
        run.COPIED: False,
    }
    return head | {name: row[name] for name in LEGACY if row[name] != _LEGACY_VALUES[name]}


_LEGACY_VALUES = {
    "source_type": "UNKNOWN",
    "source_name": "",
    "entry_point_name": "",
    "source_version": "",
}
"""What MLflow writes for every run today."""


def _use(document: Document, order: int, dataset: Row, tags: list[Row]) -> Item:
    """Notes in the run that it uses a dataset; the item of the experiment's summary."""
    fields = fields_of_row(dataset)
    key = keys.digest(dataset["name"], dataset["digest"])
    pairs = [InputTag(tag["name"], tag["value"]) for tag in tags]
    document.set(run.DATASETS, key, input_value(order, fields, pairs))
    context = {tag["name"]: tag["value"] for tag in tags}.get(MLFLOW_DATASET_CONTEXT)
    return {
        "pk": keys.dataset_summaries(document.head["experiment_id"]),
        "sk": f"{key}#{'' if context is None else keys.digest(context)}",
        "name": dataset["name"],
        "digest": dataset["digest"],
        "context": context,
    }


def _add_rows(rows: Rows, document: Document) -> None:
    run_id, head = run.id_of(document), document.head
    rows["runs"].append(
        {
            "run_uuid": run_id,
            "name": head["name"],
            "user_id": head["user_id"],
            "status": head["status"],
            "start_time": head["start_time"],
            "end_time": head["end_time"],
            "deleted_time": head["deleted_time"],
            "lifecycle_stage": head["stage"],
            "artifact_uri": head["artifact_uri"],
            "experiment_id": int(head["experiment_id"]),
            **{name: head.get(name, usual) for name, usual in _LEGACY_VALUES.items()},
        }
    )
    for section, table in ((run.TAGS, "tags"), (run.PARAMS, "params")):
        for key, value in document.section(section).items():
            rows[table].append({"key": key, "value": value, "run_uuid": run_id})
    for key, value in document.section(run.METRICS).items():
        point = latest_of(bytes(value))  # type: ignore[arg-type]
        rows["latest_metrics"].append(row_of_point(run_id, key, point))
    _add_inputs(rows, document)


def _add_inputs(rows: Rows, document: Document) -> None:
    run_id = run.id_of(document)
    for value in document.section(run.DATASETS).values():
        _, pairs, fields = input_parts(bytes(value))  # type: ignore[arg-type]
        used = dataset_id(
            {
                "experiment_id": document.head["experiment_id"],
                "name": fields[0],
                "digest": fields[1],
            }
        )
        row = _input(_DATASET, used, run_id)
        rows["inputs"].append(row)
        for key, text in pairs:
            rows["input_tags"].append({"input_uuid": row["input_uuid"], "name": key, "value": text})
    for model_id in document.section(run.MODELS_IN):
        rows["inputs"].append(_input(_MODEL_IN, run_id, model_id))
    for model_id, step in document.section(run.MODELS_OUT).items():
        rows["inputs"].append(_input(_MODEL_OUT, run_id, model_id, int(step)))


def _input(kind: tuple[str, str], source: str, destination: str, step: int = 0) -> Row:
    row: Row = {
        "source_type": kind[0],
        "source_id": source,
        "destination_type": kind[1],
        "destination_id": destination,
        "step": step,
    }
    return {**row, "input_uuid": _input_id(row)}
