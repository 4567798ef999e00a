"""search_traces and its relatives: every kind of clause on MLflow's SQL store and on ours."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.entities import AssessmentSource, Expectation, TraceState
from mlflow.entities.assessment import IssueReference
from mlflow.genai.scorers.online.entities import CompletedSession
from mlflow.tracing.analysis import TraceFilterCorrelationResult
from opentelemetry.trace import StatusCode

from tests.store.both import PLAIN, Both
from tests.store.spans import info, span
from tests.store.test_contract_traces import feedback, search

PLAIN[CompletedSession] = lambda side, one: vars(one)
PLAIN[TraceFilterCorrelationResult] = lambda side, one: str(vars(one))
HUMAN = AssessmentSource(source_type="HUMAN", source_id="me")


@pytest.fixture
def both(sql: Any, ours: Any) -> Both:
    both = Both(sql, ours)
    fill(both)
    return both


def fill(both: Both) -> None:
    both.create_experiment("one")
    states = [TraceState.OK, TraceState.ERROR, TraceState.IN_PROGRESS, TraceState.STATE_UNSPECIFIED]
    for number in range(12):
        trace_id = f"tr-{number:02d}"
        tags = {"color": ["red", "Green", "blue"][number % 3], "n": str(number), "a b/#": "x"}
        if number % 2:
            tags["mlflow.traceName"] = f"name {number}"
        metadata = {"mlflow.sourceRun": f"run-{number % 2}", "user": f"u{number % 4}"}
        if number % 4 < 3:
            metadata["mlflow.trace.session"] = f"s{number % 4}"
        if number in (3, 4):
            metadata["mlflow.trace.tokenUsage"] = f'{{"input_tokens": {number}}}'
            metadata["mlflow.trace.cost"] = '{"total_cost": 0.5}'
        both.start_trace(
            info(
                trace_id,
                100_000 + number // 2,
                str(number % 2),
                state=states[number % 4],
                execution_duration=None if number == 5 else 10 * number,
                client_request_id=None if number == 6 else f"client {number}",
                tags=tags,
                trace_metadata=metadata,
            )
        )
    for number in range(0, 10, 3):
        experiment_id, trace_id = str(number % 2), f"tr-{number:02d}"
        status = StatusCode.ERROR if number == 3 else StatusCode.OK
        spans = [
            span(trace_id, 1, name="root", kind="CHAIN", start=100_000, end=100_100),
            span(
                trace_id,
                2,
                1,
                name="call é" if number else "Call",
                kind="LLM",
                status=status,
                start=50_000 if number == 6 else 100_001,
                end=100_010,
                model="gpt-4o",
                user__name=f"Ann {number}",
                quote='say "hi"',
            ),
        ]
        both.log_spans(experiment_id, spans)
    assess(both)
    both.link_traces_to_run(["tr-00", "tr-05"], "run-9")


def assess(both: Both) -> None:
    values: list[tuple[int, Any]] = [(0, 5), (1, "yes"), (2, 0.5), (3, True), (4, "No"), (7, 7)]
    values += [(8, None), (9, ["a", 1])]
    for number, value in values:
        made = feedback(f"tr-{number:02d}", "score", value)
        made.assessment_id = f"f-{number}"
        both.create_assessment(made)
    covering = feedback("tr-00", "whole", 3, metadata={"mlflow.trace.session": "s0"})
    covering.assessment_id = "f-session"
    both.create_assessment(covering)
    newer = feedback("tr-01", "score", "maybe", overrides="f-1")
    newer.assessment_id = "f-1b"
    both.create_assessment(newer)
    expected = Expectation(name="score", value="five", source=HUMAN, trace_id="tr-10")
    expected.assessment_id, expected.create_time_ms = "e-10", 5
    both.create_assessment(expected)
    issue = IssueReference("iss-1", "an issue", trace_id="tr-11", source=HUMAN)
    issue.assessment_id, issue.create_time_ms = "i-11", 5
    both.create_assessment(issue)


FILTERS = [
    "",
    "timestamp > 100002",
    "timestamp_ms <= 100002 AND timestamp != 100001",
    "attributes.execution_time >= 50",
    "execution_time_ms < 50.5",
    "end_time > 100040",
    "attributes.timestamp_ms > '100002'",
    "status = 'OK'",
    "trace.status != 'OK' AND status IN ('ERROR', 'IN_PROGRESS')",
    "status NOT IN ('OK')",
    "status LIKE '%K'",
    "request_id = 'tr-03'",
    "request_id IN ('tr-03', 'tr-04', 'none')",
    "request_id RLIKE '^tr-0[1-3]$'",
    "client_request_id = 'client 4'",
    "client_request_id ILIKE 'CLIENT 1%'",
    "client_request_id != 'client 4'",
    "name = 'name 3'",
    "name != 'name 3'",
    "name LIKE 'name _'",
    "tags.`mlflow.traceName` IS NULL",
    "tags.`mlflow.traceName` IS NOT NULL",
    "tags.color = 'red' AND tags.n != '0'",
    "tags.color LIKE 'g%'",
    "tags.color ILIKE 'g%'",
    "tags.color RLIKE '^(red|blue)$'",
    "tags.`a b/#` = 'x'",
    "tags.none IS NULL",
    "tags.none = 'x'",
    "metadata.user = 'u1'",
    "metadata.user != 'u1'",
    "request_metadata.user LIKE 'u%'",
    "metadata.none IS NOT NULL",
    "metadata.`mlflow.trace.session` = 's1'",
    "metadata.`mlflow.trace.session` IS NULL",
    "metadata.`mlflow.trace.session` LIKE 's%'",
    "metadata.`mlflow.trace.tokenUsage` IS NOT NULL",
    "metadata.`mlflow.trace.tokenUsage` = '{\"input_tokens\": 3}'",
    "metadata.`mlflow.trace.tokenUsage` != '{\"input_tokens\": 3}'",
    "metadata.`mlflow.trace.cost` = '{\"total_cost\": 0.5}'",
    "metadata.`mlflow.trace.cost` IS NULL",
    "run_id = 'run-1'",
    "run_id = 'run-9'",
    "run_id = 'run-9' AND status = 'OK'",
    "run_id != 'run-1'",
    "span.name = 'root'",
    "span.name = 'root' AND span.type = 'LLM'",
    "span.type = 'LLM' AND span.status = 'ERROR'",
    "span.type IN ('LLM', 'TOOL')",
    "span.type NOT IN ('LLM', 'CHAIN')",
    "span.name LIKE 'call%'",
    "span.name ILIKE 'CALL%'",
    "span.name RLIKE 'é$'",
    "span.status != 'OK'",
    "span.attributes.model LIKE '%gpt%'",
    "span.attributes.`user.name` LIKE '%Ann 3%' AND span.type = 'LLM'",
    "span.attributes.model = 'gpt-4o'",
    "span.attributes.model RLIKE '^gpt-4o$'",
    "span.attributes.model RLIKE 'gpt-.o'",
    "span.attributes.quote ILIKE '%SAY%'",
    "span.content LIKE '%é%'",
    "trace.text LIKE '%Ann 6%'",
    "trace.text ILIKE '%ann 6%' AND timestamp > 100002",
    "span.type = 'LLM' AND timestamp >= 100003",
    "span.name LIKE 'call%' AND timestamp >= 60100 AND tags.color = 'red'",
    "feedback.score = '5'",
    "feedback.score = 'yes'",
    "feedback.score = 'maybe'",
    "feedback.score != 'maybe'",
    "feedback.score = 'true'",
    "feedback.score > 1",
    "feedback.score >= 0.5",
    "feedback.score < 5",
    "feedback.score LIKE '%e%'",
    "feedback.score ILIKE '%NO%'",
    "feedback.score RLIKE '^[0-9]'",
    "feedback.score IS NULL",
    "feedback.score IS NOT NULL",
    "feedback.whole = '3'",
    "feedback.whole > 2 AND tags.n != '0'",
    "feedback.whole IS NULL",
    "feedback.whole IS NOT NULL AND status = 'OK'",
    "expectation.score = 'five'",
    "expectation.score IS NOT NULL",
    "issue.id = 'iss-1'",
    "issue.id = 'none'",
    "feedback.score > 1 AND span.name = 'root' AND tags.color = 'red' AND run_id = 'run-0'",
]

ORDERS = [
    ["timestamp ASC"],
    ["execution_time DESC"],
    ["attributes.execution_time_ms"],
    ["status", "timestamp DESC"],
    ["request_id DESC"],
    ["experiment_id DESC", "request_id"],
    ["name"],
    ["name DESC"],
    ["tags.color", "tags.n DESC"],
    ["metadata.`mlflow.trace.session` DESC"],
    ["metadata.user"],
    ["run_id DESC"],
]

REFUSED = [
    {"filter_string": "nothing = 'x'"},
    {"filter_string": "timestamp > '100002'"},
    {"filter_string": "status > 'x'"},
    {"filter_string": "status = 5"},
    {"filter_string": "timestamp LIKE '1'"},
    {"filter_string": "tags.a > 'x'"},
    {"filter_string": "tags.a"},
    {"filter_string": "status = 'OK' OR status = 'ERROR'"},
    {"filter_string": "metadata.`mlflow.trace.cost` LIKE '%'"},
    {"filter_string": "span.nothing = 'x'"},
    {"filter_string": "span.content = 'x'"},
    {"filter_string": "span.name > 'x'"},
    {"filter_string": "feedback.score > 'x'"},
    {"filter_string": "feedback.score = 5"},
    {"filter_string": "issue.id != 'x'"},
    {"filter_string": "prompt = 'q'"},
    {"order_by": ["nothing"]},
    {"order_by": ["metadata.`mlflow.trace.cost`"]},
    {"order_by": ["status", "status DESC"]},
    {"order_by": ["span.name"]},
    {"max_results": 0},
    {"max_results": None},
    {"max_results": 50_001},
    {"page_token": "no token"},
    {"experiment_ids": ["0"], "locations": ["1"]},
    {"locations": ["a.b"]},
]


def test_every_clause_every_order_every_refusal(both: Both) -> None:
    found = {text: search(both, "0", "1", filter_string=text) for text in FILTERS}
    assert len(found[""]) == 12
    # Filters that find nothing or all of it would prove little.
    telling = [text for text, ids in found.items() if 0 < len(ids) < 12]
    assert len(telling) > 0.8 * len(FILTERS)
    for order in ORDERS:
        ids = search(both, "0", "1", order_by=order, max_results=5)
        assert len(ids) == 12
    for text in ("status = 'OK'", "span.name = 'root'", "feedback.whole IS NOT NULL"):
        search(both, "1", filter_string=text)
        search(both, "0", "1", filter_string=text, max_results=1)
        search(both, filter_string=text, max_results=2, order_by=["tags.n"])
    assert search(both, "0", "1", max_results=12) == search(both, max_results=5)
    assert search(both, "7") == []
    for kwargs in REFUSED:
        scope = {} if {"locations", "experiment_ids"} & set(kwargs) else {"locations": ["0"]}
        answer = both.search_traces(**scope, **kwargs)
        assert answer[0] == "error", kwargs


def test_sessions_and_correlations(both: Both) -> None:
    for window in ((0, 10**9), (100_004, 100_005), (100_003, 100_004), (0, 100_003)):
        for experiment_id in ("0", "1", "9"):
            both.find_completed_sessions(experiment_id, *window)
            both.find_completed_sessions(experiment_id, *window, max_results=1)
            for text in ("tags.color = 'red'", "span.name = 'root'", "feedback.whole > 1"):
                both.find_completed_sessions(experiment_id, *window, filter_string=text)
    both.find_completed_sessions("0", 0, 10**9, filter_string="nothing")
    both.find_completed_sessions("x", 0, 10**9)
    texts = ["status = 'OK'", "span.name = 'root'", "feedback.score > 1", "tags.none = 'x'"]
    for first in texts:
        for second in texts:
            both.calculate_trace_filter_correlation(["0", "1"], first, second)
    base = "timestamp > 100001"
    both.calculate_trace_filter_correlation(["0"], texts[0], texts[1], base)
    both.calculate_trace_filter_correlation(["0"], "", "", None)
    both.calculate_trace_filter_correlation(["0"], "nothing", texts[0])
    both.calculate_trace_filter_correlation([], texts[0], texts[0])
