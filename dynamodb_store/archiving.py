"""``mlgate store archive-traces``: what the scheduler of MLflow's server does on SQL stores.

The server runs that scheduler among its jobs, for which it wants a database.
"""

from __future__ import annotations

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_STATE
from mlflow.tracing.trace_archival_config import load_trace_archival_server_config

from dynamodb_store import keys
from dynamodb_store.imported import refuse_unfinished
from dynamodb_store.table import open_table
from dynamodb_store.tracking.base import DEFAULT_EXPERIMENT_ID
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from dynamodb_store.uri import parse_uri

__all__ = ["MlflowException", "archive_traces"]


def archive_traces(uri: str, config_path: str) -> int:
    """One pass as the file says; how many traces were archived. Raises MlflowException."""
    config = load_trace_archival_server_config(config_path)
    if not config.enabled:
        raise MlflowException.invalid_parameter_value(f"{config_path} does not enable archival.")
    table = open_table(parse_uri(uri))
    try:
        refuse_unfinished(table)
        if table.get((keys.experiment(DEFAULT_EXPERIMENT_ID), keys.HEAD)) is None:
            # The store would make the first experiment, with artifacts on this machine.
            raise MlflowException(f"No MLflow has used {uri} yet.", error_code=INVALID_STATE)
        archived: int = DynamoDbTrackingStore(table).archive_traces(
            resolved_trace_archival_location=config.location,
            broader_retention=config.retention,
            long_retention_allowlist=set(config.long_retention_allowlist),
            max_traces_per_pass=config.max_traces_per_pass,
        )
    finally:
        table.close()
    return archived
