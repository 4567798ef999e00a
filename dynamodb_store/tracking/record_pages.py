"""A page of records in the order of their keys; the token says after which key to go on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TypeVar

from mlflow.store.entities.paged_list import PagedList

from dynamodb_store import records
from dynamodb_store.records import Record
from dynamodb_store.search.page import Token, make_token, read_token
from dynamodb_store.table import Table

A = TypeVar("A")


def page_of_records(
    table: Table,
    partition: str,
    max_results: int,
    page_token: Token | None,
    entity: Callable[[Record], A],
    test: Callable[[Record], bool] | None = None,
) -> PagedList[A]:
    """The next page of a partition's records that pass ``test``."""
    offset, after = read_token(page_token)
    skipped = offset if after is None else 0
    first = max_results + 1 if test is None and not skipped else None
    listed = records.listed(table, partition, after=after, limit=first)
    found = (record for record in listed if test is None or test(record))
    page = list(islice(found, skipped, skipped + max_results + 1))
    token = None
    if len(page) > max_results:
        page = page[:max_results]
        token = make_token(offset + max_results, page[-1].sk)
    return PagedList([entity(record) for record in page], token)
