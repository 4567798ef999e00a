"""log_spans: each trace of a batch in one transaction, after its large chunks.

The traces of a call are read at once and written at once. A crash leaves whole traces only; the
client's repeat writes the same chunks over themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlflow.entities import LifecycleStage, Span, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_STATE
from mlflow.utils.mlflow_tags import MLFLOW_ARTIFACT_LOCATION

from dynamodb_store.documents import Document
from dynamodb_store.entities import experiment, span_batch
from dynamodb_store.entities.span_batch import SpanBatch, batch_of
from dynamodb_store.entities.spans import (
    SpanRow,
    chunk_items,
    columns_item,
    kinds_of,
    latest_start,
)
from dynamodb_store.entities.trace import (
    EMPTIED,
    TAGS,
    is_archived,
    is_stored_here,
    new_trace,
    place_of,
    put,
    relisted,
)
from dynamodb_store.table import Action
from dynamodb_store.tracking.traces.base import TraceBase, artifact_location

_ALL = LifecycleStage.view_type_to_stages(ViewType.ALL)
_PARTS_A_CALL = 12
"""Parts of 300 KB: a call takes 16 MB, and what fails of it is sent again."""

Stored = tuple[Document | None, dict[str, SpanRow]]


class LogSpans(TraceBase):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def log_spans(
        self, location: str, spans: list[Span], tracking_uri: str | None = None
    ) -> list[Span]:
        if not spans:
            return []
        grouped: dict[str, list[Span]] = {}
        for span in spans:
            grouped.setdefault(span.trace_id, []).append(span)
        batches = [batch_of(trace_id, some) for trace_id, some in grouped.items()]
        stored = self.table.parallel(self._trace_and_spans, list(grouped))
        owner = None
        if any(document is None for document, _ in stored):
            owner = self._experiment(location, _ALL)
        _check_stored_here([document for document, _ in stored if document is not None])

        def write(pair: tuple[SpanBatch, Stored]) -> None:
            self._write_spans(location, owner, *pair)

        self.table.parallel(write, list(zip(batches, stored, strict=True)))
        return spans

    def _write_spans(
        self, location: str, owner: Document | None, batch: SpanBatch, stored: Stored
    ) -> None:
        found, rows = stored
        for _ in self.table.attempts():
            if found is None and owner is None:  # the trace was deleted meanwhile
                owner = self._experiment(location, _ALL)
            if self._try_spans(owner, batch, found, rows):
                return
            found, rows = self._trace_and_spans(batch.trace_id)
            if found is not None:
                _check_stored_here([found])

    def _try_spans(
        self,
        owner: Document | None,
        batch: SpanBatch,
        found: Document | None,
        rows: Mapping[str, SpanRow],
    ) -> bool:
        before = None if found is None else place_of(found)
        document = found or _made_by_spans(owner, batch)
        span_batch.apply(batch, document, rows)
        every = {**rows, **batch.rows}
        document.head |= {
            "span_count": len(every),
            "span_kinds": kinds_of(every.values()),
            "latest_span": latest_start(every.values()),
        }
        document.head.pop(EMPTIED, None)  # somebody told an archived trace that it is here again
        chunk, parts = chunk_items(document.pk, list(batch.rows.values()), document.revision + 1)
        for at in range(0, len(parts), _PARTS_A_CALL):
            self.table.batch_write(parts[at : at + _PARTS_A_CALL])
        listed = place_of(document).spans
        assert listed is not None
        actions: list[Action] = [
            ("Put", {"Item": chunk}),
            ("Put", {"Item": columns_item(listed, batch.trace_id, every.values())}),
        ]
        if before is not None and before.spans is not None and before.spans != listed:
            actions.append(("Delete", {"Key": before.spans}))
        return self._write_trace(document, [*actions, *relisted(document, before)])


def _made_by_spans(owner: Document | None, batch: SpanBatch) -> Document:
    assert owner is not None
    document = new_trace(batch.trace_id, experiment.id_of(owner), batch.start_ms, batch.status)
    # MLflow's SQL store leaves the duration open for an end of 0, too.
    document.head["duration"] = batch.end_ms - batch.start_ms if batch.end_ms else None
    put(document, TAGS, MLFLOW_ARTIFACT_LOCATION, artifact_location(owner, batch.trace_id))
    return document


def _check_stored_here(documents: list[Document]) -> None:
    """Raises MlflowException when spans of a trace are elsewhere: none can be added here."""
    elsewhere = [one for one in documents if not is_stored_here(one)]
    if not elsewhere:
        return
    archived: list[str] = []
    others: list[str] = []
    for one in elsewhere:
        (archived if is_archived(one) else others).append(f"'{one.head['trace_id']}'")
    if not others:
        text = f"Cannot log spans to archived traces: {', '.join(sorted(archived))}."
    else:
        lists = (("archived", archived), ("other", others))
        told = "; ".join(f"{what}={', '.join(sorted(some))}" for what, some in lists if some)
        text = (
            "Cannot log spans because one or more traces are unavailable for DB-backed span "
            f"writes: {told}"
        )
    raise MlflowException(text, error_code=INVALID_STATE)
