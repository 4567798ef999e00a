"""Tags of traces; the name of a trace is one of them."""

from __future__ import annotations

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, RESOURCE_DOES_NOT_EXIST
from mlflow.store.tracking.utils.trace_analytics import validate_trace_name
from mlflow.tracing.constant import TraceTagKey
from mlflow.utils.validation import _validate_trace_tag

from dynamodb_store.documents import Document
from dynamodb_store.entities.trace import NAME, TAGS, TEXTS, put
from dynamodb_store.table import Action
from dynamodb_store.tracking.traces.base import TraceBase


class TraceTags(TraceBase):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def set_trace_tag(self, trace_id: str, key: str, value: str) -> None:
        key, value = _validate_trace_tag(key, value)
        section, name = _slot(key)
        if section == TEXTS:
            validate_trace_name(value)

        def change(document: Document) -> list[Action] | None:
            if document.get(section, name) == value:
                return None
            put(document, section, name, value)
            return []

        # MLflow's SQL store has one code for the name and another for what is a row of its own.
        self._edit_trace(trace_id, change, None if section == TEXTS else _no_trace)

    def delete_trace_tag(self, trace_id: str, key: str) -> None:
        section, name = _slot(key)

        def no_tag(_: str) -> MlflowException:
            return MlflowException(
                f"No trace tag with key '{key}' for trace with ID '{trace_id}'",
                RESOURCE_DOES_NOT_EXIST,
            )

        def change(document: Document) -> list[Action]:
            if document.get(section, name) is None:
                raise no_tag(trace_id)
            document.remove(section, name)
            return []

        self._edit_trace(trace_id, change, no_tag)


def _no_trace(trace_id: str) -> MlflowException:
    return MlflowException(f"Trace with ID '{trace_id}' not found.", BAD_REQUEST)


def _slot(key: str) -> tuple[str, str]:
    return (TEXTS, NAME) if key == TraceTagKey.TRACE_NAME else (TAGS, key)
