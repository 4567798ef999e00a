"""Calls to DynamoDB of a pass of archival: the budgets of docs/store.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow.entities import ExperimentTag
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys
from tests.fakes.fake_dynamodb import FakeDynamoDb
from tests.store.spans import span

PLAN = 1 + keys.SHARDS
"""The list of experiments, and the list of traces of the one there is."""


def test_a_pass(dynamo: Any, calls: Callable[..., int], fake: FakeDynamoDb, tmp_path: Path) -> None:
    now = get_current_time_millis()
    old = [span(f"old-{number}", 1, start=now - 10**8) for number in range(5)]
    dynamo.log_spans("0", old)
    dynamo.log_spans("0", [span(f"new-{number}", 1, start=now) for number in range(5)])
    one_pass = {"resolved_trace_archival_location": tmp_path.as_uri(), "broader_retention": "1d"}
    # A shard's first page asks for its share of what may be taken, and may have to be followed.
    taken = calls("archive_traces", **one_pass, max_traces_per_pass=2)
    assert PLAN + 2 * 3 <= taken <= PLAN + keys.SHARDS + 2 * 3
    assert fake.calls.count("transact_write_items") == 2
    assert calls("archive_traces", **one_pass) == PLAN + 3 * 3
    assert calls("archive_traces", **one_pass) == PLAN
    assert calls("get_trace", "old-0") == 1
    assert calls("delete_traces", "0", trace_ids=["old-0"]) == 5
    dynamo.set_experiment_tag("0", ExperimentTag("mlflow.trace.archiveNow", "{}"))
    # Asked for: then the list is read again for what is left, and the experiment changed.
    assert calls("archive_traces", **one_pass) == PLAN + 5 * 3 + keys.SHARDS + 2


def test_young_traces_are_not_read(dynamo: Any, fake: FakeDynamoDb, tmp_path: Path) -> None:
    now = get_current_time_millis()
    for number in range(3):
        dynamo.log_spans("0", [span(f"new-{number}", 1, start=now - number)])
    dynamo.log_spans("0", [span("old", 1, start=5)])
    read: list[str] = []

    def look(operation: str, parameters: dict[str, Any]) -> Any:
        if operation != "query":
            return None
        answer = fake.real(operation, parameters)
        read.extend(item["trace"]["S"] for item in answer["Items"] if "trace" in item)
        return answer

    fake.faults.append(look)
    one_pass = {"resolved_trace_archival_location": tmp_path.as_uri(), "broader_retention": "1d"}
    assert dynamo.archive_traces(**one_pass) == 1
    assert read == ["old"]
