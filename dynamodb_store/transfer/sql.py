"""MLflow's SQL database, read in the order of keys with bounded memory, and written row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_STATE
from mlflow.store.db.utils import (
    _initialize_tables,
    _is_empty_database,
    _verify_schema,
    create_sqlalchemy_engine_with_retry,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import make_url

from dynamodb_store.transfer.rows import Row

Cursor = list[Any]
"""The key of the last row that was read."""

_KEYS_AT_ONCE = 500
_ROWS_AT_ONCE = 2000


class Sql:
    """A database with MLflow's tables. Raises MlflowException when it is none."""

    def __init__(self, uri: str, *, make: bool = False) -> None:
        self.name = without_password(uri)
        if not make:
            _refuse_missing_file(uri)  # SQLite would make an empty one
        self._engine = create_sqlalchemy_engine_with_retry(uri)
        if self._engine.dialect.name == "mysql":
            sa.event.listen(self._engine, "connect", _keep_zero)
            self._engine.dispose()  # connections that were made before
        if make and _is_empty_database(self._engine):
            _initialize_tables(self._engine)
        if not sa.inspect(self._engine).has_table("alembic_version"):
            raise MlflowException(
                f"{self.name} is not a database of MLflow (it has no table alembic_version).",
                INVALID_STATE,
            )
        _verify_schema(self._engine)

    def tables(self) -> list[str]:
        """Names of all tables."""
        return sorted(sa.inspect(self._engine).get_table_names())

    def count(self, table: str) -> int:
        """Rows of a table."""
        with self._engine.connect() as connection:
            query = sa.select(sa.func.count()).select_from(sa.table(table))
            return int(connection.execute(query).scalar_one())

    def pages(
        self,
        table: sa.Table,
        key: Sequence[str],
        after: Cursor | None,
        limit: int,
        only: Any = None,
    ) -> Iterator[tuple[list[Row], Cursor]]:
        """Pages of rows in the order of ``key``, from the one after ``after``."""
        columns = [table.c[name] for name in key]
        while True:
            query = sa.select(table).order_by(*columns).limit(limit)
            if only is not None:
                query = query.where(only)
            if after is not None:
                query = query.where(_beyond(columns, after))
            rows = list(self.rows(query))
            if rows:
                after = [rows[-1][name] for name in key]
                yield rows, after
            if len(rows) < limit:
                return

    def matching(self, table: sa.Table, on: Sequence[str], keys: Sequence[Any]) -> list[Row]:
        """The rows whose columns ``on`` have one of the values ``keys`` (tuples when several)."""
        columns = [table.c[name] for name in on]
        named = columns[0] if len(columns) == 1 else sa.tuple_(*columns)
        found: list[Row] = []
        for at in range(0, len(keys), _KEYS_AT_ONCE):
            found += self.rows(sa.select(table).where(named.in_(keys[at : at + _KEYS_AT_ONCE])))
        return found

    def rows(self, query: sa.Select[Any]) -> Iterator[Row]:
        """The rows of a query, a few thousand in memory at a time."""
        options = {"stream_results": True, "yield_per": _ROWS_AT_ONCE}
        with self._engine.connect().execution_options(**options) as connection:
            for row in connection.execute(query).mappings():
                yield dict(row)

    def insert(self, table: sa.Table, rows: Sequence[Row]) -> None:
        """Write rows; those that are there already are left as they are."""
        statement = _insert_new(self._engine.dialect.name, table)
        with self._engine.begin() as connection:
            for at in range(0, len(rows), _ROWS_AT_ONCE):
                connection.execute(statement, list(rows[at : at + _ROWS_AT_ONCE]))

    def run(self, *statements: Any) -> list[Row]:
        """Statements in one transaction; the rows of the last one."""
        with self._engine.begin() as connection:
            for statement in statements:
                result = connection.execute(statement)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def has_table(self, name: str) -> bool:
        """Whether there is such a table."""
        return bool(sa.inspect(self._engine).has_table(name))

    def create(self, table: sa.Table) -> None:
        """Make a table unless it is there."""
        table.create(self._engine, checkfirst=True)

    def drop(self, table: sa.Table) -> None:
        """Remove a table."""
        table.drop(self._engine, checkfirst=True)

    def numbers_go_on(self, table: sa.Table, column: str) -> None:
        """PostgreSQL's counters do not see rows with given numbers; the others do."""
        if self._engine.dialect.name == "postgresql":
            highest = sa.select(sa.func.max(table.c[column])).scalar_subquery()
            sequence = sa.func.pg_get_serial_sequence(table.name, column)
            self.run(sa.select(sa.func.setval(sequence, sa.func.greatest(highest, 1))))

    def close(self) -> None:
        """Give the connections up."""
        self._engine.dispose()


def _keep_zero(connection: Any, _: Any) -> None:
    """MySQL takes a number 0, which experiment "Default" has, for "the next number"."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')")


def _refuse_missing_file(uri: str) -> None:
    url = make_url(uri)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        raise MlflowException(f"There is no file {url.database}.", INVALID_STATE)


def without_password(uri: str) -> str:
    """A database's URI as it may be shown and kept."""
    return make_url(uri).render_as_string(hide_password=True)


def _beyond(columns: Sequence[sa.Column[Any]], after: Cursor) -> Any:
    """(a, b) > (x, y), spelled so that every database knows it and may use its index."""
    return sa.or_(
        *(
            sa.and_(*(columns[i] == after[i] for i in range(at)), columns[at] > after[at])
            for at in range(len(columns))
        )
    )


def _insert_new(dialect: str, table: sa.Table) -> Any:
    match dialect:
        case "sqlite":
            return sqlite.insert(table).on_conflict_do_nothing()
        case "postgresql":
            return postgresql.insert(table).on_conflict_do_nothing()
        case "mysql":
            return mysql.insert(table).prefix_with("IGNORE")
    return sa.insert(table)


def chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Rows in lists of at most ``size``."""
    held: list[Row] = []
    for row in rows:
        held.append(row)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held
