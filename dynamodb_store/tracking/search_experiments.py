"""search_experiments: one list, read in MLflow's default order; other orders keep only a page."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import islice

from mlflow.entities import Experiment, LifecycleStage, ViewType
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking import SEARCH_MAX_RESULTS_DEFAULT

from dynamodb_store import documents, keys, schema
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.experiment import SECTIONS, experiment_of
from dynamodb_store.entities.retention import configured
from dynamodb_store.entities.run import unpack_document
from dynamodb_store.search.experiments import compile_filter, compile_order
from dynamodb_store.search.page import check_max_results, make_token, read_token
from dynamodb_store.tracking.base import Base
from dynamodb_store.tracking.listing import merged


class SearchExperiments(Base):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def search_experiments(
        self,
        view_type: int = ViewType.ACTIVE_ONLY,
        max_results: int = SEARCH_MAX_RESULTS_DEFAULT,
        filter_string: str | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[Experiment]:
        check_max_results(max_results)
        test = compile_filter(filter_string)
        order = compile_order(order_by)
        offset, after = read_token(page_token)
        stages = set(LifecycleStage.view_type_to_stages(view_type))
        first = max_results + 1 if order is None and not filter_string else None
        found = (
            one
            for one in self._all_experiments(None if order else after, first)
            if one.lifecycle_stage in stages and test(one)
        )
        skipped = offset if order or after is None else 0
        wanted = skipped + max_results + 1
        ordered = islice(found, wanted) if order is None else heapq.nsmallest(wanted, found, order)
        page = list(ordered)[skipped:]
        if len(page) <= max_results:
            return PagedList(page, None)
        page = page[:max_results]
        last = None if order else _place(page[-1])
        return PagedList(page, make_token(offset + max_results, last))

    def _all_experiments(self, after: str | None, first: int | None) -> Iterator[Experiment]:
        retention = configured()
        for batch in merged(self.table, [keys.EXPERIMENTS], after=after, first=first):
            for document in self.table.parallel(self._listed_experiment, batch):
                if document is not None:
                    yield experiment_of(document, retention)

    def _listed_experiment(self, item: Item) -> Document | None:
        if schema.DIGEST in item:
            return unpack_document(item[schema.DIGEST], SECTIONS)
        experiment_id = str(int(item["sk"].partition("#")[2]))
        return documents.read(self.table, keys.experiment(experiment_id), SECTIONS)


def _place(experiment: Experiment) -> str:
    return keys.experiment_entry(experiment.experiment_id, experiment.creation_time)[1]
