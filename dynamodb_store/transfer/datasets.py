"""Datasets that runs use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlflow.store.tracking.dbmodels.models import SqlDataset, SqlInput

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.entities.dataset import Fields, dataset_items, fields_from
from dynamodb_store.table import Table
from dynamodb_store.transfer.kind import Kind
from dynamodb_store.transfer.rows import Row, Rows, made_id
from dynamodb_store.transfer.sql import Sql
from dynamodb_store.transfer.walk import experiment_ids

_COLUMNS = ("name", "digest", "dataset_source_type", "dataset_source",
            "dataset_schema", "dataset_profile")  # fmt: skip
"""In the order of ``Fields``."""


class Datasets(Kind):
    """``datasets``; those that no run uses have a list of their own."""

    name = "datasets"
    root = SqlDataset.__table__
    key = ("experiment_id", "name", "digest")
    page = 20

    def complete(self, sql: Sql, rows: Rows) -> None:
        ids = [row["dataset_uuid"] for row in rows["datasets"]]
        used = {row["source_id"] for row in sql.matching(SqlInput.__table__, ("source_id",), ids)}
        rows["unused"] = [row for row in rows["datasets"] if row["dataset_uuid"] not in used]
        for row in rows["datasets"]:
            row["dataset_uuid"] = dataset_id(row)

    def items(self, rows: Rows) -> Iterable[Item]:
        for row in rows["datasets"]:
            yield from dataset_items(str(row["experiment_id"]), fields_of_row(row))
        for row in rows["unused"]:
            yield {
                "pk": keys.unused_datasets(str(row["experiment_id"])),
                "sk": keys.digest(row["name"], row["digest"]),
                "name": row["name"],
                "digest": row["digest"],
            }

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in experiment_ids(table):
            for experiment_id in some:
                known: set[tuple[str, str]] = set()
                for partition in (keys.dataset_summaries, keys.unused_datasets):
                    for item in table.query_all(partition(experiment_id)):
                        if (named := (item["name"], item["digest"])) not in known:
                            known.add(named)
                            yield {"datasets": [_row(table, experiment_id, *named)]}


def dataset_id(row: Row) -> str:
    """The id of a dataset, which no call of MLflow shows, made of what it is known by."""
    return made_id(row["experiment_id"], row["name"], row["digest"])


def fields_of_row(row: Row) -> Fields:
    return [row[name] for name in _COLUMNS]


def _row(table: Table, experiment_id: str, name: str, digest: str) -> Row:
    head, *parts = table.query_all(keys.dataset(experiment_id, name, digest))
    prefix = f"P#{head['content']}#"
    fields = fields_from(head, [part for part in parts if part["sk"].startswith(prefix)])
    row: Row = {"experiment_id": int(experiment_id), **dict(zip(_COLUMNS, fields, strict=True))}
    return {**row, "dataset_uuid": dataset_id(row)}
