"""search_traces: all lists of the experiments merged in MLflow's order; other orders keep a page.

Filters are decided on the copies in the lists. Only clauses about the contents of spans read the
spans of those traces that pass everything else, 16 at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from mlflow.entities import TraceInfo
from mlflow.store.tracking import SEARCH_TRACES_DEFAULT_MAX_RESULTS
from mlflow.utils.validation import _parse_experiment_ids, _resolve_experiment_ids_and_locations

from dynamodb_store import keys
from dynamodb_store.entities.trace import TraceView
from dynamodb_store.search.page import check_max_results, make_token, read_token
from dynamodb_store.search.traces import TraceFilter, compile_filter, compile_order
from dynamodb_store.tracking.listing import merged
from dynamodb_store.tracking.traces.entries import TraceEntries
from dynamodb_store.tracking.traces.links import TraceLinks

_SPANS_AT_ONCE = 16


class SearchTraces(TraceLinks, TraceEntries):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def search_traces(
        self,
        experiment_ids: list[str] | None = None,
        filter_string: str | None = None,
        max_results: int = SEARCH_TRACES_DEFAULT_MAX_RESULTS,
        order_by: list[str] | None = None,
        page_token: str | None = None,
        model_id: str | None = None,
        locations: list[str] | None = None,
    ) -> tuple[list[TraceInfo], Any]:
        resolved = _resolve_experiment_ids_and_locations(experiment_ids, locations)
        check_max_results(max_results)
        scope = self._trace_scope(resolved)
        order = compile_order(order_by)
        wanted = compile_filter(filter_string)
        offset, after = read_token(page_token)
        if order is not None:
            after = None
        first = max_results if order is None and wanted.trivial else None
        found = self._matching_traces(scope, wanted, after, first)
        skipped = 0 if after is not None else offset
        page = _page(found, order, skipped + max_results)[skipped:]
        token = None
        if len(page) == max_results:  # MLflow asks again, and gets an empty page, at the end
            last = page[-1]
            place = None if order else keys.trace_order(last.timestamp, last.trace_id)
            token = make_token(offset + max_results, place)
        return [view.info for view in page], token

    def _trace_scope(self, locations: Any) -> list[str]:
        """The experiments of a search; without any named, all."""
        if locations is not None:
            return sorted({str(number) for number in _parse_experiment_ids(locations)})
        items = self.table.query_all(keys.EXPERIMENTS)
        return [str(int(item["sk"].partition("#")[2])) for item in items]

    def _matching_traces(
        self,
        scope: Sequence[str],
        wanted: TraceFilter,
        after: str | None = None,
        first: int | None = None,
    ) -> Iterator[TraceView]:
        """The traces of these experiments that pass, newest first."""
        self._prepare_trace_filter(scope, wanted)
        for views in self._trace_views(scope, after, first):
            passing = [view for view in views if wanted.passes(view)]
            yield from self._traces_with_spans(passing, wanted) if wanted.spans else passing

    def _trace_views(
        self, scope: Sequence[str], after: str | None = None, first: int | None = None
    ) -> Iterator[list[TraceView]]:
        """All traces of these experiments, newest first, in batches."""
        partitions = [shard for one in scope for shard in keys.trace_shards(one)]
        for batch in merged(self.table, partitions, after=after, first=first):
            step = first or len(batch)  # not more than likely needed is fetched
            for at in range(0, len(batch), step):
                yield [TraceView(one) for one in self._listed_traces(batch[at : at + step])]

    def _prepare_trace_filter(self, scope: Sequence[str], wanted: TraceFilter) -> None:
        """Read what the filter has to know beforehand."""
        if wanted.run_id:
            wanted.linked = self._linked_traces(wanted.run_id)
        if wanted.assessments:
            for view in self._traces_of_sessions(scope):
                for test in wanted.assessments:
                    test.cover(view)

    def _traces_of_sessions(self, scope: Sequence[str]) -> Iterator[TraceView]:
        """The traces that have assessments of their whole session."""
        shards = [shard for one in scope for shard in keys.session_shards(one)]
        listed = self.table.parallel(lambda shard: list(self.table.query_all(shard)), shards)
        ids = [str(item["trace"]) for items in listed for item in items]
        for at in range(0, len(ids), 100):
            for document in self._traces(ids[at : at + 100]):
                if document.head["experiment_id"] in scope:
                    yield TraceView(document)

    def _traces_with_spans(
        self, views: Sequence[TraceView], wanted: TraceFilter
    ) -> Iterator[TraceView]:
        """Those whose spans pass, too, in order."""
        for at in range(0, len(views), _SPANS_AT_ONCE):
            yield from self._pass_by_spans(views[at : at + _SPANS_AT_ONCE], wanted)

    def _pass_by_spans(self, views: Sequence[TraceView], wanted: TraceFilter) -> list[TraceView]:
        def passes(view: TraceView) -> bool:
            if wanted.spans.decided(view):
                return True
            _, rows = self._trace_and_spans(view.trace_id)
            return wanted.spans.passes(rows.values())

        passed = self.table.parallel(passes, views)
        return [view for view, good in zip(views, passed, strict=True) if good]


def _page(
    found: Iterator[TraceView], order: Callable[[TraceView], Any] | None, wanted: int
) -> list[TraceView]:
    if order is None:
        return list(islice(found, wanted))
    return heapq.nsmallest(wanted, found, order)
