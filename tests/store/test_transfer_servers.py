"""Import from PostgreSQL and MySQL (MariaDB) and export into them, for real."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from mlflow.entities import Run, ViewType
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as SqlRegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from dynamodb_store.table import Table
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from dynamodb_store.transfer.exporting import export_sql
from dynamodb_store.transfer.families import carried
from dynamodb_store.transfer.importing import import_sql
from dynamodb_store.transfer.sql import Sql
from dynamodb_store.uri import parse_uri
from tests.fakes.fake_dynamodb import FakeDynamoDb
from tests.mariadb import mariadb
from tests.postgresql import postgresql
from tests.store.both import PLAIN, Both, Side
from tests.store.conftest import MOTO, Pauses
from tests.store.filled import fill_models, fill_traces, fill_tracking
from tests.store.test_transfer import INTERNAL
from tests.store.test_transfer_registry import fill_registry
from tests.store.test_transfer_reviews_and_mcp import JSON, fill_issues, fill_mcp, fill_reviews

__all__ = ["mariadb", "postgresql"]


def fill_runs_and_registry(store: Any) -> None:
    """What most databases hold."""
    run = fill_tracking(store)[0]
    fill_models(store, run)
    fill_traces(store, run)
    # MLflow's migrations make a column for prompts in which MySQL keeps no emoji.
    letter = "☃" if store.engine.dialect.name == "mysql" else "🚀"
    fill_registry(SqlRegistryStore(store.db_uri), letter)


def fill_the_rest(store: Any) -> None:
    """Reviews, issues, MCP servers."""
    for fill in (fill_reviews, fill_issues, fill_mcp):
        fill(store)


def contents(uri: str) -> dict[str, list[str]]:
    """All rows of the carried tables, without internal ids."""
    engine = sa.create_engine(uri)
    found = {}
    with engine.connect() as connection:
        for name in sorted(carried()):
            rows = [
                dict(row) for row in connection.execute(sa.text(f"select * from {name}")).mappings()
            ]
            for row in rows:
                made = INTERNAL | ({"source_id"} if row.get("source_type") == "DATASET" else set())
                row |= dict.fromkeys(made & row.keys(), "…")
                row |= {column: None for column in JSON if row.get(column) == "null"}
            found[name] = sorted(json.dumps(row, default=str, sort_keys=True) for row in rows)
    engine.dispose()
    return found


def _with_sorted_datasets(side: Side, run: Run) -> dict[str, Any]:
    found = side._run(run)
    return {**found, "datasets": sorted(found["datasets"], key=str)}


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fill", [fill_runs_and_registry, fill_the_rest])
@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_from_a_server_and_back_into_a_new_database(
    server: str,
    request: pytest.FixtureRequest,
    fake: FakeDynamoDb,
    pauses: Pauses,
    ticking: None,
    monkeypatch: pytest.MonkeyPatch,
    fill: Callable[[Any], None],
) -> None:
    running = request.getfixturevalue(server)
    first, second = (running.new(f"{fill.__name__}_{number}") for number in (1, 2))
    store = SqlAlchemyStore(first, "s3://bucket/root")
    fill(store)
    table = Table(fake, parse_uri(MOTO), now=pauses.now, pause=pauses.pause)
    source = Sql(first)
    outcome = import_sql(source, table, str)
    assert outcome.differences == []
    assert sum(outcome.source.counts.values()) > 60

    target = Sql(second, make=True)
    assert export_sql(table, target, str).differences == []
    assert contents(second) == contents(first)

    there = SqlAlchemyStore(second, "s3://bucket/root")
    both = Both(there, DynamoDbTrackingStore(table, "s3://bucket/root"))
    runs = [run.info.run_id for run in there.search_runs(["0", "1", "2", "3"], "", ViewType.ALL)]
    for side in both.sides:
        side.runs = list(runs)
    both.search_experiments(ViewType.ALL)
    # SQL orders a run's datasets only by the run: a server with statistics may choose any order.
    monkeypatch.setitem(PLAIN, Run, _with_sorted_datasets)
    both.search_runs(["0", "1", "2", "3"], "", ViewType.ALL)
    # The counter of ids goes on in both.
    number = both.create_experiment("after the transfer")
    assert int(number) > 2
    for one in (source, target):
        one.close()
    for one in (store, there):
        one.engine.dispose()
