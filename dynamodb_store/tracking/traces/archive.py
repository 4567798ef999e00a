"""archive_traces: one pass over the traces that are old enough, oldest first.

Traces are found in the lists of their experiments, which are in the order of time: from the old
end up to the time in question, and no further than the pass may go.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from mlflow.entities import LifecycleStage, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracing.constant import TraceExperimentTagKey
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import (
    _validate_trace_archival_location,
    _validate_trace_archival_retention_string,
)

from dynamodb_store import keys
from dynamodb_store.documents import Document
from dynamodb_store.entities import experiment
from dynamodb_store.entities.archival import (
    Wish,
    in_progress,
    is_archivable,
    is_marked,
    wishes_of,
)
from dynamodb_store.entities.trace import EMPTIED, PARTLY, TraceView, is_stored_here
from dynamodb_store.table import Action
from dynamodb_store.tracking.listing import merged
from dynamodb_store.tracking.search_experiments import SearchExperiments
from dynamodb_store.tracking.traces.archive_one import ArchiveTrace
from dynamodb_store.tracking.traces.entries import TraceEntries

_logger = logging.getLogger(__name__)

_ALL = LifecycleStage.view_type_to_stages(ViewType.ALL)
_OLDEST = -(2**63)


class _Candidate(NamedTuple):
    """By these fields the order in which traces are archived."""

    timestamp: int
    trace_id: str
    experiment_id: str


class ArchiveTraces(ArchiveTrace, TraceEntries, SearchExperiments):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    @property
    def supports_trace_archival(self) -> bool:
        return True

    def archive_traces(
        self,
        *,
        resolved_trace_archival_location: str,
        broader_retention: str,
        long_retention_allowlist: set[str] | list[str] | None = None,
        max_traces_per_pass: int | None = None,
    ) -> int:
        limit = max_traces_per_pass
        if limit is not None and limit <= 0:
            raise MlflowException.invalid_parameter_value(
                f"`max_traces_per_pass` must be a positive integer, received {limit}."
            )
        location = _given("resolved_trace_archival_location", resolved_trace_archival_location)
        location = _validate_trace_archival_location(
            location, parameter_name="resolved_trace_archival_location"
        )
        retention = _validate_trace_archival_retention_string(
            _given("broader_retention", broader_retention), parameter_name="broader_retention"
        )
        now = get_current_time_millis()
        asked, due = self._archival_wishes(retention, long_retention_allowlist or (), now)
        unfinished: dict[str, None] = {}
        chosen = self._archival_candidates(asked, limit, unfinished)
        if limit is None or len(chosen) < limit:
            chosen += self._archival_candidates(due, limit, unfinished)
        for trace_id in unfinished:
            self._finish_archived(trace_id)
        failed: set[str] = set()
        try:
            return self._archive_all(list(dict.fromkeys(chosen))[:limit], location, failed)
        finally:
            for wish in asked:
                if wish.experiment_id not in failed:
                    self._clear_wish(wish)

    def _archival_wishes(
        self, retention: str, longer: Iterable[str], now: int
    ) -> tuple[list[Wish], list[Wish]]:
        """What people asked for, and what is due by age, of all active experiments."""
        asked, due = [], []
        allowed = {str(one) for one in longer}
        for one in self._all_experiments(None, None):
            if one.lifecycle_stage != LifecycleStage.ACTIVE:
                continue
            now_wish, due_wish = wishes_of(one, retention, allowed, now)
            asked += [now_wish] if now_wish else []
            due += [due_wish] if due_wish else []
        return asked, due

    def _archival_candidates(
        self, wishes: Iterable[Wish], limit: int | None, unfinished: dict[str, None]
    ) -> list[_Candidate]:
        """The oldest traces to be archived, ``limit`` at most, and notes those half archived."""
        found: list[_Candidate] = []
        for wish in wishes:
            until = wish.until
            if limit is not None and len(found) == limit:  # later ones are not among the oldest
                latest = found[-1].timestamp
                until = latest if until is None else min(until, latest)
            found += self._oldest_archivable(wish.experiment_id, until, limit, unfinished)
            found.sort()
            del found[limit if limit is not None else len(found) :]
        return found

    def _oldest_archivable(
        self,
        experiment_id: str,
        until: int | None,
        limit: int | None,
        unfinished: dict[str, None],
    ) -> list[_Candidate]:
        """At least the oldest ``limit`` of an experiment, if there are so many."""
        found: list[_Candidate] = []
        for view in self._oldest_first(experiment_id, until, limit):
            if limit is not None and len(found) >= limit and view.timestamp > found[-1].timestamp:
                break
            if view.head.get(EMPTIED) == PARTLY:
                unfinished[view.trace_id] = None
            elif is_archivable(view.document):
                found.append(_Candidate(view.timestamp, view.trace_id, experiment_id))
        return found

    def _oldest_first(
        self, experiment_id: str, until: int | None, first: int | None = None
    ) -> Iterator[TraceView]:
        """The traces of an experiment up to a time, by time."""
        between = None if until is None else (keys.descending(max(until, _OLDEST)), "g")
        shards = keys.trace_shards(experiment_id)
        for batch in merged(self.table, shards, first=first, between=between, reverse=True):
            yield from map(TraceView, self._listed_traces(batch))

    def _archive_all(
        self, candidates: Collection[_Candidate], location: str, failed: set[str]
    ) -> int:
        """How many were archived; notes the experiments in which one has to be tried again."""
        archived = 0
        for one in candidates:
            try:
                archived += self._archive_trace(one.trace_id, location)
            except MlflowException:
                _logger.warning(
                    "Trace %s was not archived; the next pass tries again.",
                    one.trace_id,
                    exc_info=True,
                )
                failed.add(one.experiment_id)
        return archived

    def _clear_wish(self, wish: Wish) -> None:
        """Remove the tag by which a person asked, unless traces are left that can still go."""
        blocked = False
        for view in self._oldest_first(wish.experiment_id, wish.until):
            document = view.document
            if not is_stored_here(document) or is_marked(document):
                continue
            if is_archivable(document) or in_progress(document):
                return
            blocked = True
        if blocked:
            _logger.warning(
                "Experiment %s has traces without spans here, which are not archived; its request "
                "%r is done.",
                wish.experiment_id,
                wish.tag,
            )

        def clear(document: Document) -> list[Action] | None:
            # Not one that came in the meantime.
            if document.get(experiment.TAGS, TraceExperimentTagKey.ARCHIVE_NOW) != wish.tag:
                return None
            document.remove(experiment.TAGS, TraceExperimentTagKey.ARCHIVE_NOW)
            return []

        try:
            self._edit_experiment(wish.experiment_id, _ALL, clear)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # removed for good meanwhile
                raise


def _given(name: str, value: str) -> str:
    if not value:
        raise MlflowException.invalid_parameter_value(f"`{name}` must be provided.")
    return value
