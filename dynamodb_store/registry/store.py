"""The model registry store: all mixins in one class."""

from __future__ import annotations

from typing import Any

from dynamodb_store import keys
from dynamodb_store.registry.missing import REGISTRY
from dynamodb_store.registry.removal import Removal
from dynamodb_store.registry.search_versions import SearchVersions
from dynamodb_store.registry.stages import Stages
from dynamodb_store.registry.versions import Versions
from dynamodb_store.registry.webhooks import Webhooks
from dynamodb_store.table import Table


@REGISTRY.complete
class DynamoDbRegistryStore(Removal, Stages, Versions, SearchVersions, Webhooks):
    """MLflow's model registry in the table of the tracking store, or in one of its own."""

    def __init__(self, table: Table, tracking_uri: str | None = None) -> None:
        super().__init__()
        self.table = table
        self.tracking_uri = tracking_uri
        self._ids = {}
        # A table that is missing, or may not be read, is told when the server starts.
        table.get(keys.model_name(""))

    def _await_model_version_creation(self, mv: Any, await_creation_for: int | None) -> None:
        """A version is ready when it is made."""
