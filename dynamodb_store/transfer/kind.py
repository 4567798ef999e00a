"""The interface that each family fills in: what it carries, as rows and as items.

A *kind* is one parent table with the tables below it (a run with its tags and params). ``pages``
reads it from SQL, ``items`` makes the items of the DynamoDB table of such rows, ``stored`` makes
the rows of the items again. What ``stored`` gives for the items of ``items(rows)`` has to be
``rows``: the transfer checks it for every row that it copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dynamodb_store.codec import Item
from dynamodb_store.table import Table
from dynamodb_store.transfer.rows import Row, Rows
from dynamodb_store.transfer.sql import Cursor, Sql


@dataclass(frozen=True)
class Child:
    """A table below another: its columns ``on`` are the columns ``to`` of ``parent``."""

    table: sa.Table
    on: tuple[str, ...]
    parent: str = ""
    to: tuple[str, ...] = ()
    """Empty: those of ``on``, in the kind's own table."""


class Kind:
    """One parent table with the tables below it. Subclasses give ``items`` and ``stored``."""

    name: str
    """For people: "runs"."""
    root: sa.Table
    key: tuple[str, ...]
    only: Any = None
    """Which rows of the parent table; None: all."""
    children: tuple[Child, ...] = ()
    page: int = 200
    """Parents that are in memory at a time."""
    counters: Mapping[str, str] = {}
    """Columns that the database numbers by itself, by table."""

    def pages(self, sql: Sql, after: Cursor | None = None) -> Iterator[tuple[Rows, Cursor]]:
        """The rows of a page of parents and all below them, and where the next page begins."""
        for parents, cursor in sql.pages(self.root, self.key, after, self.page, self.only):
            rows: Rows = {self.root.name: parents}
            for child in self.children:
                parent = child.parent or self.root.name
                keys = _keys(rows[parent], child.to or child.on)
                rows.setdefault(child.table.name, []).extend(
                    sql.matching(child.table, child.on, keys) if keys else []
                )
            self.complete(sql, rows)
            yield rows, cursor

    def complete(self, sql: Sql, rows: Rows) -> None:
        """Change rows that were read, such as ids that nobody sees; add tables to look up in."""

    def problems(self, rows: Rows) -> Iterator[str]:
        """Sentences about rows that the DynamoDB table cannot hold."""
        return iter(())

    def items(self, rows: Rows) -> Iterable[Item]:
        """The items of these rows; the same rows give the same items."""
        raise NotImplementedError

    def stored(self, table: Table) -> Iterator[Rows]:
        """All rows of this kind that the items of the table stand for, a bounded part at a time."""
        raise NotImplementedError

    def counted(self, rows: Rows) -> Mapping[str, Sequence[Row]]:
        """The rows that belong to this kind, without those that were only looked up."""
        return {name: rows[name] for name in self.tables() if name in rows}

    def tables(self) -> dict[str, sa.Table]:
        """The SQL tables of this kind, parents first."""
        own = {self.root.name: self.root}
        return own | {child.table.name: child.table for child in self.children}


def _keys(rows: Sequence[Row], columns: Sequence[str]) -> list[Any]:
    values = [tuple(row[name] for name in columns) for row in rows]
    distinct = dict.fromkeys(values)
    return [one[0] if len(columns) == 1 else one for one in distinct]


def not_null(rows: Sequence[Row], table: str, *columns: str) -> Iterator[str]:
    """A sentence when one of these columns is empty in a row."""
    for column in columns:
        if count := sum(row[column] is None for row in rows):
            yield f"{table}: {count} rows have no {column}"


def default_workspace(rows: Sequence[Row], table: str) -> Iterator[str]:
    """A sentence when rows are in a workspace other than the default one."""
    if others := sorted({str(row["workspace"]) for row in rows} - {"default"}):
        yield f"{table}: rows in workspaces, which the store does not have: {', '.join(others)}"
