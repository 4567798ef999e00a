"""Filters and orders of search_traces, as MLflow's SQL store understands them.

A filter is a test of what a list holds of a trace (``TraceView``), one of its spans
(``search/spans.py``), and what has to be known beforehand: traces linked to a run, and sessions
that an assessment covers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.tracking.utils.trace_analytics import TRACE_ANALYTICS_COLUMNS_BY_METADATA_KEY
from mlflow.tracing.constant import TraceMetadataKey, TraceTagKey
from mlflow.utils.search_utils import SearchTraceUtils

from dynamodb_store.entities.trace import CLIENT_ID, PROMPTS, SESSION, TraceView
from dynamodb_store.search.assessments import AssessmentTest, assessment_test
from dynamodb_store.search.compare import holds
from dynamodb_store.search.order import by_columns
from dynamodb_store.search.spans import SpanTest

Test = Callable[[TraceView], bool]


@dataclass
class TraceFilter:
    """``linked`` and the assessments' ``sessions`` are filled in before it is used."""

    tests: list[Test] = field(default_factory=list)
    spans: SpanTest = field(default_factory=SpanTest)
    assessments: list[AssessmentTest] = field(default_factory=list)
    run_id: str | None = None
    linked: frozenset[str] = frozenset()

    @property
    def trivial(self) -> bool:
        """Whether all traces pass."""
        return not (self.tests or self.spans or self.assessments or self.run_id)

    def passes(self, view: TraceView) -> bool:
        """Whether the trace passes, as far as can be said without its spans."""
        return (
            (not self.run_id or self._of_run(view))
            and all(test(view) for test in self.tests)
            and all(test.passes(view) for test in self.assessments)
            and (not self.spans or self.spans.possible(view))
        )

    def _of_run(self, view: TraceView) -> bool:
        source = view.metadata(TraceMetadataKey.SOURCE_RUN)
        return source == self.run_id or view.trace_id in self.linked


def compile_filter(filter_string: str | None) -> TraceFilter:
    """The filter. Raises MlflowException for one that has no meaning."""
    made = TraceFilter()
    for clause in SearchTraceUtils.parse_search_filter_for_search_traces(filter_string):
        _add(made, clause["type"], clause["key"], clause["comparator"].upper(), clause["value"])
    return made


def _add(made: TraceFilter, kind: str, name: str, comparator: str, value: Any) -> None:
    utils = SearchTraceUtils
    if utils.is_issue(kind, name, comparator):
        made.tests.append(lambda view: _has_issue(view, value))
    elif utils.is_attribute(kind, name, comparator):
        if name == "timestamp_ms" and comparator in (">", ">="):
            made.spans.not_before(_number(name, value))
        made.tests.append(_attribute(name, comparator, value))
    elif utils.is_tag(kind, comparator):
        made.tests.append(_tag(name, comparator, value))
    elif utils.is_request_metadata(kind, comparator):
        if name == TraceMetadataKey.SOURCE_RUN and comparator == "=":
            made.run_id = value
        else:
            made.tests.append(_metadata(name, comparator, value))
    elif utils.is_span(kind, name, comparator):
        made.spans.add(name, comparator, value)
    elif utils.is_assessment(kind, name, comparator):
        made.assessments.append(assessment_test(kind, name, comparator, value))
    else:
        raise _invalid(f"Invalid search expression type '{kind}'")


def _has_issue(view: TraceView, issue_id: str) -> bool:
    return any(one.kind == "issue" and one.name == issue_id for one in view.assessments)


_ATTRIBUTES: dict[str, Callable[[TraceView], Any]] = {
    "request_id": lambda view: view.trace_id,
    "timestamp_ms": lambda view: view.timestamp,
    "execution_time_ms": lambda view: view.duration,
    "end_time_ms": lambda view: view.timestamp + (view.duration or 0),
    "status": lambda view: view.status,
    "client_request_id": lambda view: view.text(CLIENT_ID),
    "experiment_id": lambda view: int(view.experiment_id),
}


def _attribute(name: str, comparator: str, value: Any) -> Test:
    column = _column(name)
    if name in SearchTraceUtils.NUMERIC_ATTRIBUTES:
        value = _number(name, value)
    return lambda view: holds(comparator, column(view), value)


def _column(name: str) -> Callable[[TraceView], Any]:
    if name not in _ATTRIBUTES:
        raise _invalid(f"Invalid attribute '{name}' of a trace")
    return _ATTRIBUTES[name]


def _number(name: str, value: Any) -> Any:
    if isinstance(value, (int, float)):
        return value
    try:
        return float(value) if "." in value else int(value)
    except (TypeError, ValueError):
        raise _invalid(f"Invalid value for numeric attribute '{name}': {value!r}") from None


def _tag(name: str, comparator: str, value: Any) -> Test:
    if name != TraceTagKey.LINKED_PROMPTS:
        return lambda view: holds(comparator, view.tag(name), value)
    if comparator != "=":
        raise _invalid(
            f"Invalid comparator '{comparator}' for prompts filter. "
            "Only '=' is supported with format: prompt = \"name/version\""
        )
    if value.count("/") != 1:
        raise _invalid(
            f"Invalid prompts filter value '{value}'. Expected format: prompt = \"name/version\""
        )
    return lambda view: view.document.get(PROMPTS, value) is not None


def _metadata(name: str, comparator: str, value: Any) -> Test:
    if name in TRACE_ANALYTICS_COLUMNS_BY_METADATA_KEY and comparator not in (
        "=",
        "!=",
        "IS NULL",
        "IS NOT NULL",
    ):
        raise _invalid(
            f"Comparator '{comparator}' is not supported for reserved metadata '{name}'. "
            "Only '=', '!=', 'IS NULL', and 'IS NOT NULL' are supported."
        )
    return lambda view: holds(comparator, view.metadata(name), value)


def compile_order(order_by: Sequence[str] | None) -> Callable[[TraceView], Any] | None:
    """The order as a sort key, None for the list's own (newest first). Raises MlflowException."""
    if not order_by:
        return None
    columns: list[tuple[Callable[[TraceView], Any], bool]] = []
    seen: set[tuple[str, str]] = set()
    for clause in order_by:
        kind, name, ascending = SearchTraceUtils.parse_order_by_for_search_traces(clause)
        column = _order_column(kind, name)
        if (kind, name) in seen:
            raise MlflowException(f"`order_by` contains duplicate fields: {list(order_by)}")
        seen.add((kind, name))
        columns += [(_absent(column), True), (column, ascending)]
    for name, ascending in (("timestamp_ms", False), ("request_id", True)):
        if ("attribute", name) not in seen:
            columns.append((_ATTRIBUTES[name], ascending))
    return by_columns(columns)


def _absent(column: Callable[[TraceView], Any]) -> Callable[[TraceView], bool]:
    """Traces without a value come last, whatever the direction."""
    return lambda view: column(view) is None


def _order_column(kind: str, name: str) -> Callable[[TraceView], Any]:
    if SearchTraceUtils.is_request_metadata(kind, "="):
        if name in TRACE_ANALYTICS_COLUMNS_BY_METADATA_KEY:
            raise _invalid(
                f"Ordering by reserved metadata '{name}' is not supported because it is "
                "represented by multiple columns."
            )
        if name == TraceMetadataKey.TRACE_SESSION:
            return lambda view: view.text(SESSION)
        return lambda view: view.metadata(name)
    if SearchTraceUtils.is_attribute(kind, name, "="):
        return _column(name)
    if SearchTraceUtils.is_tag(kind, "="):
        return lambda view: view.tag(name)
    raise _invalid(f"Invalid identifier type '{kind}'")


def _invalid(text: str) -> MlflowException:
    return MlflowException(text, error_code=INVALID_PARAMETER_VALUE)
