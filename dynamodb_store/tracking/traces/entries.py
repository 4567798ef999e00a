"""Entries of the list of traces: copies, or pointers to fetch, 100 a call."""

from __future__ import annotations

from collections.abc import Sequence

from dynamodb_store import keys, schema
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.run import unpack_document
from dynamodb_store.entities.trace import SECTIONS
from dynamodb_store.tracking.traces.base import TraceBase


class TraceEntries(TraceBase):
    """What searches, sessions and metrics read lists with."""

    def _listed_traces(self, entries: Sequence[Item]) -> list[Document]:
        """The traces of list entries, in order; without those that are gone or moved by now."""
        apart = [str(item["trace"]) for item in entries if schema.DIGEST not in item]
        fetched = {document.pk: document for document in self._traces(apart)}
        found = []
        for item in entries:
            if schema.DIGEST in item:
                found.append(unpack_document(item[schema.DIGEST], SECTIONS))
                continue
            document = fetched.get(keys.trace(str(item["trace"])))
            if document is not None and _is_listed_at(document, item):
                found.append(document)
        return found


def _is_listed_at(document: Document, item: Item) -> bool:
    """Not when it moved between the two reads: a list names a trace once."""
    head = document.head
    entry = keys.trace_entry(head["experiment_id"], head["timestamp"], head["trace_id"])
    return entry == (item["pk"], item["sk"])
