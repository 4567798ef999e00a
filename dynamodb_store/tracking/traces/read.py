"""Reading traces, with and without their spans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mlflow.entities import Span, Trace, TraceData, TraceInfo
from mlflow.entities.span import LazySpan
from mlflow.exceptions import MlflowException, MlflowTracingException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracing.constant import (
    SpansLocation,
    TraceMetadataKey,
    TraceSizeStatsKey,
    TraceTagKey,
)
from mlflow.tracing.utils.artifact_utils import get_archive_uri_for_trace
from mlflow.utils.validation import _parse_experiment_ids

from dynamodb_store.documents import Document
from dynamodb_store.entities.spans import SpanRow
from dynamodb_store.entities.trace import TraceView, is_stored_here
from dynamodb_store.tracking.traces.base import TraceBase

_PAUSES = (1.0, 2.0)
"""MLflow's: how long get_trace waits for spans that a client is still exporting."""


class ReadTraces(TraceBase):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def get_trace_info(self, trace_id: str) -> TraceInfo:
        return TraceView(self._trace(trace_id)).info

    def get_trace(self, trace_id: str, *, allow_partial: bool = False) -> Trace:
        for pause in (*_PAUSES, None):
            document, rows = self._whole_trace(trace_id)
            if document is None:
                raise MlflowException(
                    f"Trace with ID {trace_id} is not found.", RESOURCE_DOES_NOT_EXIST
                )
            view = TraceView(document)
            trace = _trace_of(view.info, list(rows.values()), allow_partial=allow_partial)
            if trace is not None:
                return trace
            if pause is not None:
                self.table.wait(pause)
        raise MlflowException(
            f"Trace with ID {trace_id} is not fully exported yet, please try again later.",
            RESOURCE_DOES_NOT_EXIST,
        )

    def batch_get_traces(
        self,
        trace_ids: list[str],
        location: str | None = None,
        experiment_ids: list[str] | None = None,
    ) -> list[Trace]:
        scope = _scope(experiment_ids)
        distinct = _in_order(trace_ids)
        found = []
        for document, rows in self.table.parallel(self._whole_trace, distinct):
            if document is None or not _within(TraceView(document), scope):
                continue
            info = TraceView(document).info
            trace = _trace_of(info, list(rows.values()), allow_partial=False)
            if trace is not None:
                found.append(trace)
        return found

    def _whole_trace(self, trace_id: str) -> tuple[Document | None, dict[str, SpanRow]]:
        """A trace and its spans that are here.

        A Query is no snapshot: a trace that is archived during it may be read as it was before and
        its spans as they are now. So what does not fit together is read once more.
        """
        document, rows = self._trace_and_spans(trace_id)
        here = sum(1 for row in rows.values() if row.content)
        if document and is_stored_here(document) and here < document.head["span_count"]:
            document, rows = self._trace_and_spans(trace_id)
        return document, {span_id: row for span_id, row in rows.items() if row.content}

    def batch_get_trace_infos(
        self,
        trace_ids: list[str],
        location: str | None = None,
        experiment_ids: list[str] | None = None,
    ) -> list[TraceInfo]:
        scope = _scope(experiment_ids)
        views = map(TraceView, self._traces(_in_order(trace_ids)))
        return [view.info for view in views if _within(view, scope)]


def _in_order(trace_ids: Sequence[str]) -> list[str]:
    """Each once; of several places the last counts, as in MLflow's SQL store."""
    return list(dict.fromkeys(reversed(trace_ids)))[::-1]


def _scope(experiment_ids: Any) -> set[str] | None:
    if experiment_ids is None:
        return None
    return {str(number) for number in _parse_experiment_ids(experiment_ids)}


def _within(view: TraceView, scope: set[str] | None) -> bool:
    return scope is None or view.experiment_id in scope


def _trace_of(info: TraceInfo, rows: Sequence[SpanRow], *, allow_partial: bool) -> Trace | None:
    """The whole trace; None while spans are missing. Raises MlflowTracingException when they
    are files of a client, which MLflow's server then reads."""
    location = info.tags.get(TraceTagKey.SPANS_LOCATION)
    if location == SpansLocation.ARCHIVE_REPO.value:
        archive = get_artifact_repository(get_archive_uri_for_trace(info))
        return Trace(info=info, data=TraceData(spans=archive.download_archived_trace_data().spans))
    if location != SpansLocation.TRACKING_STORE.value:
        raise MlflowTracingException("Trace data not stored in tracking store")
    if not allow_partial and (not rows or len(rows) < _expected(info)):
        return None
    return Trace(info=info, data=TraceData(spans=_spans_of(rows)))


def _expected(info: TraceInfo) -> int:
    stats = info.trace_metadata.get(TraceMetadataKey.SIZE_STATS)
    return int(json.loads(stats).get(TraceSizeStatsKey.NUM_SPANS, 0)) if stats else 0


def _spans_of(rows: Sequence[SpanRow]) -> list[Span]:
    """Roots first, then by start; each is parsed only when it is looked into."""
    ordered = sorted(rows, key=lambda row: (row.parent_id is not None, row.start_ns))
    return [LazySpan.from_stored_content(row.content) for row in ordered]
