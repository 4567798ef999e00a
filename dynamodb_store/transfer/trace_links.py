"""Which traces are linked to which runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sqlalchemy as sa
from mlflow.store.tracking.dbmodels.models import SqlEntityAssociation, SqlRun

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.entities import run
from dynamodb_store.table import Table
from dynamodb_store.transfer.kind import Kind
from dynamodb_store.transfer.rows import Rows
from dynamodb_store.transfer.sql import Sql
from dynamodb_store.transfer.traces import link_row
from dynamodb_store.transfer.walk import stored_runs

_LINK = ("trace", "run")


class TraceLinks(Kind):
    """The traces of runs among ``entity_associations``."""

    name = "traces linked to runs"
    root = SqlEntityAssociation.__table__
    key = ("source_type", "source_id", "destination_type", "destination_id")
    page = 2000
    only = sa.and_(root.c.source_type == _LINK[0], root.c.destination_type == _LINK[1])

    def complete(self, sql: Sql, rows: Rows) -> None:
        runs = list(dict.fromkeys(row["destination_id"] for row in rows["entity_associations"]))
        found = sql.matching(SqlRun.__table__, ("run_uuid",), runs)
        rows["known"] = [{"run_uuid": row["run_uuid"]} for row in found]

    def problems(self, rows: Rows) -> Iterator[str]:
        known = {row["run_uuid"] for row in rows["known"]}
        for row in rows["entity_associations"]:
            if row["destination_id"] not in known:
                yield f"entity_associations: traces of run {row['destination_id']}, which is gone"

    def items(self, rows: Rows) -> Iterable[Item]:
        for row in rows["entity_associations"]:
            pk, sk = keys.linked_entry(row["destination_id"], row["source_id"])
            yield {
                "pk": pk,
                "sk": sk,
                "trace": row["source_id"],
                "association": row["association_id"],
                "created": row["created_time"],
            }

    def stored(self, table: Table) -> Iterator[Rows]:
        for some in stored_runs(table):
            run_ids = [run.id_of(document) for document in some]
            links = table.parallel(lambda one: list(table.query_all(keys.linked_to(one))), run_ids)
            yield {
                "entity_associations": [
                    link_row(
                        _LINK, item["trace"], run_id, item.get("association"), item.get("created")
                    )
                    for run_id, items in zip(run_ids, links, strict=True)
                    for item in items
                ]
            }
