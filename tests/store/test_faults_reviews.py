"""Reviews: of two who write at once nothing is lost and one gets the name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow.entities.issue import IssueSeverity, IssueStatus
from mlflow.exceptions import MlflowException
from mlflow.genai.label_schemas.label_schemas import InputText

from dynamodb_store.table import Table
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from tests.fakes.fake_dynamodb import FakeDynamoDb, lose_answers, throttle


@pytest.fixture
def other(dynamo: Any, fake: FakeDynamoDb) -> DynamoDbTrackingStore:
    """Another server on the same table, with a client (and a lock) of its own."""
    return DynamoDbTrackingStore(Table(FakeDynamoDb(fake._client), dynamo.table.uri), "s3://b/r")


def once_before_a_write(fake: FakeDynamoDb, call: Callable[[], Any]) -> list[Any]:
    """Another caller gets in between the reads and the first transaction of the next call."""
    done: list[Any] = []

    def meanwhile(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and not done:
            done.append(None)
            done[0] = call()

    fake.faults[:] = [meanwhile]
    return done


def refused(code: str, call: Callable[[], Any]) -> None:
    with pytest.raises(MlflowException) as error:
        call()
    assert error.value.error_code == code


def test_one_of_two_gets_a_name(dynamo: Any, other: Any, fake: FakeDynamoDb) -> None:
    def schema(store: Any = dynamo) -> Any:
        return store.create_label_schema("0", name="n", type="feedback", input=InputText())

    def queue(store: Any = dynamo) -> Any:
        return store.create_review_queue("0", name="N", queue_type="custom")

    once_before_a_write(fake, lambda: schema(other))
    refused("RESOURCE_ALREADY_EXISTS", schema)
    once_before_a_write(fake, lambda: queue(other))
    refused("RESOURCE_ALREADY_EXISTS", queue)
    mine = once_before_a_write(fake, lambda: other.get_or_create_user_queue("0", user="u"))
    assert dynamo.get_or_create_user_queue("0", user="u") == mine[0]
    once_before_a_write(fake, lambda: other.list_label_schemas("0"))
    assert [one.is_default for one in dynamo.list_label_schemas("0")].count(True) == 1
    assert len(dynamo.list_review_queues("0")) == 2
    taken = dynamo.create_label_schema("0", name="m", type="feedback", input=InputText())
    refused(
        "RESOURCE_ALREADY_EXISTS", lambda: dynamo.update_label_schema(taken.schema_id, name="n")
    )


def test_questions_do_not_change_while_items_are_added(
    dynamo: Any, other: Any, fake: FakeDynamoDb
) -> None:
    queue = dynamo.create_review_queue("0", name="q", queue_type="custom").queue_id
    added = once_before_a_write(
        fake, lambda: other.add_items_to_review_queue(queue, item_ids=["t"])
    )
    refused("INVALID_PARAMETER_VALUE", lambda: dynamo.update_review_queue(queue, schema_ids=[]))
    assert len(added[0]) == 1


def test_items_come_and_go_at_once(dynamo: Any, other: Any, fake: FakeDynamoDb) -> None:
    queue = dynamo.create_review_queue("0", name="q", queue_type="custom").queue_id

    def add(*ids: str, store: Any = dynamo) -> Any:
        return store.add_items_to_review_queue(queue, item_ids=list(ids))

    def remove(*ids: str, store: Any = dynamo) -> None:
        store.remove_items_from_review_queue(queue, item_ids=list(ids))

    once_before_a_write(fake, lambda: add("b", store=other))
    assert len(add("a", "b", "c")) == 3
    assert len(dynamo.list_review_queue_items(queue)) == 3
    once_before_a_write(fake, lambda: (remove("b", store=other), add("b", store=other)))
    remove("a", "b")
    assert [one.item_id for one in dynamo.list_review_queue_items(queue)] == ["c"]
    assert dynamo._queues_of_item("b") == set()
    once_before_a_write(fake, lambda: other.delete_review_queue(queue))
    refused("RESOURCE_DOES_NOT_EXIST", lambda: add("d"))
    assert dynamo._queues_of_item("c") == set()
    assert fake.scan(TableName="mlflow")["Count"] == 3  # the default experiment


def test_a_queue_deleted_while_items_are_added_leaves_none(
    dynamo: Any, other: Any, fake: FakeDynamoDb
) -> None:
    queue = dynamo.create_review_queue("0", name="q", queue_type="custom").queue_id
    dynamo.add_items_to_review_queue(queue, item_ids=["a"])
    once_before_a_write(fake, lambda: other.add_items_to_review_queue(queue, item_ids=["b"]))
    dynamo.delete_review_queue(queue)
    left = [item["pk"]["S"] for item in fake.scan(TableName="mlflow")["Items"]]
    assert not [pk for pk in left if pk.startswith("RQ")]


def test_two_change_an_issue_and_nothing_is_lost(
    dynamo: Any, other: Any, fake: FakeDynamoDb
) -> None:
    one = dynamo.create_issue("0", "n", "d").issue_id
    once_before_a_write(fake, lambda: other.update_issue(one, severity=IssueSeverity.LOW))
    dynamo.update_issue(one, status=IssueStatus.RESOLVED)
    once_before_a_write(fake, lambda: other.update_issue(one, name="new"))
    dynamo.update_issue(one, severity=IssueSeverity.HIGH)
    (found,) = dynamo.search_issues("0")
    assert (found.severity, found.status, found.name) == ("high", "resolved", "new")
    assert dynamo.get_issue(one) == found


def test_throttling_and_lost_answers_write_once(
    dynamo: Any, other: Any, fake: FakeDynamoDb
) -> None:
    lost: list[str] = []
    fake.faults[:] = [throttle(3), lose_answers(fake, lost)]
    queue = dynamo.create_review_queue("0", name="q", queue_type="custom").queue_id
    dynamo.add_items_to_review_queue(queue, item_ids=["a", "b"])
    dynamo.set_review_queue_item_status(queue, item_id="a", status="declined", completed_by="u")
    dynamo.remove_items_from_review_queue(queue, item_ids=["b"])
    issue = dynamo.create_issue("0", "n", "d").issue_id
    dynamo.update_issue(issue, severity=IssueSeverity.HIGH)
    dynamo.list_label_schemas("0")
    fake.faults.clear()
    (item,) = dynamo.list_review_queue_items(queue)
    assert (item.item_id, item.status) == ("a", "declined")
    assert [one.issue_id for one in dynamo.search_issues("0")] == [issue]
    assert len(dynamo.list_label_schemas("0")) == 1
    assert len(lost) >= 14
