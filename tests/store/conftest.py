"""Stores on moto, on DynamoDB Local, and MLflow's own on SQLite."""

from __future__ import annotations

import functools
import itertools
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as SqlRegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from moto import mock_aws
from sqlalchemy import event
from sqlalchemy.engine import Engine

from dynamodb_store.provision import create_table
from dynamodb_store.registry.store import DynamoDbRegistryStore
from dynamodb_store.table import Table, make_client
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from dynamodb_store.uri import parse_uri
from tests.dynamodb_local import dynamodb_local
from tests.fakes.fake_dynamodb import FakeDynamoDb
from tests.fakes.fast_moto import speed_up

__all__ = ["dynamodb_local"]

speed_up()


@event.listens_for(Engine, "connect")
def _no_waiting_for_disks(connection: Any, record: Any) -> None:
    """MLflow's SQLite files need not outlive a power cut; most of a test would be that wait."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


MOTO = "dynamodb://us-east-1/mlflow"


class Pauses:
    """Counts pauses instead of making them, and lets time pass by as much."""

    def __init__(self) -> None:
        self.time = 0.0
        self.made: list[float] = []

    def now(self) -> float:
        return self.time

    def pause(self, seconds: float) -> None:
        self.made.append(seconds)
        self.time += seconds


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's clock moves one millisecond at each look, so that orders by time are certain."""
    ticks = itertools.count(1_700_000_000_000)
    clock = SimpleNamespace(time=lambda: next(ticks) / 1000)
    monkeypatch.setattr("mlflow.utils.time.time", clock)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


@functools.cache
def _client() -> Any:
    """A client for all tests of this process; moto answers it in each, from empty tables."""
    return make_client(parse_uri(MOTO))


@pytest.fixture
def fake(aws: None, monkeypatch: pytest.MonkeyPatch) -> FakeDynamoDb:
    with monkeypatch.context() as patch:
        patch.setattr("dynamodb_store.provision.make_client", lambda uri: _client())
        create_table(MOTO)
    return FakeDynamoDb(_client())


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def dynamo(fake: FakeDynamoDb, pauses: Pauses) -> DynamoDbTrackingStore:
    table = Table(fake, parse_uri(MOTO), now=pauses.now, pause=pauses.pause)
    return DynamoDbTrackingStore(table, "s3://bucket/root")


def counted(fake: FakeDynamoDb, store: Any) -> Callable[..., int]:
    """``calls("get_run", run_id)``: how many calls to DynamoDB one call of ``store`` takes."""

    def count(method: str, *args: Any, **kwargs: Any) -> int:
        fake.calls.clear()
        getattr(store, method)(*args, **kwargs)
        return len(fake.calls)

    return count


@pytest.fixture
def calls(fake: FakeDynamoDb, dynamo: DynamoDbTrackingStore) -> Callable[..., int]:
    """Counts the calls of the tracking store."""
    return counted(fake, dynamo)


_SQLITE: list[Path] = []


def sqlite_store(folder: Path) -> SqlAlchemyStore:
    """MLflow's own store; its migrations run once a session, then the file is copied."""
    path = folder / "mlflow.db"
    if not _SQLITE or not _SQLITE[0].exists():
        template = folder / "template.db"
        SqlAlchemyStore(f"sqlite:///{template}", "s3://bucket/root").engine.dispose()
        _SQLITE[:] = [template]
    path.write_bytes(_SQLITE[0].read_bytes())
    return SqlAlchemyStore(f"sqlite:///{path}", "s3://bucket/root")


@pytest.fixture
def sql(tmp_path: Path) -> Iterator[SqlAlchemyStore]:
    store = sqlite_store(tmp_path)
    yield store
    store.engine.dispose()


@pytest.fixture(params=["moto", pytest.param("dynamodb-local", marks=pytest.mark.heavy)])
def ours(request: pytest.FixtureRequest) -> Any:
    """Our store on moto and, in the heavy tests, on DynamoDB Local."""
    if request.param == "moto":
        return request.getfixturevalue("dynamo")
    return local_store(request.getfixturevalue("dynamodb_local"))


@pytest.fixture
def registry(fake: FakeDynamoDb, pauses: Pauses) -> DynamoDbRegistryStore:
    return DynamoDbRegistryStore(Table(fake, parse_uri(MOTO), now=pauses.now, pause=pauses.pause))


@pytest.fixture
def sql_registry(sql: SqlAlchemyStore) -> Iterator[SqlRegistryStore]:
    """MLflow's own registry, in the file of its tracking store."""
    store = SqlRegistryStore(sql.db_uri)
    yield store
    store.engine.dispose()


@pytest.fixture(params=["moto", pytest.param("dynamodb-local", marks=pytest.mark.heavy)])
def our_registry(request: pytest.FixtureRequest) -> Any:
    """Our registry on moto and, in the heavy tests, on DynamoDB Local."""
    if request.param == "moto":
        return request.getfixturevalue("registry")
    return DynamoDbRegistryStore(local_store(request.getfixturevalue("dynamodb_local")).table)


def local_store(server: Any) -> DynamoDbTrackingStore:
    uri = server.store_url(f"mlflow-{uuid.uuid4().hex}")
    create_table(uri)
    return DynamoDbTrackingStore(
        Table(make_client(parse_uri(uri)), parse_uri(uri)), "s3://bucket/root"
    )
