"""Archiving one trace: the file first, then the trace with most of its spans in one transaction,
then what is left of large ones.

The transaction's condition is that the trace is as it was read, and its spans are those that went
into the file; so spans that come meanwhile are not lost, and none come afterwards. What stays of
the spans are their columns, as in MLflow's SQL store: searches and charts go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mlflow.exceptions import MlflowException, MlflowTraceArchivalMalformedTrace
from mlflow.tracing.constant import SpansLocation, TraceArchivalFailureReason, TraceTagKey

from dynamodb_store import keys, schema
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.archival import file_of, is_archivable
from dynamodb_store.entities.spans import SpanRow, chunk_items, rows_from
from dynamodb_store.entities.trace import (
    EMPTIED,
    PARTLY,
    TAGS,
    WHOLLY,
    is_archived,
    place_of,
    put,
    relisted,
)
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.table import Action
from dynamodb_store.tracking.traces import archive_files
from dynamodb_store.tracking.traces.base import TraceBase, trace_from

_logger = logging.getLogger(__name__)

_PARTS_A_CALL = 12


@dataclass(frozen=True)
class _Held:
    """A trace that may be archived, as it was read."""

    document: Document
    rows: dict[str, SpanRow]
    chunks: list[Item]
    """All items with spans; chunks before their parts."""

    @property
    def generation(self) -> set[tuple[str, int]]:
        """Changes with every ``log_spans``, also with one of the same spans."""
        return {(item["sk"], item["seq"]) for item in self.chunks if "seq" in item}


class ArchiveTrace(TraceBase):
    """What ``archive_traces`` does with one trace."""

    def _archive_trace(self, trace_id: str, location: str) -> bool:
        """Archive a trace; False when it is not, or no longer, to be archived.

        Raises MlflowException when it has to be tried again.
        """
        held = self._archivable(trace_id)
        if held is None:
            return False
        try:
            content = file_of(held.rows.values())
        except MlflowTraceArchivalMalformedTrace:
            _logger.warning("Trace %s cannot be archived and is marked.", trace_id, exc_info=True)
            self._write_as_read(held, self._write_mark)
            return False
        uri = archive_files.archive_of(location, held.document)
        try:
            archive_files.upload(uri, content)
        except Exception as error:
            self._drop_file(trace_id, uri)
            raise MlflowException("Trace archival upload failed.") from error
        # When this raises nobody knows whether it was written, and the trace may need its file. If
        # not, the next pass writes it again at the same place.
        if self._write_as_read(held, lambda now: self._write_archived(now, uri)):
            return True
        self._drop_file(trace_id, uri)
        return False

    def _archivable(self, trace_id: str) -> _Held | None:
        items = list(self.table.query_all(keys.trace(trace_id)))
        document = trace_from(trace_id, items)
        if document is None or not is_archivable(document):
            return None
        rows = rows_from(items)
        # Fewer: the items were read while another writer was at them.
        if len(rows) < document.head["span_count"] or not any(row.content for row in rows.values()):
            return None
        return _Held(document, rows, _span_items(items))

    def _write_as_read(self, held: _Held, write: Callable[[_Held], bool]) -> bool:
        """Write unless the spans have changed since ``held``; tags may have.

        Read again each time: only so is it certain that items and head belong together.
        """
        trace_id = str(held.document.head["trace_id"])
        for _ in self.table.attempts():
            now = self._archivable(trace_id)
            if now is None or now.generation != held.generation:
                return False
            if write(now):
                return True
        raise AssertionError  # attempts() never ends by itself

    def _write_mark(self, held: _Held) -> bool:
        document = held.document
        before = place_of(document)
        put(document, TAGS, TraceTagKey.ARCHIVAL_FAILURE, _MALFORMED)
        return self._write_trace(document, relisted(document, before))

    def _write_archived(self, held: _Held, uri: str) -> bool:
        document = held.document
        before = place_of(document)
        put(document, TAGS, TraceTagKey.SPANS_LOCATION, SpansLocation.ARCHIVE_REPO.value)
        put(document, TAGS, TraceTagKey.ARCHIVE_LOCATION, uri)
        columns = [row._replace(content="") for row in held.rows.values()]
        chunk, parts = chunk_items(document.pk, columns, document.revision + 1)
        kept = {item["sk"] for item in (chunk, *parts)}
        old = list(_slices([item for item in held.chunks if item["sk"] not in kept]))
        first, rest = (old[0], old[1:]) if old else ([], [])
        document.head[EMPTIED] = PARTLY if rest else WHOLLY
        for at in range(0, len(parts), _PARTS_A_CALL):
            self.table.batch_write(parts[at : at + _PARTS_A_CALL])
        actions: list[Action] = [("Put", {"Item": chunk}), *_deletes(first)]
        if not self._write_trace(document, [*actions, *relisted(document, before)]):
            return False
        if rest:
            self._remove_later(document, rest)
        return True

    def _remove_later(self, document: Document, rest: Sequence[Sequence[Item]]) -> None:
        """Remove what did not fit into the transaction; a later pass goes on after an error."""
        try:
            self._remove_rest(document, rest)
        except MlflowException:
            _logger.warning(
                "Spans of archived trace %s remain for the next pass.",
                document.head["trace_id"],
                exc_info=True,
            )

    def _remove_rest(self, document: Document, rest: Sequence[Sequence[Item]]) -> None:
        still: Action = (
            "ConditionCheck",
            {
                "Key": (document.pk, keys.HEAD),
                "ConditionExpression": f"{EMPTIED} = :partly",
                "ExpressionAttributeValues": {":partly": PARTLY},
            },
        )
        for some in rest:
            try:
                self.table.transact([still, *_deletes(some)])
            except ConditionFailed:
                return  # deleted meanwhile; one of the same name is another trace
        self._edit_trace(str(document.head["trace_id"]), _note_emptied)

    def _finish_archived(self, trace_id: str) -> None:
        """Remove what is left of the spans of an archived trace."""
        items = list(self.table.query_all(keys.trace(trace_id)))
        document = trace_from(trace_id, items)
        if document is None or document.head.get(EMPTIED) != PARTLY:
            return
        chunks = _span_items(items)
        # Nothing is logged to an archived trace, so the last chunk is the one to be kept.
        last = max((one for one in chunks if "seq" in one), key=lambda one: int(one["seq"]))
        parts = keys.chunk_part(last["sk"].removeprefix(keys.CHUNKS), 0).rpartition("#")[0]
        old = [one for one in chunks if one is not last and not one["sk"].startswith(f"{parts}#")]
        self._remove_later(document, list(_slices(old)))

    def _drop_file(self, trace_id: str, uri: str) -> None:
        """Remove a file unless its trace names it."""
        items = self.table.query_all(keys.trace(trace_id), between=(keys.HEAD, keys.HEAD_END))
        document = trace_from(trace_id, list(items))
        named = document is not None and archive_files.archived_at(document) == uri
        if document is not None and named and is_archived(document):
            return
        try:
            archive_files.remove(uri)
        except Exception:
            _logger.warning("The file of trace %s stays in %s.", trace_id, uri, exc_info=True)


_MALFORMED: str = TraceArchivalFailureReason.MALFORMED_TRACE.value


def _note_emptied(document: Document) -> list[Action] | None:
    if document.head.get(EMPTIED) != PARTLY:
        return None
    document.head[EMPTIED] = WHOLLY
    return []


def _span_items(items: Sequence[Item]) -> list[Item]:
    return [item for item in items if item["sk"].startswith((keys.CHUNKS, keys.PARTS))]


def _deletes(items: Sequence[Item]) -> list[Action]:
    return [("Delete", {"Key": (item["pk"], item["sk"])}) for item in items]


def _slices(items: Sequence[Item]) -> Iterator[list[Item]]:
    """So many items as one transaction may delete besides the trace itself."""
    some: list[Item] = []
    size = 0
    for item in items:
        size += len(item.get("doc", b""))
        if some and (len(some) == schema.SLICE or size > schema.TRANSACTION_BYTES // 2):
            yield some
            some, size = [], len(item.get("doc", b""))
        some.append(item)
    if some:
        yield some
