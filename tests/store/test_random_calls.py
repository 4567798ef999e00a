"""Random sequences of calls on MLflow's SQL store and on ours: every answer is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.entities import ExperimentTag, Metric, Param, RunStatus, RunTag, ViewType
from moto import mock_aws

from dynamodb_store.provision import create_table
from dynamodb_store.table import Table, make_client
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from dynamodb_store.uri import parse_uri
from tests.fakes.fake_dynamodb import FakeDynamoDb
from tests.store.both import Both, RunRef
from tests.store.conftest import MOTO, sqlite_store

runs = st.integers(0, 2).map(RunRef)
experiments = st.sampled_from(["0", "1", "2"])
names = st.sampled_from(["a", "b#1", "é/x y"])
texts = st.sampled_from(["", "x", "☃ 🚀", "long" * 500])
values = st.floats(allow_nan=True, allow_infinity=False, width=64)
small = st.integers(-2, 3)
metrics = st.builds(Metric, names, values, small, small)
params = st.builds(Param, names, texts)
tags = st.builds(RunTag, st.one_of(names, st.just("mlflow.runName")), texts.filter(bool))
statuses = st.sampled_from([RunStatus.RUNNING, RunStatus.FINISHED, RunStatus.FAILED, None])


def call(method: str, *arguments: Any) -> Any:
    return st.tuples(st.just(method), st.tuples(*arguments))


steps = st.one_of(
    call("create_experiment", names),
    call("rename_experiment", experiments, names),
    call("set_experiment_tag", experiments, st.builds(ExperimentTag, names, texts)),
    call("delete_experiment_tag", experiments, names),
    call("delete_experiment", experiments),
    call("restore_experiment", experiments),
    call(
        "create_run",
        experiments,
        st.just("u"),
        small,
        st.lists(tags, max_size=1),
        texts.filter(bool),
    ),
    call("log_metric", runs, metrics),
    call("log_param", runs, params),
    call("set_tag", runs, tags),
    call("delete_tag", runs, names),
    call(
        "log_batch",
        runs,
        st.lists(metrics, max_size=4),
        st.lists(params, max_size=2),
        st.lists(tags, max_size=2),
    ),
    call("update_run_info", runs, statuses, st.one_of(st.none(), small), st.none()),
    call("delete_run", runs),
    call("restore_run", runs),
    call("get_metric_history", runs, names),
)


@pytest.mark.heavy  # half a minute: make test-all and CI
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
@given(calls=st.lists(steps, min_size=4, max_size=14))
def test_any_calls_in_any_order(tmp_path_factory: Any, calls: list[Any]) -> None:
    folder: Path = tmp_path_factory.mktemp("sql")
    theirs = sqlite_store(folder)
    with mock_aws():
        create_table(MOTO)
        table = Table(FakeDynamoDb(make_client(parse_uri(MOTO))), parse_uri(MOTO))
        both = Both(theirs, DynamoDbTrackingStore(table, "s3://bucket/root"))
        both.create_experiment("first")
        # Start times differ: between equal ones the order is by run id, which is random.
        for number in range(2):
            both.create_run("1", "u", 10 + number, [], f"run {number}")
        for method, arguments in calls:
            if method == "create_run":
                arguments = (*arguments[:2], 100 + len(both.sides[0].runs), *arguments[3:])
            getattr(both, method)(*arguments)
        for number in range(len(both.sides[0].runs)):
            both.get_run(RunRef(number))
        both.search_runs(["0", "1", "2"], "", ViewType.ALL)
        both.search_runs(["0", "1"], "metrics.a > 0", ViewType.ACTIVE_ONLY, 5, ["metrics.a DESC"])
        both.search_experiments(ViewType.ALL, 100, "", ["experiment_id"])
        table.close()
    theirs.engine.dispose()
