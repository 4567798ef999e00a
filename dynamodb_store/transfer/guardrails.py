"""Guardrails of the AI gateway, and the endpoints where they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from mlflow.store.tracking.dbmodels.models import (
    SqlGatewayEndpoint,
    SqlGatewayGuardrail,
    SqlGatewayGuardrailConfig,
    SqlScorer,
    SqlScorerVersion,
)

from dynamodb_store import keys, records
from dynamodb_store.codec import Item
from dynamodb_store.records import Body, Record
from dynamodb_store.table import Table
from dynamodb_store.transfer.ai_endpoints import place_rows
from dynamodb_store.transfer.ai_gateway import gone, known, stamps, stamps_row
from dynamodb_store.transfer.kind import Kind, default_workspace
from dynamodb_store.transfer.rows import Row, Rows
from dynamodb_store.transfer.sql import Sql


class Guardrails(Kind):
    """``guardrails``; each holds a copy of its scorer's version and counts as a use of it."""

    name = "guardrails of the AI gateway"
    root = SqlGatewayGuardrail.__table__
    key = ("guardrail_id",)
    page = 100

    def complete(self, sql: Sql, rows: Rows) -> None:
        ids = list({row["scorer_id"] for row in rows["guardrails"]})
        rows["scorers"] = sql.matching(SqlScorer.__table__, ("scorer_id",), ids)
        pairs = list({_pair(row) for row in rows["guardrails"]})
        on = ("scorer_id", "scorer_version")
        rows["versions"] = sql.matching(SqlScorerVersion.__table__, on, pairs)
        rows["uses"] = sql.matching(self.root, on, pairs)

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from default_workspace(rows["guardrails"], "guardrails")
        there = {_pair(row) for row in rows["versions"]}
        for row in rows["guardrails"]:
            if _pair(row) not in there:
                yield f"guardrails: the scorer of {row['guardrail_id']} is gone"

    def items(self, rows: Rows) -> Iterable[Item]:
        scorers = {row["scorer_id"]: row for row in rows["scorers"]}
        versions = {_pair(row): row for row in rows["versions"]}
        for row in rows["guardrails"]:
            body = {
                "name": row["name"],
                "scorer": _copy(scorers[row["scorer_id"]], versions[_pair(row)]),
                "stage": row["stage"],
                "action": row["action"],
                "endpoint_id": row["action_endpoint_id"],
                **stamps(row),
            }
            yield from records.items_of(Record(keys.GUARDRAILS, row["guardrail_id"], body))
        for pair, uses in Counter(_pair(row) for row in rows["uses"]).items():
            pk, sk = keys.scorer_uses(*pair)
            yield {"pk": pk, "sk": sk, "n": uses}

    def stored(self, table: Table) -> Iterator[Rows]:
        there = {item["sk"] for item in table.query_all(keys.ENDPOINTS)}
        for record in records.listed(table, keys.GUARDRAILS):
            row = _row(record)
            if row["action_endpoint_id"] not in there:  # deleted: SQL's foreign key sets NULL
                row["action_endpoint_id"] = None
            yield {"guardrails": [row]}


class GuardrailPlaces(Kind):
    """``guardrail_configs``; ``Endpoints`` writes them, as they are a part of its records."""

    name = "guardrails of endpoints"
    root = SqlGatewayGuardrailConfig.__table__
    key = ("endpoint_id", "guardrail_id")

    def complete(self, sql: Sql, rows: Rows) -> None:
        found = rows["guardrail_configs"]
        rows["endpoints"] = known(sql, SqlGatewayEndpoint.__table__, "endpoint_id", found)
        rows["guardrails"] = known(sql, SqlGatewayGuardrail.__table__, "guardrail_id", found)

    def problems(self, rows: Rows) -> Iterator[str]:
        found = rows["guardrail_configs"]
        yield from default_workspace(found, "guardrail_configs")
        yield from gone(found, "guardrail_configs", "endpoint_id", rows["endpoints"])
        yield from gone(found, "guardrail_configs", "guardrail_id", rows["guardrails"])

    def items(self, rows: Rows) -> Iterable[Item]:
        return ()

    def stored(self, table: Table) -> Iterator[Rows]:
        there = {item["sk"] for item in table.query_all(keys.GUARDRAILS)}
        for record in records.listed(table, keys.ENDPOINTS):
            rows = place_rows(record)
            yield {"guardrail_configs": [row for row in rows if row["guardrail_id"] in there]}


def _pair(row: Row) -> tuple[str, int]:
    return (row["scorer_id"], row["scorer_version"])


def _copy(scorer: Row, version: Row) -> Body:
    return {
        "experiment_id": str(scorer["experiment_id"]),
        "scorer_name": scorer["scorer_name"],
        "scorer_version": version["scorer_version"],
        "serialized_scorer": version["serialized_scorer"],
        "creation_time": version["creation_time"],
        "scorer_id": scorer["scorer_id"],
    }


def _row(record: Record) -> Row:
    body = record.body
    return {
        "guardrail_id": record.sk,
        "name": body["name"],
        "scorer_id": body["scorer"]["scorer_id"],
        "scorer_version": body["scorer"]["scorer_version"],
        "stage": body["stage"],
        "action": body["action"],
        "action_endpoint_id": body["endpoint_id"],
        **stamps_row(body),
    }
