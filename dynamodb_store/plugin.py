"""What MLflow's entry points load for the scheme ``dynamodb``: tracking and model registry."""

from __future__ import annotations

from typing import Any


def tracking_store(store_uri: str, artifact_uri: str | None = None, **_: Any) -> Any:
    """The tracking store of ``dynamodb://…``. Raises MlflowException.

    The table has to exist: ``mlgate store create-table URI``.
    """
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
    from dynamodb_store.registry.store import DynamoDbRegistryStore
    from dynamodb_store.table import open_table
    from dynamodb_store.uri import parse_uri

    return DynamoDbRegistryStore(open_table(parse_uri(store_uri)), tracking_uri)
