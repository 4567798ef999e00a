"""Model definitions: a provider's model with the secret to call it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable

from mlflow.entities import GatewayModelDefinition
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INVALID_STATE,
    RESOURCE_ALREADY_EXISTS,
)
from mlflow.store.tracking.gateway.sqlalchemy_mixin import _validate_one_of
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys, records
from dynamodb_store.entities.ai_gateway import definition_of
from dynamodb_store.records import Record
from dynamodb_store.tracking.ai_gateway.base import (
    DEFINITION,
    SECRET,
    GatewayBase,
    Guards,
    in_order,
    stamped,
    touched,
)


class Definitions(GatewayBase):
    """See mlflow.store.tracking.gateway.abstract_mixin for what each method promises."""

    def create_gateway_model_definition(
        self,
        name: str,
        secret_id: str,
        provider: str,
        model_name: str,
        created_by: str | None = None,
    ) -> GatewayModelDefinition:
        secret = self._record(SECRET, secret_id)
        definition_id = f"d-{uuid.uuid4().hex}"
        body = {
            "name": name,
            "secret_id": secret_id,
            "provider": provider,
            "model_name": model_name,
            **stamped(get_current_time_millis(), created_by),
        }
        record = Record(keys.DEFINITIONS, definition_id, body)
        guards = Guards()
        guards.take(DEFINITION, name, definition_id, _taken(name, RESOURCE_ALREADY_EXISTS))
        guards.needs(SECRET, secret_id)
        pk, sk = keys.definition_uses(definition_id)
        guards.add(("Put", {"Item": {"pk": pk, "sk": sk, "n": 0}}))
        self._create(record, guards)
        return definition_of(record, secret.body["name"])

    def get_gateway_model_definition(
        self, model_definition_id: str | None = None, name: str | None = None
    ) -> GatewayModelDefinition:
        _validate_one_of("model_definition_id", model_definition_id, "name", name)
        if model_definition_id:
            record = self._record(DEFINITION, model_definition_id)
        else:
            record = self._by_name(DEFINITION, name)
        return self._with_secrets([record])[record.sk]

    def list_gateway_model_definitions(
        self, provider: str | None = None, secret_id: str | None = None
    ) -> list[GatewayModelDefinition]:
        return [
            definition
            for definition in self._definitions_all().values()
            if (provider is None or definition.provider == provider)
            and (secret_id is None or definition.secret_id == secret_id)
        ]

    def update_gateway_model_definition(
        self,
        model_definition_id: str,
        name: str | None = None,
        secret_id: str | None = None,
        model_name: str | None = None,
        updated_by: str | None = None,
        provider: str | None = None,
    ) -> GatewayModelDefinition:
        # With a new secret as well, MLflow's SQL store sees the taken name while it looks for
        # the secret, and answers another code.
        code = RESOURCE_ALREADY_EXISTS if secret_id is None else BAD_REQUEST

        def change(record: Record, guards: Guards) -> None:
            body = record.body
            if name is not None and name != body["name"]:
                guards.take(DEFINITION, name, record.sk, _taken(name, code))
                guards.free(DEFINITION, body["name"])
                body["name"] = name
            if secret_id is not None:
                guards.needs(SECRET, secret_id)
                body["secret_id"] = secret_id
            if model_name is not None:
                body["model_name"] = model_name
            if provider is not None:
                body["provider"] = provider
            touched(body, get_current_time_millis(), updated_by)

        if secret_id == "":
            self._record(DEFINITION, model_definition_id)
            raise SECRET.missing_id(secret_id)
        record = self._edit(DEFINITION, model_definition_id, change)
        return self._with_secrets([record])[record.sk]

    def delete_gateway_model_definition(self, model_definition_id: str) -> None:
        """Refused while a mapping of an endpoint uses it; of a delete and an attach one wins."""

        def change(record: Record, guards: Guards) -> None:
            guards.free(DEFINITION, record.body["name"])
            unused = {
                "Key": keys.definition_uses(record.sk),
                "ConditionExpression": "attribute_not_exists(pk) OR n = :none",
                "ExpressionAttributeValues": {":none": 0},
            }
            guards.add(("Delete", unused), _in_use)

        self._remove(DEFINITION, model_definition_id, change)

    def _definitions(self, ids: Collection[str]) -> dict[str, GatewayModelDefinition]:
        """Those of ``ids`` that exist."""
        found = records.get_many(
            self.table, [(keys.DEFINITIONS, one) for one in sorted(ids) if one]
        )
        return self._with_secrets(found)

    def _definitions_all(self) -> dict[str, GatewayModelDefinition]:
        """All definitions, in the order of their creation."""
        definitions, secrets = self._partitions(keys.DEFINITIONS, keys.SECRETS)
        return joined(definitions, secrets)

    def _partitions(self, *partitions: str) -> list[list[Record]]:
        """All records of several kinds at once, each in the order of creation."""
        return self.table.parallel(
            lambda partition: in_order(records.listed(self.table, partition)), partitions
        )

    def _with_secrets(self, found: Collection[Record]) -> dict[str, GatewayModelDefinition]:
        ids = (record.body["secret_id"] for record in found)
        wanted = [(keys.SECRETS, one) for one in ids if one]  # imported without one
        return joined(found, records.get_many(self.table, wanted))


def joined(found: Iterable[Record], secrets: Iterable[Record]) -> dict[str, GatewayModelDefinition]:
    """Definitions by id, with the names of the secrets that still exist."""
    names = {secret.sk: secret.body["name"] for secret in secrets}
    return {
        record.sk: definition_of(record, names.get(record.body["secret_id"])) for record in found
    }


def _taken(name: str, code: int) -> Callable[[], MlflowException]:
    return lambda: MlflowException(f"Model definition with name '{name}' already exists", code)


def _in_use() -> MlflowException:
    return MlflowException(
        "Cannot delete model definition that is currently in use by endpoints. "
        "Detach it from all endpoints first.",
        INVALID_STATE,
    )
