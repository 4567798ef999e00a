"""What is attached to an endpoint: models, resources that use it (bindings), tags."""

from __future__ import annotations

import uuid

from mlflow.entities import (
    GatewayEndpointBinding,
    GatewayEndpointModelConfig,
    GatewayEndpointModelMapping,
    GatewayEndpointTag,
)
from mlflow.entities.gateway_endpoint import GatewayResourceType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INTERNAL_ERROR,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys, records
from dynamodb_store.entities.ai_gateway import binding_of, mapping_body, mapping_of
from dynamodb_store.records import Body, Record
from dynamodb_store.tracking.ai_gateway.base import ENDPOINT, Guards, in_order, stamped, touched
from dynamodb_store.tracking.ai_gateway.endpoints import Endpoints, count_uses


class Attached(Endpoints):
    """See mlflow.store.tracking.gateway.abstract_mixin for what each method promises."""

    def attach_model_to_endpoint(
        self,
        endpoint_id: str,
        model_config: GatewayEndpointModelConfig,
        created_by: str | None = None,
    ) -> GatewayEndpointModelMapping:
        now = get_current_time_millis()
        new = mapping_body(f"m-{uuid.uuid4().hex}", model_config, now, created_by)

        def change(record: Record, guards: Guards) -> None:
            models = record.body["models"]
            if any(_linkage(one) == _linkage(new) for one in models):
                raise MlflowException(
                    f"Model definition '{new['definition_id']}' is already attached to "
                    f"endpoint '{endpoint_id}'",
                    RESOURCE_ALREADY_EXISTS,
                )
            count_uses(guards, models, [*models, new])
            record.body["models"] = [*models, new]
            touched(record.body, now, created_by)

        self._edit(ENDPOINT, endpoint_id, change)
        return mapping_of(endpoint_id, new, self._definitions([new["definition_id"]]))

    def detach_model_from_endpoint(
        self, endpoint_id: str, model_definition_id: str, linkage_type: str | None = None
    ) -> None:
        """Removes one mapping; of several, as SQLite's index has it, a FALLBACK first."""

        def change(record: Record, guards: Guards) -> None:
            models = record.body["models"]
            found = [
                one
                for one in models
                if one["definition_id"] == model_definition_id
                and (not linkage_type or one["linkage"] == linkage_type)
            ]
            if not found:
                linkage = f" with linkage type '{linkage_type}'" if linkage_type else ""
                raise MlflowException(
                    f"Model definition '{model_definition_id}' is not attached to "
                    f"endpoint '{endpoint_id}'{linkage}",
                    RESOURCE_DOES_NOT_EXIST,
                )
            gone = min(found, key=_linkage)
            record.body["models"] = [one for one in models if one is not gone]
            count_uses(guards, models, record.body["models"])

        self._edit(ENDPOINT, endpoint_id, change)

    def create_endpoint_binding(
        self,
        endpoint_id: str,
        resource_type: str,
        resource_id: str,
        created_by: str | None = None,
    ) -> GatewayEndpointBinding:
        return self._bind(endpoint_id, _resource_type(resource_type), resource_id, created_by)

    def _bind(
        self,
        endpoint_id: str,
        resource_type: str,
        resource_id: str,
        created_by: str | None = None,
        display_name: str | None = None,
    ) -> GatewayEndpointBinding:
        new = {
            "resource_type": resource_type,
            "resource_id": resource_id,
            "display_name": display_name,
            **stamped(get_current_time_millis(), created_by),
        }

        def change(record: Record, guards: Guards) -> None:
            if any(_resource(one) == _resource(new) for one in record.body["bindings"]):
                raise MlflowException(
                    f"The {resource_type} '{resource_id}' is bound to endpoint "
                    f"'{endpoint_id}' already",
                    BAD_REQUEST,
                )
            record.body["bindings"].append(new)

        self._edit(ENDPOINT, endpoint_id, change)
        return binding_of(endpoint_id, new)

    def delete_endpoint_binding(
        self, endpoint_id: str, resource_type: str, resource_id: str
    ) -> None:
        asked = {
            "endpoint_id": endpoint_id,
            "resource_type": resource_type,
            "resource_id": resource_id,
        }

        def missing() -> MlflowException:
            words = ", ".join(f"{name}='{value}'" for name, value in asked.items())
            return MlflowException(
                f"GatewayEndpointBinding not found ({words})", RESOURCE_DOES_NOT_EXIST
            )

        def change(record: Record, guards: Guards) -> None:
            bindings = record.body["bindings"]
            record.body["bindings"] = [
                one for one in bindings if _resource(one) != _resource(asked)
            ]
            if len(record.body["bindings"]) == len(bindings):
                raise missing()

        if not endpoint_id:
            raise missing()
        self._edit(ENDPOINT, endpoint_id, change)

    def list_endpoint_bindings(
        self,
        endpoint_id: str | None = None,
        resource_type: str | None = None,
        resource_id: str | None = None,
    ) -> list[GatewayEndpointBinding]:
        if endpoint_id is None:
            found = in_order(records.listed(self.table, keys.ENDPOINTS))
        else:
            found = records.get_many(
                self.table, [(keys.ENDPOINTS, endpoint_id)] * bool(endpoint_id)
            )
        bindings = [
            (record.sk, one)
            for record in found
            for one in record.body["bindings"]
            if (resource_type is None or one["resource_type"] == resource_type)
            and (resource_id is None or one["resource_id"] == resource_id)
        ]
        # In the order of creation; of one endpoint, SQLite's primary key gives this one.
        order = _made if endpoint_id is None else _resource_of
        return [binding_of(owner, one) for owner, one in sorted(bindings, key=order)]

    def _unbind(self, resource_type: str, resource_id: str) -> None:
        """Remove all bindings of a resource, as when a scorer is deleted or bound anew."""
        for binding in self.list_endpoint_bindings(None, resource_type, resource_id):
            try:
                self.delete_endpoint_binding(binding.endpoint_id, resource_type, resource_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise

    def set_gateway_endpoint_tag(self, endpoint_id: str, tag: GatewayEndpointTag) -> None:
        def change(record: Record, guards: Guards) -> None:
            record.body["tags"][tag.key] = tag.value

        self._edit(ENDPOINT, endpoint_id, change)

    def delete_gateway_endpoint_tag(self, endpoint_id: str, key: str) -> None:
        """A tag that is not there is no error, as in SQL."""

        def change(record: Record, guards: Guards) -> None:
            record.body["tags"].pop(key, None)

        self._edit(ENDPOINT, endpoint_id, change)


def _resource_type(value: str) -> str:
    try:
        return str(GatewayResourceType(value).value)
    except ValueError as error:  # MLflow's SQL store fails at the same place
        raise MlflowException(str(error), INTERNAL_ERROR) from error


def _linkage(body: Body) -> tuple[str, str]:
    return (body["definition_id"], body["linkage"])


def _resource(body: Body) -> tuple[str, str]:
    return (body["resource_type"], body["resource_id"])


def _resource_of(found: tuple[str, Body]) -> tuple[str, str]:
    return _resource(found[1])


def _made(found: tuple[str, Body]) -> tuple[int, str]:
    return (found[1]["made"], found[0])
