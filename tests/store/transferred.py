"""What the tests of import and export of each family share: there, and the whole way back."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from dynamodb_store.table import Table
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from dynamodb_store.transfer.exporting import export_sql
from dynamodb_store.transfer.importing import import_sql
from dynamodb_store.transfer.report import Outcome
from dynamodb_store.transfer.sql import Sql
from dynamodb_store.uri import parse_uri
from tests.fakes.fake_dynamodb import WRITES, FakeDynamoDb
from tests.store.both import Both
from tests.store.conftest import MOTO, Pauses


class Copies:
    """MLflow's SQL store in ``mlflow.db`` of a folder, a table, and a database to go back to."""

    def __init__(self, folder: Path, store: Any, table: Table, fake: FakeDynamoDb) -> None:
        self.path, self.back = folder / "mlflow.db", folder / "target.db"
        self.store, self.table, self.fake = store, table, fake
        self.back.write_bytes(self.path.read_bytes())
        _change(self.back, "delete from experiments")

    def change(self, *statements: str) -> None:
        """SQL that no call of MLflow has a way for."""
        _change(self.path, *statements)

    def there(self) -> Outcome:
        """Import, cut short after one write and after six more, and then to its end."""
        source = Sql(f"sqlite:///{self.path}")
        try:
            for writes in (1, 6):
                self._cut_short(source, writes)
            outcome = import_sql(source, self.table, str)
            assert outcome.differences == []
            self.fake.calls.clear()
            assert not import_sql(source, self.table, str).wrote
            assert not WRITES & set(self.fake.calls)
            return outcome
        finally:
            source.close()

    def refused(self) -> Sql:
        """The database to import from, for what is refused."""
        return Sql(f"sqlite:///{self.path}")

    def and_back(self) -> Outcome:
        """Export into the other database."""
        target = Sql(f"sqlite:///{self.back}")
        try:
            outcome = export_sql(self.table, target, str)
            assert outcome.differences == []
            assert outcome.notes == []
            assert not export_sql(self.table, target, str).wrote
            return outcome
        finally:
            target.close()

    def both(self) -> Both:
        """The same calls on MLflow's store and on ours."""
        return Both(self.store, DynamoDbTrackingStore(self.table, "s3://bucket/root"))

    def _cut_short(self, source: Sql, writes: int) -> None:
        left = [writes]

        def interrupt(operation: str, parameters: dict[str, Any]) -> None:
            left[0] -= operation in WRITES
            if left[0] < 0:
                raise KeyboardInterrupt

        self.fake.faults.append(interrupt)
        with pytest.raises(KeyboardInterrupt):
            import_sql(source, self.table, str)
        self.fake.faults.clear()


@pytest.fixture
def copies(sql: Any, fake: FakeDynamoDb, pauses: Pauses, tmp_path: Path) -> Copies:
    table = Table(fake, parse_uri(MOTO), now=pauses.now, pause=pauses.pause)
    return Copies(tmp_path, sql, table, fake)


def contents(path: Path, *tables: str) -> dict[str, list[Any]]:
    """All rows of these tables, in any order."""
    with sqlite3.connect(path) as database:
        found = {
            name: sorted(database.execute(f"select * from {name}").fetchall(), key=repr)
            for name in tables
        }
    database.close()
    return found


def _change(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    database.close()
