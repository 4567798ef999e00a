"""Archival of traces: which experiment asks for what, which traces may go, what goes into the file.

Durations, tags of experiments and the file are read and written with MLflow's own code.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Experiment, Span, TraceState
from mlflow.exceptions import MlflowException, MlflowTraceArchivalMalformedTrace
from mlflow.store.tracking.utils.trace_archival import (
    _ArchiveNowRequest,
    _parse_trace_archival_duration_millis,
    _resolve_effective_trace_archival_retention,
)
from mlflow.tracing.constant import TraceExperimentTagKey, TraceTagKey
from mlflow.tracing.otel.otel_archival import spans_to_traces_data_pb
from mlflow.tracing.otel.translation import translate_loaded_span

from dynamodb_store.documents import Document
from dynamodb_store.entities.spans import SpanRow
from dynamodb_store.entities.trace import EMPTIED, TAGS, is_stored_here


@dataclass(frozen=True)
class Wish:
    """Traces of an experiment up to a time, or all of them, are to be archived."""

    experiment_id: str
    until: int | None
    """In milliseconds since 1970; None: whatever their age."""
    tag: str | None = None
    """What the experiment's tag says, when a person asked for it."""


def wishes_of(
    experiment: Experiment, retention: str, longer: Collection[str], now: int
) -> tuple[Wish | None, Wish | None]:
    """What a person asked for now, and what is due by age unless the former covers it.

    ``retention`` is that of the server; ``longer`` are experiments that may keep traces longer.
    """
    experiment_id = str(experiment.experiment_id)
    asked = experiment.tags.get(TraceExperimentTagKey.ARCHIVE_NOW)
    request: Any = _ArchiveNowRequest.from_tag_value(asked)
    age = retention_of(experiment_id, experiment.tags, retention, longer)
    kept: Any = _parse_trace_archival_duration_millis(age)
    due = Wish(experiment_id, now - kept)
    if request is None:
        return None, due
    older = request.older_than_millis
    now_wish = Wish(experiment_id, None if older is None else now - older, asked)
    return now_wish, None if older is None or older <= kept else due


def retention_of(
    experiment_id: str, tags: dict[str, str], retention: str, longer: Collection[str]
) -> str:
    """How long an experiment keeps its traces here, such as ``30d``."""
    found: str = _resolve_effective_trace_archival_retention(
        experiment_id=experiment_id,
        experiment_tags=tags,
        broader_retention=retention,
        long_retention_allowlist=set(longer),
    )
    return found


def is_marked(document: Document) -> bool:
    """Whether archiving the trace failed for good; a person may remove the tag."""
    return document.get(TAGS, TraceTagKey.ARCHIVAL_FAILURE) is not None


def in_progress(document: Document) -> bool:
    """Whether the trace has not ended."""
    return bool(document.head["status"] == TraceState.IN_PROGRESS.value)


def is_archivable(document: Document) -> bool:
    """Whether spans with contents are here, and may go."""
    return (
        is_stored_here(document)
        and bool(document.head["span_count"])
        and EMPTIED not in document.head
        and not in_progress(document)
        and not is_marked(document)
    )


def file_of(rows: Iterable[SpanRow]) -> bytes:
    """What the archive holds of a trace. Raises MlflowTraceArchivalMalformedTrace."""
    ordered = sorted(rows, key=lambda row: row.span_id)
    try:
        spans = [Span.from_dict(translate_loaded_span(json.loads(row.content))) for row in ordered]
        content: bytes = spans_to_traces_data_pb(spans)
    except (MlflowException, TypeError, ValueError, AttributeError) as error:
        raise MlflowTraceArchivalMalformedTrace(str(error)) from error
    return content
