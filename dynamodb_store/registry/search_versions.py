"""search_model_versions: by run, by source, by name, or over the versions of all models.

What the filter says of runs, sources and names decides which partitions are read; everything is
then tested with MLflow's own meaning. Versions of one model in the order of their numbers are read
page by page; any other order needs all candidates, of which only a page is kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry import (
    SEARCH_MODEL_VERSION_MAX_RESULTS_DEFAULT,
    SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD,
)

from dynamodb_store import keys, records
from dynamodb_store.entities.model_version import is_deleted, number_of, version_of
from dynamodb_store.records import Body, Record
from dynamodb_store.registry.search_models import SearchModels
from dynamodb_store.registry.versions import is_listed_source
from dynamodb_store.search.page import make_token, read_token
from dynamodb_store.search.registry import (
    Filter,
    Found,
    version_columns,
    version_filter,
    versions_order,
)

_SLICE = 1000
"""Versions that one Query is asked for when many of one model are read at once."""
_MODELS_AT_ONCE, _QUERIES_AT_ONCE = 1000, 64

A = TypeVar("A")
Range = tuple[Record, int, int]
"""A model, and the first and last number to read."""


class SearchVersions(SearchModels):
    """See mlflow.store.model_registry.abstract_store for what each method promises."""

    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int = SEARCH_MODEL_VERSION_MAX_RESULTS_DEFAULT,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[ModelVersion]:
        _check_max_results(max_results)
        chosen = version_filter(filter_string)
        columns = version_columns(order_by)
        offset, after = read_token(page_token)
        if _is_numbered(chosen, columns):
            ascending = dict(columns)["version_number"]
            skipped = 0 if after else offset
            first = skipped + max_results + 1
            found = islice(self._numbered(chosen, ascending, after, first), first)
            page = list(found)[skipped:]
        else:
            order = versions_order(columns)
            wanted = offset + max_results + 1
            page = heapq.nsmallest(wanted, self._candidates(chosen), order)[offset:]
            after = None
        entities = [version_of(one.head, one.number, one.body, aliases=False) for one in page]
        if len(page) <= max_results:
            return PagedList(entities, None)
        last = page[max_results - 1]
        place = keys.version(last.number) if _is_numbered(chosen, columns) else None
        return PagedList(entities[:max_results], make_token(offset + max_results, place))

    def _numbered(
        self, chosen: Filter, ascending: bool, after: str | None, first: int
    ) -> Iterator[Found]:
        """The versions of one model in the order of their numbers, as they lie in the table."""
        for head in self._models_named(chosen):
            limit: int | None = first
            while chosen.prompts or not head.body["prompts"]:
                items, after = self.table.query(
                    head.partition,
                    prefix=keys.VERSIONS,
                    after=after,
                    limit=limit,
                    reverse=not ascending,
                )
                found = (records.of_item(self.table, item) for item in items)
                yield from _taken(chosen, head.body, found)
                if after is None:
                    return
                limit = None

    def _candidates(self, chosen: Filter) -> Iterator[Found]:
        """The versions that the filter takes, in no order."""
        runs, sources = chosen.values("run_id"), chosen.values("source_path")
        if runs is not None and all(runs):
            return self._listed(chosen, [keys.versions_of_run(run) for run in runs])
        if sources is not None and all(map(is_listed_source, sources)):
            return self._listed(chosen, [keys.versions_of_source(one) for one in sources])
        return self._of_models(chosen, self._models_named(chosen))

    def _listed(self, chosen: Filter, lists: Sequence[str]) -> Iterator[Found]:
        """The versions in the lists of runs or sources."""
        entries = self.table.parallel(lambda pk: list(self.table.query_all(pk)), lists)
        wanted = [item["sk"].rpartition("#") for items in entries for item in items]
        heads = [(keys.model(model), keys.HEAD) for model, _, _ in wanted]
        places = [(keys.model(model), keys.version(int(number))) for model, _, number in wanted]
        read = records.get_many(self.table, [*heads, *places]) if wanted else []
        models = {one.partition: one.body for one in read if one.sk == keys.HEAD}
        for one in read:
            # A model that is being deleted has entries for a while.
            if one.sk != keys.HEAD and one.partition in models:
                yield from _taken(chosen, models[one.partition], [one])

    def _models_named(self, chosen: Filter) -> Iterator[Record]:
        """The models that can have versions in the answer."""
        names = chosen.names()
        if names is not None and len(names) == 1:
            found = self._find(names[0]) if chosen.takes_name(names[0]) else None
            yield from found or ()
            return
        both = Filter([one for one in chosen.clauses if one["key"] == "name"], True)
        for batch in _batches(self._entries(both, None, None), _MODELS_AT_ONCE):
            yield from self._records([item["id"] for item in batch])

    def _of_models(self, chosen: Filter, heads: Iterable[Record]) -> Iterator[Found]:
        """All versions of these models that the filter takes; many Queries at once."""
        for batch in _batches(heads, _MODELS_AT_ONCE):
            open_to_it = [head for head in batch if chosen.prompts or not head.body["prompts"]]
            for head in open_to_it:
                yield from _taken(chosen, head.body, _copies(head))
            ranges = [
                (head, first, first + _SLICE - 1)
                for head in open_to_it
                if not _copies(head)
                for first in range(1, head.body["last"] + 1, _SLICE)
            ]
            for few in _batches(ranges, _QUERIES_AT_ONCE):
                for (head, _, _), found in zip(
                    few, self.table.parallel(self._range, few), strict=True
                ):
                    yield from _taken(chosen, head.body, found)

    def _range(self, part: Range) -> list[Record]:
        head, first, last = part
        between = (keys.version(first), keys.version(last))
        return list(records.listed(self.table, head.partition, between=between))


def _copies(head: Record) -> list[Record]:
    """All versions of a model, when the copies that its record holds are all; else nothing."""
    latest = head.body["latest"].values()
    if len(latest) < head.body["last"] or not all(one["body"] for one in latest):
        return []
    return [Record(head.partition, keys.version(one["version"]), one["body"]) for one in latest]


def _taken(chosen: Filter, head: Body, versions: Iterable[Record]) -> Iterator[Found]:
    for one in versions:
        found = Found(head, number_of(one.sk), one.body)
        if not is_deleted(one.body) and chosen.takes_version(found):
            yield found


def _batches(items: Iterable[A], size: int) -> Iterator[list[A]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _is_numbered(chosen: Filter, columns: Sequence[tuple[str, bool]]) -> bool:
    """Whether the answer is of one model, in the order of its numbers."""
    names = chosen.names()
    ordered = next(name for name, _ in columns if name != "name")
    return names is not None and len(names) == 1 and ordered == "version_number"


def _check_max_results(max_results: int) -> None:
    if not isinstance(max_results, int) or max_results < 1:
        raise MlflowException.invalid_parameter_value(
            f"Invalid value for max_results. It must be a positive integer, but got {max_results}"
        )
    if max_results > SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD:
        raise MlflowException.invalid_parameter_value(
            "Invalid value for request parameter max_results. It must be at most "
            f"{SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD}, but got value {max_results}"
        )
