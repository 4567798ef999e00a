"""Records: conditional writes, unique names, bodies of any size."""

from __future__ import annotations

import os
from typing import Any

import pytest

from dynamodb_store import records
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.records import Record
from tests.fakes.fake_dynamodb import WRITES, FakeDynamoDb, client_error

P = "T#kind"


def gone() -> Exception:
    return KeyError("gone")


def test_a_body_comes_back_as_it_was(dynamo: Any) -> None:
    table = dynamo.table
    body = {"n": 2**63 - 1, "f": 0.1, "inf": float("inf"), "t": "☃ \ud800", "l": [None, {"": ""}]}
    records.create(table, Record(P, "a", body))
    assert records.get(table, P, "a") == Record(P, "a", body, 1)
    assert records.get(table, P, "b") is None


def test_a_large_body_lies_in_parts_and_leaves_nothing_behind(dynamo: Any) -> None:
    table = dynamo.table
    text = os.urandom(600_000).hex()
    records.create(table, Record(P, "a", {"text": text}))
    records.create(table, Record(P, "b", {"text": "small"}))
    assert [record.body["text"] for record in records.listed(table, P)] == [text, "small"]
    other = text[::-1]
    records.edit(table, P, "a", gone, lambda record: record.body.update(text=other) or [])
    found = records.get(table, P, "a")
    assert found is not None
    assert found.body["text"] == other
    records.delete(table, found)
    assert list(table.query_all(f"{P}//a")) == []


def test_names_are_unique_and_can_be_given_up(dynamo: Any) -> None:
    table = dynamo.table
    name = ("T#name", "=x")
    first = Record(P, "a", {})
    records.create(table, first, [name])
    with pytest.raises(ConditionFailed) as refused:
        records.create(table, Record(P, "b", {}), [name])
    assert refused.value.failed == (1,)
    assert records.get(table, P, "b") is None
    assert records.owner_of(table, name) == "a"
    records.delete(table, first, [records.free_name(name)])
    records.create(table, Record(P, "b", {}), [name])


def test_a_writer_that_lost_reads_again(dynamo: Any) -> None:
    table = dynamo.table
    records.create(table, Record(P, "a", {"n": 0}))
    calls = []

    def change(record: Record) -> list[Any]:
        if not calls:
            other = records.get(table, P, "a")
            assert other is not None
            other.body["n"] += 10
            records.save(table, other)
        calls.append(1)
        record.body["n"] += 1
        return []

    assert records.edit(table, P, "a", gone, change).body["n"] == 11
    assert len(calls) == 2
    with pytest.raises(KeyError):
        records.edit(table, P, "none", gone, change)


def test_many_are_read_in_the_order_asked_for(dynamo: Any) -> None:
    table = dynamo.table
    for sk in "abc":
        records.create(table, Record(P, sk, {"sk": sk}))
    found = records.get_many(table, [(P, "c"), (P, "none"), (P, "a"), (P, "c")])
    assert [record.sk for record in found] == ["c", "a", "c"]
    newest = records.listed(table, P, reverse=True)
    assert [record.sk for record in newest] == ["c", "b", "a"]


def test_an_edit_whose_answer_got_lost_is_done_once(dynamo: Any, fake: FakeDynamoDb) -> None:
    table = dynamo.table
    records.create(table, Record(P, "a", {"n": 0}))
    lost = []

    def lose(operation: str, parameters: dict[str, Any]) -> None:
        if operation in WRITES and not lost:
            lost.append(operation)
            fake.real(operation, parameters)
            raise client_error("InternalServerError", operation)

    def add(record: Record) -> list[Any]:
        record.body["n"] += 1
        return []

    fake.faults.append(lose)
    assert records.edit(table, P, "a", gone, add).body == {"n": 1}
    assert records.get(table, P, "a") == Record(P, "a", {"n": 1}, 2)


def test_a_pointer_leads_to_a_record_wherever_it_moves(dynamo: Any) -> None:
    table = dynamo.table
    pointer = ("T#id", "=a")
    record = Record(P, "1", {"text": os.urandom(200_000).hex()})
    records.create(table, record, also=[records.take_pointer(pointer, record)])
    with pytest.raises(ConditionFailed):
        records.create(table, Record(P, "2", {}), also=[records.take_pointer(pointer, record)])

    def move(found: Record) -> list[Any]:
        found.sk = "0"
        return [records.repoint(pointer, found)]

    moved = records.edit_found(table, lambda: records.find(table, pointer), gone, move)
    assert records.find(table, pointer) == moved
    assert moved.body == record.body
    assert records.get(table, P, "1") is None
    assert list(table.query_all(f"{P}//1")) == []
    records.delete(table, moved)
    assert records.find(table, pointer) is None
    assert records.find(table, ("T#id", "=none")) is None


def test_a_move_that_lost_reads_again(dynamo: Any) -> None:
    table = dynamo.table
    pointer = ("T#id", "=a")
    record = Record(P, "1", {"n": 0})
    records.create(table, record, also=[records.take_pointer(pointer, record)])
    others = [1]

    def move(found: Record) -> list[Any]:
        if others:
            records.edit(table, P, "1", gone, lambda one: one.body.update(n=others.pop()) or [])
        found.sk = "0"
        return [records.repoint(pointer, found)]

    moved = records.edit_found(table, lambda: records.find(table, pointer), gone, move)
    assert [found.body for found in records.listed(table, P)] == [{"n": 1}]
    assert moved.revision == 3
