"""Webhooks with their events; secrets are carried as they are, encrypted with MLflow's key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sqlalchemy as sa
from mlflow.store.model_registry.dbmodels.models import SqlWebhook, SqlWebhookEvent

from dynamodb_store import keys, records
from dynamodb_store.codec import Item
from dynamodb_store.records import Record
from dynamodb_store.table import Table
from dynamodb_store.transfer.kind import Child, Kind, default_workspace, not_null
from dynamodb_store.transfer.rows import Row, Rows, by

# MLflow's own column would decrypt what is read and encrypt it again, with another salt.
_WEBHOOKS = sa.Table(
    SqlWebhook.__tablename__,
    sa.MetaData(),
    *(
        sa.Column(
            column.name,
            sa.String(1000) if column.name == "secret" else column.type,
            primary_key=column.primary_key,
        )
        for column in SqlWebhook.__table__.columns
    ),
)
_COLUMNS = {
    "name": "name",
    "description": "description",
    "url": "url",
    "status": "status",
    "secret": "secret",
    "created": "creation_timestamp",
    "updated": "last_updated_timestamp",
}
"""Names in the record's body and columns."""


class Webhooks(Kind):
    """``webhooks`` and ``webhook_events``, those that are deleted too."""

    name = "webhooks"
    root = _WEBHOOKS
    key = ("webhook_id",)
    children = (Child(SqlWebhookEvent.__table__, ("webhook_id",)),)

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from default_workspace(rows["webhooks"], "webhooks")
        yield from not_null(rows["webhooks"], "webhooks", "last_updated_timestamp")

    def items(self, rows: Rows) -> Iterable[Item]:
        events = by(rows["webhook_events"], "webhook_id")
        for row in rows["webhooks"]:
            body = {mine: row[theirs] for mine, theirs in _COLUMNS.items()}
            its = events.get(row["webhook_id"], [])
            body["events"] = [[event["entity"], event["action"]] for event in its]
            partition = keys.WEBHOOKS
            if row["deleted_timestamp"] is not None:
                partition = keys.DELETED_WEBHOOKS
                body["deleted"] = row["deleted_timestamp"]
            yield from records.items_of(Record(partition, row["webhook_id"], body))

    def stored(self, table: Table) -> Iterator[Rows]:
        for partition in (keys.WEBHOOKS, keys.DELETED_WEBHOOKS):
            for record in records.listed(table, partition):
                yield {
                    "webhooks": [_row(record)],
                    "webhook_events": [
                        {"webhook_id": record.sk, "entity": entity, "action": action}
                        for entity, action in record.body["events"]
                    ],
                }


def _row(record: Record) -> Row:
    return {
        "workspace": "default",
        "webhook_id": record.sk,
        "deleted_timestamp": record.body.get("deleted"),
        **{theirs: record.body[mine] for mine, theirs in _COLUMNS.items()},
    }
