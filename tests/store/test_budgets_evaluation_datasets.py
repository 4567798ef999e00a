"""Calls to DynamoDB for each call on evaluation datasets, and what faults do to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from dynamodb_store import keys
from tests.fakes.fake_dynamodb import FakeDynamoDb, lose_answers, throttle


def a_dataset(dynamo: Any) -> str:
    return str(dynamo.create_dataset("d", {"k": "v"}, ["0"]).dataset_id)


def given(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [{"inputs": {"n": number}, **more} for number in numbers]


def test_calls(dynamo: Any, fake: FakeDynamoDb, calls: Callable[..., int]) -> None:
    assert calls("create_dataset", "d", {"k": "v"}, ["0"]) == 1
    dataset_id = dynamo.search_datasets()[0].dataset_id
    assert calls("get_dataset", dataset_id) == 1
    assert calls("get_dataset_experiment_ids", dataset_id) == 1
    assert calls("search_datasets") == keys.SHARDS
    assert calls("search_datasets", ["0"]) == 2
    assert calls("set_dataset_tags", dataset_id, {"k": "w"}) == 2
    # One new record: the dataset, its pointer, the transaction, the dataset and counts, the write.
    assert calls("upsert_dataset_records", dataset_id, given(1)) == 6
    assert calls("upsert_dataset_records", dataset_id, given(1)) == 7  # and the record as it was
    # 49 records of a shard are one transaction: 100 records are at most 3 for each of 8 shards.
    assert calls("upsert_dataset_records", dataset_id, given(*range(2, 102))) <= 4 + 2 * 8
    assert calls("_load_dataset_records", dataset_id, 50) <= 2 * keys.SHARDS
    assert calls("add_dataset_to_experiments", dataset_id, []) <= 4
    assert fake.weak_reads == []
    # Nothing that all datasets share is written by records but the list entry of the dataset.
    lists = {pk: units for pk, units in fake.written.items() if pk.startswith("EDL#")}
    assert sum(lists.values()) == 2 * 6


def test_faults_lose_no_record_and_make_none_twice(dynamo: Any, fake: FakeDynamoDb) -> None:
    dataset_id = a_dataset(dynamo)
    fake.faults.append(lose_answers(fake))
    answer = dynamo.upsert_dataset_records(dataset_id, given(*range(20)))
    assert answer == {"inserted": 20, "updated": 0}
    ids = [one.dataset_record_id for one in dynamo._load_dataset_records(dataset_id)[0]]
    assert len(set(ids)) == 20
    assert dynamo.delete_dataset_records(dataset_id, ids[:5]) == 5
    fake.faults.clear()
    fake.faults.append(throttle(7))
    dynamo.upsert_dataset_records(dataset_id, given(*range(30)))
    assert dynamo.get_dataset(dataset_id).profile == '{"num_records": 30}'
    assert len(dynamo._load_dataset_records(dataset_id)[0]) == 30


def test_a_crash_between_writes_is_completed_by_the_repeat(dynamo: Any, fake: FakeDynamoDb) -> None:
    dataset_id = a_dataset(dynamo)
    left = [3]

    def crash(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items":
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt

    fake.faults.append(crash)
    with pytest.raises(KeyboardInterrupt):
        dynamo.upsert_dataset_records(dataset_id, given(*range(40), tags={"t": "1"}))
    fake.faults.clear()
    assert dynamo.get_dataset(dataset_id).profile is None
    answer = dynamo.upsert_dataset_records(dataset_id, given(*range(40), tags={"t": "1"}))
    assert sum(answer.values()) == 40
    assert answer["updated"] >= 1
    assert len(dynamo._load_dataset_records(dataset_id)[0]) == 40
    assert dynamo.get_dataset(dataset_id).profile == '{"num_records": 40}'


def test_two_who_give_the_same_inputs_make_one_record(dynamo: Any, fake: FakeDynamoDb) -> None:
    dataset_id = a_dataset(dynamo)
    again: list[Any] = [None, None]

    def meanwhile(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and again:
            number = len(again)
            again.pop()
            more = given(1, expectations={f"other {number}": 1})
            dynamo.upsert_dataset_records(dataset_id, more)

    fake.faults.append(meanwhile)
    answer = dynamo.upsert_dataset_records(dataset_id, given(1, expectations={"mine": 1}))
    assert answer == {"inserted": 0, "updated": 1}
    (record,) = dynamo._load_dataset_records(dataset_id)[0]
    assert record.expectations == {"other 1": 1, "other 2": 1, "mine": 1}
    assert dynamo.get_dataset(dataset_id).profile == '{"num_records": 1}'


def test_records_of_any_size(dynamo: Any, fake: FakeDynamoDb) -> None:
    dataset_id = a_dataset(dynamo)
    noise = [os.urandom(150_000).hex() for _ in range(4)]
    dynamo.upsert_dataset_records(dataset_id, given(*range(20), outputs=noise[0]))
    dynamo.upsert_dataset_records(dataset_id, given(99, outputs=noise * 3))
    assert fake.largest_item < 400_000
    records = {one.inputs["n"]: one for one in dynamo._load_dataset_records(dataset_id)[0]}
    assert records[99].outputs == noise * 3
    assert records[7].outputs == noise[0]
    dynamo.upsert_dataset_records(dataset_id, given(99, outputs="small"))
    parts = [item["pk"]["S"] for item in fake.scan(TableName="mlflow")["Items"]]
    assert not [pk for pk in parts if "//" in pk]
    dynamo.upsert_dataset_records(dataset_id, given(99, outputs=noise * 3))
    with pytest.raises(MlflowException, match="A record has"):
        dynamo.upsert_dataset_records(dataset_id, given(1000, outputs="x" * 8_000_000))
    for bad in ({"inputs": {"q": object()}}, {"inputs": {"q": 1}, "outputs": {1, 2}}):
        with pytest.raises(MlflowException, match="JSON"):
            dynamo.upsert_dataset_records(dataset_id, [bad])
    with pytest.raises(MlflowException, match="Invalid page token"):
        dynamo._load_dataset_records(dataset_id, 5, "x")
    dynamo.delete_dataset_records(dataset_id, [records[99].dataset_record_id])
    assert len(dynamo._load_dataset_records(dataset_id)[0]) == 20
    dynamo.upsert_dataset_records(dataset_id, given(99, outputs=noise * 3))
    dynamo.delete_dataset(dataset_id)
    left = fake.scan(TableName="mlflow")["Items"]
    assert not [item for item in left if dataset_id in item["pk"]["S"] + item["sk"]["S"]]
