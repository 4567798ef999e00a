"""All of the family in one mixin."""

from __future__ import annotations

from dynamodb_store.tracking.traces.archive import ArchiveTraces
from dynamodb_store.tracking.traces.assessments import Assessments
from dynamodb_store.tracking.traces.delete import DeleteTraces
from dynamodb_store.tracking.traces.metrics import TraceMetrics
from dynamodb_store.tracking.traces.read import ReadTraces
from dynamodb_store.tracking.traces.sessions import TraceSessions
from dynamodb_store.tracking.traces.spans import LogSpans
from dynamodb_store.tracking.traces.start import StartTraces
from dynamodb_store.tracking.traces.tags import TraceTags


class Traces(
    StartTraces,
    LogSpans,
    ReadTraces,
    TraceTags,
    Assessments,
    DeleteTraces,
    TraceSessions,
    TraceMetrics,
    ArchiveTraces,
):
    """Traces, spans and assessments, and what happens to them when runs and experiments go."""

    def _run_deleted(self, run_id: str) -> None:
        self._delete_assessments_of_run(run_id)
        super()._run_deleted(run_id)

    def _purge_experiment(self, experiment_id: str) -> None:
        self._purge_traces(experiment_id)
        super()._purge_experiment(experiment_id)

    def _purge_run(self, run_id: str) -> None:
        self._purge_links(run_id)
        super()._purge_run(run_id)
