"""Budgets counted on 10,000 runs and long histories, on DynamoDB Local."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from mlflow.entities import Metric, ViewType

from dynamodb_store import keys
from dynamodb_store.entities.points import Point, pack
from dynamodb_store.provision import create_table
from dynamodb_store.table import Table, make_client
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from dynamodb_store.uri import parse_uri
from tests.fakes.fake_dynamodb import FakeDynamoDb
from tests.store.many import put_runs

pytestmark = pytest.mark.heavy


@pytest.fixture
def counted(dynamodb_local: Any) -> tuple[Any, FakeDynamoDb]:
    uri = parse_uri(dynamodb_local.store_url(f"mlflow-{uuid.uuid4().hex}"))
    create_table(str(uri))
    fake = FakeDynamoDb(make_client(uri))
    return DynamoDbTrackingStore(Table(fake, uri), "s3://bucket/root"), fake


def top_ten(store: Any, fake: FakeDynamoDb) -> int:
    fake.calls.clear()
    runs = store.search_runs(["0"], "", ViewType.ACTIVE_ONLY, 10, ["metrics.m DESC"])
    assert [run.data.metrics["m"] for run in runs] == [float(9999 - at) for at in range(10)]
    return len(fake.calls)


def test_top_ten_of_ten_thousand_ended_runs(counted: Any) -> None:
    store, fake = counted
    put_runs(store, 10_000, ended=True)
    assert top_ten(store, fake) == keys.SHARDS


def test_top_ten_of_ten_thousand_runs_that_never_ended(counted: Any) -> None:
    store, fake = counted
    runs = put_runs(store, 10_000)
    calls = [top_ten(store, fake)]
    while calls[-1] > keys.SHARDS and len(calls) < 30:
        calls.append(top_ten(store, fake))
    assert calls[0] <= keys.SHARDS + 100 + keys.SHARDS + 10
    assert calls[-1] == keys.SHARDS
    assert calls == sorted(calls, reverse=True)
    for run_id in runs[:300]:  # others are at work meanwhile
        store.log_metric(run_id, Metric("m", -1.0, 2, 2))
    assert top_ten(store, fake) <= keys.SHARDS + 3 <= 12


def test_a_long_history_is_read_in_slices(counted: Any) -> None:
    store, fake = counted
    run_id = store.create_run("0", "u", 1, [], None).info.run_id
    points = [Point(step, 1_700_000_000_000 + step, step / 7) for step in range(200_000)]
    store.table.batch_write(
        {
            "pk": keys.run(run_id),
            "sk": keys.tail("m", points[at].timestamp, at // 36),
            "few": frozenset(pack([point]) for point in points[at : at + 36]),
        }
        for at in range(0, len(points), 36)
    )
    fake.calls.clear()
    chart = store.get_metric_history_bulk_interval([run_id], "m", 320, None, None)
    assert len(chart) == 320
    assert chart[-1].step == 199_999
    # 6 MB: a page, the end, slices that may end just after a page.
    assert len(fake.calls) <= 16
    page = store.get_metric_history(run_id, "m", 25_000)
    fake.calls.clear()
    page = store.get_metric_history(run_id, "m", 25_000, page.token)
    assert [one.step for one in page] == list(range(25_000, 50_000))
    assert len(fake.calls) <= 2
