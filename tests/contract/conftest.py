"""The stores that the contract is tested on; ``stores()`` gives one more gateway's view of it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from gateway.acl.create_table import create_table
from gateway.acl.open import open_store
from gateway.acl.store import Store
from gateway.clock import Clock
from tests.dynamodb_local import dynamodb_local
from tests.fakes.fast_moto import speed_up

__all__ = ["dynamodb_local"]

speed_up()

Stores = Callable[..., Store]

ADAPTERS = ["sqlite", "moto", pytest.param("dynamodb-local", marks=pytest.mark.heavy)]


@pytest.fixture(params=ADAPTERS)
def store_url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    match request.param:
        case "sqlite":
            yield f"sqlite:///{tmp_path}/acl.db"
        case "moto":
            with mock_aws():
                create_table("dynamodb://us-east-1/mlgate")
                yield "dynamodb://us-east-1/mlgate"
        case _:
            server = request.getfixturevalue("dynamodb_local")
            url = server.store_url(f"mlgate-{uuid.uuid4().hex}")
            create_table(url)
            yield url


@pytest.fixture
async def stores(store_url: str) -> AsyncIterator[Stores]:
    opened: list[Store] = []

    def another(clock: Clock | None = None) -> Store:
        opened.append(open_store(store_url, clock))
        return opened[-1]

    yield another
    for one in opened:
        await one.close()


@pytest.fixture
def store(stores: Stores) -> Store:
    return stores()
