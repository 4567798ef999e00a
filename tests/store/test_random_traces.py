"""Random calls about traces: logged, tagged, assessed, linked, searched, deleted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import AssessmentSource, Expectation, Feedback, TraceState
from mlflow.entities.assessment import ExpectationValue, FeedbackValue, IssueReference
from mlflow.entities.model_registry import PromptVersion
from opentelemetry.trace import StatusCode

from tests.store.both import Make, RunRef
from tests.store.random_calls import Call, Worlds, call, examples, sequences, worlds
from tests.store.spans import info, span
from tests.store.test_contract_search_traces import FILTERS, ORDERS

__all__ = ["worlds"]

HUMAN = AssessmentSource(source_type="HUMAN", source_id="me")
TRACES = [f"tr-0{number}" for number in range(6)]

traces = st.sampled_from([*TRACES, *TRACES[:4], "none"])
some_traces = st.lists(traces, max_size=4)
different_traces = st.lists(traces, max_size=4, unique=True)
experiments = st.sampled_from(["0", "0", "0", "1", "2", "77"])
times = st.sampled_from([None, 0, 100_000, 100_001, 100_003, 10**12])
keys = st.sampled_from(["color", "n", "a b/#", "mlflow.traceName"])
texts = st.sampled_from(["", "red", "Green", "x", "name 3", "☃ 🚀"])
tags = st.dictionaries(keys, texts, max_size=3)
metadata = st.dictionaries(
    st.sampled_from(["user", "mlflow.sourceRun", "mlflow.trace.session"]),
    st.sampled_from(["u1", "run-1", "s0", "s1"]),
    max_size=3,
)
costs = st.sampled_from(
    [
        {},
        {},
        {"mlflow.trace.tokenUsage": '{"input_tokens": 3}'},
        {"mlflow.trace.cost": '{"total_cost": 0.5}'},
    ]
)
states = st.sampled_from(list(TraceState))
statuses = st.sampled_from(list(StatusCode))


def start(store: Any, of: Any) -> Any:
    """SQL answers with the tags from before when there was a trace; what counts is what is kept."""
    store.start_trace(of)
    return store.get_trace_info(of.trace_id)


infos = st.builds(
    lambda trace_id, time, experiment_id, state, lasted, client, tags, metadata, costs: Make(
        info,
        trace_id,
        time,
        experiment_id,
        state=state,
        execution_duration=lasted,
        client_request_id=client,
        tags=tags,
        trace_metadata={**metadata, **costs},
    ),
    traces,
    st.integers(100_000, 100_006),
    experiments,
    states,
    st.sampled_from([None, 0, 5, 60]),
    st.sampled_from([None, "client 4", "client 12"]),
    tags,
    metadata,
    costs,
)
spans = st.builds(
    lambda trace_id, number, parent, name, kind, start, lasted, status, more: Make(
        span,
        trace_id,
        number,
        parent if number > 1 else None,  # MLflow never ends with a span that is its own parent
        name=name,
        kind=kind,
        start=start,
        end=None if lasted is None else start + lasted,
        status=status,
        **more,
    ),
    traces,
    st.integers(1, 3),
    st.sampled_from([None, 1]),
    st.sampled_from(["root", "call é", "Call"]),
    st.sampled_from(["LLM", "CHAIN", "TOOL"]),
    st.sampled_from([50_000, 100_000, 100_004]),
    st.sampled_from([None, 0, 10, 100]),
    statuses,
    st.sampled_from(
        [
            {},
            {"model": "gpt-4o", "user__name": "Ann 3"},
            {"mlflow__spanInputs": {"q": 1}, "mlflow__spanOutputs": "out"},
            {"mlflow__chat__tokenUsage": {"input_tokens": 2, "total_tokens": 3}},
            {"mlflow__llm__cost": {"total_cost": 0.25, "input_cost": 0.25}},
            {"session__id": "s1", "user__id": "u1"},
            {"mlflow__traceTag__color": "blue"},
        ]
    ),
)


def which_span(made: Make) -> tuple[Any, ...]:
    """What comes twice in one call counts twice in SQL, and once in ours (docs/store.md)."""
    return made.args[:2]


assessments = st.sampled_from([f"a-{number}" for number in range(5)])
of_runs = st.sampled_from([{}, {}, {"mlflow.trace.session": "s0"}])
values = st.sampled_from([5, 0.5, 7, "yes", "maybe", "No", True, None, ["a", 1]])


def assessment(kind: Any, assessment_id: str, at: int = 1000, **fields: Any) -> Any:
    made = kind(**fields)
    made.assessment_id = assessment_id
    made.create_time_ms = made.last_update_time_ms = at
    return made


def feedback_of(
    trace_id: str, assessment_id: str, name: str, value: Any, overrides: Any, metadata: Any
) -> Any:
    return Make(
        assessment,
        Feedback,
        assessment_id,
        name=name,
        value=value,
        source=HUMAN,
        trace_id=trace_id,
        overrides=overrides,
        metadata=metadata,
    )


feedbacks = st.builds(
    feedback_of,
    traces,
    assessments,
    st.sampled_from(["score", "whole"]),
    values,
    st.one_of(st.none(), st.none(), assessments),
    of_runs,
)
expectations = st.builds(
    lambda trace_id, assessment_id, value: Make(
        assessment,
        Expectation,
        assessment_id,
        name="score",
        value=value,
        source=HUMAN,
        trace_id=trace_id,
    ),
    traces,
    assessments,
    st.sampled_from(["five", 5, {"x": [1]}]),
)
issues = st.builds(
    lambda trace_id, assessment_id: Make(
        assessment,
        IssueReference,
        assessment_id,
        issue_id="iss-1",
        issue_name="an issue",
        trace_id=trace_id,
        source=HUMAN,
    ),
    traces,
    assessments,
)
runs = st.sampled_from(["run-1", "run-9", RunRef(0)])
scopes = st.sampled_from([["0"], ["0", "1"], ["1"], None])
filters = st.sampled_from(FILTERS)
P, Q = PromptVersion("p/é", 1, "t"), PromptVersion("q", 2, "t")

steps = [
    call(start, infos),
    call(start, infos),
    call("log_spans", experiments, st.lists(spans, min_size=1, max_size=4, unique_by=which_span)),
    call("log_spans", st.just("0"), st.lists(spans, min_size=1, max_size=2, unique_by=which_span)),
    call("set_trace_tag", traces, keys, texts),
    call("delete_trace_tag", traces, keys),
    call("create_assessment", feedbacks),
    call("create_assessment", st.one_of(feedbacks, expectations, issues)),
    call(
        "update_assessment",
        traces,
        assessments,
        kwargs={
            "name": st.sampled_from([None, "score", "whole"]),
            "rationale": st.sampled_from([None, "", "why"]),
            "metadata": st.one_of(st.none(), of_runs),
            "feedback": st.one_of(st.none(), values.map(FeedbackValue)),
        },
    ),
    call(
        "update_assessment",
        traces,
        assessments,
        kwargs={"expectation": st.just(ExpectationValue("five"))},
    ),
    call("delete_assessment", traces, assessments),
    call("get_assessment", traces, assessments),
    call("link_traces_to_run", different_traces, runs),
    call("link_prompts_to_trace", traces, st.sampled_from([[], [Q], [P], [P, Q]])),
    call("get_trace", traces),
    call("get_trace_info", traces),
    call("batch_get_traces", some_traces),
    call("batch_get_trace_infos", some_traces, st.none(), scopes),
]
search = call(
    "search_traces",
    kwargs={
        "locations": scopes,
        "filter_string": filters,
        "max_results": st.integers(1, 4),
        "order_by": st.one_of(st.none(), st.sampled_from(ORDERS)),
    },
    paged=True,
)
removals = [
    call(
        "delete_traces",
        experiments,
        kwargs={"trace_ids": st.lists(traces, min_size=1, max_size=2)},
    ),
    call(
        "delete_traces",
        experiments,
        kwargs={
            "max_timestamp_millis": times,
            "max_traces": st.sampled_from([None, 1, 2, 0]),
        },
    ),
    call("find_completed_sessions", experiments, st.just(0), times.filter(bool)),
    call("calculate_trace_filter_correlation", st.just(["0", "1"]), filters, filters),
    call("delete_run", st.just(RunRef(0))),
    call("restore_run", st.just(RunRef(0))),
    call("delete_experiment", st.just("1")),
    call("restore_experiment", st.just("1")),
]


def told_apart(at: int, one: Call) -> Call:
    """Assessments have an id each, also in different traces, and different times."""
    if one.method in ("get_assessment", "update_assessment", "delete_assessment"):
        trace_id, assessment_id = one.args
        return replace(one, args=(trace_id, f"{assessment_id} {trace_id}"))
    if one.method != "create_assessment":
        return one
    (made,) = one.args
    of = f" {made.kwargs['trace_id']}"
    kind, assessment_id = made.args
    fields = dict(made.kwargs)
    if fields.get("overrides"):
        fields["overrides"] += of
    return replace(one, args=(Make(made.kind, kind, assessment_id + of, 1000 + at, **fields),))


def drive(worlds: Worlds, calls: list[Call]) -> None:
    both = worlds.new()
    first: list[Call] = [
        Call("create_experiment", ("one",)),
        Call("create_experiment", ("two",)),
        Call("delete_experiment", ("2",)),
        Call("create_run", ("0", "u", 1, [], "r")),
        Call(start, (info("tr-00", 100_003, tags={"color": "red"}),)),
        Call("log_spans", ("0", [span("tr-00", 1, name="root"), span("tr-01", 1, kind="LLM")])),
        Call(start, (info("tr-02", 100_002, "1", state=TraceState.ERROR),)),
    ]
    end = [Call("get_trace", (trace_id,)) for trace_id in TRACES]
    end.append(Call("search_traces", kwargs={"locations": ["0", "1", "2"]}))
    worlds.drive(both, [*first, *(told_apart(at, one) for at, one in enumerate(calls)), *end])
    worlds.end(both)


all_steps = [*steps, search, search, search, *removals]


@examples(2)
@given(calls=sequences(*all_steps, more=0))
def test_traces(worlds: Worlds, calls: list[Call]) -> None:
    drive(worlds, calls)


@pytest.mark.heavy
@examples(100)
@given(calls=sequences(*all_steps, more=20))
def test_traces_at_length(worlds: Worlds, calls: list[Call]) -> None:
    drive(worlds, calls)
