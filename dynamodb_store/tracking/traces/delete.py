"""Deleting traces: spans first and the head with its list entries last, so that what was cut short
is still listed and can be asked for again. The archive's file of a trace goes before all of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

from mlflow.utils.validation import _parse_experiment_id

from dynamodb_store import keys, schema
from dynamodb_store.codec import Item
from dynamodb_store.entities.trace import place_of, unlisted
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.table import Action
from dynamodb_store.tracking.traces import archive_files
from dynamodb_store.tracking.traces.base import TraceBase, trace_from

_AT_ONCE = 25


class DeleteTraces(TraceBase):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def _delete_traces(
        self,
        experiment_id: str,
        max_timestamp_millis: int | None = None,
        max_traces: int | None = None,
        trace_ids: list[str] | None = None,
    ) -> int:
        canonical = str(_parse_experiment_id(experiment_id))
        if trace_ids:
            wanted = iter(list(dict.fromkeys(trace_ids)))
        elif max_traces is None:
            wanted = self._listed_trace_ids(canonical, max_timestamp_millis)
        else:
            wanted = iter(self._oldest_traces(canonical, max_timestamp_millis, max_traces))
        deleted = 0
        while some := list(islice(wanted, 16 * 8)):
            delete = partial(self._delete_trace, canonical, with_file=True)
            gone = self.table.parallel(delete, some)
            deleted += sum(gone)
        return deleted

    def _delete_trace(self, experiment_id: str, trace_id: str, *, with_file: bool) -> bool:
        """Remove a trace of this experiment; False when there is none, or its file cannot go."""
        for _ in self.table.attempts():
            items = list(self.table.query_all(keys.trace(trace_id)))
            document = trace_from(trace_id, items)
            if document is None or document.head["experiment_id"] != experiment_id:
                return False
            if with_file and not archive_files.remove_with(document):
                return False
            self._purge_trace(trace_id)
            own = [(item["pk"], item["sk"]) for item in items if item["sk"] != keys.HEAD]
            # Pages may hold what the lists mark the trace by, so they go with the head.
            pages = [key for key in own if key[1] < keys.HEAD_END][: schema.SLICE]
            # Chunks before their parts: keys are in this order.
            rest = [key for key in own if key not in pages]
            for at in range(0, len(rest), _AT_ONCE):
                self.table.batch_write(deletes=rest[at : at + _AT_ONCE])
            head: Item = {
                "Key": (document.pk, keys.HEAD),
                "ConditionExpression": "rev = :rev",
                "ExpressionAttributeValues": {":rev": document.revision},
            }
            actions: list[Action] = [("Delete", head), *unlisted(place_of(document))]
            actions += [("Delete", {"Key": key}) for key in pages]
            try:
                self.table.transact(actions)
                return True
            except ConditionFailed:
                continue  # spans or tags came meanwhile
        raise AssertionError  # attempts() never ends by itself

    def _purge_traces(self, experiment_id: str) -> None:
        """All traces of an experiment, for ``mlflow gc``; that leaves archives alone."""
        ids = self._listed_trace_ids(experiment_id, None)
        delete = partial(self._delete_trace, experiment_id, with_file=False)
        while some := list(islice(ids, 16 * 8)):
            self.table.parallel(delete, some)

    def _listed_trace_ids(self, experiment_id: str, until: int | None) -> Iterator[str]:
        for shard in keys.trace_shards(experiment_id):
            for item in self.table.query_all(shard, **_range(until)):
                yield str(item["trace"])

    def _oldest_traces(self, experiment_id: str, until: int | None, number: int) -> list[str]:
        """The oldest so many, by time and then by id."""

        def oldest_of(shard: str) -> list[tuple[str, str]]:
            items = self.table.query_all(shard, reverse=True, **_range(until))
            return list(_enough(items, number))

        shards = self.table.parallel(oldest_of, keys.trace_shards(experiment_id))
        found = [pair for pairs in shards for pair in pairs]
        # Newest has the smallest key, so the oldest come by descending times, ascending ids.
        found.sort(key=lambda pair: pair[1])
        found.sort(key=lambda pair: pair[0], reverse=True)
        return [trace_id for _, trace_id in found[:number]]


def _enough(items: Iterable[Item], number: int) -> Iterator[tuple[str, str]]:
    """Time key and id of so many entries, and of those with the same time as the last."""
    last = ""
    for count, item in enumerate(items):
        when = item["sk"].partition("#")[0]
        if count >= number and when != last:
            return
        last = when
        yield when, str(item["trace"])


def _range(until: int | None) -> dict[str, tuple[str, str]]:
    return {} if until is None else {"between": (keys.descending(until), "g")}
