"""Registered models and prompts with their versions, tags and aliases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlflow.store.model_registry.dbmodels.models import (
    SqlModelVersion,
    SqlModelVersionTag,
    SqlRegisteredModel,
    SqlRegisteredModelAlias,
    SqlRegisteredModelTag,
)

from dynamodb_store import keys, records
from dynamodb_store.codec import Item
from dynamodb_store.entities import model_version, registered_model
from dynamodb_store.records import Body, Record
from dynamodb_store.registry.versions import places
from dynamodb_store.table import Table
from dynamodb_store.transfer.kind import Child, Kind, default_workspace, not_null
from dynamodb_store.transfer.rows import Row, Rows, by, made_id

_USUAL = {"user_id": None, "status": model_version.READY, "status_message": None}
"""What MLflow writes for every version today; anything else is kept in the version's record."""
_AT_ONCE = 64


class RegisteredModels(Kind):
    """``registered_models``, ``model_versions``, their tags and aliases."""

    name = "registered models"
    root = SqlRegisteredModel.__table__
    key = ("name",)
    page = 20
    children = (
        Child(SqlRegisteredModelTag.__table__, ("name",)),
        Child(SqlRegisteredModelAlias.__table__, ("name",)),
        Child(SqlModelVersion.__table__, ("name",)),
        Child(SqlModelVersionTag.__table__, ("name",)),
    )

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from default_workspace(rows["registered_models"], "registered_models")
        for table in ("registered_models", "model_versions"):
            yield from not_null(rows[table], table, "creation_time", "last_updated_time")
        known = {(row["name"], row["version"]) for row in rows["model_versions"]}
        for table in ("model_version_tags", "registered_model_aliases"):
            for row in rows[table]:
                if (row["name"], row["version"]) not in known:
                    yield f"{table}: version {row['version']} of {row['name']} does not exist"

    def items(self, rows: Rows) -> Iterable[Item]:
        below = {
            name: by(rows[name], "name")
            for name in ("registered_model_tags", "registered_model_aliases", "model_versions")
        }
        tags = by(rows["model_version_tags"], "name", "version")
        for row in rows["registered_models"]:
            its = {name: some.get(row["name"], []) for name, some in below.items()}
            versions = {
                one["version"]: _version(one, tags.get((one["name"], one["version"]), []))
                for one in its["model_versions"]
            }
            yield from _items(row, its, versions)

    def stored(self, table: Table) -> Iterator[Rows]:
        for partition in (keys.MODELS, keys.PROMPTS):
            held = [str(item["id"]) for item in table.query_all(partition)]
            for at in range(0, len(held), _AT_ONCE):
                for found in table.parallel(
                    lambda one: _read(table, one), held[at : at + _AT_ONCE]
                ):
                    yield _rows(*found)


def _items(row: Row, its: Rows, versions: dict[int, Body]) -> Iterator[Item]:
    body = registered_model.new_model(row["name"], row["creation_time"], (), row["description"])
    body |= {
        "updated": row["last_updated_time"],
        "tags": {tag["key"]: tag["value"] for tag in its["registered_model_tags"]},
        "aliases": {one["alias"]: one["version"] for one in its["registered_model_aliases"]},
        "last": max(versions, default=0),
        "prompts": sum(map(model_version.is_prompt, versions.values())),
    }
    head = Record(keys.model(made_id("model", row["name"])), keys.HEAD, body)
    for number, version in sorted(versions.items()):
        yield from records.items_of(Record(head.partition, keys.version(number), version))
        if not model_version.is_deleted(version):
            registered_model.make_latest(body, number, version)
            for pk, sk in places(head, number, version):
                yield {"pk": pk, "sk": sk}
    name = keys.model_name(row["name"])
    yield {"pk": name[0], "sk": name[1], "owner": registered_model.id_of(head.partition)}
    yield registered_model.entry(head.partition, body)[1]["Item"]
    yield from records.items_of(head)


def _version(row: Row, tags: Iterable[Row]) -> Body:
    body = model_version.new_version(
        row["creation_time"],
        (),
        source=row["source"],
        storage_location=row["storage_location"],
        run_id=row["run_id"],
        run_link=row["run_link"],
        description=row["description"],
    )
    body |= {
        "updated": row["last_updated_time"],
        "stage": row["current_stage"],
        "tags": {tag["key"]: tag["value"] for tag in tags},
    }
    return body | {name: row[name] for name, usual in _USUAL.items() if row[name] != usual}


def _read(table: Table, model_id: str) -> tuple[Record | None, list[Record]]:
    partition = keys.model(model_id)
    head = records.get(table, partition, keys.HEAD)
    return head, list(records.listed(table, partition, prefix=keys.VERSIONS))


def _rows(head: Record | None, versions: list[Record]) -> Rows:
    if head is None:
        return {}
    body = head.body
    named = {"workspace": "default", "name": body["name"]}
    rows: Rows = {
        "registered_models": [
            {
                **named,
                "creation_time": body["created"],
                "last_updated_time": body["updated"],
                "description": body["description"],
            }
        ],
        "registered_model_tags": [
            {**named, "key": key, "value": value} for key, value in body["tags"].items()
        ],
        "model_versions": [],
        "registered_model_aliases": [
            {**named, "alias": alias, "version": to} for alias, to in body["aliases"].items()
        ],
        "model_version_tags": [],
    }
    for one in versions:
        place = {**named, "version": model_version.number_of(one.sk)}
        rows["model_versions"].append(_version_row(body, place, one.body))
        rows["model_version_tags"] += [
            {**place, "key": key, "value": value} for key, value in one.body["tags"].items()
        ]
    return rows


def _version_row(head: Body, place: Row, body: Body) -> Row:
    return {
        **place,
        "creation_time": body["created"],
        "last_updated_time": model_version.updated_of(head, body),
        "description": body["description"],
        "current_stage": body["stage"],
        "source": body["source"],
        "storage_location": body["storage_location"],
        "run_id": body["run_id"],
        "run_link": body["run_link"],
        **{name: body.get(name, usual) for name, usual in _USUAL.items()},
    }
