"""The AI gateway's secrets, model definitions and budgets.

Secrets are carried as they are encrypted: the same ``MLFLOW_CRYPTO_KEK_PASSPHRASE`` reads them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from mlflow.store.tracking.dbmodels.models import (
    SqlGatewayBudgetPolicy,
    SqlGatewayEndpointModelMapping,
    SqlGatewayModelDefinition,
    SqlGatewaySecret,
)

from dynamodb_store import keys, records
from dynamodb_store.codec import Item
from dynamodb_store.records import Body, Record
from dynamodb_store.table import Table
from dynamodb_store.transfer.kind import Kind, default_workspace
from dynamodb_store.transfer.rows import Row, Rows
from dynamodb_store.transfer.sql import Sql

_STAMPS = ("created_at", "last_updated_at", "created_by", "last_updated_by")
_MASKED_OTHERWISE = {"value": "***"}
"""What MLflow shows when the masked value is no JSON."""
_SECRET = {"name": "secret_name", "provider": "provider", "kek_version": "kek_version"}
_DEFINITION = {
    "name": "name",
    "secret_id": "secret_id",
    "provider": "provider",
    "model_name": "model_name",
}
_BUDGET = {
    "unit": "budget_unit",
    "amount": "budget_amount",
    "duration_unit": "duration_unit",
    "duration_value": "duration_value",
    "scope": "target_scope",
    "action": "budget_action",
    "target": "target_value",
}
"""Names in the record's body and columns."""


class Secrets(Kind):
    """``secrets``."""

    name = "secrets of the AI gateway"
    root = SqlGatewaySecret.__table__
    key = ("secret_id",)

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from default_workspace(rows["secrets"], "secrets")
        for row in rows["secrets"]:
            if row["auth_config"] and not is_json(row["auth_config"]):
                yield f"secrets: the auth_config of {row['secret_id']} is no JSON"

    def items(self, rows: Rows) -> Iterable[Item]:
        for row in rows["secrets"]:
            body = from_row(row, _SECRET) | stamps(row)
            for name in ("encrypted_value", "wrapped_dek"):
                body[name] = base64.b64encode(bytes(row[name])).decode()
            _set_json(body, "masked", row["masked_value"], _MASKED_OTHERWISE)
            _set_json(body, "auth_config", row["auth_config"], None)
            if row["description"] is not None:
                body["description"] = row["description"]  # MLflow has no call that shows it
            yield from named(Record(keys.SECRETS, row["secret_id"], body))

    def stored(self, table: Table) -> Iterator[Rows]:
        for record in records.listed(table, keys.SECRETS):
            body = record.body
            row = {"secret_id": record.sk, **to_row(body, _SECRET), **stamps_row(body)}
            for name in ("encrypted_value", "wrapped_dek"):
                row[name] = base64.b64decode(body[name])
            row["masked_value"] = _json_of(body, "masked", _MASKED_OTHERWISE)
            row["auth_config"] = _json_of(body, "auth_config", None)
            row["description"] = body.get("description")
            yield {"secrets": [row]}


class ModelDefinitions(Kind):
    """``model_definitions``; also how many mappings of endpoints use each."""

    name = "model definitions of the AI gateway"
    root = SqlGatewayModelDefinition.__table__
    key = ("model_definition_id",)

    def complete(self, sql: Sql, rows: Rows) -> None:
        of = SqlGatewayEndpointModelMapping.__table__.c.model_definition_id
        ids = [row["model_definition_id"] for row in rows["model_definitions"]]
        counted = sa.select(of, sa.func.count().label("n")).where(of.in_(ids)).group_by(of)
        rows["uses"] = list(sql.rows(counted))
        rows["known"] = known(
            sql, SqlGatewaySecret.__table__, "secret_id", rows["model_definitions"]
        )

    def problems(self, rows: Rows) -> Iterator[str]:
        found = rows["model_definitions"]
        yield from default_workspace(found, "model_definitions")
        yield from gone(found, "model_definitions", "secret_id", rows["known"])

    def items(self, rows: Rows) -> Iterable[Item]:
        uses = {row["model_definition_id"]: row["n"] for row in rows["uses"]}
        for row in rows["model_definitions"]:
            definition_id = row["model_definition_id"]
            body = from_row(row, _DEFINITION) | stamps(row)
            yield from named(Record(keys.DEFINITIONS, definition_id, body))
            pk, sk = keys.definition_uses(definition_id)
            yield {"pk": pk, "sk": sk, "n": uses.get(definition_id, 0)}

    def stored(self, table: Table) -> Iterator[Rows]:
        there = {item["sk"] for item in table.query_all(keys.SECRETS)}
        for record in records.listed(table, keys.DEFINITIONS):
            row = {
                "model_definition_id": record.sk,
                **to_row(record.body, _DEFINITION),
                **stamps_row(record.body),
            }
            if row["secret_id"] not in there:  # deleted: SQL's foreign key sets NULL
                row["secret_id"] = None
            yield {"model_definitions": [row]}


class Budgets(Kind):
    """``budget_policies``."""

    name = "budgets of the AI gateway"
    root = SqlGatewayBudgetPolicy.__table__
    key = ("budget_policy_id",)

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from default_workspace(rows["budget_policies"], "budget_policies")

    def items(self, rows: Rows) -> Iterable[Item]:
        for row in rows["budget_policies"]:
            body = from_row(row, _BUDGET) | stamps(row)
            yield from records.items_of(Record(keys.BUDGETS, row["budget_policy_id"], body))

    def stored(self, table: Table) -> Iterator[Rows]:
        for record in records.listed(table, keys.BUDGETS):
            row = {
                "budget_policy_id": record.sk,
                **to_row(record.body, _BUDGET),
                **stamps_row(record.body),
            }
            row["budget_amount"] = float(row["budget_amount"])
            yield {"budget_policies": [row]}


def known(sql: Sql, table: sa.Table, column: str, rows: Iterable[Row]) -> list[Row]:
    """Which of the values in this column of ``rows`` are keys of ``table``."""
    ids = list(dict.fromkeys(row[column] for row in rows if row[column] is not None))
    return [{column: row[column]} for row in sql.matching(table, (column,), ids)]


def gone(rows: Iterable[Row], table: str, column: str, there: Iterable[Row]) -> Iterator[str]:
    """Sentences about rows that name something which is not ``there``."""
    ids = {row[column] for row in there}
    for row in rows:
        if row[column] is not None and row[column] not in ids:
            yield f"{table}: rows with the {column} {row[column]}, which is gone"


def stamps(row: Row) -> Body:
    """Who and when; ``made`` orders lists, within a millisecond by id."""
    return {name: row[name] for name in _STAMPS} | {"made": row["created_at"] * 1_000_000}


def stamps_row(body: Body) -> Row:
    """The columns of ``stamps``, with the workspace that goes with them."""
    return {name: body[name] for name in _STAMPS} | {"workspace": "default"}


def named(record: Record) -> Iterator[Item]:
    """A record's items and the one that makes its name unique."""
    yield from records.items_of(record)
    pk, sk = keys.gateway_name(record.partition, record.body["name"])
    yield {"pk": pk, "sk": sk, "owner": record.sk}


def from_row(row: Row, names: Mapping[str, str]) -> Body:
    """A body of the columns that ``names`` gives for its names."""
    return {mine: row[theirs] for mine, theirs in names.items()}


def to_row(body: Body, names: Mapping[str, str]) -> Row:
    """The columns again."""
    return {theirs: body[mine] for mine, theirs in names.items()}


def is_json(text: str) -> bool:
    """Whether a text can be read."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _parsed(text: str | None, otherwise: Any) -> Any:
    return json.loads(text) if text and is_json(text) else otherwise


def _written(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _set_json(body: Body, name: str, text: str | None, otherwise: Any) -> None:
    """What a text says; the text itself too when MLflow would write it differently."""
    body[name] = _parsed(text, otherwise)
    if text != _written(body[name]):
        body[f"{name}_text"] = text


def _json_of(body: Body, name: str, otherwise: Any) -> str | None:
    """The text again, unless the value has changed since."""
    text = body.get(f"{name}_text")
    if text is not None and _parsed(text, otherwise) == body[name]:
        return str(text)
    return _written(body[name])
