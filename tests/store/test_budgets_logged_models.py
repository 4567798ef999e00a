"""Calls to DynamoDB for each call on logged models, and what faults do to them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from mlflow.entities import (
    LoggedModelParameter,
    LoggedModelStatus,
    LoggedModelTag,
    Metric,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from dynamodb_store import keys
from tests.fakes.fake_dynamodb import FakeDynamoDb, lose_answers, throttle


def a_run(dynamo: Any) -> str:
    return str(dynamo.create_run("0", "u", 1, [], "r").info.run_id)


def a_model(dynamo: Any, *, ready: bool = True) -> str:
    model_id = str(dynamo.create_logged_model("0", "model").model_id)
    if ready:
        dynamo.finalize_logged_model(model_id, LoggedModelStatus.READY)
    return model_id


def test_calls(dynamo: Any, fake: FakeDynamoDb, calls: Callable[..., int]) -> None:
    run_id, model_id = a_run(dynamo), a_model(dynamo, ready=False)
    assert calls("create_logged_model", "0", "another") == 2
    assert calls("log_logged_model_params", model_id, [LoggedModelParameter("p", "1")]) == 2
    assert calls("finalize_logged_model", model_id, LoggedModelStatus.READY) == 2
    assert calls("set_logged_model_tags", model_id, [LoggedModelTag("k", "v")]) == 2
    assert calls("delete_logged_model_tag", model_id, "k") == 2
    assert calls("log_metric", run_id, Metric("m", 1.0, 1, 1, model_id)) == 5  # the first of all
    assert calls("log_metric", run_id, Metric("m", 1.0, 2, 2, model_id)) == 3
    many = [Metric(f"m{i}", i / 3, 3, 3, model_id) for i in range(100)]
    assert calls("log_batch", run_id, many, [], []) == 8
    assert calls("get_logged_model", model_id) == 1
    assert calls("search_logged_models", ["0"]) == keys.SHARDS + 2
    assert calls("delete_logged_model", model_id) == 2
    assert calls("_get_deleted_logged_models") == keys.SHARDS
    assert calls("_hard_delete_logged_model", model_id) == 4
    assert fake.weak_reads == []


def test_many_writers_to_one_model_share_nothing_but_additions(
    dynamo: Any, fake: FakeDynamoDb
) -> None:
    model_id, runs = a_model(dynamo), [a_run(dynamo) for _ in range(4)]
    dynamo.log_metric(runs[0], Metric("m", 0.0, 1, 0, model_id))
    dynamo.get_logged_model(model_id)
    fake.written.clear()
    again: list[Any] = [None]

    def meanwhile(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and again:
            again.clear()
            for number, run_id in enumerate(runs[1:], 1):
                dynamo.log_metric(run_id, Metric("m", number, 1, 0, model_id))

    fake.faults.append(meanwhile)
    dynamo.log_metric(runs[0], Metric("m", 9.0, 1, 9, model_id))
    values = sorted(metric.value for metric in dynamo.get_logged_model(model_id).metrics)
    assert values == [0.0, 1.0, 2.0, 3.0, 9.0]
    # The model's list is not written by logging, so 1,500 people may log to ready models.
    assert not [pk for pk in fake.written if pk.startswith("LML#")]


def test_lists_of_models_take_1500_new_models_in_a_second(dynamo: Any, fake: FakeDynamoDb) -> None:
    for _ in range(5):
        a_model(dynamo)
    shared = {pk: units for pk, units in fake.written.items() if pk.startswith("LML#")}
    assert sum(shared.values()) == 5 * 4  # two units when it is made, two when it is ready
    spread: dict[int, int] = {}
    for number in range(1500):
        shard = keys.shard_of(f"m-{number:032x}")
        spread[shard] = spread.get(shard, 0) + 4
    assert max(spread.values()) < 1000


def test_lost_answers_and_throttling_do_nothing_twice(dynamo: Any, fake: FakeDynamoDb) -> None:
    run_id, model_id = a_run(dynamo), a_model(dynamo)
    dynamo.set_logged_model_tags(model_id, [LoggedModelTag("gone", "1")])
    fake.faults.append(lose_answers(fake))
    dynamo.delete_logged_model_tag(model_id, "gone")
    dynamo.log_logged_model_params(model_id, [LoggedModelParameter("p", "1")])
    dynamo.log_metric(run_id, Metric("m", 1.0, 1, 1, model_id))
    pending = str(dynamo.create_logged_model("0", "x").model_id)
    dynamo.log_logged_model_params(pending, [LoggedModelParameter("p", "1")])
    dynamo.set_model_versions_tags("r", "1", pending)
    fake.faults.clear()
    fake.faults.append(throttle(5))
    dynamo.log_metric(run_id, Metric("m", 1.0, 1, 1, model_id))
    model = dynamo.get_logged_model(model_id)
    assert (model.tags, model.params, len(model.metrics)) == ({}, {"p": "1"}, 1)
    assert dynamo.get_logged_model(pending).params == {"p": "1"}
    assert len(dynamo.search_logged_models(["0"])) == 2


def test_versions_registered_at_once_are_all_noted(dynamo: Any, fake: FakeDynamoDb) -> None:
    model_id = a_model(dynamo)
    again: list[Any] = [None]

    def meanwhile(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and again:
            again.clear()
            dynamo.set_model_versions_tags("other", "1", model_id)

    fake.faults.append(meanwhile)
    dynamo.set_model_versions_tags("mine", "1", model_id)
    dynamo.set_model_versions_tags("mine", "1", model_id)
    noted = dynamo.get_logged_model(model_id).tags[MLFLOW_MODEL_VERSIONS]
    assert noted == '[{"name": "other", "version": "1"}, {"name": "mine", "version": "1"}]'


def test_a_metric_of_a_model_that_does_not_exist_leaves_nothing(
    dynamo: Any, fake: FakeDynamoDb
) -> None:
    run_id, model_id = a_run(dynamo), a_model(dynamo)
    many = [Metric(f"m{i}", i, 1, 1, model_id if i % 2 else "m-none") for i in range(60)]
    with pytest.raises(MlflowException, match="'m-none', which does not exist"):
        dynamo.log_batch(run_id, many, [], [RunTag("t", "1")])
    run = dynamo.get_run(run_id)
    assert (run.data.metrics, "t" in run.data.tags) == ({}, False)
    assert dynamo.get_logged_model(model_id).metrics is None
    assert dynamo.get_metric_history(run_id, "m1") == []


def test_what_sql_changes_or_refuses_is_kept(dynamo: Any) -> None:
    run_id, model_id = a_run(dynamo), a_model(dynamo)
    for metric in (
        Metric("nan", math.nan, 1, 1, model_id),
        Metric("inf", math.inf, 1, 1, model_id),
        Metric("twice", 1.0, 1, 1, model_id, "data", "1"),
        Metric("twice", 2.0, 1, 1, model_id, "data", "2"),
    ):
        dynamo.log_metric(run_id, metric)
    dynamo.log_logged_model_params(model_id, [LoggedModelParameter("p", "1")])
    dynamo.log_logged_model_params(model_id, [LoggedModelParameter("p", "1")])
    values = {metric.key: metric.value for metric in dynamo.get_logged_model(model_id).metrics}
    assert math.isnan(values["nan"])
    assert values["inf"] == math.inf
    assert len(dynamo.get_logged_model(model_id).metrics) == 4
    other = a_model(dynamo)
    dynamo.log_metric(run_id, Metric("nan", 1.0, 1, 1, other))
    for ascending in (True, False):
        order = [{"field_name": "metrics.nan", "ascending": ascending}]
        found = dynamo.search_logged_models(["0"], order_by=order)
        assert [model.model_id for model in found] == [other, model_id]
    assert dynamo.search_logged_models(["0"], "metrics.nan < 0.5") == []
    with pytest.raises(MlflowException, match="Invalid attribute key"):
        dynamo.search_logged_models(["0"], "odd = '1'")
    with pytest.raises(MlflowException, match="Invalid page token"):
        dynamo.search_logged_models(["0"], page_token="x")


def test_models_of_any_size(dynamo: Any, fake: FakeDynamoDb) -> None:
    model_id = a_model(dynamo)
    for number in range(3):
        params = [LoggedModelParameter(f"p{number} {i}", "☃" * 2000) for i in range(100)]
        dynamo.log_logged_model_params(model_id, params)
    dynamo.set_logged_model_tags(model_id, [LoggedModelTag("t", "x" * 200_000)])
    with pytest.raises(MlflowException, match="at most"):
        dynamo.set_logged_model_tags(model_id, [LoggedModelTag("t", "x" * 400_000)])
    with pytest.raises(MlflowException, match="Log params in several calls"):
        dynamo.create_logged_model(
            "0", "m", params=[LoggedModelParameter(str(i), "x" * 200_000) for i in range(20)]
        )
    run_id = a_run(dynamo)
    names = [f"{'é' * 240}{i}" for i in range(1000)]
    dynamo.log_batch(run_id, [Metric(name, 1, 1, 1, model_id) for name in names], [], [])
    (model,) = dynamo.search_logged_models(["0"])
    assert len(model.params) == 300
    assert len(model.metrics) == 1000
    assert fake.largest_item < 300_000
    dynamo.delete_logged_model(model_id)
    dynamo._hard_delete_logged_model(model_id)
    left = fake.scan(TableName="mlflow")["Items"]
    assert not [item for item in left if model_id in item["pk"]["S"] + item["sk"]["S"]]
    assert len(dynamo.search_runs(["0"], "", ViewType.ALL)) == 1
