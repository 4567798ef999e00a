"""The AI gateway's records as MLflow's entities. Bodies are plain JSON; secrets are encrypted."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from mlflow.entities import (
    FallbackConfig,
    GatewayEndpoint,
    GatewayEndpointBinding,
    GatewayEndpointModelConfig,
    GatewayEndpointModelMapping,
    GatewayEndpointTag,
    GatewayModelDefinition,
    GatewaySecretInfo,
    RoutingStrategy,
)
from mlflow.entities.gateway_budget_policy import (
    BudgetAction,
    BudgetDuration,
    BudgetDurationUnit,
    BudgetTargetScope,
    BudgetUnit,
    GatewayBudgetPolicy,
)
from mlflow.entities.gateway_endpoint import (
    FallbackStrategy,
    GatewayModelLinkageType,
    GatewayResourceType,
)
from mlflow.entities.gateway_guardrail import (
    GatewayGuardrail,
    GatewayGuardrailConfig,
    GuardrailAction,
    GuardrailStage,
)
from mlflow.entities.scorer import ScorerVersion
from mlflow.utils.crypto import KEKManager, _decrypt_secret, _encrypt_secret, _mask_secret_value

from dynamodb_store.records import Body, Record

WORKSPACE = "default"
"""What MLflow's SQL store answers without workspaces."""

Definitions = Mapping[str, GatewayModelDefinition]


def encrypted(secret_id: str, name: str, value: dict[str, str]) -> Body:
    """MLflow's envelope encryption of a secret's value, and the masked value that people see.

    Id and name are authenticated with it, so a value moved to another secret does not decrypt.
    """
    sealed = _encrypt_secret(
        secret_value=json.dumps(value),
        kek_manager=KEKManager(),
        secret_id=secret_id,
        secret_name=name,
    )
    return {
        "masked": _mask_secret_value(value),
        "encrypted_value": base64.b64encode(sealed.encrypted_value).decode(),
        "wrapped_dek": base64.b64encode(sealed.wrapped_dek).decode(),
        "kek_version": sealed.kek_version,
    }


def decrypted(record: Record) -> Any:
    """A secret's value. Raises MlflowException when the passphrase is another one."""
    return _decrypt_secret(
        encrypted_value=base64.b64decode(record.body["encrypted_value"]),
        wrapped_dek=base64.b64decode(record.body["wrapped_dek"]),
        kek_manager=KEKManager(),
        secret_id=record.sk,
        secret_name=record.body["name"],
    )


def secret_of(record: Record) -> GatewaySecretInfo:
    """A secret without its value."""
    body = record.body
    return GatewaySecretInfo(
        secret_id=record.sk,
        secret_name=body["name"],
        masked_values=body["masked"],
        provider=body["provider"],
        auth_config=body["auth_config"],
        workspace=WORKSPACE,
        **_stamps(body),
    )


def definition_of(record: Record, secret_name: str | None) -> GatewayModelDefinition:
    """A model definition; without a secret's name it has lost its secret, as in SQL."""
    body = record.body
    return GatewayModelDefinition(
        model_definition_id=record.sk,
        name=body["name"],
        secret_id=None if secret_name is None else body["secret_id"],
        secret_name=secret_name,
        provider=body["provider"],
        model_name=body["model_name"],
        workspace=WORKSPACE,
        **_stamps(body),
    )


def mapping_body(
    mapping_id: str, config: GatewayEndpointModelConfig, now: int, by: str | None
) -> Body:
    """One model of an endpoint, inside the endpoint's body."""
    return {
        "mapping_id": mapping_id,
        "definition_id": config.model_definition_id,
        "weight": config.weight,
        "linkage": config.linkage_type.value,
        "order": config.fallback_order,
        "created_at": now,
        "created_by": by,
    }


def mapping_of(
    endpoint_id: str, body: Body, definitions: Definitions
) -> GatewayEndpointModelMapping:
    """One model of an endpoint."""
    return GatewayEndpointModelMapping(
        mapping_id=body["mapping_id"],
        endpoint_id=endpoint_id,
        model_definition_id=body["definition_id"],
        model_definition=definitions.get(body["definition_id"]),
        weight=body["weight"],
        linkage_type=GatewayModelLinkageType(body["linkage"]),
        fallback_order=body["order"],
        created_at=body["created_at"],
        created_by=body["created_by"],
    )


def fallback_body(config: FallbackConfig | None) -> Body:
    """How an endpoint falls back; the models that it falls back to are its mappings."""
    strategy = config.strategy.value if config and config.strategy else None
    return {"strategy": strategy, "max_attempts": config.max_attempts if config else None}


def endpoint_of(record: Record, definitions: Definitions) -> GatewayEndpoint:
    """An endpoint with its models and tags."""
    body = record.body
    return GatewayEndpoint(
        endpoint_id=record.sk,
        name=body["name"],
        model_mappings=[mapping_of(record.sk, one, definitions) for one in body["models"]],
        tags=[GatewayEndpointTag(key=key, value=value) for key, value in body["tags"].items()],
        routing_strategy=RoutingStrategy(body["routing"]) if body["routing"] else None,
        fallback_config=_fallback_of(body["fallback"]),
        experiment_id=body["experiment_id"],
        usage_tracking=body["usage_tracking"],
        workspace=WORKSPACE,
        **_stamps(body),
    )


def _fallback_of(body: Body | None) -> FallbackConfig | None:
    if body is None:
        return None
    strategy = FallbackStrategy(body["strategy"]) if body["strategy"] else None
    return FallbackConfig(strategy=strategy, max_attempts=body["max_attempts"])


def binding_of(endpoint_id: str, body: Body) -> GatewayEndpointBinding:
    """What uses an endpoint."""
    return GatewayEndpointBinding(
        endpoint_id=endpoint_id,
        resource_type=GatewayResourceType(body["resource_type"]),
        resource_id=body["resource_id"],
        display_name=body["display_name"],
        **_stamps(body),
    )


def budget_of(record: Record) -> GatewayBudgetPolicy:
    """A budget policy. Raises ValueError for words that MLflow does not know."""
    body = record.body
    return GatewayBudgetPolicy(
        budget_policy_id=record.sk,
        budget_unit=BudgetUnit(body["unit"]),
        budget_amount=body["amount"],
        duration=BudgetDuration(
            unit=BudgetDurationUnit(body["duration_unit"]), value=body["duration_value"]
        ),
        target_scope=BudgetTargetScope(body["scope"]),
        budget_action=BudgetAction(body["action"]),
        workspace=WORKSPACE,
        target_value=body["target"],
        **_stamps(body),
    )


def scorer_body(scorer: ScorerVersion) -> Body:
    """A copy of a scorer's version: it never changes, and stays while a guardrail runs it."""
    return {
        "experiment_id": scorer.experiment_id,
        "scorer_name": scorer.scorer_name,
        "scorer_version": scorer.scorer_version,
        "serialized_scorer": scorer._serialized_scorer,
        "creation_time": scorer.creation_time,
        "scorer_id": scorer.scorer_id,
    }


def guardrail_of(record: Record, endpoint_name: str | None) -> GatewayGuardrail:
    """A guardrail; ``endpoint_name`` is of the endpoint that it sanitizes with."""
    body = record.body
    return GatewayGuardrail(
        guardrail_id=record.sk,
        name=body["name"],
        scorer=ScorerVersion(**body["scorer"]),
        stage=GuardrailStage(body["stage"]),
        action=GuardrailAction(body["action"]),
        action_endpoint_name=endpoint_name,
        workspace=WORKSPACE,
        **_stamps(body),
    )


def guardrail_config_of(
    endpoint_id: str, body: Body, guardrail: GatewayGuardrail
) -> GatewayGuardrailConfig:
    """A guardrail's place at an endpoint."""
    return GatewayGuardrailConfig(
        endpoint_id=endpoint_id,
        guardrail_id=body["guardrail_id"],
        execution_order=body["order"],
        created_at=body["created_at"],
        guardrail=guardrail,
        created_by=body["created_by"],
        workspace=WORKSPACE,
    )


def _stamps(body: Body) -> dict[str, Any]:
    names = ("created_at", "last_updated_at", "created_by", "last_updated_by")
    return {name: body[name] for name in names}
