"""Reading and changing one trace, and which lists name it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.utils.uri import append_to_uri_path

from dynamodb_store import documents, keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.spans import SpanRow, rows_from
from dynamodb_store.entities.trace import SECTIONS, place_of, relisted
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.table import Action
from dynamodb_store.tracking.base import Base

Missing = Callable[[str], Exception]


class TraceBase(Base):
    """What the mixins of this family share."""

    def _trace(self, trace_id: str) -> Document:
        """The trace's document. Raises MlflowException."""
        found = documents.read(self.table, keys.trace(trace_id), SECTIONS)
        if found is None:
            raise no_trace(trace_id)
        return found

    def _traces(self, trace_ids: Sequence[str]) -> list[Document]:
        """Those traces that exist, each once, in the order of ``trace_ids``."""
        pks = [keys.trace(trace_id) for trace_id in trace_ids]
        return documents.read_many(self.table, pks, SECTIONS)

    def _trace_and_spans(self, trace_id: str) -> tuple[Document | None, dict[str, SpanRow]]:
        """All of a trace's partition: one Query a megabyte."""
        items = list(self.table.query_all(keys.trace(trace_id)))
        return trace_from(trace_id, items), rows_from(items)

    def _edit_trace(
        self, trace_id: str, change: documents.Change, missing: Missing | None = None
    ) -> Document:
        """Change a trace and its copy in the list."""

        def checked(document: Document) -> list[Action] | None:
            before = place_of(document)
            also = change(document)
            return None if also is None else [*also, *relisted(document, before)]

        return documents.edit(
            self.table,
            keys.trace(trace_id),
            SECTIONS,
            lambda: (missing or no_trace)(trace_id),
            checked,
        )

    def _write_trace(self, document: Document, also: Sequence[Action]) -> bool:
        """Write a trace that was read or is new; False when another writer was faster."""
        try:
            documents.save(self.table, document, also)
        except ConditionFailed as failed:
            if 0 not in failed.failed:
                raise
            return False
        return True


def trace_from(trace_id: str, items: Sequence[Item]) -> Document | None:
    """The document among all items of a trace's partition."""
    own = [item for item in items if keys.HEAD <= item["sk"] < keys.HEAD_END]
    return documents.assemble(own, keys.trace(trace_id), SECTIONS)


def no_trace(trace_id: str) -> MlflowException:
    """MLflow's error for a trace that does not exist."""
    return MlflowException(f"Trace with ID '{trace_id}' not found.", RESOURCE_DOES_NOT_EXIST)


def artifact_location(experiment: Document, trace_id: str) -> str:
    """Where files of a trace belong, below the artifacts of its experiment."""
    uri: str = append_to_uri_path(
        experiment.head["artifact_location"], "traces", trace_id, "artifacts"
    )
    return uri
