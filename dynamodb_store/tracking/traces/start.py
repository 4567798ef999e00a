"""start_trace, and its two predecessors: what a client says about a trace as a whole.

It may come before or after the spans; whichever is first makes the trace.
"""

from __future__ import annotations

from typing import Any

from mlflow.entities import TraceInfo
from mlflow.entities.trace_info_v2 import TraceInfoV2
from mlflow.entities.trace_status import TraceStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_STATE
from mlflow.store.tracking.utils.trace_analytics import (
    PROMOTED_TRACE_METADATA_KEYS,
    analytics_columns_from_metadata,
    validate_trace_name,
)
from mlflow.tracing.constant import TraceMetadataKey, TraceTagKey
from mlflow.tracing.utils import generate_request_id_v2
from mlflow.utils.mlflow_tags import MLFLOW_ARTIFACT_LOCATION

from dynamodb_store import documents, keys
from dynamodb_store.documents import Document
from dynamodb_store.entities import assessment, experiment
from dynamodb_store.entities.spans import columns_item
from dynamodb_store.entities.trace import (
    ASSESSMENTS,
    CLIENT_ID,
    METADATA,
    NAME,
    REQUEST,
    RESPONSE,
    SECTIONS,
    TAGS,
    TEXTS,
    Place,
    TraceView,
    is_stored_here,
    new_trace,
    place_of,
    put,
    relisted,
    set_columns,
)
from dynamodb_store.table import Action
from dynamodb_store.tracking.base import canonical_id, check_experiment_active, no_experiment
from dynamodb_store.tracking.traces.base import TraceBase, artifact_location


class StartTraces(TraceBase):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def start_trace(self, trace_info: TraceInfo) -> TraceInfo:
        name = validate_trace_name(trace_info.tags.get(TraceTagKey.TRACE_NAME))
        columns = analytics_columns_from_metadata(dict(trace_info.trace_metadata))
        trace_id = trace_info.trace_id
        for _ in self.table.attempts():
            owner, document = self._experiment_and_trace(trace_info.experiment_id, trace_id)
            before = None if document is None else place_of(document)
            if document is None:
                document = new_trace(trace_id, experiment.id_of(owner), 0, "")
            elif not is_stored_here(document):
                raise MlflowException(
                    f"Cannot update traces that are no longer DB-backed: '{trace_id}'.",
                    error_code=INVALID_STATE,
                )
            _describe(document, trace_info, name, columns)
            put(document, TAGS, MLFLOW_ARTIFACT_LOCATION, artifact_location(owner, trace_id))
            moved = self._moved_spans(document, before)
            if self._write_trace(document, [*moved, *relisted(document, before)]):
                return TraceView(document).info
        raise AssertionError  # attempts() never ends by itself

    def _experiment_and_trace(
        self, experiment_id: str | None, trace_id: str
    ) -> tuple[Document, Document | None]:
        """Both in one round. Raises MlflowException unless the experiment is active."""
        canonical = canonical_id(experiment_id)
        owner, document = self.table.parallel(
            lambda of: documents.read(self.table, *of),
            [
                (keys.experiment(canonical), experiment.SECTIONS),
                (keys.trace(trace_id), SECTIONS),
            ],
        )
        if owner is None:
            raise no_experiment(canonical)
        check_experiment_active(owner)
        return owner, document

    def _moved_spans(self, document: Document, before: Place | None) -> list[Action]:
        """The entry in the list of spans follows a trace to another experiment."""
        if before is None or before.spans is None:
            return []
        after = place_of(document).spans
        if after is None or after == before.spans:
            return []
        _, rows = self._trace_and_spans(before.trace_id)
        item = columns_item(after, before.trace_id, rows.values())
        return [("Delete", {"Key": before.spans}), ("Put", {"Item": item})]

    def deprecated_start_trace_v2(
        self,
        experiment_id: str,
        timestamp_ms: int,
        request_metadata: dict[str, str],
        tags: dict[str, str],
    ) -> TraceInfoV2:
        name = validate_trace_name(tags.get(TraceTagKey.TRACE_NAME))
        trace_id = generate_request_id_v2()
        owner = self._experiment(experiment_id, ("active", "deleted"))
        check_experiment_active(owner)
        in_progress = TraceStatus.IN_PROGRESS.value
        document = new_trace(trace_id, experiment.id_of(owner), timestamp_ms, in_progress)
        set_columns(document, analytics_columns_from_metadata(dict(request_metadata)))
        put(document, TEXTS, NAME, name)
        _merge(document, request_metadata, tags)
        put(document, TAGS, MLFLOW_ARTIFACT_LOCATION, artifact_location(owner, trace_id))
        documents.create(self.table, document, relisted(document, None))
        return TraceInfoV2.from_v3(TraceView(document).info)

    def deprecated_end_trace_v2(
        self,
        request_id: str,
        timestamp_ms: int,
        status: TraceStatus,
        request_metadata: dict[str, str],
        tags: dict[str, str],
    ) -> TraceInfoV2:
        columns = analytics_columns_from_metadata(dict(request_metadata))

        def end(document: Document) -> list[Action]:
            document.head["duration"] = timestamp_ms - document.head["timestamp"]
            document.head["status"] = TraceStatus(status).value
            set_columns(document, columns)
            if TraceTagKey.TRACE_NAME in tags:
                name = validate_trace_name(tags[TraceTagKey.TRACE_NAME])
                put(document, TEXTS, NAME, name)
            _merge(document, request_metadata, tags)
            return []

        return TraceInfoV2.from_v3(TraceView(self._edit_trace(request_id, end)).info)


def _describe(
    document: Document, info: TraceInfo, name: str | None, columns: dict[str, Any]
) -> None:
    """Write what the client says over what spans have said so far."""
    document.head |= {
        "experiment_id": canonical_id(info.experiment_id),
        "timestamp": info.request_time,
        "duration": info.execution_duration,
        "status": info.state.value,
    }
    put(document, TEXTS, CLIENT_ID, info.client_request_id)
    if TraceTagKey.TRACE_NAME in info.tags:
        put(document, TEXTS, NAME, name)
    set_columns(document, columns)
    for text, value in ((REQUEST, info.request_preview), (RESPONSE, info.response_preview)):
        if value is not None:
            put(document, TEXTS, text, value)
    metadata = dict(info.trace_metadata) | {TraceMetadataKey.TRACE_INFO_FINALIZED: "true"}
    _merge(document, metadata, info.tags)
    numbers = [one.number for one in TraceView(document).assessments]
    for number, one in enumerate(info.assessments, max(numbers, default=0) + 1):
        made = assessment.assessed(one, number)
        document.set(ASSESSMENTS, made.assessment_id, assessment.pack(made))


def _merge(document: Document, metadata: dict[str, str], tags: dict[str, str]) -> None:
    for key, value in metadata.items():
        if key not in PROMOTED_TRACE_METADATA_KEYS:
            put(document, METADATA, key, value)
    for key, value in tags.items():
        if key != TraceTagKey.TRACE_NAME:
            put(document, TAGS, key, value)
