"""search_datasets: the list of all merged in MLflow's order, or the datasets of experiments."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice

from mlflow.entities.entity_type import EntityAssociationType
from mlflow.entities.evaluation_dataset import EvaluationDataset
from mlflow.store.entities.paged_list import PagedList

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.entities.evaluation_dataset import SECTIONS, dataset_of
from dynamodb_store.search.evaluation_datasets import compile_filter, compile_order
from dynamodb_store.search.page import check_max_results, make_token, read_token
from dynamodb_store.tracking.evaluation_datasets.records import DatasetRecords
from dynamodb_store.tracking.listing import listed_documents, merged


class SearchEvaluationDatasets(DatasetRecords):
    """See mlflow.store.tracking.abstract_store for what the method promises."""

    def search_datasets(
        self,
        experiment_ids: list[str] | None = None,
        filter_string: str | None = None,
        max_results: int = 1000,
        order_by: list[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[EvaluationDataset]:
        check_max_results(max_results)
        offset, after = read_token(page_token)
        test = compile_filter(filter_string)
        order = compile_order(order_by)
        if experiment_ids:
            found, after = self._of_experiments(experiment_ids), None
        else:
            after = None if order else after
            first = None if order or filter_string else max_results + 1
            found = self._all_datasets(after, first)
        found = (dataset for dataset in found if test(dataset))
        skipped = 0 if after else offset
        stop = skipped + max_results + 1
        if order is None:
            page = list(islice(found, skipped, stop))
        else:
            page = heapq.nsmallest(stop, found, order)[skipped:]
        token = None
        if len(page) > max_results:
            page = page[:max_results]
            last = page[-1]
            place = keys.evaluation_dataset_order(last.created_time, last.dataset_id)
            token = make_token(offset + max_results, None if order or experiment_ids else place)
        return PagedList(page, token)

    def _all_datasets(self, after: str | None, first: int | None) -> Iterator[EvaluationDataset]:
        shards = keys.evaluation_dataset_shards()
        for batch in merged(self.table, shards, after=after, first=first):
            step = first or len(batch)  # not more than likely needed is fetched
            for at in range(0, len(batch), step):
                entries = [
                    (keys.evaluation_dataset(item["sk"].rpartition("#")[2]), item)
                    for item in batch[at : at + step]
                ]
                yield from map(dataset_of, listed_documents(self.table, entries, SECTIONS))

    def _of_experiments(self, experiment_ids: list[str]) -> Iterator[EvaluationDataset]:
        """The datasets that are linked to the experiments, newest first."""
        ids = self.search_entities_by_destination(
            experiment_ids,
            EntityAssociationType.EXPERIMENT,
            EntityAssociationType.EVALUATION_DATASET,
        )
        entries: list[tuple[str, Item]] = [(keys.evaluation_dataset(one), {}) for one in ids]
        datasets = [dataset_of(one) for one in listed_documents(self.table, entries, SECTIONS)]
        datasets.sort(key=lambda one: (one.created_time, one.dataset_id), reverse=True)
        return iter(datasets)
