"""search_registered_models: a list of names, and the records of those that are on the page."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import islice

from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry import (
    SEARCH_REGISTERED_MODEL_MAX_RESULTS_DEFAULT,
    SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD,
)

from dynamodb_store import keys, records
from dynamodb_store.codec import Item
from dynamodb_store.entities.registered_model import model_of
from dynamodb_store.records import Record
from dynamodb_store.registry.models import Models
from dynamodb_store.search.page import make_token, read_token
from dynamodb_store.search.registry import Filter, model_filter, models_order
from dynamodb_store.tracking.listing import merged

_HEADS_AT_ONCE = 1600
"""As many calls of 100 as run at once."""


class SearchModels(Models):
    """See mlflow.store.model_registry.abstract_store for what each method promises."""

    def search_registered_models(
        self,
        filter_string: str | None = None,
        max_results: int = SEARCH_REGISTERED_MODEL_MAX_RESULTS_DEFAULT,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[RegisteredModel]:
        _check_max_results(max_results)
        chosen = model_filter(filter_string)
        order = models_order(order_by)
        offset, after = read_token(page_token)
        skipped = offset if order or after is None else 0
        end = skipped + max_results
        if order is None and chosen.answered_by_lists:
            # The list says which models are in the answer: only those on the page are read.
            first = end + 1 if chosen.takes_all_names else None
            entries = list(islice(self._entries(chosen, after, first), end + 1))
            heads = self._records([item["id"] for item in entries[skipped:end]])
            more = len(entries) > end
        else:
            found = self._heads(chosen, None if order else after)
            ordered = (
                islice(found, end + 1)
                if order is None
                else heapq.nsmallest(end + 1, found, lambda head: order(head.body))
            )
            read = list(ordered)
            heads, more = read[skipped:end], len(read) > end
        entities = [
            model_of(head.body, latest)
            for head, latest in zip(heads, self._latest(heads), strict=True)
        ]
        if not more:
            return PagedList(entities, None)
        last = keys.model_order(heads[-1].body["name"]) if heads and order is None else None
        return PagedList(entities, make_token(offset + max_results, last))

    def _heads(self, chosen: Filter, after: str | None = None) -> Iterator[Record]:
        """The records of the models that the filter takes, in order of names."""
        batch: list[str] = []
        for item in self._entries(chosen, after, None):
            batch.append(item["id"])
            if len(batch) == _HEADS_AT_ONCE:
                yield from self._taken(chosen, batch)
                batch = []
        yield from self._taken(chosen, batch)

    def _taken(self, chosen: Filter, ids: Sequence[str]) -> list[Record]:
        return [head for head in self._records(ids) if chosen.takes_model(head.body)]

    def _records(self, ids: Sequence[str]) -> list[Record]:
        return records.get_many(self.table, [(keys.model(one), keys.HEAD) for one in ids])

    def _entries(self, chosen: Filter, after: str | None, first: int | None) -> Iterator[Item]:
        """Name and id of the models whose names the filter takes, in order of names."""
        names = chosen.names()
        if names is not None:
            places = [keys.model_name(name) for name in names]
            owners = {item["pk"]: item["owner"] for item in self.table.batch_get(places)}
            for name in sorted(names, key=keys.model_order):
                owner = owners.get(keys.model_name(name)[0])
                if owner and chosen.takes_name(name) and keys.model_order(name) > (after or ""):
                    yield {"id": owner, "name": name}
            return
        lists = [keys.MODELS] if not chosen.prompts else [keys.PROMPTS]
        if chosen.prompts and not chosen.true_prompts:
            lists = [keys.MODELS, keys.PROMPTS]
        for batch in merged(self.table, lists, after=after, first=first):
            yield from (item for item in batch if chosen.takes_name(item["name"]))


def _check_max_results(max_results: int) -> None:
    if max_results > SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD or max_results < 0:
        raise MlflowException.invalid_parameter_value(
            "Invalid value for request parameter max_results. It must be at most "
            f"{SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD}, but got value {max_results}"
        )
