"""Calls to DynamoDB of the AI gateway's operations, and what concurrent ones leave."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from mlflow.entities import GatewayEndpointModelConfig, GatewayEndpointTag
from mlflow.entities.gateway_budget_policy import (
    BudgetAction,
    BudgetDuration,
    BudgetDurationUnit,
    BudgetTargetScope,
    BudgetUnit,
)
from mlflow.exceptions import MlflowException

from dynamodb_store import keys
from tests.fakes.fake_dynamodb import FakeDynamoDb, lose_answers, throttle
from tests.store.ai_gateway_world import FALLBACK, PRIMARY, quick_keys
from tests.store.conftest import counted, local_store

__all__ = ["quick_keys"]

DAY = BudgetDuration(BudgetDurationUnit.DAYS, 1)


@pytest.fixture
def store(dynamo: Any, quick_keys: None) -> Any:
    return dynamo


@pytest.fixture
def calls(fake: FakeDynamoDb, store: Any) -> Callable[..., int]:
    return counted(fake, store)


def model(store: Any, name: str = "d") -> str:
    secret = store.create_gateway_secret(f"secret of {name}", {"k": "value"}).secret_id
    made = store.create_gateway_model_definition(name, secret, "openai", "gpt")
    return str(made.model_definition_id)


def primary(of: str) -> GatewayEndpointModelConfig:
    return GatewayEndpointModelConfig(of, PRIMARY)


def plain_endpoint(store: Any, name: str, *models: str) -> str:
    configs = [primary(one) for one in models]
    return str(store.create_gateway_endpoint(name, configs, usage_tracking=False).endpoint_id)


def test_budgets_of_the_ai_gateway(store: Any, calls: Callable[..., int]) -> None:
    assert calls("create_gateway_secret", "s", {"k": "value"}) == 1
    secret = store.get_secret_info(secret_name="s").secret_id
    assert calls("get_secret_info", secret) == 1
    assert calls("get_secret_info", secret_name="s") == 2
    assert calls("update_gateway_secret", secret, {"k": "new"}) == 2
    assert calls("list_secret_infos") == 1
    assert calls("create_gateway_model_definition", "d", secret, "p", "m") == 2
    definition = store.get_gateway_model_definition(name="d").model_definition_id
    assert calls("get_gateway_model_definition", definition) == 2
    assert calls("list_gateway_model_definitions") == 2
    assert calls("update_gateway_model_definition", definition, name="new") == 3
    configs = [primary(definition)]
    assert calls("create_gateway_endpoint", "e", configs) == 5
    endpoint = store.get_gateway_endpoint(name="e").endpoint_id
    assert calls("get_gateway_endpoint", endpoint) == 3
    assert calls("get_gateway_endpoint", name="e") == 4
    assert calls("list_gateway_endpoints") == 3
    assert calls("update_gateway_endpoint", endpoint, name="new") == 4
    more = GatewayEndpointModelConfig(definition, FALLBACK)
    assert calls("attach_model_to_endpoint", endpoint, more) == 4
    assert calls("detach_model_from_endpoint", endpoint, definition) == 2
    assert calls("create_endpoint_binding", endpoint, "scorer", "x") == 2
    assert calls("list_endpoint_bindings") == 1
    assert calls("delete_endpoint_binding", endpoint, "scorer", "x") == 2
    assert calls("set_gateway_endpoint_tag", endpoint, GatewayEndpointTag("k", "v")) == 2
    assert calls("delete_gateway_endpoint_tag", endpoint, "k") == 2
    budget = (BudgetUnit.USD, 1.5, DAY, BudgetTargetScope.ENDPOINT, BudgetAction.REJECT, None)
    assert calls("create_budget_policy", *budget, endpoint) == 1
    (policy,) = store.list_budget_policies()
    assert calls("list_budget_policies") == 1
    assert calls("get_budget_policy", policy.budget_policy_id) == 1
    assert calls("update_budget_policy", policy.budget_policy_id, budget_amount=2) == 2
    # The last call of a deletion looks for parts of a large record.
    assert calls("delete_budget_policy", policy.budget_policy_id) == 3
    assert calls("delete_gateway_endpoint", endpoint) == 3
    assert calls("delete_gateway_model_definition", definition) == 3
    assert calls("delete_gateway_secret", secret) == 3


def test_reads_are_strong_and_items_small(store: Any, fake: FakeDynamoDb) -> None:
    definition = model(store)
    endpoint = plain_endpoint(store, "e", definition)
    for number in range(8):  # longer than MLflow's server takes them, and hard to compress
        tag = GatewayEndpointTag(f"{number} ☃", os.urandom(60_000).hex())
        store.set_gateway_endpoint_tag(endpoint, tag)
    assert len(store.get_gateway_endpoint(endpoint).tags) == 8
    store.list_gateway_endpoints()
    store.get_gateway_endpoint(name="e")
    assert fake.weak_reads == []
    assert fake.largest_item < 400_000
    store.delete_gateway_endpoint(endpoint)
    store.delete_gateway_model_definition(definition)
    store.delete_gateway_secret(store.list_secret_infos()[0].secret_id)
    left = [item["pk"]["S"] for item in fake.scan(TableName="mlflow")["Items"]]
    assert [pk for pk in left if pk.startswith("AI#")] == []


def test_an_endpoint_of_too_many_models_is_refused(store: Any) -> None:
    secret = store.create_gateway_secret("s", {"k": "value"}).secret_id
    of = [
        store.create_gateway_model_definition(f"d{number}", secret, "p", "m").model_definition_id
        for number in range(46)
    ]
    with pytest.raises(MlflowException, match="at most 45 different") as refused:
        plain_endpoint(store, "e", *of)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    endpoint = plain_endpoint(store, "e", *of[:45])
    store.update_gateway_endpoint(endpoint, model_configs=[primary(of[45])])
    store.delete_gateway_model_definition(of[0])


def test_throttling_is_waited_out_and_lost_answers_count_once(
    store: Any, fake: FakeDynamoDb, pauses: Any
) -> None:
    definition = model(store)
    endpoint = plain_endpoint(store, "e", definition)
    fake.faults[:] = [throttle(3), lose_answers(fake)]
    store.attach_model_to_endpoint(endpoint, GatewayEndpointModelConfig(definition, FALLBACK))
    store.create_endpoint_binding(endpoint, "scorer", "x")
    store.detach_model_from_endpoint(endpoint, definition)
    store.delete_endpoint_binding(endpoint, "scorer", "x")
    second = plain_endpoint(store, "second", definition)
    store.delete_gateway_endpoint(second)
    fake.faults.clear()
    assert len(pauses.made) > 6
    pk, sk = keys.definition_uses(definition)
    assert store.table.get((pk, sk))["n"] == 1
    assert len(store.get_gateway_endpoint(endpoint).model_mappings) == 1


def test_of_an_attach_and_a_delete_at_once_one_wins(store: Any, fake: FakeDynamoDb) -> None:
    first, second = model(store, "first"), model(store, "second")
    endpoint = plain_endpoint(store, "e", first)
    meanwhile: list[Callable[[], None]] = []

    def between(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and meanwhile:
            meanwhile.pop()()

    fake.faults.append(between)
    meanwhile.append(lambda: store.delete_gateway_model_definition(second))
    with pytest.raises(MlflowException, match="GatewayModelDefinition not found"):
        store.attach_model_to_endpoint(endpoint, primary(second))
    third = model(store, "third")
    meanwhile.append(lambda: store.attach_model_to_endpoint(endpoint, primary(third)))
    with pytest.raises(MlflowException, match="currently in use"):
        store.delete_gateway_model_definition(third)
    secret = store.create_gateway_secret("s", {"k": "v"}).secret_id
    meanwhile.append(lambda: store.delete_gateway_secret(secret))
    with pytest.raises(MlflowException, match="GatewaySecret not found"):
        store.create_gateway_model_definition("new", secret, "p", "m")
    meanwhile.append(lambda: store.set_gateway_endpoint_tag(endpoint, GatewayEndpointTag("k", "v")))
    store.update_gateway_endpoint(endpoint, name="renamed")
    found = store.get_gateway_endpoint(endpoint)
    assert (found.name, [tag.key for tag in found.tags]) == ("renamed", ["k"])
    meanwhile.append(lambda: store.update_gateway_endpoint(endpoint, "again"))
    store.delete_gateway_endpoint(endpoint)
    plain_endpoint(store, "again", first)


@pytest.mark.heavy
def test_many_at_once_on_dynamodb_local(dynamodb_local: Any, quick_keys: None) -> None:
    local = local_store(dynamodb_local)
    definition = model(local)
    endpoint = plain_endpoint(local, "e", definition)

    def work(number: int) -> str:
        local.create_endpoint_binding(endpoint, "scorer", str(number))
        try:
            return plain_endpoint(local, f"shared {number // 4}", definition)
        except MlflowException as error:
            return str(error.error_code)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(work, range(16)))
    assert answers.count("BAD_REQUEST") == 12
    assert len(local.list_endpoint_bindings(endpoint)) == 16
    assert local.table.get(keys.definition_uses(definition))["n"] == 5
