"""Traces, spans and assessments: the same calls on MLflow's SQL store and on ours."""

from __future__ import annotations

import math
from typing import Any

import pytest
from mlflow.entities import (
    AssessmentSource,
    Expectation,
    Feedback,
    TraceState,
)
from mlflow.entities.assessment import ExpectationValue, FeedbackValue, IssueReference
from mlflow.entities.model_registry import PromptVersion
from mlflow.entities.trace_status import TraceStatus
from opentelemetry.trace import StatusCode

from tests.store.both import Both, Ref, RunRef
from tests.store.spans import info, span

HUMAN = AssessmentSource(source_type="HUMAN", source_id="me@example.com")
JUDGE = AssessmentSource(source_type="LLM_JUDGE", source_id="judge")


@pytest.fixture
def both(sql: Any, ours: Any) -> Both:
    return Both(sql, ours)


def feedback(trace_id: str, name: str, value: Any, **fields: Any) -> Feedback:
    fields = {"source": HUMAN, "create_time_ms": 1000, "last_update_time_ms": 1000, **fields}
    return Feedback(name=name, value=value, trace_id=trace_id, **fields)


def start_again(both: Both, trace: Any) -> None:
    """For a trace that exists, MLflow's SQL store answers with the tags from before."""
    for side in both.sides:
        side.store.start_trace(trace)
    both.get_trace_info(trace.trace_id)


def search(both: Both, *experiments: str, **kwargs: Any) -> list[Any]:
    """All pages of both sides, compared page by page."""
    tokens: list[Any] = [None, None]
    found = []
    while True:
        pages = []
        for number, side in enumerate(both.sides):
            page, token = side.store.search_traces(
                locations=list(experiments) or None, page_token=tokens[number], **kwargs
            )
            tokens[number] = token
            pages.append(side.plain(page))
        assert pages[1] == pages[0], kwargs
        assert (tokens[0] is None) == (tokens[1] is None)
        found += [one["trace_id"] for one in pages[0]]
        if tokens[0] is None:
            return found


def test_whichever_of_start_trace_and_log_spans_comes_first(both: Both) -> None:
    tags = {"mlflow.traceName": "a name", "é#/ ": "☃", "empty": ""}
    metadata = {
        "mlflow.trace.session": "s1",
        "mlflow.trace.tokenUsage": '{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}',
        "mlflow.trace.cost": '{"input_cost": 0.1, "total_cost": 0.30000000000000004}',
        "own": "x",
    }
    whole = info(
        "tr-1",
        1500,
        request_preview="question",
        response_preview="answer",
        client_request_id="c1",
        tags=tags,
        trace_metadata=metadata,
    )
    spans = [
        span("tr-1", 1, mlflow__spanInputs={"q": 1}, mlflow__spanOutputs="out", kind="CHAIN"),
        span("tr-1", 2, 1, start=1100, end=1200, kind="LLM"),
    ]
    both.start_trace(whole)
    both.get_trace_info("tr-1")
    both.log_spans("0", spans)
    both.get_trace("tr-1")
    both.log_spans("0", [span("tr-2", 2, 1, start=1100, end=1200)])
    both.get_trace_info("tr-2")
    both.log_spans("0", [span("tr-2", 1, start=900, end=None, status=StatusCode.ERROR)])
    both.get_trace_info("tr-2")
    both.log_spans("0", [span("tr-2", 3, 1, start=950, end=3000)])
    both.get_trace("tr-2")
    start_again(both, info("tr-2", 1234, tags={"a": "b"}, trace_metadata={"own": "y"}))
    both.get_trace("tr-2")
    start_again(both, info("tr-2", 1235, state=TraceState.ERROR, execution_duration=None))
    both.get_trace("tr-2")
    both.log_spans("0", [span("tr-2", 9, 1, start=1, end=9000)])
    both.get_trace("tr-2")
    both.start_trace(info("tr-3", 1, state=TraceState.IN_PROGRESS))
    both.log_spans("0", [span("tr-3", 1, name="new name", status=StatusCode.UNSET)])
    both.log_spans("0", [span("tr-3", 1, name="same span again", status=StatusCode.OK)])
    both.get_trace("tr-3")
    both.batch_get_traces(["tr-3", "none", "tr-1", "tr-3", "tr-2"])
    both.batch_get_traces(["tr-3", "tr-1"], None, ["7"])
    both.batch_get_trace_infos(["tr-3", "none", "tr-1", "tr-3"])
    both.batch_get_trace_infos(["tr-3", "tr-1"], None, ["0", "7"])
    assert search(both, "0") == ["tr-1", "tr-2", "tr-3"]
    assert search(both) == ["tr-1", "tr-2", "tr-3"]


def test_usage_cost_session_user_and_tags_of_spans(both: Both) -> None:
    def llm(number: int, parent: int | None, tokens: int, **more: Any) -> Any:
        usage = {"input_tokens": tokens, "output_tokens": 1, "total_tokens": tokens + 1}
        cost = {"input_cost": tokens / 7, "output_cost": 0.1, "total_cost": tokens / 7 + 0.1}
        return span(
            "tr-1",
            number,
            parent,
            mlflow__chat__tokenUsage=usage,
            mlflow__llm__cost=cost,
            mlflow__llm__model="gpt",
            mlflow__llm__provider="openai",
            **more,
        )

    resource = {"service.name": "web", "telemetry.sdk.name": "x", "mlflow.x": "y", "n": 5}
    both.log_spans("0", [llm(2, 1, 10, resource=resource, user__id="ann")])
    both.get_trace_info("tr-1")
    both.log_spans("0", [llm(3, 1, 20, session__id="s-1", user__id="bob")])
    both.get_trace_info("tr-1")
    root = llm(1, None, 30, mlflow__traceTag__color="red", session__id="s-2")
    both.log_spans("0", [root])
    both.get_trace_info("tr-1")
    both.log_spans("0", [root, llm(2, 1, 11)])
    both.get_trace("tr-1")
    start_again(both, info("tr-1", 1000, trace_metadata={"mlflow.trace.cost": '{"total_cost": 9}'}))
    both.log_spans("0", [llm(4, 1, 100)])
    both.get_trace("tr-1")
    both.log_spans("0", [span("tr-9", 1, session__id="x" * 300)])
    both.log_spans("0", [span("tr-9", 1, **{"mlflow.traceTag.mlflow.traceName": "named"})])
    both.get_trace_info("tr-9")
    both.log_spans("0", [span("tr-8", 1, text="é☃ \ud83d\ude00", n=math.nan, deep={"a": [1]})])
    both.get_trace("tr-8")


def test_several_traces_in_one_call_and_other_experiments(both: Both) -> None:
    both.create_experiment("one")
    both.log_spans("1", [span(f"tr-{i % 3}", i + 1, start=1000 + i) for i in range(9)])
    both.get_trace("tr-0")
    both.log_spans("0", [span("tr-0", 50), span("tr-new", 1)])
    assert search(both, "1") == ["tr-2", "tr-1", "tr-0"]
    start_again(both, info("tr-0", 5000, "0"))
    assert search(both, "1") == ["tr-2", "tr-1"]
    assert search(both, "0") == ["tr-0", "tr-new"]
    assert search(both, "0", filter_string="span.name = 'span 4'") == ["tr-0"]
    both.get_trace("tr-0")
    both.log_spans("77", [span("tr-x", 1)])
    both.log_spans("0", [])
    both.delete_experiment("1")
    both.start_trace(info("tr-5", 5000, "1"))
    both.log_spans("1", [span("tr-6", 1)])
    assert search(both, "1", max_results=1) == ["tr-2", "tr-1", "tr-6"]
    assert both.filter_active_experiment_ids(["1", "0", "0", "99"]) == ["0"]
    assert both.filter_active_experiment_ids([]) == []


def test_the_older_calls_of_clients_before_3(both: Both) -> None:
    tags = {"mlflow.traceName": "old", "a": "b"}
    both.deprecated_start_trace_v2("0", 1000, {"mlflow.trace.session": "s", "k": "v"}, tags)
    trace = Ref("v2")
    both.get_trace_info(trace)
    more = {"k": "w", "mlflow.trace.tokenUsage": '{"total_tokens": 5}'}
    both.deprecated_end_trace_v2(trace, 1777, TraceStatus.ERROR, more, {"mlflow.traceName": "n"})
    both.get_trace_info(trace)
    both.get_trace(trace)
    both.deprecated_end_trace_v2("none", 1777, TraceStatus.OK, {}, {})
    both.deprecated_start_trace_v2("77", 1000, {}, {})
    both.deprecated_start_trace_v2("0", 1000, {}, {"mlflow.traceName": "n" * 9000})


def test_tags(both: Both) -> None:
    both.start_trace(info("tr-1"))
    both.log_spans("0", [span("tr-2", 2, 1)])
    for trace_id in ("tr-1", "tr-2", "none"):
        both.set_trace_tag(trace_id, "é #/", "☃")
        both.set_trace_tag(trace_id, "empty", "")
        both.set_trace_tag(trace_id, "mlflow.traceName", "named")
        both.delete_trace_tag(trace_id, "empty")
        both.delete_trace_tag(trace_id, "nothing")
    both.set_trace_tag("tr-1", "k" * 251, "v")
    both.set_trace_tag("tr-1", "long", "v" * 9000)
    both.set_trace_tag("tr-1", None, "v")
    both.set_trace_tag("tr-1", "mlflow.traceName", "n" * 9000)
    both.get_trace_info("tr-1")
    both.delete_trace_tag("tr-2", "mlflow.traceName")
    both.delete_trace_tag("tr-2", "mlflow.traceName")
    both.get_trace_info("tr-2")


def test_assessments(both: Both) -> None:
    both.start_trace(
        info("tr-1", assessments=[feedback("", "given", True), feedback("", "rated", 0.5)])
    )
    both.log_spans("0", [span("tr-1", 1)])
    values: list[Any] = [5, 0.1 + 0.2, "yes", True, None, ["a"], {"b": 1}, "☃" * 3000, 2**70]
    for number, value in enumerate(values):
        made = feedback("tr-1", f"f{number}", value, create_time_ms=2000 - number)
        made.assessment_id = f"a-{number}"
        both.create_assessment(made)
        both.get_assessment("tr-1", f"a-{number}")
    failed = Feedback(name="failed", error=ValueError("bad"), source=JUDGE, trace_id="tr-1")
    failed.assessment_id, failed.create_time_ms = "a-failed", 1
    both.create_assessment(failed)
    both.create_assessment(failed)
    expected = Expectation(name="e", value={"x": [1]}, source=HUMAN, trace_id="tr-1", span_id="s")
    expected.assessment_id, expected.create_time_ms = "a-e", 3
    both.create_assessment(expected)
    issue = IssueReference("iss-1", "an issue", trace_id="tr-1", run_id="r", rationale="why")
    issue.assessment_id, issue.create_time_ms = "a-i", 4
    both.create_assessment(issue)
    both.get_trace_info("tr-1")
    replaced = feedback("tr-1", "f0", 6, overrides="a-0", rationale="better")
    replaced.assessment_id = "a-0b"
    both.create_assessment(replaced)
    both.get_assessment("tr-1", "a-0")
    both.update_assessment("tr-1", "a-0b", name="new", rationale="r", metadata={"k": "v"})
    both.update_assessment("tr-1", "a-0b", feedback=FeedbackValue(7), metadata={"l": "w"})
    both.update_assessment("tr-1", "a-e", expectation=ExpectationValue("other"))
    both.update_assessment("tr-1", "a-e", feedback=FeedbackValue(7))
    both.update_assessment("tr-1", "a-0", expectation=ExpectationValue(7))
    both.update_assessment(
        "tr-1", "a-0", expectation=ExpectationValue(7), feedback=FeedbackValue(7)
    )
    both.update_assessment("tr-1", "none", name="x")
    both.update_assessment("none", "a-0", name="x")
    both.get_trace_info("tr-1")
    both.delete_assessment("tr-1", "a-0b")
    both.delete_assessment("tr-1", "a-0b")
    both.delete_assessment("none", "a-0b")
    both.get_assessment("tr-1", "a-0")
    both.get_assessment("tr-1", "a-0b")
    both.get_assessment("none", "a-0b")
    ghost = feedback("tr-1", "f0", 6, overrides="none")
    ghost.assessment_id = "a-ghost"
    both.create_assessment(ghost)
    ghost.assessment_id = "a-e"
    both.create_assessment(ghost)
    both.create_assessment(feedback("none", "f0", 6))
    both.get_trace_info("tr-1")


def test_assessments_that_a_run_made_go_with_it(both: Both) -> None:
    both.start_trace(info("tr-1"))
    both.create_run("0", "u", 1, [], "r")
    for number, side in enumerate(both.sides):
        made = feedback("tr-1", "f", 1, metadata={"mlflow.assessment.sourceRunId": side.runs[0]})
        made.assessment_id = f"a-{number}"
        side.store.create_assessment(made)
        kept = feedback("tr-1", "g", 1)
        kept.assessment_id = "kept"
        side.store.create_assessment(kept)
    both.delete_run(RunRef(0))
    assert [one["assessment_name"] for one in both.get_trace_info("tr-1")["assessments"]] == ["g"]


def test_deleting(both: Both) -> None:
    both.create_experiment("other")
    for number in range(9):
        both.start_trace(info(f"tr-{number}", 1000 + number // 2))
    both.start_trace(info("elsewhere", 1000, "1"))
    both.log_spans("0", [span("tr-1", 1)])
    assert both.delete_traces("0", trace_ids=["tr-1", "none", "elsewhere"]) == 1
    both.get_trace("tr-1")
    assert both.delete_traces("0", max_timestamp_millis=1003, max_traces=3) == 3
    assert search(both, "0") == ["tr-8", "tr-6", "tr-7", "tr-4", "tr-5"]
    assert both.delete_traces("0", max_timestamp_millis=1003) == 4
    assert both.delete_traces("0", max_timestamp_millis=1) == 0
    assert search(both, "0") == ["tr-8"]
    both.delete_traces("0")
    both.delete_traces("0", max_timestamp_millis=1, trace_ids=["a"])
    both.delete_traces("0", trace_ids=["a"], max_traces=1)
    both.delete_traces("0", max_timestamp_millis=1, max_traces=0)
    both.log_spans("0", [span("tr-1", 2)])
    both.get_trace("tr-1")
    both.delete_experiment("1")
    both._hard_delete_experiment("1")
    both.get_trace_info("elsewhere")
    both.batch_get_trace_infos(["elsewhere"])


def test_links_to_runs_and_prompts(both: Both) -> None:
    for number in range(4):
        metadata = {"mlflow.sourceRun": "run-b"} if number == 3 else {}
        both.start_trace(info(f"tr-{number}", 1000 + number, trace_metadata=metadata))
    both.link_traces_to_run(["tr-0", "tr-1", "later"], "run-a")
    both.link_traces_to_run(["tr-1", "tr-2"], "run-a")
    both.link_traces_to_run(["tr-1"], "run-b")
    both.link_traces_to_run([], "run-b")
    both.link_traces_to_run([str(i) for i in range(101)], "run-b")
    both.log_spans("0", [span("later", 1, start=1)])
    assert search(both, "0", filter_string="run_id = 'run-a'") == ["tr-2", "tr-1", "tr-0", "later"]
    assert search(both, "0", filter_string="metadata.`mlflow.sourceRun` = 'run-b'") == [
        "tr-3",
        "tr-1",
    ]
    assert search(both, "0", filter_string="run_id != 'run-a'") == ["tr-3"]
    prompts = [PromptVersion("p/é", 1, "t"), PromptVersion("q", 2, "t")]
    both.link_prompts_to_trace("tr-0", prompts)
    both.link_prompts_to_trace("tr-0", prompts[1:])
    both.link_prompts_to_trace("none", prompts)
    both.link_prompts_to_trace("tr-0", [])
    assert search(both, "0", filter_string="prompt = 'q/2'") == ["tr-0"]
    assert search(both, "0", filter_string="prompt = 'q/3'") == []
    both.search_traces(["0"], "prompt = 'q'")
    both.search_traces(["0"], "prompt LIKE 'q/2'")
