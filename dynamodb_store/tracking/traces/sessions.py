"""Questions that look at all traces of an experiment: ended sessions, how two filters agree."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlflow.genai.scorers.online.entities import CompletedSession
from mlflow.store.analytics import trace_correlation
from mlflow.tracing.analysis import TraceFilterCorrelationResult
from mlflow.utils.validation import _parse_experiment_id

from dynamodb_store.entities.trace import SESSION, TraceView
from dynamodb_store.search.traces import TraceFilter, compile_filter
from dynamodb_store.tracking.traces.search import SearchTraces


@dataclass
class _Session:
    first: int
    last: int
    first_traces: list[str] = field(default_factory=list)


class TraceSessions(SearchTraces):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def find_completed_sessions(
        self,
        experiment_id: str,
        min_last_trace_timestamp_ms: int,
        max_last_trace_timestamp_ms: int,
        max_results: int | None = None,
        filter_string: str | None = None,
    ) -> list[CompletedSession]:
        scope = [str(_parse_experiment_id(experiment_id))]
        wanted = compile_filter(filter_string)
        sessions = self._trace_sessions(scope, min_last_trace_timestamp_ms)
        ended = [
            (session.last, session_id, session)
            for session_id, session in sessions.items()
            if session.last <= max_last_trace_timestamp_ms
        ]
        ended.sort(key=lambda one: one[:2])
        if filter_string:
            passed = self._passing_traces([one for _, _, one in ended], scope, wanted)
            ended = [one for one in ended if passed.intersection(one[2].first_traces)]
        return [
            CompletedSession(
                session_id=session_id,
                first_trace_timestamp_ms=session.first,
                last_trace_timestamp_ms=session.last,
            )
            for _, session_id, session in ended[:max_results]
        ]

    def _trace_sessions(self, scope: list[str], since: int) -> dict[str, _Session]:
        """Sessions with a trace since then; the lists are newest first, so the last comes first."""
        found: dict[str, _Session] = {}
        for views in self._trace_views(scope):
            for view in views:
                session_id = view.text(SESSION)
                if session_id is None:
                    continue
                if session_id not in found:
                    if view.timestamp < since:
                        continue
                    found[session_id] = _Session(view.timestamp, view.timestamp)
                session = found[session_id]
                if view.timestamp < session.first:
                    session.first = view.timestamp
                    session.first_traces = []
                session.first_traces.append(view.trace_id)
        return found

    def _passing_traces(
        self, sessions: list[_Session], scope: list[str], wanted: TraceFilter
    ) -> set[str]:
        """Ids of the first traces of sessions that pass a filter."""
        self._prepare_trace_filter(scope, wanted)
        ids = [trace_id for session in sessions for trace_id in session.first_traces]
        passed: set[str] = set()
        for at in range(0, len(ids), 100):
            views = map(TraceView, self._traces(ids[at : at + 100]))
            passing = [view for view in views if wanted.passes(view)]
            found = self._traces_with_spans(passing, wanted) if wanted.spans else iter(passing)
            passed.update(view.trace_id for view in found)
        return passed

    def calculate_trace_filter_correlation(
        self,
        experiment_ids: list[str],
        filter_string1: str,
        filter_string2: str,
        base_filter: str | None = None,
    ) -> TraceFilterCorrelationResult:
        scope = self._trace_scope(experiment_ids)
        base = compile_filter(base_filter)
        filters = [
            compile_filter(f"{base_filter} and {text}" if base_filter else text)
            for text in (filter_string1, filter_string2)
        ]
        for one in filters:
            self._prepare_trace_filter(scope, one)
        total, joint, counts = 0, 0, [0, 0]
        for view in self._matching_traces(scope, base):
            total += 1
            passed = [self._trace_passes(view, one) for one in filters]
            counts = [count + passes for count, passes in zip(counts, passed, strict=True)]
            joint += all(passed)
        result = trace_correlation.calculate_npmi_from_counts(joint, counts[0], counts[1], total)
        return TraceFilterCorrelationResult(
            npmi=result.npmi,
            npmi_smoothed=result.npmi_smoothed,
            filter1_count=counts[0],
            filter2_count=counts[1],
            joint_count=joint,
            total_count=total,
        )

    def _trace_passes(self, view: TraceView, wanted: TraceFilter) -> bool:
        if not wanted.passes(view):
            return False
        return not wanted.spans or bool(self._pass_by_spans([view], wanted))
