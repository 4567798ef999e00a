"""Reading lists that lie in several partitions, in one order, with as few calls as will do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import ge, le
from typing import Any

from dynamodb_store import documents, schema
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.run import unpack_document
from dynamodb_store.table import Table


@dataclass
class _Partition:
    pk: str
    after: str | None
    held: list[Item] = field(default_factory=list)
    done: bool = False


def merged(
    table: Table,
    partitions: Sequence[str],
    *,
    after: str | None = None,
    first: int | None = None,
    between: tuple[str, str] | None = None,
    reverse: bool = False,
) -> Iterator[list[Item]]:
    """Batches of items in the order of their sort keys, whatever partition they lie in.

    ``first``: how many items are likely to be enough; the first Query of each partition asks for
    its share of them. Later ones take a full page (1 MB). All partitions are read at once.
    ``between`` two sort keys, both included; ``reverse`` from the last one on.
    """
    sources = [_Partition(pk, after) for pk in partitions]
    limit = None if first is None else _share(first, len(sources))
    asked = {"between": between, "reverse": reverse}
    while True:
        hungry = [source for source in sources if not source.held and not source.done]
        if hungry:
            table.parallel(partial(_fetch, table, {**asked, "limit": limit}), hungry)
            limit = None
            continue
        if batch := _take(sources, reverse):
            yield batch
        elif all(source.done for source in sources):
            return


def _share(first: int, parts: int) -> int:
    """So many that a fair spread rarely needs a second Query."""
    return first if parts < 2 else min(first, 2 * first // parts + 8)


def _fetch(table: Table, asked: dict[str, Any], source: _Partition) -> None:
    source.held, source.after = table.query(source.pk, after=source.after, **asked)
    source.done = source.after is None


def _take(sources: Sequence[_Partition], reverse: bool) -> list[Item]:
    """Remove and return what certainly comes before anything not read yet."""
    bounds = [source.held[-1]["sk"] for source in sources if not source.done]
    bound = (max if reverse else min)(bounds, default=None)
    taken: list[Item] = []
    for source in sources:
        now, later = source.held, []
        if bound is not None:
            passed = ge if reverse else le
            now = [item for item in now if passed(item["sk"], bound)]
            later = source.held[len(now) :]
        taken += now
        source.held = later
    return sorted(taken, key=lambda item: str(item["sk"]), reverse=reverse)


def listed_documents(
    table: Table, entries: Sequence[tuple[str, Item]], sections: tuple[str, ...]
) -> list[Document]:
    """The documents of list entries (each with its partition), in order, copied or fetched.

    Without those that are gone by now. Heads are fetched 100 a call, paged documents one by one.
    """
    apart = [pk for pk, item in entries if schema.DIGEST not in item]
    fetched = {document.pk: document for document in documents.read_many(table, apart, sections)}
    found = (
        unpack_document(item[schema.DIGEST], sections) if schema.DIGEST in item else fetched.get(pk)
        for pk, item in entries
    )
    return [document for document in found if document is not None]
