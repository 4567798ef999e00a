"""Issues. Which traces they were found in is said by the traces' assessments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from mlflow.entities.issue import IssueSeverity
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlIssue

from dynamodb_store import keys, records
from dynamodb_store.codec import Item
from dynamodb_store.entities.issue import place_of
from dynamodb_store.records import Body, Record
from dynamodb_store.table import Table
from dynamodb_store.transfer.homes import homeless, look_up
from dynamodb_store.transfer.kind import Kind
from dynamodb_store.transfer.rows import Row, Rows
from dynamodb_store.transfer.sql import Sql, chunks

_COLUMNS = {
    "id": "issue_id",
    "name": "name",
    "description": "description",
    "status": "status",
    "severity": "severity",
    "source_run_id": "source_run_id",
    "created": "created_timestamp",
    "updated": "last_updated_timestamp",
    "created_by": "created_by",
}
"""Names in the record's body and columns."""
_LISTS = ("root_causes", "categories")
_SEVERITIES = {None, *(one.value for one in IssueSeverity)}


class Issues(Kind):
    """``issues``."""

    name = "issues"
    root = SqlIssue.__table__
    key = ("issue_id",)

    def complete(self, sql: Sql, rows: Rows) -> None:
        """An empty text is no list, as MLflow reads it; lists are spelled as it writes them."""
        look_up(sql, rows, "issues", "experiment_id", SqlExperiment.__table__.c.experiment_id)
        for row in rows["issues"]:
            for name in _LISTS:
                if _is_readable(row[name]):
                    row[name] = _text(_list(row[name]))

    def problems(self, rows: Rows) -> Iterator[str]:
        yield from homeless(rows, "issues", "experiment_id")
        for row in rows["issues"]:
            if row["severity"] not in _SEVERITIES:
                yield f"issues: severity {row['severity']} is not known"
            for name in _LISTS:
                if not _is_readable(row[name]):
                    yield f"issues: {name} of {row['issue_id']} are no JSON"

    def items(self, rows: Rows) -> Iterable[Item]:
        for row in rows["issues"]:
            experiment_id, issue_id = str(row["experiment_id"]), row["issue_id"]
            body: Body = {mine: row[theirs] for mine, theirs in _COLUMNS.items()}
            body |= {name: _list(row[name]) for name in _LISTS} | {"experiment_id": experiment_id}
            record = Record(keys.issues(experiment_id), place_of(body), body)
            yield records.repoint(keys.issue(issue_id), record)[1]["Item"]
            if body["source_run_id"] is not None:
                yield {"pk": keys.issues_of_run(body["source_run_id"]), "sk": issue_id}
            yield {"pk": keys.EXPERIMENTS_WITH_ISSUES, "sk": experiment_id}
            yield from records.items_of(record)

    def stored(self, table: Table) -> Iterator[Rows]:
        for item in table.query_all(keys.EXPERIMENTS_WITH_ISSUES):
            listed = records.listed(table, keys.issues(item["sk"]))
            for rows in chunks((_row(record.body) for record in listed), self.page):
                yield {"issues": rows}


def _row(body: Body) -> Row:
    return {
        **{theirs: body[mine] for mine, theirs in _COLUMNS.items()},
        **{name: _text(body[name]) for name in _LISTS},
        "experiment_id": int(body["experiment_id"]),
    }


def _list(text: str | None) -> Any:
    return json.loads(text) if text else None


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _is_readable(text: str | None) -> bool:
    try:
        _list(text)
    except ValueError:
        return False
    return True
