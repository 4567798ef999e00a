"""Calls to DynamoDB for each MLflow call: the budgets of docs/store.md.

Counts do not depend on the machine. Budgets of reads in parallel count each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow.entities import (
    Dataset,
    DatasetInput,
    ExperimentTag,
    Metric,
    Param,
    RunStatus,
    RunTag,
    ViewType,
)

from dynamodb_store import keys
from dynamodb_store.codec import from_item, to_item
from tests.fakes.fake_dynamodb import FakeDynamoDb

ACTIVE = ViewType.ACTIVE_ONLY


def full_batch() -> tuple[list[Metric], list[Param], list[RunTag]]:
    return (
        [Metric(f"metric {i}", i / 3, 1, 1) for i in range(100)],
        [Param(f"param {i}", "value") for i in range(10)],
        [RunTag(f"tag {i}", "value") for i in range(5)],
    )


def test_writes(dynamo: Any, calls: Callable[..., int]) -> None:
    assert calls("create_experiment", "e") <= 3
    assert calls("create_run", "1", "u", 1, [RunTag("a", "1"), RunTag("b", "2")], None) <= 2
    run_id = dynamo.search_runs(["1"], "", ACTIVE)[0].info.run_id
    assert calls("log_metric", run_id, Metric("m", 1.0, 1, 1)) <= 2
    assert calls("log_metric", run_id, Metric("m", 1.0, 0, 0)) <= 2
    assert calls("log_param", run_id, Param("p", "1")) <= 2
    assert calls("set_tag", run_id, RunTag("t", "1")) <= 1
    assert calls("log_batch", run_id, *full_batch()) <= 6
    points = [Metric("loss", i / 7, i, i) for i in range(1000)]
    assert calls("log_batch", run_id, points, [], []) <= 3
    assert calls("update_run_info", run_id, RunStatus.FINISHED, 9, None) <= 2
    assert calls("set_tag", run_id, RunTag("t", "2")) <= 3


def test_what_docs_store_md_says_beyond_the_budgets(
    dynamo: Any, fake: FakeDynamoDb, calls: Callable[..., int]
) -> None:
    run_id = dynamo.create_run("0", "u", 1, [], None).info.run_id
    dynamo.log_metric(run_id, Metric("m", 1.0, 1, 1))
    dynamo.set_tag(run_id, RunTag("t", "1"))
    dataset = DatasetInput(Dataset("d", "1", "local", "source"), [])
    assert calls("rename_experiment", "0", "renamed") == 2
    assert calls("set_experiment_tag", "0", ExperimentTag("t", "1")) == 2
    assert calls("delete_tag", run_id, "t") == 2
    assert calls("log_inputs", run_id, [dataset]) == 4
    assert calls("_search_datasets", ["0"]) == 1
    assert calls("get_metric_history_bulk_interval", [run_id] * 3, "m", 10, None, None) == 3
    assert calls("delete_run", run_id) == 3
    assert calls("_get_deleted_runs") == keys.SHARDS
    assert calls("restore_run", run_id) == 2
    assert calls("_hard_delete_run", run_id) == 6


def test_reads(dynamo: Any, calls: Callable[..., int]) -> None:
    run = dynamo.create_run("0", "u", 1, [RunTag(f"x{i}", "y") for i in range(10)], None)
    run_id = run.info.run_id
    dynamo.log_batch(run_id, *full_batch())
    dynamo.log_batch(run_id, [], [Param(f"more {i}", "v" * 100) for i in range(10)], [])
    for number in range(10):
        part = [Metric("loss", i / 7, i, i) for i in range(number * 100, number * 100 + 100)]
        dynamo.log_batch(run_id, part, [], [])
    assert calls("get_run", run_id) == 1
    assert calls("get_metric_history", run_id, "loss") == 1
    assert calls("get_experiment", "0") == 1
    assert calls("get_experiment_by_name", "Default") == 2
    assert calls("search_experiments") == 1


def test_first_page_of_runs_is_two_round_trips(
    dynamo: Any, fake: FakeDynamoDb, calls: Callable[..., int]
) -> None:
    for number in range(130):
        dynamo.create_run("0", "u", number, [], None)
    calls("search_runs", ["0"], "", ACTIVE, 100)
    # All Queries at once, then BatchGets at once.
    assert fake.calls.count("query") == keys.SHARDS
    assert fake.calls.count("batch_get_item") <= 2
    assert len(fake.calls) <= keys.SHARDS + 2


def test_top_ten_of_ten_thousand_ended_runs(
    dynamo: Any, fake: FakeDynamoDb, calls: Callable[..., int]
) -> None:
    # Calls follow from bytes: list entries as they really are must let 10,000 / SHARDS of them
    # fit one Query of 1 MB (each counts as its size, docs.aws.amazon.com "item sizes").
    sizes = []
    for number in range(30):
        run_id = dynamo.create_run("0", "someone@example.com", number, [], None).info.run_id
        metrics = [Metric("accuracy", number / 7, 1_700_000_000_000, 3), Metric("loss", 1, 1, 1)]
        params = [Param(f"parameter_{i}", f"value {number * i}") for i in range(5)]
        dynamo.log_batch(run_id, metrics, params, [])
        dynamo.update_run_info(run_id, RunStatus.FINISHED, number + 5, None)
    for shard in keys.run_shards("0"):
        for item in dynamo.table.query_all(shard):
            sizes.append(sum(len(name) + len(value) for name, value in item.items()))
    assert len(sizes) == 30
    assert max(sizes) * 10_000 / keys.SHARDS * 1.1 < 1024 * 1024
    fewest = calls("search_runs", ["0"], "", ACTIVE, 10, ["metrics.accuracy DESC"])
    assert fewest == keys.SHARDS <= 12


def test_1500_writers_into_one_experiment_spread(dynamo: Any, fake: FakeDynamoDb) -> None:
    run_ids = [dynamo.create_run("0", "u", 1, [], None).info.run_id for _ in range(60)]
    for run_id in run_ids[:10]:
        dynamo.log_metric(run_id, Metric("m", 1, 1, 1))
        dynamo.update_run_info(run_id, RunStatus.FINISHED, 5, None)
    shared = {pk: units for pk, units in fake.written.items() if not pk.startswith("R#")}
    assert set(shared) <= {*keys.run_shards("0"), "E#0", "X", "N#=Default"}
    # A run costs its experiment's lists 2 units when it is made and 2 when it ends: with 1,500
    # of each in one second every partition has less than the 1,000 that it can take.
    spread: dict[int, int] = {}
    for number in range(1500):
        shard = keys.shard_of(f"{number:032x}")
        spread[shard] = spread.get(shard, 0) + 4
    assert len(spread) == keys.SHARDS
    assert max(spread.values()) < 1000


def test_int64_and_text_keys_sort_as_they_should() -> None:
    numbers = [-(2**63), -1, 0, 1, 2**62, 2**63 - 1]
    assert sorted(numbers, key=keys.ascending) == numbers
    assert sorted(numbers, key=keys.descending) == numbers[::-1]
    assert keys.digest("a", "b") != keys.digest("ab", "")
    item = {"a": 2**63 - 1, "b": b"\0", "c": "", "d": None, "e": {"x": [True]}}
    assert from_item(to_item(item)) == item
    with pytest.raises(TypeError):
        to_item({"float": 1.5})
