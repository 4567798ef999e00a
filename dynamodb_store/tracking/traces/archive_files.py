"""The files of archived traces, in any place that MLflow has an artifact repository for."""

from __future__ import annotations

import logging
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracing.constant import TraceTagKey
from mlflow.tracing.otel.otel_archival import TRACE_ARCHIVAL_FILENAME
from mlflow.utils.uri import append_to_uri_path

from dynamodb_store.documents import Document
from dynamodb_store.entities.trace import TAGS, is_archived

_logger = logging.getLogger(__name__)


def archive_of(location: str, document: Document) -> str:
    """The folder of a trace below the archive's root."""
    head = document.head
    uri: str = append_to_uri_path(
        location, head["experiment_id"], "traces", head["trace_id"], "artifacts"
    )
    return uri


def archived_at(document: Document) -> Any:
    """The folder that the trace names, if any."""
    return document.get(TAGS, TraceTagKey.ARCHIVE_LOCATION)


def upload(uri: str, content: bytes) -> None:
    """Write the file of a trace, again over itself. Raises whatever the repository does."""
    get_artifact_repository(uri).upload_archived_trace_data_bytes(content)


def remove(uri: str) -> None:
    """Remove the file of a trace. Raises whatever the repository does, unless it is gone."""
    try:
        get_artifact_repository(uri).delete_artifacts(TRACE_ARCHIVAL_FILENAME)
    except Exception as error:
        if not _is_gone(error):
            raise


def remove_with(document: Document) -> bool:
    """Remove the file of a trace that is being deleted; False when that cannot be done now."""
    if not is_archived(document) or (uri := archived_at(document)) is None:
        return True
    try:
        remove(uri)
    except Exception:
        _logger.exception(
            "The archive's file of trace %s cannot be removed; the trace stays.",
            document.head["trace_id"],
        )
        return False
    return True


def _is_gone(error: Exception) -> bool:
    """Repositories say so in different ways; these are the ones that MLflow's SQL store knows."""
    if isinstance(error, FileNotFoundError):
        return True
    if isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST":
        return True
    return "No such file or directory" in str(error) or "No such artifact" in str(error)
