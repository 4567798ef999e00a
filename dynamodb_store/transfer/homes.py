"""Rows that name a row of another kind, which has to be there: SQLite does not see to it."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from dynamodb_store.transfer.rows import Rows
from dynamodb_store.transfer.sql import Sql


def look_up(sql: Sql, rows: Rows, table: str, column: str, home: sa.Column[str]) -> None:
    """Note, for ``homeless``, which of the values of a column are values of the column ``home``."""
    wanted = list(dict.fromkeys(row[column] for row in rows[table]))
    found = sql.matching(home.table, (home.name,), wanted)
    rows[_noted(table, column)] = [{column: row[home.name]} for row in found]


def homeless(rows: Rows, table: str, column: str) -> Iterator[str]:
    """A sentence for each row whose value of the column ``look_up`` has not found."""
    known = {row[column] for row in rows[_noted(table, column)]}
    for row in rows[table]:
        if row[column] not in known:
            yield f"{table}: {column} {row[column]} does not exist"


def _noted(table: str, column: str) -> str:
    return f"known: {table}.{column}"
