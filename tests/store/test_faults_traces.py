"""Traces of any size, other writers in between, lost answers, crashes: nothing is lost."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from mlflow.entities import TraceState
from mlflow.exceptions import MlflowException, MlflowTracingException

from dynamodb_store import keys
from dynamodb_store.table import Table
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from tests.fakes.fake_dynamodb import FakeDynamoDb, lose_answers, throttle
from tests.store.spans import info, span
from tests.store.test_contract_traces import feedback

_RANDOM = random.Random(1)
NOISE = "".join(chr(_RANDOM.randrange(32, 127)) for _ in range(100_000))


class OneThread(Table):
    """Another server in the middle of a call: the fake lets one thread in at a time."""

    def parallel(self, work: Any, arguments: Any) -> Any:
        return [work(argument) for argument in arguments]


@pytest.fixture
def other(dynamo: Any, fake: FakeDynamoDb) -> DynamoDbTrackingStore:
    return DynamoDbTrackingStore(OneThread(fake._client, dynamo.table.uri), "s3://bucket/root")


def names(trace: Any) -> list[str]:
    return sorted(one.name for one in trace.data.spans)


def listed(dynamo: Any, **kwargs: Any) -> list[str]:
    return [one.trace_id for one in dynamo.search_traces(locations=["0"], **kwargs)[0]]


def left(fake: FakeDynamoDb) -> list[tuple[str, str]]:
    items = fake.scan(TableName="mlflow")["Items"]
    keys_left = [(item["pk"]["S"], item["sk"]["S"]) for item in items]
    return [key for key in keys_left if key[0].startswith("TR")]


@pytest.mark.parametrize("number", [600, pytest.param(5000, marks=pytest.mark.heavy)])
def test_thousands_of_spans_and_large_attributes(
    dynamo: Any, fake: FakeDynamoDb, number: int
) -> None:
    spans = [span("tr-1", 1, name="root")]
    spans += [span("tr-1", i, 1, name=f"s{i % 97}", count=i) for i in range(2, number + 1)]
    for at in range(0, number, 1700):
        dynamo.log_spans("0", spans[at : at + 1700])
    large = [span("tr-2", 1, text=NOISE * 8 + "☃"), span("tr-2", 2, 1, n=math.nan, i=math.inf)]
    dynamo.log_spans("0", large)
    assert len(dynamo.get_trace("tr-1").data.spans) == number
    back = dynamo.get_trace("tr-2").data.spans
    assert [one.to_dict() for one in back] == [one.to_dict() for one in large]
    assert back[0].attributes["text"].endswith("☃")
    assert math.isnan(back[1].attributes["n"])
    dynamo.create_assessment(feedback("tr-2", "f", NOISE * 2, rationale="r" * 100_000))
    for tag in range(12):
        dynamo.set_trace_tag("tr-2", f"tag {tag}", "☃" * 2600)
    assert dynamo.get_trace_info("tr-2").assessments[0].value == NOISE * 2
    assert fake.largest_item < 400_000
    assert listed(dynamo, filter_string="span.name = 's96'") == ["tr-1"]
    assert listed(dynamo, filter_string="trace.text LIKE '%text%'") == ["tr-2"]
    assert listed(dynamo, filter_string="tags.`tag 7` LIKE '☃%' AND feedback.f LIKE '%%'")
    noise = "".join(chr(_RANDOM.randrange(0x4E00, 0x9000)) for _ in range(250_000))
    with pytest.raises(MlflowException, match="too large"):
        dynamo.create_assessment(feedback("tr-2", "g", noise))
    assert dynamo.delete_traces("0", max_timestamp_millis=10**9) == 2
    assert left(fake) == []


def test_start_trace_in_the_middle_of_log_spans(
    dynamo: Any, fake: FakeDynamoDb, other: Any
) -> None:
    others = [info("tr-1", 1234, tags={"late": "2"}), info("tr-1", 1233, tags={"early": "1"})]

    def meanwhile(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and others:
            other.start_trace(others.pop())

    fake.faults.append(meanwhile)
    dynamo.log_spans("0", [span("tr-1", 1, session__id="s"), span("tr-2", 1)])
    fake.faults.clear()
    trace = dynamo.get_trace("tr-1")
    assert names(trace) == ["span 1"]
    assert {"early", "late", "mlflow.trace.spansLocation"} <= set(trace.info.tags)
    assert trace.info.request_time == 1234
    assert listed(dynamo) == ["tr-1", "tr-2"]


def test_log_spans_in_the_middle_of_log_spans_and_of_changes(
    dynamo: Any, fake: FakeDynamoDb, other: Any
) -> None:
    numbers: list[int] = []

    def meanwhile(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and numbers:
            number = numbers.pop()
            other.log_spans("0", [span("tr-1", number, 1, start=1000 - number)])

    fake.faults.append(meanwhile)
    numbers.append(2)
    dynamo.log_spans("0", [span("tr-1", 1)])
    numbers.append(4)
    dynamo.set_trace_tag("tr-1", "k", "v")
    numbers.append(6)
    dynamo.create_assessment(feedback("tr-1", "f", 1))
    fake.faults.clear()
    trace = dynamo.get_trace("tr-1")
    assert names(trace) == ["span 1", "span 2", "span 4", "span 6"]
    assert trace.info.tags["k"] == "v"
    assert len(trace.info.assessments) == 1
    assert trace.info.request_time == 994
    assert listed(dynamo) == ["tr-1"]
    assert len(left(fake)) == 1 + 4 + 2  # head, chunks, two entries: no stale ones


def test_lost_answers_and_throttling(dynamo: Any, fake: FakeDynamoDb) -> None:
    lost: list[str] = []
    fake.faults.append(lose_answers(fake, lost))
    in_progress = info("tr-1", state=TraceState.IN_PROGRESS)
    dynamo.start_trace(in_progress)
    made = dynamo.create_assessment(feedback("tr-1", "f", 1))
    dynamo.log_spans("0", [span("tr-1", 1), span("tr-2", 1)])
    dynamo.delete_assessment("tr-1", made.assessment_id)
    dynamo.create_assessment(feedback("tr-1", "g", 1))
    assert lost
    fake.faults[:] = [throttle(5)]
    dynamo.log_spans("0", [span("tr-1", 1), span("tr-1", 2, 1)])
    fake.faults.clear()
    trace = dynamo.get_trace("tr-1")
    assert names(trace) == ["span 1", "span 2"]
    assert [one.name for one in trace.info.assessments] == ["g"]
    fake.faults.append(lose_answers(fake, lost))
    assert dynamo.delete_traces("0", trace_ids=["tr-1", "tr-2"]) == 2
    assert left(fake) == []


def test_a_crash_leaves_what_a_reader_can_read_and_a_repeat_completes(
    dynamo: Any, fake: FakeDynamoDb
) -> None:
    spans = [span("tr-1", 1, text=NOISE), span("tr-1", 2, 1)]

    def crash(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items":
            raise KeyboardInterrupt

    for _ in range(2):
        fake.faults[:] = [crash]
        with pytest.raises(KeyboardInterrupt):
            dynamo.log_spans("0", spans)
        fake.faults.clear()
        with pytest.raises(MlflowException, match="not found"):
            dynamo.get_trace_info("tr-1")
        assert listed(dynamo) == []
        assert len(left(fake)) == 1  # the part, which the repeat writes again
    dynamo.log_spans("0", spans)
    dynamo.log_spans("0", spans)
    assert names(dynamo.get_trace("tr-1")) == ["span 1", "span 2"]
    fake.faults[:] = [crash]
    with pytest.raises(KeyboardInterrupt):
        dynamo.delete_traces("0", trace_ids=["tr-1"])
    fake.faults.clear()
    assert listed(dynamo) == ["tr-1"]
    assert dynamo.get_trace("tr-1", allow_partial=True).data.spans == []
    assert dynamo.delete_traces("0", trace_ids=["tr-1"]) == 1
    assert left(fake) == []


def test_spans_that_come_while_a_trace_is_deleted_are_deleted_or_make_a_new_one(
    dynamo: Any, fake: FakeDynamoDb, other: Any
) -> None:
    dynamo.log_spans("0", [span("tr-1", 1)])
    once = [True]

    def meanwhile(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and once:
            once.clear()
            other.log_spans("0", [span("tr-1", 2, 1)])

    fake.faults.append(meanwhile)
    assert dynamo.delete_traces("0", trace_ids=["tr-1"]) == 1
    assert left(fake) == []
    once.append(True)
    dynamo.log_spans("0", [span("tr-1", 3)])
    fake.faults.clear()
    assert names(dynamo.get_trace("tr-1")) == ["span 2", "span 3"]


def test_waiting_for_spans_that_are_being_exported(dynamo: Any, pauses: Any) -> None:
    stats = {"mlflow.trace.sizeStats": '{"num_spans": 2}'}
    dynamo.start_trace(info("tr-1", trace_metadata=stats))
    with pytest.raises(MlflowTracingException, match="not stored in tracking store"):
        dynamo.get_trace("tr-1")
    dynamo.log_spans("0", [span("tr-1", 1)])
    with pytest.raises(MlflowException, match="not fully exported") as refused:
        dynamo.get_trace("tr-1")
    assert refused.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert pauses.made == [1.0, 2.0]
    assert dynamo.batch_get_traces(["tr-1"]) == []
    assert names(dynamo.get_trace("tr-1", allow_partial=True)) == ["span 1"]
    dynamo.log_spans("0", [span("tr-1", 2, 1)])
    assert names(dynamo.get_trace("tr-1")) == ["span 1", "span 2"]


def test_spans_kept_elsewhere_are_not_mixed_with_ours(dynamo: Any) -> None:
    dynamo.start_trace(info("tr-1", tags={"mlflow.trace.spansLocation": "ARTIFACT_REPO"}))
    with pytest.raises(MlflowException, match="tr-1") as refused:
        dynamo.log_spans("0", [span("tr-1", 1), span("tr-2", 1)])
    assert refused.value.error_code == "INVALID_STATE"
    with pytest.raises(MlflowException, match="no longer DB-backed"):
        dynamo.start_trace(info("tr-1"))
    assert listed(dynamo) == ["tr-1"]


def test_what_gc_removes_and_every_read_is_strong(dynamo: Any, fake: FakeDynamoDb) -> None:
    experiment_id = dynamo.create_experiment("gone")
    for number in range(4):
        trace_id = f"tr-{number}"
        dynamo.start_trace(info(trace_id, number, experiment_id))
        dynamo.log_spans(experiment_id, [span(trace_id, 1, text=NOISE, session__id="s")])
        wide = {"mlflow.trace.session": "s", "mlflow.assessment.sourceRunId": "run"}
        dynamo.create_assessment(feedback(trace_id, "f", 1, metadata=wide))
    dynamo.search_traces(locations=[experiment_id], filter_string="trace.text LIKE '%a%'")
    dynamo.delete_experiment(experiment_id)
    dynamo._hard_delete_experiment(experiment_id)
    assert left(fake) == []
    assert fake.weak_reads == []
    run_id = dynamo.create_run("0", "u", 1, [], "r").info.run_id
    dynamo.link_traces_to_run(["tr-1"], run_id)
    dynamo.delete_run(run_id)
    dynamo._hard_delete_run(run_id)
    assert left(fake) == []


def test_linked_and_unlinked(dynamo: Any) -> None:
    dynamo.start_trace(info("tr-1"))
    dynamo.link_traces_to_run(["tr-1"], "run")
    assert listed(dynamo, filter_string="run_id = 'run'") == ["tr-1"]
    dynamo.unlink_traces_from_run(["tr-1", "none"], "run")
    assert listed(dynamo, filter_string="run_id = 'run'") == []
    with pytest.raises(MlflowException, match="100 traces"):
        dynamo.unlink_traces_from_run([str(i) for i in range(101)], "run")


def test_entries_say_where_a_trace_is_once_it_moved(dynamo: Any) -> None:
    dynamo.log_spans("0", [span("tr-1", 2, 1, start=5000, end=6000)])
    assert listed(dynamo) == ["tr-1"]
    dynamo.log_spans("0", [span("tr-1", 3, 1, start=100, end=200)])
    dynamo.log_spans("0", [span("tr-1", 1, start=50, end=9000)])
    (found,) = dynamo.search_traces(locations=["0"])[0]
    assert (found.request_time, found.execution_duration) == (50, 8950)
    (item,) = [one for pk in keys.span_shards("0") for one in dynamo.table.query_all(pk)]
    assert item["sk"] == keys.trace_order(5000, "tr-1")


def test_a_span_that_comes_twice_in_one_call_counts_once(dynamo: Any) -> None:
    def of(number: int, parent: int | None, tokens: int) -> Any:
        usage = {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens}
        return span("tr-1", number, parent, mlflow__chat__tokenUsage=usage)

    dynamo.log_spans("0", [of(1, None, 5), of(1, None, 7)])
    assert dynamo.get_trace_info("tr-1").token_usage["total_tokens"] == 7
    # MLflow's walk over the tree of these would not end.
    dynamo.log_spans("0", [of(2, None, 3), of(2, 2, 4)])
    assert len(dynamo.get_trace("tr-1").data.spans) == 2
