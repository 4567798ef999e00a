"""Experiments with their tags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlExperimentTag

from dynamodb_store import documents, keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities import experiment
from dynamodb_store.table import Table
from dynamodb_store.transfer.kind import Child, Kind, default_workspace, not_null
from dynamodb_store.transfer.rows import Row, Rows, by
from dynamodb_store.transfer.walk import experiment_ids


class Experiments(Kind):
    """``experiments`` and ``experiment_tags``; also the counter of their ids."""

    name = "experiments"
    root = SqlExperiment.__table__
    key = ("experiment_id",)
    children = (Child(SqlExperimentTag.__table__, ("experiment_id",)),)
    counters = {"experiments": "experiment_id"}

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from default_workspace(rows["experiments"], "experiments")
        yield from not_null(rows["experiment_tags"], "experiment_tags", "value")

    def items(self, rows: Rows) -> Iterable[Item]:
        tags = by(rows["experiment_tags"], "experiment_id")
        for row in rows["experiments"]:
            document = document_of(row, tags.get(row["experiment_id"], []))
            yield from document.items()
            yield name_item(document)
            yield experiment.entry(document)[1]["Item"]
        highest = max(row["experiment_id"] for row in rows["experiments"])
        yield {"pk": keys.COUNTER[0], "sk": keys.COUNTER[1], "n": highest}

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in experiment_ids(table):
            found = table.parallel(
                lambda one: documents.read(table, keys.experiment(one), experiment.SECTIONS), some
            )
            yield {
                "experiments": [_row(one) for one in found if one is not None],
                "experiment_tags": [tag for one in found if one is not None for tag in _tags(one)],
            }


def document_of(row: Row, tags: Iterable[Row]) -> Document:
    head = {
        "name": row["name"],
        "artifact_location": row["artifact_location"],
        "stage": row["lifecycle_stage"],
        "creation_time": row["creation_time"],
        "last_update_time": row["last_update_time"],
    }
    document = Document(keys.experiment(str(row["experiment_id"])), head, experiment.SECTIONS)
    for tag in tags:
        document.set(experiment.TAGS, tag["key"], tag["value"])
    return document


def name_item(document: Document) -> Item:
    name = document.head["name"]
    pk, sk = keys.experiment_name(name)
    return {"pk": pk, "sk": sk, "name": name, "experiment_id": experiment.id_of(document)}


def _row(document: Document) -> Row:
    head = document.head
    return {
        "experiment_id": int(experiment.id_of(document)),
        "name": head["name"],
        "workspace": "default",
        "artifact_location": head["artifact_location"],
        "lifecycle_stage": head["stage"],
        "creation_time": head["creation_time"],
        "last_update_time": head["last_update_time"],
    }


def _tags(document: Document) -> Iterator[Row]:
    number = int(experiment.id_of(document))
    for key, value in document.section(experiment.TAGS).items():
        yield {"key": key, "value": value, "experiment_id": number}
