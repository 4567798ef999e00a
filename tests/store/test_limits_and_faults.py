"""Items stay small, nothing is lost to throttling or to other writers, errors help."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from botocore.exceptions import ClientError
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
from mlflow.exceptions import MlflowException

from dynamodb_store.provision import create_table, delete_table, describe_table
from dynamodb_store.table import REQUEST_SECONDS, open_table
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from dynamodb_store.uri import parse_uri
from tests.fakes.fake_dynamodb import FakeDynamoDb, client_error, lose_answers, throttle

URI = "dynamodb://us-east-1/mlflow"


def a_run(dynamo: Any) -> str:
    return str(dynamo.create_run("0", "u", 1, [], "r").info.run_id)


def test_hundreds_of_long_params_never_make_a_large_item(dynamo: Any, fake: FakeDynamoDb) -> None:
    run_id = a_run(dynamo)
    params = {f"param {i}": chr(0x1F680) * 1000 + "x" * 5000 for i in range(120)}
    names = list(params)
    for at in range(0, len(names), 20):
        batch = [Param(name, params[name]) for name in names[at : at + 20]]
        dynamo.log_batch(run_id, [Metric(f"m{at}", 1, 1, 1)], batch, [])
    dynamo.set_tag(run_id, RunTag("long", "☃" * 8000))
    dynamo.log_param(run_id, Param("param 3", params["param 3"]))
    with pytest.raises(MlflowException, match="Changing param values"):
        dynamo.log_param(run_id, Param("param 3", "other"))
    dynamo.update_run_info(run_id, RunStatus.FINISHED, 3, None)
    run = dynamo.get_run(run_id)
    assert run.data.params == params
    assert run.data.tags["long"] == "☃" * 8000
    assert fake.largest_item < 200_000
    (found,) = dynamo.search_runs(["0"], "params.`param 3` LIKE '%x'", ViewType.ALL)
    assert found.data.params == params
    dynamo.delete_run(run_id)
    dynamo._hard_delete_run(run_id)
    left = fake.scan(TableName="mlflow")["Items"]
    assert not [item for item in left if run_id in item["pk"]["S"] + item["sk"]["S"]]


def test_experiment_tags_and_datasets_of_any_size(dynamo: Any, fake: FakeDynamoDb) -> None:
    for number in range(8):
        dynamo.set_experiment_tag("0", ExperimentTag(f"t{number}", "☃" * 20000))
    (found,) = dynamo.search_experiments()
    assert len(found.tags) == 8
    noise = "".join(chr(32 + (i * i * 7919) % 95) for i in range(1_000_000))
    run_id = a_run(dynamo)
    dataset = Dataset("d", "1", "local", "source", "schema", noise)
    dynamo.log_inputs(run_id, [DatasetInput(dataset, [])])
    assert dynamo.get_run(run_id).inputs.dataset_inputs[0].dataset.profile == noise
    assert fake.largest_item < 400_000


@pytest.mark.parametrize(
    "value",
    [float("inf"), float("-inf"), -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 2.0**53 + 2],
)
def test_every_bit_of_a_double_is_kept(dynamo: Any, value: float) -> None:
    # MLflow's SQL store answers 1.797e308 for an infinity; ours keeps it (docs/store.md).
    run_id = a_run(dynamo)
    dynamo.log_metric(run_id, Metric("m", value, 2**63 - 1, -(2**63)))
    for metric in (
        dynamo.get_metric_history(run_id, "m")[0],
        dynamo.get_run(run_id).data._metric_objs[0],
    ):
        assert struct.pack("d", metric.value) == struct.pack("d", value)
        assert (metric.timestamp, metric.step) == (2**63 - 1, -(2**63))
        assert type(metric.timestamp) is int


def test_steps_beyond_64_bits_are_refused(dynamo: Any) -> None:
    with pytest.raises(MlflowException, match="64-bit"):
        dynamo.log_metric(a_run(dynamo), Metric("m", 1.0, 1, 2**63))


def test_throttling_is_waited_out_with_jitter(dynamo: Any, fake: FakeDynamoDb, pauses: Any) -> None:
    run_id = a_run(dynamo)
    fake.faults.append(throttle(6))
    dynamo.log_metric(run_id, Metric("m", 1, 1, 1))
    assert len(pauses.made) == 6
    assert dynamo.get_run(run_id).data.metrics == {"m": 1}


def test_lasting_throttling_ends_in_an_error_that_clients_repeat(
    dynamo: Any, fake: FakeDynamoDb, pauses: Any
) -> None:
    run_id = a_run(dynamo)
    fake.faults.append(throttle(10_000))
    with pytest.raises(MlflowException, match="too busy") as refused:
        dynamo.log_metric(run_id, Metric("m", 1, 1, 1))
    assert refused.value.error_code == "TEMPORARILY_UNAVAILABLE"
    assert pauses.time <= REQUEST_SECONDS


def test_throttled_transactions_are_repeated(dynamo: Any, fake: FakeDynamoDb) -> None:
    left = [2]

    def cancel(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and left[0]:
            left[0] -= 1
            raise ClientError(
                {
                    "Error": {"Code": "TransactionCanceledException", "Message": ""},
                    "CancellationReasons": [{"Code": "None"}, {"Code": "ThrottlingError"}],
                },
                operation,
            )

    fake.faults.append(cancel)
    run_id = a_run(dynamo)
    assert left == [0]
    assert len(dynamo.search_runs(["0"], "", ViewType.ALL)) == 1
    assert dynamo.get_run(run_id).info.status == "RUNNING"


def test_unprocessed_parts_of_batches_are_sent_again(dynamo: Any, fake: FakeDynamoDb) -> None:
    run_id = a_run(dynamo)
    left = [3]

    def none_of_it(operation: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
        if operation == "batch_write_item" and left[0]:
            left[0] -= 1
            return {"UnprocessedItems": parameters["RequestItems"]}
        return None

    fake.faults.append(none_of_it)
    dynamo.log_batch(run_id, [Metric(f"m{i}", i, 1, 1) for i in range(60)], [], [])
    assert left == [0]
    assert all(len(dynamo.get_metric_history(run_id, f"m{i}")) == 1 for i in range(60))


def test_a_crash_between_writes_leaves_a_run_that_reads_and_a_repeat_completes(
    dynamo: Any, fake: FakeDynamoDb
) -> None:
    run_id = a_run(dynamo)
    batch = [Metric(f"m{i}", i, 1, 1) for i in range(60)]

    def crash(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "put_item":
            raise KeyboardInterrupt

    fake.faults.append(crash)
    with pytest.raises(KeyboardInterrupt):
        dynamo.log_batch(run_id, batch, [], [])
    fake.faults.clear()
    assert dynamo.get_run(run_id).data.metrics == {}
    dynamo.log_batch(run_id, batch, [], [])
    dynamo.log_batch(run_id, batch, [], [])
    assert len(dynamo.get_run(run_id).data.metrics) == 60
    assert len(dynamo.get_metric_history(run_id, "m7")) == 1


def test_another_writer_in_between_loses_nothing(dynamo: Any, fake: FakeDynamoDb) -> None:
    run_id = a_run(dynamo)
    others = [RunTag("first", "1"), RunTag("second", "2")]

    def meanwhile(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and others:
            dynamo.set_tag(run_id, others.pop())

    fake.faults.append(meanwhile)
    dynamo.log_batch(run_id, [Metric("m", 1, 1, 1)], [Param("p", "1")], [RunTag("mine", "x")])
    run = dynamo.get_run(run_id)
    assert set(run.data.tags) == {"first", "second", "mine", "mlflow.runName"}
    assert (run.data.metrics, run.data.params) == ({"m": 1}, {"p": "1"})


def test_a_write_whose_answer_got_lost_is_not_done_twice(dynamo: Any, fake: FakeDynamoDb) -> None:
    run_id = a_run(dynamo)
    dynamo.set_tag(run_id, RunTag("t", "1"))
    fake.faults.append(lose_answers(fake))
    dynamo.delete_tag(run_id, "t")
    dynamo.log_metric(run_id, Metric("m", 1, 1, 1))
    dynamo.log_param(run_id, Param("p", "1"))
    created = dynamo.create_experiment("once")
    dynamo.create_run("0", "u", 2, [], "second")
    fake.faults.clear()
    run = dynamo.get_run(run_id)
    assert ("t" in run.data.tags, run.data.metrics, run.data.params) == (
        False,
        {"m": 1},
        {"p": "1"},
    )
    assert len(dynamo.get_metric_history(run_id, "m")) == 1
    assert dynamo.get_experiment_by_name("once").experiment_id == created
    assert len(dynamo.search_runs(["0"], "", ViewType.ALL)) == 2


def test_of_two_who_take_a_name_exactly_one_gets_it(dynamo: Any, fake: FakeDynamoDb) -> None:
    won = []

    def meanwhile(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and not won:
            won.append(None)
            won[0] = dynamo.create_experiment("name")

    fake.faults.append(meanwhile)
    with pytest.raises(MlflowException) as refused:
        dynamo.create_experiment("name")
    assert refused.value.error_code == "RESOURCE_ALREADY_EXISTS"
    assert dynamo.get_experiment_by_name("name").experiment_id == won[0]
    assert len(dynamo.search_experiments()) == 2


def test_every_read_sees_what_was_written(dynamo: Any, fake: FakeDynamoDb) -> None:
    run_id = a_run(dynamo)
    dynamo.log_metric(run_id, Metric("m", 1, 1, 1))
    dynamo.get_run(run_id)
    dynamo.get_metric_history(run_id, "m")
    dynamo.get_experiment_by_name("Default")
    dynamo.search_runs(["0"], "metrics.m > 0", ViewType.ALL)
    dynamo.search_experiments()
    assert {"get_item", "batch_get_item", "query"} <= set(fake.calls)
    assert fake.weak_reads == []


def test_a_missing_table_names_the_command(aws: None) -> None:
    with pytest.raises(MlflowException, match=f"mlgate store create-table {URI}"):
        DynamoDbTrackingStore(open_table(parse_uri(URI)))


def test_a_missing_permission_is_named(dynamo: Any, fake: FakeDynamoDb) -> None:
    def deny(operation: str, parameters: dict[str, Any]) -> None:
        message = "User: x is not authorized to perform: dynamodb:Query on resource: y"
        raise client_error("AccessDeniedException", operation, message)

    fake.faults.append(deny)
    with pytest.raises(MlflowException, match=r"dynamodb:Query .*; add it to the server's role"):
        dynamo.get_experiment("0")


def test_provisioning_can_be_repeated_and_spares_other_tables(aws: None) -> None:
    assert "made" in create_table(URI)[0]
    assert "already there" in create_table(URI)[0]
    assert describe_table(URI)["billing"] == "PAY_PER_REQUEST"
    delete_table(URI)
    with pytest.raises(MlflowException, match="does not exist"):
        describe_table(URI)


@pytest.mark.parametrize("uri", ["dynamodb://", "dynamodb://x", "dynamodb://us-east-1/a b"])
def test_a_uri_without_meaning_is_explained(uri: str) -> None:
    with pytest.raises(MlflowException, match="write dynamodb://REGION/TABLE"):
        parse_uri(uri)
