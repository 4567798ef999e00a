"""The charts of the traces' overview, aggregated here from the lists; the AI gateway's costs.

Traces and assessments are counted on the list of traces, which is in the order of time, so that
only the asked-for range is read. Spans are read for the traces of the range, 100 a call.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import takewhile

from mlflow.entities.trace_metrics import MetricAggregation, MetricDataPoint, MetricViewType
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList
from mlflow.store.tracking import MAX_RESULTS_QUERY_TRACE_METRICS
from mlflow.store.tracking.utils.sql_trace_metrics_utils import (
    validate_query_trace_metrics_params,
)
from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

from dynamodb_store import keys, schema
from dynamodb_store.entities.spans import SpanRow, unpack
from dynamodb_store.entities.trace import TraceView, place_of
from dynamodb_store.search.trace_metrics import (
    SPAN_COSTS,
    Aggregator,
    MetricFilter,
    compile_filters,
)
from dynamodb_store.tracking.traces.search import SearchTraces

_NS_IN_MS = 1_000_000
_AT_ONCE = 1000

Range = tuple[int | None, int | None]
"""First and last millisecond, both included; None: no bound."""


class TraceMetrics(SearchTraces):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def query_trace_metrics(
        self,
        experiment_ids: list[str],
        view_type: MetricViewType,
        metric_name: str,
        aggregations: list[MetricAggregation],
        dimensions: list[str] | None = None,
        filters: list[str] | None = None,
        time_interval_seconds: int | None = None,
        start_time_ms: int | None = None,
        end_time_ms: int | None = None,
        max_results: int = MAX_RESULTS_QUERY_TRACE_METRICS,
        page_token: str | None = None,
    ) -> PagedList[MetricDataPoint]:
        validate_query_trace_metrics_params(view_type, metric_name, aggregations, dimensions)
        if time_interval_seconds and (start_time_ms is None or end_time_ms is None):
            raise MlflowException.invalid_parameter_value(
                "start_time_ms and end_time_ms are required if time_interval_seconds is set"
            )
        wanted = compile_filters(filters, view_type)
        wanted.linked = {run_id: self._linked_traces(run_id) for run_id in wanted.run_ids}
        answer = Aggregator(view_type, metric_name, aggregations, dimensions, time_interval_seconds)
        scope = self._trace_scope(experiment_ids)
        between = (start_time_ms, end_time_ms)
        if view_type == MetricViewType.TRACES:
            for view in self._measured_traces(scope, wanted, between):
                answer.add(view, view.timestamp)
        elif view_type == MetricViewType.ASSESSMENTS:
            for view in self._measured_traces(scope, wanted, between):
                for one in view.assessments:
                    if one.valid and all(test(one) for test in wanted.assessments):
                        answer.add(one, view.timestamp)
        else:
            by_span = metric_name in SPAN_COSTS
            for row in self._measured_spans(scope, wanted, between, by_span=by_span):
                answer.add(row, row.start_ns // _NS_IN_MS)
        # As MLflow's SQL store: one page, however many there are beyond max_results.
        return PagedList(answer.points(max_results), None)

    def _measured_traces(
        self, scope: Sequence[str], wanted: MetricFilter, between: Range
    ) -> Iterator[TraceView]:
        """The traces that pass, newest first."""
        start, end = between
        if start is not None and end is not None and start > end:
            return
        after = None if end is None else keys.just_before_time(end)
        for views in self._trace_views(scope, after):
            recent = views
            if start is not None:
                recent = list(takewhile(lambda view: view.timestamp >= start, views))
            yield from (view for view in recent if wanted.passes(view))
            if len(recent) < len(views):
                return

    def _measured_spans(
        self, scope: Sequence[str], wanted: MetricFilter, between: Range, *, by_span: bool
    ) -> Iterator[SpanRow]:
        """The spans that pass; the range is of their own times or of their traces'."""
        everything: Range = (None, None)
        traces = self._measured_traces(scope, wanted, everything if by_span else between)
        batch: list[TraceView] = []
        for view in traces:
            latest = view.head["latest_span"]
            too_old = by_span and between[0] is not None and (latest or 0) < between[0]
            if latest is not None and not too_old:
                batch.append(view)
            if len(batch) == _AT_ONCE:
                yield from self._spans_within(batch, wanted, between if by_span else everything)
                batch = []
        yield from self._spans_within(batch, wanted, between if by_span else everything)

    def _spans_within(
        self, views: Sequence[TraceView], wanted: MetricFilter, between: Range
    ) -> Iterator[SpanRow]:
        start, end = between
        for row in self._span_rows(views):
            if start is not None and row.start_ns < start * _NS_IN_MS:
                continue
            if end is not None and row.start_ns >= (end + 1) * _NS_IN_MS:
                continue
            if all(test(row) for test in wanted.spans):
                yield row

    def _span_rows(self, views: Sequence[TraceView]) -> Iterator[SpanRow]:
        """The columns of all spans of these traces, from their entries in the list of spans."""
        entries = [entry for view in views if (entry := place_of(view.document).spans)]
        listed = {item["trace"]: item for item in self.table.batch_get(entries)}
        apart = []
        for view in views:
            item = listed.get(view.trace_id)
            if item is None or schema.DIGEST not in item:
                apart.append(view.trace_id)
            else:
                yield from unpack(item[schema.DIGEST])
        for _, rows in self.table.parallel(self._trace_and_spans, apart):
            yield from rows.values()

    def sum_gateway_trace_cost(
        self,
        start_time_ms: int,
        end_time_ms: int,
        workspace: str | None = None,
        endpoint_id: str | None = None,
        username: str | None = None,
    ) -> float:
        if workspace not in (None, DEFAULT_WORKSPACE_NAME) or end_time_ms <= start_time_ms:
            return 0.0
        days = range(start_time_ms // keys.MS_A_DAY, (end_time_ms - 1) // keys.MS_A_DAY + 1)
        shards = [shard for day in days for shard in keys.gateway_shards(day)]
        # From the first millisecond on, and before the last, which is not included.
        between = (keys.ascending(start_time_ms), keys.ascending(end_time_ms))
        listed = self.table.parallel(
            lambda shard: list(self.table.query_all(shard, between=between)), shards
        )
        return math.fsum(
            json.loads(item["total"])
            for items in listed
            for item in items
            if endpoint_id in (None, item["endpoint_id"]) and username in (None, item["username"])
        )
