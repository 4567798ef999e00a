"""Label schemas; review queues with their users and questions; the items of the queues."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from mlflow.store.tracking.dbmodels.models import (
    SqlExperiment,
    SqlLabelSchema,
    SqlReviewQueue,
    SqlReviewQueueItem,
    SqlReviewQueueLabelSchema,
    SqlReviewQueueUser,
    _input_from_dict,
    _input_to_dict,
)

from dynamodb_store import keys, records
from dynamodb_store.codec import Item
from dynamodb_store.entities.label_schema import input_body, label_schema_of
from dynamodb_store.records import Body, Record
from dynamodb_store.table import Table
from dynamodb_store.transfer.homes import homeless, look_up
from dynamodb_store.transfer.kind import Child, Kind
from dynamodb_store.transfer.rows import Row, Rows, by
from dynamodb_store.transfer.sql import Sql, chunks
from dynamodb_store.transfer.walk import listed_by_experiment

_EXPERIMENT = SqlExperiment.__table__.c.experiment_id
_SCHEMA = {
    "id": "schema_id",
    "name": "name",
    "type": "type",
    "instruction": "instruction",
    "enable_comment": "enable_comment",
    "created_by": "created_by",
    "created": "created_time",
    "updated": "last_update_time",
    "is_default": "is_default",
}
_QUEUE = {
    "id": "queue_id",
    "name": "name",
    "type": "queue_type",
    "created_by": "created_by",
    "created": "creation_time_ms",
    "updated": "last_update_time_ms",
}
_ITEM = {
    "queue_id": "queue_id",
    "type": "item_type",
    "id": "item_id",
    "status": "status",
    "created": "creation_time_ms",
    "updated": "last_update_time_ms",
    "completed_by": "completed_by",
    "completed": "completed_time_ms",
}
"""Names in the records' bodies and columns."""


class LabelSchemas(Kind):
    """``label_schemas``."""

    name = "label schemas"
    root = SqlLabelSchema.__table__
    key = ("schema_id",)

    def complete(self, sql: Sql, rows: Rows) -> None:
        """The inputs are spelled as MLflow writes them today, when that says the same."""
        look_up(sql, rows, "label_schemas", "experiment_id", _EXPERIMENT)
        for row in rows["label_schemas"]:
            if (made := _input(row)) is not None:
                row["input_config"] = _input_to_dict(made)[1]

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from homeless(rows, "label_schemas", "experiment_id")
        for row in rows["label_schemas"]:
            if _input(row) is None:
                yield f"label_schemas: MLflow cannot read the input of {row['schema_id']}"

    def items(self, rows: Rows) -> Iterable[Item]:
        for row in rows["label_schemas"]:
            experiment_id = str(row["experiment_id"])
            body = {
                **_body(row, _SCHEMA),
                "experiment_id": experiment_id,
                "input": input_body(_input(row)),
            }
            name = keys.label_schema_name(experiment_id, row["name"])
            pointer = keys.label_schema(row["schema_id"])
            yield from _placed(keys.label_schemas(experiment_id), body, name, pointer)

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in listed_by_experiment(table, keys.label_schemas):
            yield {"label_schemas": [_schema_row(record.body) for record in some]}


class ReviewQueues(Kind):
    """``review_queues``, ``review_queue_users``, ``review_queue_label_schemas``."""

    name = "review queues"
    root = SqlReviewQueue.__table__
    key = ("queue_id",)
    children = (
        Child(SqlReviewQueueUser.__table__, ("queue_id",)),
        Child(SqlReviewQueueLabelSchema.__table__, ("queue_id",)),
    )

    def complete(self, sql: Sql, rows: Rows) -> None:
        look_up(sql, rows, "review_queues", "experiment_id", _EXPERIMENT)

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from homeless(rows, "review_queues", "experiment_id")
        for row in rows["review_queues"]:
            if row["name_key"] != row["name"].lower():
                yield f"review_queues: name_key of {row['queue_id']} is not its name"

    def items(self, rows: Rows) -> Iterable[Item]:
        users = by(rows["review_queue_users"], "queue_id")
        questions = by(rows["review_queue_label_schemas"], "queue_id")
        for row in rows["review_queues"]:
            queue_id, experiment_id = row["queue_id"], str(row["experiment_id"])
            body = {
                **_body(row, _QUEUE),
                "experiment_id": experiment_id,
                "users": sorted(one["user_id"] for one in users.get(queue_id, [])),
                "schema_ids": sorted(one["schema_id"] for one in questions.get(queue_id, [])),
            }
            name = keys.review_queue_name(experiment_id, row["name"])
            pointer = keys.review_queue(queue_id)
            yield from _placed(keys.review_queues(experiment_id), body, name, pointer)

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in listed_by_experiment(table, keys.review_queues):
            rows: Rows = {name: [] for name in self.tables()}
            for record in some:
                body, its = record.body, {"queue_id": record.body["id"]}
                rows["review_queues"].append(_queue_row(body))
                rows["review_queue_users"] += [{**its, "user_id": one} for one in body["users"]]
                rows["review_queue_label_schemas"] += [
                    {**its, "schema_id": one} for one in body["schema_ids"]
                ]
            yield rows


class ReviewItems(Kind):
    """``review_queue_items``: a queue may have many thousands."""

    name = "items of review queues"
    root = SqlReviewQueueItem.__table__
    key = ("queue_id", "item_id")
    page = 1000

    def complete(self, sql: Sql, rows: Rows) -> None:
        queue_id = SqlReviewQueue.__table__.c.queue_id
        look_up(sql, rows, "review_queue_items", "queue_id", queue_id)

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from homeless(rows, "review_queue_items", "queue_id")

    def items(self, rows: Rows) -> Iterable[Item]:
        for row in rows["review_queue_items"]:
            place = keys.newest_first(row["creation_time_ms"], row["item_id"])
            body = _body(row, _ITEM)
            yield from records.items_of(Record(keys.review_items(row["queue_id"]), place, body))
            pk, sk = keys.review_membership(row["item_id"], row["queue_id"])
            yield {"pk": pk, "sk": sk, "place": place}

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in listed_by_experiment(table, keys.review_queues):
            for queue in some:
                held = records.listed(table, keys.review_items(queue.body["id"]))
                for rows in chunks((_row(record.body, _ITEM) for record in held), self.page):
                    yield {"review_queue_items": rows}


def _placed(partition: str, body: Body, name: keys.Key, pointer: keys.Key) -> Iterator[Item]:
    """The items of what its experiment lists newest first and its id and name find."""
    record = Record(partition, keys.newest_first(body["created"], body["id"]), body)
    yield records.take_name(name, record.sk)[1]["Item"]
    yield records.repoint(pointer, record)[1]["Item"]
    yield from records.items_of(record)


def _input(row: Row) -> Any:
    """The input of a label schema; None when MLflow cannot read it."""
    try:
        return _input_from_dict(row["input_type"], json.loads(row["input_config"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _schema_row(body: Body) -> Row:
    kind, config = _input_to_dict(label_schema_of(body).input)
    return {
        **_row(body, _SCHEMA),
        "experiment_id": int(body["experiment_id"]),
        "input_type": kind,
        "input_config": config,
    }


def _queue_row(body: Body) -> Row:
    return {
        **_row(body, _QUEUE),
        "experiment_id": int(body["experiment_id"]),
        "name_key": body["name"].lower(),
    }


def _body(row: Row, columns: dict[str, str]) -> Body:
    return {mine: row[theirs] for mine, theirs in columns.items()}


def _row(body: Body, columns: dict[str, str]) -> Row:
    return {theirs: body[mine] for mine, theirs in columns.items()}
