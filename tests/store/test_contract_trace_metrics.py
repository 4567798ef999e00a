"""Metrics of traces, spans and assessments, costs of the AI gateway: the same on both stores."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from mlflow.entities import AssessmentSource, Expectation, Feedback, TraceState
from mlflow.entities.trace_metrics import (
    AggregationType,
    MetricAggregation,
    MetricDataPoint,
    MetricViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.utils.sql_trace_metrics_utils import VIEW_TYPE_CONFIGS
from mlflow.tracing.constant import TraceMetadataKey
from opentelemetry.trace import StatusCode

from tests.store.both import PLAIN, Both
from tests.store.spans import info, span

PLAIN[MetricDataPoint] = lambda side, one: (
    one.metric_name,
    one.dimensions,
    {name: pytest.approx(value) for name, value in one.values.items()},
)
HUMAN = AssessmentSource(source_type="HUMAN", source_id="me")
DAY = 86_400_000
TRACES, SPANS, ASSESSMENTS = (
    MetricViewType.TRACES,
    MetricViewType.SPANS,
    MetricViewType.ASSESSMENTS,
)


@pytest.fixture
def both(sql: Any, ours: Any) -> Both:
    return Both(sql, ours)


def aggregations_of(view_type: MetricViewType, metric: str) -> list[MetricAggregation]:
    made = []
    for kind in sorted(VIEW_TYPE_CONFIGS[view_type][metric].aggregation_types, key=str):
        if kind == AggregationType.PERCENTILE:
            made += [MetricAggregation(kind, percent) for percent in (0.0, 50.0, 90.5, 100.0)]
        else:
            made.append(MetricAggregation(kind))
    return made


def llm(trace_id: str, number: int, tokens: int, model: str | None, **fields: Any) -> Any:
    attributes: dict[str, Any] = {
        "mlflow__chat__tokenUsage": {
            "input_tokens": tokens, "output_tokens": 2 * tokens, "total_tokens": 3 * tokens,
            "cache_read_input_tokens": tokens // 2,
            "cache_creation_input_tokens": tokens // 3,
        },
        "mlflow__llm__cost": {
            "input_cost": tokens / 8, "output_cost": tokens / 4, "total_cost": tokens * 3 / 8,
        },
    }  # fmt: skip
    if model is not None:
        attributes |= {"mlflow__llm__model": model, "mlflow__llm__provider": "p-" + model}
    return span(trace_id, number, 1, kind="CHAT_MODEL", name="llm", **fields, **attributes)


def fill(both: Both) -> None:
    both.create_experiment("other")
    for number in range(12):
        trace_id, experiment = f"tr-{number}", str(number % 3 // 2)
        time = 10_000 + number * 700
        metadata = {TraceMetadataKey.TRACE_SESSION: f"s{number % 4}"} if number % 5 else {}
        if number % 3 == 0:
            metadata["team"] = "blue"
        if number == 2:
            metadata[TraceMetadataKey.SOURCE_RUN] = "a run"
        state = TraceState.ERROR if number % 4 == 1 else TraceState.OK
        tags = {"mlflow.traceName": f"name {number % 2} ☃"} if number != 7 else {"colour": "red"}
        fields: dict[str, Any] = {"state": state, "trace_metadata": metadata, "tags": tags}
        fields["execution_duration"] = None if number == 4 else number * 10 + 1
        both.start_trace(info(trace_id, time, experiment, **fields))
        if number == 11:
            continue  # no spans
        failed = StatusCode.ERROR if number % 4 == 1 else StatusCode.OK
        spans = [span(trace_id, 1, name="root", start=time, end=time + 40, status=failed)]
        model = None if number == 6 else f"m{number % 2}"
        spans.append(
            llm(
                trace_id, 2, number + 1, model, start=time + 3, end=time + 9 + number, status=failed
            )
        )
        for side in both.sides:
            side.store.log_spans(experiment, spans)
    for number in range(8):
        for name, value in (("score", number / 4), ("good", number % 2 == 0), ("word", "yes")):
            both.create_assessment(
                Feedback(
                    name=name, value=value, source=HUMAN, trace_id=f"tr-{number}",
                    create_time_ms=5, last_update_time_ms=5,
                )
            )  # fmt: skip
    both.create_assessment(
        Expectation(
            name="truth", value=3, source=HUMAN, trace_id="tr-0",
            create_time_ms=5, last_update_time_ms=5,
        )
    )  # fmt: skip
    both.link_traces_to_run(["tr-3", "tr-6"], "a run")


def ask(both: Both, *args: Any, **kwargs: Any) -> Any:
    answer = both.query_trace_metrics(*args, **kwargs)
    assert isinstance(answer, list), answer
    return answer


def test_every_metric_by_every_dimension_and_time(both: Both) -> None:
    fill(both)
    asked = 0
    for view_type, metrics in VIEW_TYPE_CONFIGS.items():
        for metric, config in metrics.items():
            how = aggregations_of(view_type, metric)
            dimensions = sorted(map(str, config.dimensions))
            for size in range(len(dimensions) + 1):
                for some in itertools.combinations(dimensions, min(size, 2)):
                    ask(both, ["0", "1"], view_type, metric, how, list(some))
                    asked += 1
            within = {"start_time_ms": 11_000, "end_time_ms": 16_300}
            assert ask(both, ["0", "1"], view_type, metric, how, **within)
            found = ask(both, ["0", "1"], view_type, metric, how, dimensions[:1], None, 2, **within)
            assert len(found) > 1
            ask(both, ["0", "1"], view_type, metric, how, None, None, 2, **within, max_results=1)
            ask(both, ["1"], view_type, metric, how, start_time_ms=12_100)
            ask(both, ["1"], view_type, metric, how, end_time_ms=12_100)
            ask(both, ["0"], view_type, metric, how, start_time_ms=2**40, end_time_ms=5)
    assert asked > 40


FILTERS = (
    (TRACES, "trace_count", 'trace.status = "ERROR"'),
    (TRACES, "latency", 'trace.tag.`mlflow.traceName` = "name 1 ☃"'),
    (TRACES, "trace_count", 'trace.tag.colour = "red"'),
    (TRACES, "trace_count", 'trace.metadata.team = "blue"'),
    (TRACES, "trace_count", 'trace.metadata.`mlflow.trace.session` = "s2"'),
    (TRACES, "trace_count", 'trace.metadata.`mlflow.sourceRun` = "a run"'),
    (TRACES, "trace_count", "trace.metadata.`mlflow.trace.tokenUsage` = '{\"input_tokens\": 3, "
     "\"output_tokens\": 6, \"total_tokens\": 9}'"),
    (SPANS, "span_count", 'span.name = "llm"'),
    (SPANS, "latency", 'span.type = "CHAT_MODEL"'),
    (SPANS, "total_cost", 'span.status = "OK"'),
    (SPANS, "total_cost", 'trace.status = "ERROR"'),
    (SPANS, "span_count", 'trace.metadata.`mlflow.sourceRun` = "a run"'),
    (ASSESSMENTS, "assessment_count", 'assessment.name = "good"'),
    (ASSESSMENTS, "assessment_value", 'assessment.type = "expectation"'),
    (ASSESSMENTS, "assessment_value", 'trace.status = "ERROR"'),
    (ASSESSMENTS, "assessment_count", 'trace.metadata.`mlflow.trace.session` = "s2"'),
    (ASSESSMENTS, "assessment_count", 'trace.metadata.`mlflow.sourceRun` = "a run"'),
)  # fmt: skip


def test_filters(both: Both) -> None:
    fill(both)
    for view_type, metric, text in FILTERS:
        how = aggregations_of(view_type, metric)
        everything = ask(both, ["0", "1"], view_type, metric, how)
        filtered = ask(both, ["0", "1"], view_type, metric, how, None, [text])
        assert filtered != everything, text
        ask(both, ["0", "1"], view_type, metric, how, None, [text, 'trace.status = "OK"'])
    both.set_trace_tag("tr-3", "colour", "red")
    both.delete_traces("0", trace_ids=["tr-0"])
    for view_type, metric, text in FILTERS:
        ask(both, ["0"], view_type, metric, aggregations_of(view_type, metric), None, [text])


def test_an_overridden_assessment_does_not_count(both: Both) -> None:
    both.start_trace(info("tr-1"))
    first = Feedback(name="score", value=1, source=HUMAN, trace_id="tr-1", create_time_ms=5)
    first.assessment_id = "a-1"
    both.create_assessment(first)
    second = Feedback(name="score", value=0, source=HUMAN, trace_id="tr-1", create_time_ms=6)
    second.assessment_id, second.overrides = "a-2", "a-1"
    both.create_assessment(second)
    count = MetricAggregation(AggregationType.COUNT)
    (point,) = ask(both, ["0"], ASSESSMENTS, "assessment_count", [count])
    assert point[2] == {"COUNT": 1}


COUNT = [MetricAggregation(AggregationType.COUNT)]


@pytest.mark.parametrize(
    "call",
    [
        (TRACES, "span_count", COUNT),
        (TRACES, "latency", COUNT),
        (TRACES, "trace_count", COUNT, ["span_name"]),
        (TRACES, "trace_count", COUNT, None, ['span.name = "x"']),
        (TRACES, "trace_count", COUNT, None, ['assessment.name = "x"']),
        (SPANS, "span_count", COUNT, None, ['assessment.name = "x"']),
        (ASSESSMENTS, "assessment_count", COUNT, None, ['span.name = "x"']),
        (TRACES, "trace_count", COUNT, None, ['trace.status != "OK"']),
        (TRACES, "trace_count", COUNT, None, ["nonsense"]),
        (TRACES, "trace_count", COUNT, None, None, 60),
    ],
    ids=str,
)
def test_refusals(both: Both, call: tuple[Any, ...]) -> None:
    assert both.query_trace_metrics(["0"], *call) == ("error", "INVALID_PARAMETER_VALUE")


def test_costs_of_the_gateway(both: Both) -> None:
    both.create_experiment("other")
    endpoint, user = TraceMetadataKey.GATEWAY_ENDPOINT_ID, TraceMetadataKey.AUTH_USERNAME
    for number in range(9):
        metadata = {endpoint: f"e{number % 2}"} if number % 4 else {}
        if number % 3:
            metadata[user] = f"u{number % 3}"
        trace_id, time = f"tr-{number}", number * DAY // 3
        both.start_trace(info(trace_id, time, str(number % 2), trace_metadata=metadata))
        for side in both.sides:
            spans = [
                span(trace_id, 1, start=time, end=time + 1),
                llm(trace_id, 2, number, "m", start=time, end=time + 1),
            ]
            side.store.log_spans(str(number % 2), spans)

    def sums() -> list[Any]:
        found = []
        for start, end in ((0, 9 * DAY), (DAY // 3, 2 * DAY), (5, 5), (9, 3), (-5, 1)):
            for more in ({}, {"endpoint_id": "e1"}, {"username": "u2"}, {"endpoint_id": "none"}):
                found.append(both.sum_gateway_trace_cost(start, end, **more))
        return found

    before = sums()
    assert before[0] > before[1] > 0
    # What start_trace finished keeps its cost; a trace that goes costs nothing any more.
    for side in both.sides:
        side.store.log_spans("1", [llm("tr-5", 3, 100, "m", start=5 * DAY // 3, end=5 * DAY // 3)])
    assert sums() == before
    both.delete_traces("1", trace_ids=["tr-5"])
    assert sums()[0] < before[0]


def test_what_metrics_cost_in_calls(dynamo: Any, fake: Any) -> None:
    for number in range(40):
        dynamo.start_trace(info(f"tr-{number}", 1000 + number))
        dynamo.log_spans("0", [span(f"tr-{number}", 1, start=1000 + number, end=1100)])
    fake.calls.clear()
    dynamo.query_trace_metrics(["0"], TRACES, "trace_count", COUNT)
    assert fake.calls == ["query"] * 8
    fake.calls.clear()
    within = {"start_time_ms": 1010, "end_time_ms": 1020}
    (point,) = dynamo.query_trace_metrics(["0"], SPANS, "span_count", COUNT, **within)
    assert point.values == {"COUNT": 11}
    assert fake.calls == [*["query"] * 8, "batch_get_item"]
    assert not fake.weak_reads
    with pytest.raises(MlflowException, match="start_time_ms and end_time_ms"):
        dynamo.query_trace_metrics(["0"], TRACES, "trace_count", COUNT, None, None, 60)
