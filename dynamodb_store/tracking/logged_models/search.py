"""search_logged_models: the lists of the experiments merged in MLflow's order, or sorted here.

Metrics lie with each model. They are read for the page, and before that only for models that
passed the rest of the filter, when the filter, the order or the datasets ask for metrics.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking import SEARCH_LOGGED_MODEL_MAX_RESULTS_DEFAULT
from mlflow.utils.search_utils import SearchLoggedModelsPaginationToken
from mlflow.utils.validation import _parse_experiment_ids

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.logged_model import MEASURED, SECTIONS, id_of, is_deleted, model_of
from dynamodb_store.search.logged_models import (
    Filter,
    check_datasets,
    compile_filter,
    compile_order,
    make_token,
    read_token,
)
from dynamodb_store.tracking.listing import listed_documents, merged
from dynamodb_store.tracking.logged_models.models import LoggedModels

Found = tuple[LoggedModel, Document]
_AT_ONCE = 128
"""Models whose metrics are read before the next ones are looked at."""


class SearchLoggedModels(LoggedModels):
    """See mlflow.store.tracking.abstract_store for what the method promises."""

    def search_logged_models(
        self,
        experiment_ids: list[str],
        filter_string: str | None = None,
        datasets: list[dict[str, Any]] | None = None,
        max_results: int | None = None,
        order_by: list[dict[str, Any]] | None = None,
        page_token: str | None = None,
    ) -> PagedList[LoggedModel]:
        check_datasets(datasets)
        offset, after = read_token(page_token, experiment_ids, filter_string, order_by)
        max_results = max_results or SEARCH_LOGGED_MODEL_MAX_RESULTS_DEFAULT
        if max_results < 1:
            raise MlflowException.invalid_parameter_value("max_results must be positive.")
        wanted = compile_filter(filter_string, datasets)
        order, by_metrics = compile_order(order_by)
        ids = dict.fromkeys(str(number) for number in _parse_experiment_ids([*experiment_ids]))
        partitions = [shard for one in ids for shard in keys.logged_model_shards(one)]
        plain = order is None and not filter_string and not datasets
        first = max_results + 1 if plain else None
        need = by_metrics or wanted.measured is not None
        found = self._models_matching(partitions, None if order else after, first, wanted, need)
        skipped = offset if order or after is None else 0
        stop = skipped + max_results + 1
        if order is None:
            page = list(islice(found, skipped, stop))
        else:
            by = order
            page = heapq.nsmallest(stop, found, lambda pair: by(pair[0]))[skipped:]
        token = None
        if len(page) > max_results:
            page = page[:max_results]
            last = page[-1][0]
            place = keys.logged_model_order(last.creation_timestamp, last.model_id)
            token = make_token(
                SearchLoggedModelsPaginationToken(
                    experiment_ids, filter_string, order_by, offset + max_results
                ),
                None if order else place,
            )
        if not need:
            self._add_metrics(page)
        return PagedList([model for model, _ in page], token)

    def _models_matching(
        self,
        partitions: Sequence[str],
        after: str | None,
        first: int | None,
        wanted: Filter,
        need_metrics: bool,
    ) -> Iterator[Found]:
        """The models that pass the filter, newest first; with metrics when they are needed."""
        for batch in merged(self.table, partitions, after=after, first=first):
            step = first or len(batch)  # not more than likely needed is fetched
            for at in range(0, len(batch), step):
                models = [
                    (model_of(document), document)
                    for document in self._listed_models(batch[at : at + step])
                    if not is_deleted(document)
                ]
                models = [pair for pair in models if wanted.plain(pair[0])]
                if not need_metrics:
                    yield from models
                    continue
                for start in range(0, len(models), _AT_ONCE):
                    some = models[start : start + _AT_ONCE]
                    self._add_metrics(some)
                    measured = wanted.measured
                    yield from (pair for pair in some if measured is None or measured(pair[0]))

    def _listed_models(self, entries: Sequence[Item]) -> list[Document]:
        named = [(keys.logged_model(item["sk"].partition("#")[2]), item) for item in entries]
        return listed_documents(self.table, named, SECTIONS)

    def _add_metrics(self, models: Sequence[Found]) -> None:
        """Read the metrics of those models that have any, at once."""
        measured = [(model, document) for model, document in models if document.head[MEASURED]]
        found = self.table.parallel(
            self._model_metrics, [id_of(document) for _, document in measured]
        )
        for (model, _), metrics in zip(measured, found, strict=True):
            model.metrics = metrics or None
