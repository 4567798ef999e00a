"""Metrics of traces, spans and assessments: filters, values, dimensions, aggregations.

Pure. Values and groups are those of MLflow's ``sql_trace_metrics_utils``: rows without a value or
with an empty dimension do not count, groups come in ascending order, percentiles are interpolated.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mlflow.entities.trace_metrics import (
    AggregationType,
    MetricAggregation,
    MetricDataPoint,
    MetricViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.utils.sql_trace_metrics_utils import TIME_BUCKET_LABEL
from mlflow.tracing.constant import (
    AssessmentMetricDimensionKey,
    AssessmentMetricKey,
    AssessmentMetricSearchKey,
    SpanMetricDimensionKey,
    SpanMetricKey,
    SpanMetricSearchKey,
    TraceMetadataKey,
    TraceMetricDimensionKey,
    TraceMetricKey,
    TraceMetricSearchKey,
)
from mlflow.utils.search_utils import SearchTraceMetricsUtils

from dynamodb_store.entities.assessment import Assessed
from dynamodb_store.entities.spans import SpanRow
from dynamodb_store.entities.trace import NAME, SESSION, TraceView

_NS_IN_MS = 1_000_000

TraceTest = Callable[[TraceView], bool]


@dataclass
class MetricFilter:
    """``linked`` is filled in before it is used: the traces that are linked to ``run_id``."""

    traces: list[TraceTest] = field(default_factory=list)
    spans: list[Callable[[SpanRow], bool]] = field(default_factory=list)
    assessments: list[Callable[[Assessed], bool]] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)
    linked: dict[str, frozenset[str]] = field(default_factory=dict)

    def passes(self, view: TraceView) -> bool:
        """Whether the trace passes."""
        return all(test(view) for test in self.traces) and all(
            view.metadata(TraceMetadataKey.SOURCE_RUN) == run_id
            or view.trace_id in self.linked[run_id]
            for run_id in self.run_ids
        )


def compile_filters(filters: Iterable[str] | None, view_type: MetricViewType) -> MetricFilter:
    """All filters must hold. Raises MlflowException for one that has no meaning here."""
    made = MetricFilter()
    for text in filters or ():
        clause = SearchTraceMetricsUtils.parse_search_filter(text)
        _ADD[clause.view_type](made, clause.entity, clause.key, clause.value, view_type)
    return made


def _trace_clause(made: MetricFilter, entity: str, key: Any, value: Any, _: MetricViewType) -> None:
    if entity == TraceMetricSearchKey.STATUS:
        made.traces.append(lambda view: view.status == value)
    elif entity == TraceMetricSearchKey.TAG:
        made.traces.append(lambda view: view.tag(key) == value)
    elif key == TraceMetadataKey.SOURCE_RUN:
        made.run_ids.append(value)
    else:
        made.traces.append(lambda view: view.metadata(key) == value)


def _span_clause(
    made: MetricFilter, entity: str, _: Any, value: Any, view_type: MetricViewType
) -> None:
    if view_type != MetricViewType.SPANS:
        raise MlflowException.invalid_parameter_value(
            f"Filtering by span is only supported for {MetricViewType.SPANS} view "
            f"type, got {view_type}"
        )
    column = {
        SpanMetricSearchKey.NAME: "name",
        SpanMetricSearchKey.STATUS: "status",
        SpanMetricSearchKey.TYPE: "type",
    }[entity]
    made.spans.append(lambda row: getattr(row, column) == value)


def _assessment_clause(
    made: MetricFilter, entity: str, _: Any, value: Any, view_type: MetricViewType
) -> None:
    if view_type != MetricViewType.ASSESSMENTS:
        raise MlflowException.invalid_parameter_value(
            f"Filtering by assessment is only supported for {MetricViewType.ASSESSMENTS} view "
            f"type, got {view_type}"
        )
    column = "name" if entity == AssessmentMetricSearchKey.NAME else "kind"
    made.assessments.append(lambda one: getattr(one, column) == value)


_ADD: dict[str, Callable[..., None]] = {
    TraceMetricSearchKey.VIEW_TYPE: _trace_clause,
    SpanMetricSearchKey.VIEW_TYPE: _span_clause,
    AssessmentMetricSearchKey.VIEW_TYPE: _assessment_clause,
}

Column = Callable[[Any], Any]

SPAN_COSTS = frozenset(
    {SpanMetricKey.INPUT_COST, SpanMetricKey.OUTPUT_COST, SpanMetricKey.TOTAL_COST}
)
"""Metrics whose time is that of the span; count and latency of spans go by the trace's time."""


def value_column(view_type: MetricViewType, metric: str) -> Column:
    """The value of a row: a TraceView, a SpanRow or an Assessed."""
    match view_type, metric:
        case MetricViewType.TRACES, TraceMetricKey.TRACE_COUNT:
            return lambda view: view.trace_id
        case MetricViewType.TRACES, TraceMetricKey.SESSION_COUNT:
            return lambda view: view.text(SESSION)
        case MetricViewType.TRACES, TraceMetricKey.LATENCY:
            return lambda view: view.duration
        case MetricViewType.TRACES, _:
            return lambda view: view.numbers[str(metric)]
        case MetricViewType.SPANS, SpanMetricKey.SPAN_COUNT:
            return lambda row: row.span_id
        case MetricViewType.SPANS, SpanMetricKey.LATENCY:
            return _latency
        case MetricViewType.SPANS, _:
            return lambda row: getattr(row, metric)
        case MetricViewType.ASSESSMENTS, AssessmentMetricKey.ASSESSMENT_COUNT:
            return lambda one: one.assessment_id
    return lambda one: one.aggregate[0]


def _latency(row: SpanRow) -> int | None:
    if row.end_ns is None:
        return None
    took = row.end_ns - row.start_ns
    # Towards zero, as SQL divides, whichever clock was wrong.
    return took // _NS_IN_MS if took >= 0 else -(-took // _NS_IN_MS)


_DIMENSIONS: dict[tuple[MetricViewType, str], Column] = {
    (MetricViewType.TRACES, TraceMetricDimensionKey.TRACE_NAME): lambda view: view.text(NAME),
    (MetricViewType.TRACES, TraceMetricDimensionKey.TRACE_STATUS): lambda view: view.status,
    (MetricViewType.SPANS, SpanMetricDimensionKey.SPAN_NAME): lambda row: row.name,
    (MetricViewType.SPANS, SpanMetricDimensionKey.SPAN_TYPE): lambda row: row.type,
    (MetricViewType.SPANS, SpanMetricDimensionKey.SPAN_STATUS): lambda row: row.status,
    (MetricViewType.SPANS, SpanMetricDimensionKey.SPAN_MODEL_NAME): lambda row: row.model_name,
    (MetricViewType.SPANS, SpanMetricDimensionKey.SPAN_MODEL_PROVIDER): (
        lambda row: row.model_provider
    ),
    (MetricViewType.ASSESSMENTS, AssessmentMetricDimensionKey.ASSESSMENT_NAME): (
        lambda one: one.name
    ),
    (MetricViewType.ASSESSMENTS, AssessmentMetricDimensionKey.ASSESSMENT_VALUE): (
        lambda one: one.value
    ),
}


@dataclass
class _Group:
    """What the aggregations of one group need; ``values`` only for percentiles and sums."""

    count: int = 0
    low: Any = None
    high: Any = None
    values: array[float] = field(default_factory=lambda: array("d"))
    whole: int = 0
    distinct: set[Any] = field(default_factory=set)


class Aggregator:
    """Takes rows one by one; ``points`` are the answer."""

    def __init__(
        self,
        view_type: MetricViewType,
        metric: str,
        aggregations: Sequence[MetricAggregation],
        dimensions: Sequence[str] | None,
        interval_seconds: int | None,
    ) -> None:
        self._metric = metric
        self._aggregations = aggregations
        self._value = value_column(view_type, metric)
        self._names = [str(getattr(name, "value", name)) for name in dimensions or ()]
        self._columns = [_DIMENSIONS[view_type, name] for name in dimensions or ()]
        self._interval_ms = interval_seconds * 1000 if interval_seconds else None
        self._counts_only = all(
            one.aggregation_type == AggregationType.COUNT for one in aggregations
        )
        self._sessions = metric == TraceMetricKey.SESSION_COUNT
        self._groups: dict[tuple[Any, ...], _Group] = {}
        if not self._names and self._interval_ms is None:
            self._groups[()] = _Group()  # SQL answers with one row, also about nothing

    def add(self, row: Any, timestamp_ms: int) -> None:
        """One row, with the time that puts it into a bucket."""
        value = self._value(row)
        if value is None:
            return
        group_of: list[Any] = []
        if self._interval_ms is not None:
            group_of.append(timestamp_ms // self._interval_ms * self._interval_ms)
        group_of += [column(row) for column in self._columns]
        if None in group_of:
            return
        group = self._groups.setdefault(tuple(group_of), _Group())
        group.count += 1
        if self._sessions:
            group.distinct.add(value)
        if self._counts_only:
            return
        group.low = value if group.low is None else min(group.low, value)
        group.high = value if group.high is None else max(group.high, value)
        group.values.append(value)
        if isinstance(value, int):
            group.whole += value

    def points(self, max_results: int) -> list[MetricDataPoint]:
        """The groups in ascending order of time and dimensions."""
        found = []
        for group_of in sorted(self._groups)[:max_results]:
            group = self._groups[group_of]
            values = {str(one): self._aggregate(group, one) for one in self._aggregations}
            values = {name: value for name, value in values.items() if value is not None}
            if values:
                found.append(MetricDataPoint(self._metric, self._named(group_of), values))
        return found

    def _named(self, group_of: tuple[Any, ...]) -> dict[str, str]:
        if self._interval_ms is None:
            return dict(zip(self._names, group_of, strict=True))
        bucket, *rest = group_of
        moment = datetime.fromtimestamp(bucket / 1000.0, tz=UTC).isoformat()
        return {TIME_BUCKET_LABEL: moment, **dict(zip(self._names, rest, strict=True))}

    def _aggregate(self, group: _Group, aggregation: MetricAggregation) -> Any:
        kind = aggregation.aggregation_type
        if kind == AggregationType.COUNT:
            return len(group.distinct) if self._sessions else group.count
        if not group.values:
            return None
        match kind:
            case AggregationType.MIN:
                return group.low
            case AggregationType.MAX:
                return group.high
            case AggregationType.SUM:
                integers = isinstance(group.low, int) and isinstance(group.high, int)
                return group.whole if integers else math.fsum(group.values)
            case AggregationType.AVG:
                return math.fsum(group.values) / group.count
        assert aggregation.percentile_value is not None
        return percentile(sorted(group.values), aggregation.percentile_value)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """With linear interpolation between neighbours, as ``PERCENTILE_CONT`` does."""
    place = percent / 100.0 * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
