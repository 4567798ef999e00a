"""Experiments of many runs: quiet ones are copied into lists, all are moved in few calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow.entities import Metric, Param, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys
from tests.fakes.fake_dynamodb import FakeDynamoDb, client_error, throttle
from tests.store.both import Both, RunRef
from tests.store.many import put_runs

ALL = ViewType.ALL


@pytest.fixture
def count(fake: FakeDynamoDb, dynamo: Any) -> Callable[..., int]:
    def calls(method: str, *args: Any) -> int:
        fake.calls.clear()
        getattr(dynamo, method)(*args)
        return len(fake.calls)

    return calls


def found(store: Any, *args: Any) -> dict[str, Any]:
    return {run.info.run_id: run.to_dictionary() for run in store.search_runs(["0"], *args)}


def test_quiet_runs_are_copied_by_a_search_and_reads_stay_strong(
    dynamo: Any, count: Callable[..., int]
) -> None:
    runs = put_runs(dynamo, 60, changed=get_current_time_millis())
    search = ("search_runs", ["0"], "", ALL, 10, ["metrics.m DESC"])
    assert count(*search) == keys.SHARDS + 1  # the runs changed just now
    dynamo.quiet_ms = -1000
    before = found(dynamo, "", ALL)
    assert count(*search) == keys.SHARDS  # copied by the one before
    assert found(dynamo, "", ALL) == before
    # The next change of a run takes its copy away, and is seen at once.
    dynamo.quiet_ms = 60_000
    assert count("log_metric", runs[0], Metric("m", 99, 99, 99)) == 2
    assert count("set_tag", runs[1], RunTag("t", "new")) == 3
    assert count("log_param", runs[2], Param("p", "1")) == 2
    assert dynamo.search_runs(["0"], "metrics.m > 90", ALL)[0].info.run_id == runs[0]
    assert dynamo.search_runs(["0"], "tags.t = 'new'", ALL)[0].info.run_id == runs[1]
    assert dynamo.search_runs(["0"], "params.p = '1'", ALL)[0].info.run_id == runs[2]
    assert count("set_tag", runs[1], RunTag("t", "newer")) == 1
    assert dynamo.search_runs(["0"], "tags.t = 'newer'", ALL)[0].info.run_id == runs[1]
    assert count(*search) == keys.SHARDS + 1
    # The copy does not hold the open tail, but writers know it.
    dynamo.log_metric(runs[0], Metric("m", 100, 100, 100))
    assert [one.value for one in dynamo.get_metric_history(runs[0], "m")] == [99, 100]
    # Ended, deleted, restored: whatever the copy was.
    dynamo.update_run_info(runs[3], RunStatus.FINISHED, 9, None)
    dynamo.delete_run(runs[4])
    assert found(dynamo, "", ALL)[runs[3]]["info"]["status"] == "FINISHED"
    assert runs[4] not in found(dynamo, "", ViewType.ACTIVE_ONLY)
    dynamo.restore_run(runs[4])
    assert found(dynamo, "", ViewType.ACTIVE_ONLY)[runs[4]]["info"]["status"] == "RUNNING"


def test_a_change_between_the_read_and_the_copy_wins(dynamo: Any, fake: FakeDynamoDb) -> None:
    runs = put_runs(dynamo, 55)
    dynamo.quiet_ms = -1000
    done = []

    def meanwhile(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and not done:
            done.append(operation)
            dynamo.set_tag(runs[7], RunTag("t", "meanwhile"))
            dynamo.delete_run(runs[54])

    fake.faults.append(meanwhile)
    assert len(found(dynamo, "", ALL)) == 55
    assert done
    assert list(found(dynamo, "tags.t = 'meanwhile'", ALL)) == [runs[7]]
    assert list(found(dynamo, "", ViewType.DELETED_ONLY)) == [runs[54]]


def test_a_search_that_may_not_copy_answers_all_the_same(
    dynamo: Any, fake: FakeDynamoDb, pauses: Any
) -> None:
    put_runs(dynamo, 51)
    codes = ["AccessDeniedException", "ThrottlingException"]

    def refuse(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items":
            raise client_error(codes.pop(), operation)

    fake.faults.append(refuse)
    assert len(found(dynamo, "", ALL)) == 51
    assert codes == []  # two transactions, each refused once and not repeated
    assert pauses.made == []


def test_deleting_and_restoring_an_experiment_is_what_sql_does(sql: Any, dynamo: Any) -> None:
    both = Both(sql, dynamo)
    both.create_experiment("e")
    for number in range(6):
        both.create_run("1", "u", number, [RunTag("t", "v")], f"r{number}")
    both.update_run_info(RunRef(1), RunStatus.FINISHED, 9, None)
    both.delete_run(RunRef(2))
    both.log_batch(RunRef(3), [], [Param(f"p{i}", "v" * 6000) for i in range(20)], [])
    both.log_metric(RunRef(1), Metric("m", 1, 1, 1))

    def same() -> None:
        for number in range(6):
            both.get_run(RunRef(number))
            both.log_metric(RunRef(number), Metric("m", 2, 2, 2))
        for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ALL):
            both.search_runs(["1"], "", view)
        gone = [side.store._get_deleted_runs() for side in both.sides]
        assert len(gone[0]) == len(gone[1])

    both.delete_experiment("1")
    same()
    both.delete_experiment("1")
    both.restore_run(RunRef(4))
    same()
    both.restore_experiment("1")
    both.restore_experiment("1")
    same()
    both.delete_experiment("1")
    same()


def test_an_experiment_is_moved_in_few_calls(dynamo: Any, count: Callable[..., int]) -> None:
    put_runs(dynamo, 35, ended=True)
    # Query and Transact of the experiment, lists, 33 runs a transaction, the experiment again;
    # and a Query for the assessments that each run made.
    assert count("delete_experiment", "0") == 2 + keys.SHARDS + 2 + 35 + 2
    assert len(dynamo._get_deleted_runs()) == 35
    assert count("restore_experiment", "0") == 1 + keys.SHARDS + 2 + 2
    assert dynamo._get_deleted_runs() == []
    assert len(found(dynamo, "", ViewType.ACTIVE_ONLY)) == 35


def test_a_deletion_cut_short_goes_on_with_the_same_call(
    dynamo: Any, fake: FakeDynamoDb, pauses: Any
) -> None:
    runs = put_runs(dynamo, 36, ended=True)
    dynamo.delete_run(runs[0])
    early = {item["sk"]: item["deleted_time"] for item in marks(dynamo)}[runs[0]]
    seen = []

    def crash(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and len(parameters["TransactItems"]) > 5:
            seen.append(operation)
            if len(seen) == 2:
                raise KeyboardInterrupt

    fake.faults.append(crash)
    with pytest.raises(KeyboardInterrupt):
        dynamo.delete_experiment("0")
    fake.faults.clear()
    assert dynamo.get_experiment("0").lifecycle_stage == "active"
    assert 0 < len(found(dynamo, "", ViewType.ACTIVE_ONLY)) < 36
    fake.calls.clear()
    dynamo.delete_experiment("0")
    assert fake.calls.count("transact_write_items") <= 3
    assert dynamo.get_experiment("0").lifecycle_stage == "deleted"
    assert found(dynamo, "", ViewType.ACTIVE_ONLY) == {}
    assert all(item["deleted_time"] >= early for item in marks(dynamo))
    assert len(marks(dynamo)) == 36


def marks(dynamo: Any) -> list[dict[str, Any]]:
    return [item for pk in keys.deleted_shards() for item in dynamo.table.query_all(pk)]


def test_a_deletion_that_takes_too_long_says_so_and_goes_on(
    dynamo: Any, fake: FakeDynamoDb, pauses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever their ids are, one shard has seven, and three pages of two are not all of it: moto
    # says of a page that more may follow only when something does.
    runs = 6 * keys.SHARDS + 1
    put_runs(dynamo, runs, ended=True)
    monkeypatch.setattr("dynamodb_store.tracking.move_runs._A_QUERY", 2)

    def slow(operation: str, parameters: dict[str, Any]) -> None:
        pauses.time += 2

    fake.faults.append(slow)
    for _ in range(3):  # each gets on, though reading alone takes all of its time
        before = len(marks(dynamo))
        with pytest.raises(MlflowException, match="the same call goes on") as refused:
            dynamo.delete_experiment("0")
        assert refused.value.error_code == "TEMPORARILY_UNAVAILABLE"
        assert len(marks(dynamo)) > before
    fake.faults.clear()
    dynamo.delete_experiment("0")
    assert len(marks(dynamo)) == runs


def test_runs_that_change_meanwhile_are_moved_one_by_one(dynamo: Any, fake: FakeDynamoDb) -> None:
    runs = put_runs(dynamo, 20)
    done = []

    def meanwhile(operation: str, parameters: dict[str, Any]) -> None:
        big = len(parameters.get("TransactItems", ())) > 5
        if big and not done:
            done.append(operation)
            for run_id in runs:
                dynamo.log_metric(run_id, Metric("m", -1, 9, 9))
            dynamo.delete_run(runs[3])
            dynamo._hard_delete_run(runs[3])

    fake.faults.append(meanwhile)
    fake.faults.append(throttle(2, {"transact_write_items"}))
    dynamo.delete_experiment("0")
    assert done
    gone = found(dynamo, "", ViewType.DELETED_ONLY)
    assert set(gone) == {*runs} - {runs[3]}
    assert all(run["data"]["metrics"]["m"] == -1 for run in gone.values())
