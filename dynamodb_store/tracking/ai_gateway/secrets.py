"""Secrets: encrypted by MLflow's own envelope encryption before they reach the table.

MLflow's server decrypts a value only to call a provider; no answer to a client contains one.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from mlflow.entities import GatewaySecretInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS
from mlflow.store.tracking.gateway.sqlalchemy_mixin import _validate_one_of
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys
from dynamodb_store.entities.ai_gateway import decrypted, encrypted, secret_of
from dynamodb_store.records import Record
from dynamodb_store.tracking.ai_gateway.base import (
    SECRET,
    GatewayBase,
    Guards,
    stamped,
)


class Secrets(GatewayBase):
    """See mlflow.store.tracking.gateway.abstract_mixin for what each method promises."""

    def create_gateway_secret(
        self,
        secret_name: str,
        secret_value: dict[str, str],
        provider: str | None = None,
        auth_config: dict[str, Any] | None = None,
        created_by: str | None = None,
    ) -> GatewaySecretInfo:
        secret_id = f"s-{uuid.uuid4().hex}"
        body = {
            "name": secret_name,
            "provider": provider,
            "auth_config": _plain(auth_config),
            **encrypted(secret_id, secret_name, secret_value),
            **stamped(get_current_time_millis(), created_by),
        }
        record = Record(keys.SECRETS, secret_id, body)
        guards = Guards()
        guards.take(
            SECRET,
            secret_name,
            secret_id,
            lambda: MlflowException(
                f"Secret with name '{secret_name}' already exists", RESOURCE_ALREADY_EXISTS
            ),
        )
        self._create(record, guards)
        return secret_of(record)

    def get_secret_info(
        self, secret_id: str | None = None, secret_name: str | None = None
    ) -> GatewaySecretInfo:
        _validate_one_of("secret_id", secret_id, "secret_name", secret_name)
        if secret_id:
            return secret_of(self._record(SECRET, secret_id))
        return secret_of(self._by_name(SECRET, secret_name))

    def update_gateway_secret(
        self,
        secret_id: str,
        secret_value: dict[str, str] | None = None,
        auth_config: dict[str, Any] | None = None,
        updated_by: str | None = None,
    ) -> GatewaySecretInfo:
        def change(record: Record, guards: Guards) -> None:
            if secret_value is not None:
                record.body |= encrypted(secret_id, record.body["name"], secret_value)
            if auth_config is not None:
                record.body["auth_config"] = _plain(auth_config)
            record.body |= {
                "last_updated_at": get_current_time_millis(),
                "last_updated_by": updated_by,
            }

        return secret_of(self._edit(SECRET, secret_id, change))

    def delete_gateway_secret(self, secret_id: str) -> None:
        """Model definitions that name it lose it in the same moment: they look for it.

        Ids are never used again, so a definition cannot get another secret by it.
        """
        self._remove(
            SECRET, secret_id, lambda record, guards: guards.free(SECRET, record.body["name"])
        )

    def _get_decrypted_secret(self, secret_id: str) -> Any:
        """The value itself, for MLflow's detection of issues; it is in no interface."""
        return decrypted(self._record(SECRET, secret_id))

    def list_secret_infos(self, provider: str | None = None) -> list[GatewaySecretInfo]:
        return [
            secret_of(record)
            for record in self._all(SECRET)
            if provider is None or record.body["provider"] == provider
        ]


def _plain(auth_config: dict[str, Any] | None) -> Any:
    """As JSON gives it back; an empty one is none."""
    return json.loads(json.dumps(auth_config)) if auth_config else None
