"""What MLflow and the ACL store hold, read behind the gateway's back.

``Witness`` reads MLflow's database and artifact folder: after an attack that must do nothing,
not a single row or file may differ. ``views`` asks MLflow's own API what it says about the
victims, for attempts that are allowed to change what the attacker owns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.stack import Answer, Stack

Tables = dict[str, frozenset[tuple[Any, ...]]]

_ACL_QUIET = frozenset({"feed", "sqlite_sequence", "person"})
"""Written by signing in: the feed expires, a person is seen."""
_TOKEN_QUIET = frozenset({"last_used"})


class _Database:
    """One SQLite file of a server, read again only when somebody has written to it."""

    def __init__(self, path: Path, quiet: frozenset[str] = frozenset()) -> None:
        self._path = path
        self._quiet = quiet
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._tables: Tables = {}

    def tables(self) -> Tables:
        if self._connection is None:
            self._connection = sqlite3.connect(
                f"file:{self._path}?mode=ro", uri=True, timeout=10, check_same_thread=False
            )
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._tables = _read(self._connection, self._quiet)
            self._version = version
        return self._tables

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class _Table:
    """The DynamoDB table of MLflow's store, every item of it."""

    def __init__(self, uri: str) -> None:
        # Here, because it imports MLflow, which takes seconds.
        from dynamodb_store.table import make_client
        from dynamodb_store.uri import parse_uri

        parsed = parse_uri(uri)
        self._pages = make_client(parsed).get_paginator("scan")
        self._table = parsed.table

    def tables(self) -> Tables:
        pages = self._pages.paginate(TableName=self._table, ConsistentRead=True)
        rows = ((repr(sorted(item.items())),) for page in pages for item in page["Items"])
        return {"items": frozenset(rows)}

    def close(self) -> None:
        pass


class Witness:
    """Reads everything that an attack could have changed."""

    def __init__(self, stack: Stack) -> None:
        self._folder = stack.folder
        self._mlflow: _Database | _Table = (
            _Table(stack.backend) if stack.backend else _Database(stack.folder / "mlflow.db")
        )
        self._acl = _Database(stack.folder / "acl.db", _TOKEN_QUIET)

    def state(self) -> dict[str, Any]:
        """All of it, by place."""
        found: dict[str, Any] = dict(self._mlflow.tables())
        for name, rows in self._acl.tables().items():
            if name not in _ACL_QUIET:
                found[f"acl {name}"] = rows
        found["files"] = self._files()
        return found

    def close(self) -> None:
        """Let go of the databases."""
        self._mlflow.close()
        self._acl.close()

    def _files(self) -> frozenset[tuple[str, int, int]]:
        """Every file below the servers' folder but their logs, settings and databases."""
        kept = set()
        for path in self._folder.rglob("*"):
            plain = path.is_file() and path.suffix not in (".log", ".yaml")
            if plain and not path.name.startswith(("mlflow.db", "acl.db")):
                seen = path.stat()
                kept.add((str(path.relative_to(self._folder)), seen.st_size, seen.st_mtime_ns))
        return frozenset(kept)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between two states, one line each."""
    said = []
    for place in sorted({*before, *after}):
        old, new = before.get(place, frozenset()), after.get(place, frozenset())
        said += [f"{place}: gone {row}" for row in old - new]
        said += [f"{place}: new {row}" for row in new - old]
    return said


def _read(db: sqlite3.Connection, quiet: frozenset[str]) -> Tables:
    found: Tables = {}
    names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (name,) in names:
        rows = db.execute(f'SELECT * FROM "{name}"')
        keep = [i for i, column in enumerate(rows.description) if column[0] not in quiet]
        found[name] = frozenset(tuple(row[i] for i in keep) for row in rows)
    return found


_VIEWS = (
    "/api/2.0/mlflow/experiments/get?experiment_id={E}",
    "/api/2.0/mlflow/experiments/get?experiment_id={EX}",
    "/api/2.0/mlflow/experiments/get?experiment_id={EU}",
    "/api/2.0/mlflow/experiments/get?experiment_id={ED}",
    "/api/2.0/mlflow/runs/get?run_id={R}",
    "/api/2.0/mlflow/runs/get?run_id={RX}",
    "/api/2.0/mlflow/runs/get?run_id={RU}",
    "/api/2.0/mlflow/runs/get?run_id={RD}",
    "/api/2.0/mlflow/artifacts/list?run_id={R}",
    "/get-artifact?run_id={R}&path=secret.txt",
    "/api/2.0/mlflow-artifacts/artifacts?path={E}",
    "/api/3.0/mlflow/traces/{T}",
    "/api/3.0/mlflow/traces/{TX}",
    "/ajax-api/3.0/mlflow/get-trace-artifact?request_id={T}",
    "/api/2.0/mlflow/logged-models/{L}",
    "/api/2.0/mlflow/logged-models/{LX}",
    "/api/2.0/mlflow/registered-models/get?name={M}",
    "/api/2.0/mlflow/registered-models/get?name={MX}",
    "/api/2.0/mlflow/registered-models/get?name={MU}",
    "/api/2.0/mlflow/registered-models/get?name={P}",
    "/api/2.0/mlflow/model-versions/get?name={M}&version=1",
    "/model-versions/get-artifact?name={M}&version=1&path=secret.txt",
    "/api/3.0/mlflow/datasets/{D}",
    "/api/3.0/mlflow/datasets/{D}/records",
    "/api/3.0/mlflow/datasets/{DBOTH}",
    "/api/3.0/mlflow/issues/{I}",
    "/api/3.0/mlflow/label-schemas/get?schema_id={LS}",
    "/api/3.0/mlflow/review-queues/get?queue_id={Q}",
    "/api/3.0/mlflow/scorers/list?experiment_id={E}",
)


def views(stack: Stack, world: Mapping[str, str]) -> dict[str, tuple[int, bytes]]:
    """What MLflow itself says about every victim."""

    def seen(answer: Answer) -> tuple[int, bytes]:
        return answer.status, answer.body

    return {view: seen(stack.direct("GET", view.format(**world))) for view in _VIEWS}
