"""What MLflow's entry points load for the scheme ``dynamodb``: tracking and model registry."""

from __future__ import annotations

from typing import Any


def tracking_store(store_uri: str, artifact_uri: str | None = None, **_: Any) -> Any:
    """The tracking store of ``dynamodb://…``. Raises MlflowException.

    The table has to exist: ``mlgate store create-table URI``.
    """
    refuse_workspaces()
    # Here, because every MLflow process loads this file, and few of them use the store.
    from dynamodb_store.imported import refuse_unfinished
    from dynamodb_store.table import open_table
    from dynamodb_store.tracking.store import DynamoDbTrackingStore
    from dynamodb_store.uri import parse_uri

    table = open_table(parse_uri(store_uri))
    refuse_unfinished(table)
    return DynamoDbTrackingStore(table, artifact_uri)


def registry_store(store_uri: str, tracking_uri: str | None = None, **_: Any) -> Any:
    """The model registry store of ``dynamodb://…``. Raises MlflowException.

    ``tracking_uri`` is asked for the logged models that versions are made from.
    """
    refuse_workspaces()
    from dynamodb_store.registry.store import DynamoDbRegistryStore
    from dynamodb_store.table import open_table
    from dynamodb_store.uri import parse_uri

    return DynamoDbRegistryStore(open_table(parse_uri(store_uri)), tracking_uri)


def refuse_workspaces() -> None:
    """Raises MlflowException where MLflow's workspaces are on: the store would mix them up."""
    from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_STATE

    if MLFLOW_ENABLE_WORKSPACES.get():
        raise MlflowException(
            "The DynamoDB store does not have workspaces. Start MLflow without "
            "--enable-workspaces and with MLFLOW_ENABLE_WORKSPACES unset or false; to keep teams "
            "apart, use a table for each, or a gateway's roles (docs/store.md, Workspaces).",
            error_code=INVALID_STATE,
        )
