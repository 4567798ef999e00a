"""The AI gateway's endpoints with their models, bindings and tags, which are one record here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from mlflow.store.tracking.dbmodels.models import (
    SqlGatewayEndpoint,
    SqlGatewayEndpointBinding,
    SqlGatewayEndpointModelMapping,
    SqlGatewayEndpointTag,
    SqlGatewayGuardrailConfig,
    SqlGatewayModelDefinition,
)

from dynamodb_store import keys, records
from dynamodb_store.codec import Item
from dynamodb_store.records import Body, Record
from dynamodb_store.table import Table
from dynamodb_store.tracking.ai_gateway.endpoints import MAX_DEFINITIONS
from dynamodb_store.transfer.ai_gateway import (
    from_row,
    gone,
    is_json,
    known,
    named,
    stamps,
    stamps_row,
    to_row,
)
from dynamodb_store.transfer.kind import Child, Kind, default_workspace, not_null
from dynamodb_store.transfer.rows import Row, Rows, by
from dynamodb_store.transfer.sql import Sql

_ENDPOINT = {"name": "name", "routing": "routing_strategy", "usage_tracking": "usage_tracking"}
_MAPPING = {
    "mapping_id": "mapping_id",
    "definition_id": "model_definition_id",
    "weight": "weight",
    "linkage": "linkage_type",
    "order": "fallback_order",
    "created_at": "created_at",
    "created_by": "created_by",
}
_BINDING = {
    "resource_type": "resource_type",
    "resource_id": "resource_id",
    "display_name": "display_name",
}
_PLACE = {
    "guardrail_id": "guardrail_id",
    "order": "execution_order",
    "created_at": "created_at",
    "created_by": "created_by",
}
"""Names in the record's body and columns."""


class Endpoints(Kind):
    """``endpoints`` with models, bindings and tags; the guardrails there are only looked up."""

    name = "endpoints of the AI gateway"
    root = SqlGatewayEndpoint.__table__
    key = ("endpoint_id",)
    page = 100
    children = (
        Child(SqlGatewayEndpointModelMapping.__table__, ("endpoint_id",)),
        Child(SqlGatewayEndpointBinding.__table__, ("endpoint_id",)),
        Child(SqlGatewayEndpointTag.__table__, ("endpoint_id",)),
    )

    def complete(self, sql: Sql, rows: Rows) -> None:
        ids = [row["endpoint_id"] for row in rows["endpoints"]]
        places = SqlGatewayGuardrailConfig.__table__
        rows["places"] = sql.matching(places, ("endpoint_id",), ids)
        rows["known"] = known(
            sql,
            SqlGatewayModelDefinition.__table__,
            "model_definition_id",
            rows["endpoint_model_mappings"],
        )

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from default_workspace(rows["endpoints"], "endpoints")
        yield from not_null(rows["endpoints"], "endpoints", "name")
        for row in rows["endpoints"]:
            text = row["fallback_config_json"]
            if text is not None and not (is_json(text) and isinstance(json.loads(text), dict)):
                yield f"endpoints: the fallback_config_json of {row['endpoint_id']} is no JSON"
        mappings = rows["endpoint_model_mappings"]
        yield from gone(mappings, "endpoint_model_mappings", "model_definition_id", rows["known"])
        for endpoint_id, some in by(mappings, "endpoint_id").items():
            if len({row["model_definition_id"] for row in some}) > MAX_DEFINITIONS:
                yield f"endpoints: {endpoint_id} has more than {MAX_DEFINITIONS} models"

    def items(self, rows: Rows) -> Iterable[Item]:
        tables = ("endpoint_model_mappings", "endpoint_bindings", "endpoint_tags", "places")
        below = {name: by(rows[name], "endpoint_id") for name in tables}
        for row in rows["endpoints"]:
            its = {name: some.get(row["endpoint_id"], []) for name, some in below.items()}
            yield from named(_endpoint(row, its))

    def stored(self, table: Table) -> Iterator[Rows]:
        for record in records.listed(table, keys.ENDPOINTS):
            yield _endpoint_rows(record)


def place_rows(record: Record) -> list[Row]:
    """The rows of the guardrails at an endpoint."""
    place = {"endpoint_id": record.sk, "workspace": "default"}
    return [{**place, **to_row(one, _PLACE)} for one in record.body["guardrails"]]


def _endpoint(row: Row, its: Rows) -> Record:
    number, text = row["experiment_id"], row["fallback_config_json"]
    body = from_row(row, _ENDPOINT) | {
        "models": [from_row(one, _MAPPING) for one in its["endpoint_model_mappings"]],
        "tags": {tag["key"]: tag["value"] for tag in its["endpoint_tags"]},
        "bindings": [from_row(one, _BINDING) | stamps(one) for one in its["endpoint_bindings"]],
        "guardrails": [from_row(one, _PLACE) for one in its["places"]],
        "fallback": None,
        "experiment_id": None if number is None else str(number),
        **stamps(row),
    }
    if text is not None:
        given = json.loads(text)
        shown = {name: given.get(name) for name in ("strategy", "max_attempts")}
        body["fallback"] = {**shown, "text": text}  # a change puts another in its place
    return Record(keys.ENDPOINTS, row["endpoint_id"], body)


def _endpoint_rows(record: Record) -> Rows:
    body, of = record.body, {"endpoint_id": record.sk}
    number = body["experiment_id"]
    row = {
        **of,
        **to_row(body, _ENDPOINT),
        **stamps_row(body),
        "experiment_id": None if number is None else int(number),
        "fallback_config_json": _fallback_text(body),
    }
    mappings = [{**of, **to_row(one, _MAPPING)} for one in body["models"]]
    for mapping in mappings:
        mapping["weight"] = float(mapping["weight"])
    bindings = [{**of, **to_row(one, _BINDING), **stamps_row(one)} for one in body["bindings"]]
    for binding in bindings:
        del binding["workspace"]
    return {
        "endpoints": [row],
        "endpoint_model_mappings": mappings,
        "endpoint_bindings": bindings,
        "endpoint_tags": [
            {**of, "key": key, "value": value} for key, value in body["tags"].items()
        ],
    }


def _fallback_text(body: Body) -> str | None:
    fallback = body["fallback"]
    if fallback is None or "text" in fallback:
        return None if fallback is None else str(fallback["text"])
    others = [one["definition_id"] for one in body["models"] if one["linkage"] == "FALLBACK"]
    return json.dumps({**fallback, "model_definition_ids": others})
