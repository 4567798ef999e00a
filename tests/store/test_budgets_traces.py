"""Calls to DynamoDB for each call about traces: the budgets of docs/store.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlflow.entities import TraceState
from mlflow.entities.model_registry import PromptVersion

from dynamodb_store import keys
from dynamodb_store.table import THREADS
from tests.fakes.fake_dynamodb import FakeDynamoDb
from tests.store.spans import info, span
from tests.store.test_contract_traces import feedback


def hundred(trace_id: str, first: int = 1) -> list[Any]:
    spans = [span(trace_id, first, mlflow__spanInputs={"question": "why?"})]
    spans += [
        span(trace_id, first + i, first, name=f"s{i % 9}", kind="LLM", user=f"u{i}")
        for i in range(1, 100)
    ]
    return spans


def test_writes(dynamo: Any, calls: Callable[..., int]) -> None:
    assert calls("start_trace", info("tr-1")) == 3
    assert calls("start_trace", info("tr-1", tags={"a": "b"})) == 3
    assert calls("log_spans", "0", hundred("tr-1")) == 2
    assert calls("log_spans", "0", hundred("tr-2")) == 3 <= 4
    assert calls("log_spans", "0", hundred("tr-2", 200)) == 2
    assert calls("log_spans", "0", [*hundred("tr-3"), *hundred("tr-4")]) == 2 + 1 + 2
    assert calls("set_trace_tag", "tr-1", "k", "v") == 2
    assert calls("delete_trace_tag", "tr-1", "k") == 2
    made = feedback("tr-1", "f", 1)
    assert calls("create_assessment", made) == 2
    assert calls("update_assessment", "tr-1", made.assessment_id, name="g") == 2
    assert calls("delete_assessment", "tr-1", made.assessment_id) == 2
    assert calls("link_traces_to_run", [f"tr-{i}" for i in range(100)], "run") == 4
    assert calls("unlink_traces_from_run", [f"tr-{i}" for i in range(100)], "run") == 4
    assert calls("link_prompts_to_trace", "tr-1", [PromptVersion("p", 1, "t")]) == 2
    assert calls("delete_traces", "0", trace_ids=["tr-1"]) == 5


def test_reads(dynamo: Any, calls: Callable[..., int]) -> None:
    for number in range(3):
        dynamo.log_spans("0", hundred(f"tr-{number}"))
    made = dynamo.create_assessment(feedback("tr-0", "f", 1))
    dynamo.link_traces_to_run(["tr-1"], "run")
    assert calls("get_trace", "tr-0") == 1
    assert calls("get_trace_info", "tr-0") == 1
    assert calls("get_assessment", "tr-0", made.assessment_id) == 1
    assert calls("batch_get_traces", ["tr-0", "tr-1", "tr-2"]) == 3
    assert calls("batch_get_trace_infos", ["tr-0", "tr-1", "tr-2"]) == 1
    assert calls("find_completed_sessions", "0", 0, 10**15) == keys.SHARDS
    search = {"locations": ["0"], "max_results": 100}
    assert calls("search_traces", **search, filter_string="status = 'OK'") == keys.SHARDS
    assert calls("search_traces", **search, filter_string="span.type = 'LLM'") == keys.SHARDS
    assert calls("search_traces", **search, filter_string="run_id = 'run'") == keys.SHARDS + 1
    text = "feedback.f = '1'"
    assert calls("search_traces", **search, filter_string=text) == 2 * keys.SHARDS
    text = "trace.text LIKE '%why%' AND request_id = 'tr-1'"
    assert calls("search_traces", **search, filter_string=text) == keys.SHARDS + 1


def test_first_page_is_one_round_trip_and_those_in_progress_a_second(
    dynamo: Any, fake: FakeDynamoDb, calls: Callable[..., int]
) -> None:
    for number in range(60):
        state = TraceState.OK if number < 55 else TraceState.IN_PROGRESS
        dynamo.start_trace(info(f"tr-{number}", 1000 - number, state=state))
    assert calls("search_traces", locations=["0"], max_results=50) == keys.SHARDS <= THREADS
    _, token = dynamo.search_traces(locations=["0"], max_results=50)
    again = {"locations": ["0"], "max_results": 50, "page_token": token}
    assert calls("search_traces", **again) == keys.SHARDS + 1


def test_1500_clients_that_trace_into_one_experiment_spread(
    dynamo: Any, fake: FakeDynamoDb
) -> None:
    for number in range(20):
        trace_id = f"tr-{number:032x}"
        spans = [
            span(trace_id, 1, mlflow__spanInputs={"q": "why " * 20}, mlflow__spanOutputs="so"),
            *(span(trace_id, i, 1, kind="LLM", model="gpt-4o") for i in range(2, 8)),
        ]
        dynamo.log_spans("0", spans)
        dynamo.start_trace(info(trace_id, 1000, tags={"mlflow.user": "someone"}))
    lists = {*keys.trace_shards("0"), *keys.span_shards("0")}
    shared = {pk for pk in fake.written if not pk.startswith("TR#")}
    assert shared <= {*lists, "E#0", "X", "N#=Default"}
    # What a trace costs the lists: each entry is at most 1 KB, in a transaction 2 units. It is
    # written by log_spans (both lists) and by start_trace (one list).
    sizes = [
        sum(len(name) + len(value) for name, value in item.items())
        for shard in lists
        for item in dynamo.table.query_all(shard)
    ]
    assert len(sizes) == 40
    assert max(sizes) <= 1024
    spread: dict[int, int] = {}
    for number in range(1500):
        shard = keys.shard_of(f"tr-{number:032x}")
        spread[shard] = spread.get(shard, 0) + 2 * 2
    assert len(spread) == keys.SHARDS
    assert max(spread.values()) < 1000
