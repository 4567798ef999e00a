"""search_runs: all lists of the experiments merged in MLflow's order; other orders keep a page.

Ended runs are copied into the lists; runs under way are fetched, 100 a call. Those of them that
went quiet are copied by the search that fetched them, so that the next one need not.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from mlflow.entities import LifecycleStage, Run
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import _parse_experiment_ids

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.run import SECTIONS, is_quiet, run_of
from dynamodb_store.search.page import Token, check_max_results, make_token, read_token
from dynamodb_store.search.runs import compile_filter, compile_order
from dynamodb_store.tracking.listing import listed_documents, merged
from dynamodb_store.tracking.runs import Runs
from dynamodb_store.tracking.settle import AT_MOST, settle

Found = tuple[Run, Document]


class SearchRuns(Runs):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    quiet_ms = 5 * 60 * 1000
    """A run that has not changed for so long is taken to be quiet: most such never ended."""

    def _search_runs(
        self,
        experiment_ids: Sequence[str],
        filter_string: str | None,
        run_view_type: int,
        max_results: int | None,
        order_by: Sequence[str] | None,
        page_token: str | None,
    ) -> tuple[list[Run], Token | None]:
        check_max_results(max_results, allow_none=True)
        stages = set(LifecycleStage.view_type_to_stages(run_view_type))
        test = compile_filter(filter_string)
        order = compile_order(order_by)
        offset, after = read_token(page_token)
        ids = sorted({str(number) for number in _parse_experiment_ids(experiment_ids)})
        partitions = [shard for one in ids for shard in keys.run_shards(one)]
        plain = order is None and not filter_string and max_results is not None
        listed = self._listed_runs(
            partitions,
            None if order else after,
            max_results + 1 if plain else None,  # type: ignore[operator]
        )
        quiet: list[Document] = []
        found = (
            (run, document)
            for run, document in self._noting(quiet, listed)
            if run.info.lifecycle_stage in stages and test(run)
        )
        skipped = offset if order or after is None else 0
        page = _ordered(found, order, None if max_results is None else skipped + max_results + 1)
        page = page[skipped:]
        token = None
        if max_results is not None and len(page) > max_results:
            page = page[:max_results]
            last = page[-1][0].info
            place = None if order else keys.run_order(last.start_time, last.run_id)
            token = make_token(offset + max_results, place)
        settle(self.table, quiet)
        return [self._whole(document, with_model_inputs=False) for _, document in page], token

    def _run_ids(self, experiment_id: str) -> list[list[str]]:
        canonical = str(_parse_experiment_ids([experiment_id])[0])
        return [
            [_run_id(item) for item in self.table.query_all(shard)]
            for shard in keys.run_shards(canonical)
        ]

    def _noting(self, quiet: list[Document], listed: Iterator[Found]) -> Iterator[Found]:
        """Passes runs on, and puts those aside that are worth a copy in their list."""
        since = get_current_time_millis() - self.quiet_ms
        for run, document in listed:
            if len(quiet) < AT_MOST and is_quiet(document, since):
                quiet.append(document)
            yield run, document

    def _listed_runs(
        self, partitions: Sequence[str], after: str | None, first: int | None
    ) -> Iterator[Found]:
        for batch in merged(self.table, partitions, after=after, first=first):
            step = first or len(batch)  # not more than likely needed is fetched
            for at in range(0, len(batch), step):
                for document in self._documents(batch[at : at + step]):
                    yield run_of(document, with_model_inputs=False), document

    def _documents(self, entries: Sequence[Item]) -> list[Document]:
        """The runs of list entries, in order; without those that are gone by now."""
        named = [(keys.run(_run_id(item)), item) for item in entries]
        return listed_documents(self.table, named, SECTIONS)


def _run_id(entry: Item) -> str:
    return str(entry["sk"].partition("#")[2])


def _ordered(
    found: Iterator[Found], order: Callable[[Run], Any] | None, wanted: int | None
) -> list[Found]:
    if order is None:
        return list(islice(found, wanted))
    key = order

    def by_run(pair: Found) -> Any:
        return key(pair[0])

    return sorted(found, key=by_run) if wanted is None else heapq.nsmallest(wanted, found, by_run)
