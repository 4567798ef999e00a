"""Evaluation datasets with tags and records, and their links to experiments.

Records keep the ids that MLflow gave them. The store looks for a record by a hash of its inputs,
so each record of another id gets a second pointer, under that hash (``pointers``).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa
from mlflow.entities.dataset_record import DATASET_RECORD_WRAPPED_OUTPUT_KEY
from mlflow.entities.entity_type import EntityAssociationType
from mlflow.store.tracking.dbmodels.models import (
    SqlEntityAssociation,
    SqlEvaluationDataset,
    SqlEvaluationDatasetRecord,
    SqlEvaluationDatasetTag,
)

from dynamodb_store import documents, keys, records, schema
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities import dataset_record, evaluation_dataset
from dynamodb_store.records import Body, Record
from dynamodb_store.table import Table
from dynamodb_store.tracking.associations import link
from dynamodb_store.transfer.kind import Child, Kind, default_workspace, not_null
from dynamodb_store.transfer.rows import Row, Rows, by
from dynamodb_store.transfer.sql import Sql
from dynamodb_store.transfer.traces import link_row

_DATASET = EntityAssociationType.EVALUATION_DATASET
_HEAD = ("name", "digest", "profile", "created_time", "last_update_time", "created_by",
         "last_updated_by")  # fmt: skip
_BODY = ("inputs", "expectations", "tags", "source", "source_id", "created_time",
         "last_update_time", "created_by", "last_updated_by")  # fmt: skip
"""Columns that are attributes of the head, or of a record's body, by the same names."""
_AT_ONCE = 64


class EvaluationDatasets(Kind):
    """``evaluation_datasets`` and their tags; also how many records each has."""

    name = "evaluation datasets"
    root = SqlEvaluationDataset.__table__
    key = ("dataset_id",)
    children = (Child(SqlEvaluationDatasetTag.__table__, ("dataset_id",)),)

    def complete(self, sql: Sql, rows: Rows) -> None:
        of = SqlEvaluationDatasetRecord.__table__.c.dataset_id
        ids = [row["dataset_id"] for row in rows["evaluation_datasets"]]
        counted = sa.select(of, sa.func.count().label("n")).where(of.in_(ids)).group_by(of)
        rows["records"] = list(sql.rows(counted))

    def problems(self, rows: Rows) -> Iterator[str]:
        found = rows["evaluation_datasets"]
        yield from default_workspace(found, "evaluation_datasets")
        yield from not_null(found, "evaluation_datasets", "created_time", "last_update_time")
        for row in found:
            if len(zlib.compress((row["schema"] or "").encode())) > schema.PART_BYTES:
                yield f"evaluation_datasets: the schema of {row['dataset_id']} is too large"
            if len((row["profile"] or "").encode()) > schema.HEAD_BYTES:
                yield f"evaluation_datasets: the profile of {row['dataset_id']} is too large"

    def items(self, rows: Rows) -> Iterable[Item]:
        tags = by(rows["evaluation_dataset_tags"], "dataset_id")
        for row in rows["evaluation_datasets"]:
            document = _document(row, tags.get(row["dataset_id"], []))
            yield from document.items()
            yield evaluation_dataset.entry(document)[1]["Item"]
        for row in rows["records"]:
            # The store adds up the counts of all shards, so one of them may hold the whole.
            shard = keys.dataset_record_pointer_shards(row["dataset_id"])[0]
            yield {"pk": shard, "sk": keys.DATASET_RECORD_COUNT, "records": row["n"]}

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in _dataset_ids(table):
            found = table.parallel(lambda one: _read(table, one), some)
            yield {
                "evaluation_datasets": [_row(one) for one in found if one is not None],
                "evaluation_dataset_tags": [
                    tag for one in found if one is not None for tag in _tags(one)
                ],
            }


class EvaluationRecords(Kind):
    """``evaluation_dataset_records``."""

    name = "records of evaluation datasets"
    root = SqlEvaluationDatasetRecord.__table__
    key = ("dataset_record_id",)
    page = 100

    def complete(self, sql: Sql, rows: Rows) -> None:
        rows["known"] = _known(sql, [row["dataset_id"] for row in rows[self.root.name]])

    def problems(self, rows: Rows) -> Iterator[str]:
        found = rows[self.root.name]
        yield from not_null(found, self.root.name, "created_time")
        known = {row["dataset_id"] for row in rows["known"]}
        for row in found:
            if row["dataset_id"] not in known:
                yield f"{self.root.name}: records of dataset {row['dataset_id']}, which is gone"
            if row["outputs"] != _wrapped(_unwrapped(row["outputs"])):
                yield f"{self.root.name}: the outputs of {row['dataset_record_id']} cannot be read"

    def items(self, rows: Rows) -> Iterable[Item]:
        for row in rows[self.root.name]:
            dataset_id, one = row["dataset_id"], row["dataset_record_id"]
            place = keys.dataset_record(dataset_id, row["created_time"], one)
            yield from records.items_of(Record(*place, _body(row)))
            yield from dataset_record.pointers(dataset_id, one, _body(row))

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in _dataset_ids(table):
            for dataset_id in some:
                for shard in keys.dataset_record_shards(dataset_id):
                    for record in records.listed(table, shard):
                        yield {self.root.name: [_record_row(dataset_id, record)]}


class EvaluationLinks(Kind):
    """What evaluation datasets are linked to, and what to them, in ``entity_associations``."""

    name = "links of evaluation datasets"
    root = SqlEntityAssociation.__table__
    key = ("source_type", "source_id", "destination_type", "destination_id")
    page = 1000
    only = sa.or_(root.c.source_type == _DATASET, root.c.destination_type == _DATASET)

    def complete(self, sql: Sql, rows: Rows) -> None:
        rows["known"] = _known(sql, [one for row in rows[self.root.name] for one in _ends(row)])

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from not_null(rows[self.root.name], self.root.name, "created_time")
        known = {row["dataset_id"] for row in rows["known"]}
        for row in rows[self.root.name]:
            for one in _ends(row):
                if one not in known:
                    yield f"{self.root.name}: links of evaluation dataset {one}, which is gone"

    def items(self, rows: Rows) -> Iterable[Item]:
        for row in rows[self.root.name]:
            source = (row["source_type"], row["source_id"])
            destination = (row["destination_type"], row["destination_id"])
            for _, action in link(source, [destination], row["created_time"]):
                yield {**action["Item"], "association": row["association_id"]}

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in _dataset_ids(table):
            found = table.parallel(lambda one: _links(table, one), some)
            yield {self.root.name: [row for links in found for row in links]}


def _known(sql: Sql, ids: Iterable[str]) -> list[Row]:
    """Which of these datasets there are."""
    found = sql.matching(SqlEvaluationDataset.__table__, ("dataset_id",), list(dict.fromkeys(ids)))
    return [{"dataset_id": row["dataset_id"]} for row in found]


def _dataset_ids(table: Table) -> Iterator[list[str]]:
    for shard in keys.evaluation_dataset_shards():
        held: list[str] = []
        for item in table.query_all(shard):
            held.append(item["sk"].rpartition("#")[2])
            if len(held) == _AT_ONCE:
                yield held
                held = []
        if held:
            yield held


def _read(table: Table, dataset_id: str) -> Document | None:
    pk = keys.evaluation_dataset(dataset_id)
    return documents.read(table, pk, evaluation_dataset.SECTIONS)


def _document(row: Row, tags: Sequence[Row]) -> Document:
    pk = keys.evaluation_dataset(row["dataset_id"])
    document = Document(pk, {name: row[name] for name in _HEAD}, evaluation_dataset.SECTIONS)
    for tag in tags:
        evaluation_dataset.set_tag(document, tag["key"], tag["value"])
    if row["schema"] is not None:
        evaluation_dataset.set_schema(document, row["schema"])
    return document


def _row(document: Document) -> Row:
    return {
        "dataset_id": evaluation_dataset.id_of(document),
        "workspace": "default",
        "schema": evaluation_dataset.schema_of(document),
        **{name: document.head[name] for name in _HEAD},
    }


def _tags(document: Document) -> Iterator[Row]:
    dataset_id = evaluation_dataset.id_of(document)
    for key, value in evaluation_dataset.tags_of(document).items():
        yield {"dataset_id": dataset_id, "key": key, "value": value}


def _body(row: Row) -> Body:
    body = {name: row[name] for name in _BODY} | {"outputs": _unwrapped(row["outputs"])}
    if row["input_hash"] != dataset_record.hash_of(body):
        body["input_hash"] = row["input_hash"]
    if row["source_type"] != _source_type(body):
        body["source_type"] = row["source_type"]
    return body


def _record_row(dataset_id: str, record: Record) -> Row:
    body = record.body
    return {
        "dataset_record_id": dataset_record.id_in(record),
        "dataset_id": dataset_id,
        "outputs": _wrapped(body["outputs"]),
        "source_type": body.get("source_type", _source_type(body)),
        "input_hash": dataset_record.hash_of(body),
        **{name: body[name] for name in _BODY},
    }


def _source_type(body: Body) -> str | None:
    return body["source"].get("source_type") if body["source"] else None


def _unwrapped(outputs: Body | None) -> object:
    return outputs.get(DATASET_RECORD_WRAPPED_OUTPUT_KEY) if outputs else None


def _wrapped(outputs: object) -> Body | None:
    return None if outputs is None else {DATASET_RECORD_WRAPPED_OUTPUT_KEY: outputs}


def _ends(row: Row) -> list[str]:
    """The evaluation datasets among the two ends of a link."""
    return [row[f"{end}_id"] for end in ("source", "destination") if row[f"{end}_type"] == _DATASET]


def _links(table: Table, dataset_id: str) -> list[Row]:
    """The links of a dataset; those between two datasets are told by their source only."""
    rows = []
    for forward in (True, False):
        for item in table.query_all(keys.association(_DATASET, dataset_id, forward=forward)):
            kind, other = item["sk"].partition("#")[0], item["id"]
            ends = ((_DATASET, dataset_id), (kind, other))
            source, to = ends if forward else ends[::-1]
            if forward or kind != _DATASET:
                kinds = (source[0], to[0])
                made, created = item.get("association"), item["created_time"]
                rows.append(link_row(kinds, source[1], to[1], made, created))
    return rows
