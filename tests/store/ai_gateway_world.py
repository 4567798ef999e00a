"""What the tests of the AI gateway's records share: entities made comparable, and made."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import mlflow.utils.crypto
import pytest
from mlflow.entities import (
    FallbackConfig,
    GatewayEndpoint,
    GatewayEndpointBinding,
    GatewayEndpointModelConfig,
    GatewayEndpointModelMapping,
    GatewayEndpointTag,
    GatewayModelDefinition,
    GatewaySecretInfo,
)
from mlflow.entities.gateway_budget_policy import BudgetDuration, GatewayBudgetPolicy
from mlflow.entities.gateway_endpoint import GatewayModelLinkageType

from tests.store.both import PLAIN, Both, Make, Ref, Side

PRIMARY, FALLBACK = GatewayModelLinkageType.PRIMARY, GatewayModelLinkageType.FALLBACK
OF_WRITING = {"created_at", "last_updated_at", "mapping_id", "budget_policy_id"}


def as_fields(side: Side, value: Any) -> dict[str, Any]:
    """All fields but times of writing and ids that no scenario names."""
    found = {
        one.name: side.plain(getattr(value, one.name))
        for one in fields(value)
        if one.name not in OF_WRITING
    }
    for name in ("model_mappings", "tags"):  # SQL gives them in the order of some index
        if isinstance(found.get(name), list):
            found[name] = sorted(found[name], key=str)
    if found.get("experiment_id") is not None:  # ids have gaps here that they have not in SQL
        found["experiment_id"] = side.store.get_experiment(value.experiment_id).name
    if hasattr(value, "last_updated_at"):
        found["fresh"] = value.last_updated_at >= value.created_at > 0
    return found


for kind in (
    BudgetDuration,
    FallbackConfig,
    GatewayBudgetPolicy,
    GatewayEndpoint,
    GatewayEndpointBinding,
    GatewayEndpointModelMapping,
    GatewayEndpointTag,
    GatewayModelDefinition,
    GatewaySecretInfo,
):
    PLAIN[kind] = as_fields


@pytest.fixture
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The passphrase is stretched 600,000 times for each secret; here once."""
    monkeypatch.setenv("MLFLOW_CRYPTO_KEK_PASSPHRASE", "passphrase of the tests")
    monkeypatch.setattr(mlflow.utils.crypto, "PBKDF2_ITERATIONS", 1)


def secret(both: Both, name: str, **more: Any) -> Ref:
    value = {"api_key": "sk-0123456789abcdef"}
    return both.remember(name, "create_gateway_secret", name, value, id_of="secret_id", **more)


def definition(both: Both, name: str, of: Ref, provider: str = "openai", ref: str = "") -> Ref:
    return both.remember(
        ref or name, "create_gateway_model_definition", name, of, provider, "gpt-4o", "me",
        id_of="model_definition_id",
    )  # fmt: skip


def config(of: Any, linkage: Any = PRIMARY, weight: float = 1.0, order: int | None = None) -> Make:
    return Make(GatewayEndpointModelConfig, of, linkage, weight, order)


def endpoint(both: Both, name: str, *configs: Make, **more: Any) -> Ref:
    return both.remember(
        name, "create_gateway_endpoint", name, list(configs), id_of="endpoint_id", **more
    )
