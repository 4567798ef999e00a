"""Calls to DynamoDB for label schemas, review queues and issues, as docs/store.md says."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from mlflow.entities.issue import IssueSeverity
from mlflow.genai.label_schemas.label_schemas import InputText

from tests.fakes.fake_dynamodb import FakeDynamoDb


def test_label_schemas(dynamo: Any, calls: Callable[..., int]) -> None:
    given: dict[str, Any] = {"type": "feedback", "input": InputText()}
    assert calls("list_label_schemas", "0") == 4  # the first time: makes the default question
    assert calls("create_label_schema", "0", name="a", **given) == 2
    one = dynamo.get_label_schema_by_name("0", "a").schema_id
    assert calls("list_label_schemas", "0") == 2
    assert calls("get_label_schema", one) == 2
    assert calls("get_label_schema_by_name", "0", "a") == 3
    assert calls("update_label_schema", one, name="b") == 3
    assert calls("delete_label_schema", one) == 4


def test_queues_and_items(dynamo: Any, fake: FakeDynamoDb, calls: Callable[..., int]) -> None:
    assert calls("create_review_queue", "0", name="q", queue_type="custom") == 2
    assert calls("get_or_create_user_queue", "0", user="u") == 4
    assert calls("get_or_create_user_queue", "0", user="u") == 3
    queue = dynamo.get_review_queue_by_name("0", name="q").queue_id
    assert calls("get_review_queue", queue) == 2
    assert calls("list_review_queues", "0", user="u") == 2
    assert calls("list_review_queues", "0", item_id="t") == 3
    ids = [f"t{number}" for number in range(98)]
    assert calls("add_items_to_review_queue", queue, item_ids=ids) == 5
    assert calls("add_items_to_review_queue", queue, item_ids=ids[:50]) == 3
    assert calls("list_review_queue_items", queue, max_results=50) == 2
    done = {"item_id": "t3", "status": "complete", "completed_by": "u"}
    assert calls("set_review_queue_item_status", queue, **done) == 4
    assert calls("set_review_queue_item_status", queue, **done) == 3
    assert calls("update_review_queue", queue, users=["x"]) == 3
    assert calls("remove_items_from_review_queue", queue, item_ids=ids[:49]) == 3
    assert calls("_purge_trace", ids[60]) == 3  # one of them for MCP servers
    assert calls("_purge_trace", "none") == 2
    assert fake.largest_item < 1000
    assert fake.weak_reads == []


def test_issues(dynamo: Any, fake: FakeDynamoDb, calls: Callable[..., int]) -> None:
    for number in range(3):
        dynamo.create_issue("0", f"n{number}", "text", severity=IssueSeverity.LOW)
    noise = os.urandom(500_000).hex()  # does not compress into one item
    assert calls("create_issue", "0", "name", noise) == 4
    assert dynamo.search_issues("0")[-1].description == noise
    assert fake.largest_item < 400_000
    one = dynamo.search_issues("0")[0].issue_id
    assert calls("get_issue", one) == 2
    assert calls("update_issue", one, name="other") == 3
    # it moves: what may have lain in parts at the old place is looked for
    assert calls("update_issue", one, severity=IssueSeverity.HIGH) == 4
    assert calls("search_issues", "0", max_results=2) == 1
    assert calls("search_issues", None, max_results=2) == 2
    assert calls("search_issues", "0", include_trace_count=True) == 1 + 1 + 4  # a part, 4 issues
    assert fake.weak_reads == []
