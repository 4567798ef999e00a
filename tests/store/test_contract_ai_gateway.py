"""The AI gateway's records: MLflow's SQL store and ours answer the same, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mlflow.entities import (
    FallbackConfig,
    GatewayEndpointTag,
    RoutingStrategy,
)
from mlflow.entities.gateway_budget_policy import (
    BudgetAction,
    BudgetDuration,
    BudgetDurationUnit,
    BudgetTargetScope,
    BudgetUnit,
)
from mlflow.entities.gateway_endpoint import FallbackStrategy
from mlflow.exceptions import MlflowException

from tests.store.ai_gateway_world import (
    FALLBACK,
    config,
    definition,
    endpoint,
    quick_keys,
    secret,
)
from tests.store.both import Both, Ref

__all__ = ["quick_keys"]


ERROR = "error"
USD, ALERT, REJECT = BudgetUnit.USD, BudgetAction.ALERT, BudgetAction.REJECT
DAY = BudgetDuration(BudgetDurationUnit.DAYS, 1)


@pytest.fixture
def both(sql: Any, ours: Any, quick_keys: None) -> Iterator[Both]:
    both = Both(sql, ours)
    yield both
    for side in both.sides:  # whatever happened, nothing is left that no reader can read
        side.store.list_gateway_endpoints()
        side.store.list_endpoint_bindings()
        side.store.list_budget_policies()


def endpoints(both: Both, *args: Any, **kwargs: Any) -> list[Any]:
    """The list of endpoints, which MLflow's SQL store answers in no order that it promises."""
    theirs, ours = (
        sorted(side.call("list_gateway_endpoints", args, kwargs), key=lambda one: one["name"])
        for side in both.sides
    )
    assert ours == theirs
    return ours


def test_secrets(both: Both) -> None:
    first = secret(both, "first", provider="openai", created_by="me")
    auth = {"auth_mode": "access_keys", "region": "eu ☃", "n": [1, {"a": None}]}
    keys = {"aws_access_key_id": "AKIA123456789", "aws_secret_access_key": "x" * 40, "s": "short"}
    both.remember(
        "name", "create_gateway_secret", "a/b #☃ c", keys, "bedrock", auth, id_of="secret_id"
    )
    both.remember("empty", "create_gateway_secret", "", {}, None, {}, id_of="secret_id")
    both.remember("long", "create_gateway_secret", "n" * 3000, {"": ""}, id_of="secret_id")
    assert both.create_gateway_secret("first", {"api_key": "other"})[0] == ERROR
    assert both.create_gateway_secret("", {})[0] == ERROR
    for name in ("first", "a/b #☃ c", "", "n" * 3000, "FIRST", "none"):
        both.get_secret_info(secret_name=name)
    both.get_secret_info(first)
    both.get_secret_info(secret_id=Ref("name"))
    for asked in ({}, {"secret_id": "x", "secret_name": "y"}, {"secret_id": "none"},
                  {"secret_id": ""}):  # fmt: skip
        assert both.get_secret_info(**asked)[0] == ERROR
    assert [one["secret_name"] for one in both.list_secret_infos()][:2] == ["first", "a/b #☃ c"]
    assert len(both.list_secret_infos("openai")) == 1
    assert both.list_secret_infos("nobody") == []
    assert len(both.list_secret_infos(provider="")) == 0
    both.update_gateway_secret(
        first, {"api_key": "sk-new-value-123", "more": "12345678"}, None, "u"
    )
    both.update_gateway_secret(first, auth_config={"a": "b"})
    assert both._get_decrypted_secret(first) == {"api_key": "sk-new-value-123", "more": "12345678"}
    assert both._get_decrypted_secret(Ref("name")) == keys
    assert both._get_decrypted_secret(Ref("empty")) == {}
    assert both._get_decrypted_secret("none")[0] == ERROR
    both.get_secret_info(first)
    both.update_gateway_secret(first, auth_config={})
    both.update_gateway_secret(first)
    assert both.update_gateway_secret("none", {"a": "b"})[0] == ERROR
    both.delete_gateway_secret(Ref("name"))
    assert both.get_secret_info(secret_name="a/b #☃ c")[0] == ERROR
    assert both.delete_gateway_secret(Ref("name"))[0] == ERROR
    both.remember("again", "create_gateway_secret", "a/b #☃ c", keys, id_of="secret_id")
    assert [one["secret_name"] for one in both.list_secret_infos()][-1] == "a/b #☃ c"


def test_model_definitions(both: Both) -> None:
    first, second = secret(both, "s1"), secret(both, "s2")
    one = definition(both, "d 1", first)
    two = definition(both, "d/2 ☃#", second, "anthropic")
    definition(both, "", first, "")
    assert both.create_gateway_model_definition("d 1", second, "x", "y")[0] == ERROR
    assert both.create_gateway_model_definition("new", "none", "x", "y")[0] == ERROR
    assert both.create_gateway_model_definition("new", "", "x", "y")[0] == ERROR
    for asked in ({"model_definition_id": one}, {"name": "d/2 ☃#"}, {"name": ""}, {"name": "D 1"},
                  {"model_definition_id": "none"}, {"model_definition_id": ""}, {},
                  {"model_definition_id": one, "name": "d 1"}):  # fmt: skip
        both.get_gateway_model_definition(**asked)
    both.list_gateway_model_definitions()
    assert len(both.list_gateway_model_definitions(provider="openai")) == 1
    assert len(both.list_gateway_model_definitions(secret_id=first)) == 2
    assert len(both.list_gateway_model_definitions("anthropic", second)) == 1
    assert both.list_gateway_model_definitions("anthropic", first) == []
    both.list_gateway_model_definitions("", "")
    both.update_gateway_model_definition(one, name="d 1")
    both.update_gateway_model_definition(one, "uno", second, "gpt-5", "you", "azure")
    both.update_gateway_model_definition(one, model_name="", provider="")
    both.update_gateway_model_definition(one)
    assert both.get_gateway_model_definition(name="d 1")[0] == ERROR
    both.get_gateway_model_definition(name="uno")
    taken = {"name": "d/2 ☃#"}
    for changed in (taken, {"secret_id": "none"}, {"secret_id": ""},
                    {**taken, "secret_id": first}, {"name": "x", "secret_id": "none"}):  # fmt: skip
        assert both.update_gateway_model_definition(one, **changed)[0] == ERROR
    assert both.update_gateway_model_definition("none", name="x")[0] == ERROR
    both.get_gateway_model_definition(one)
    definition(both, "d 1", first, ref="d 1 again")
    both.delete_gateway_secret(second)  # its definitions are orphans
    orphan = both.get_gateway_model_definition(two)
    assert (orphan["secret_id"], orphan["secret_name"]) == (None, None)
    both.list_gateway_model_definitions()
    assert both.list_gateway_model_definitions(secret_id=second) == []
    both.update_gateway_model_definition(two, secret_id=first)
    both.delete_gateway_model_definition(two)
    for gone in (two, "none", ""):
        assert both.delete_gateway_model_definition(gone)[0] == ERROR
    both.list_gateway_model_definitions()
    definition(both, "d/2 ☃#", first, ref="d/2 again")


def test_endpoints(both: Both) -> None:
    of = secret(both, "s")
    one, two = definition(both, "d1", of), definition(both, "d2", of, "anthropic")
    assert endpoint(both, "traced", config(one), created_by="me")
    made = both.get_experiment_by_name("gateway/traced")
    assert made["tags"]["mlflow.experiment.sourceId"] == "<traced>"
    both.create_experiment("gateway/there already")
    many = endpoint(
        both, "there already", config(one, weight=0.1), config(two, FALLBACK, 0.9, 3),
        config(one, FALLBACK, 1, 0), routing_strategy=RoutingStrategy.REQUEST_BASED_TRAFFIC_SPLIT,
        fallback_config=FallbackConfig(FallbackStrategy.SEQUENTIAL, 2),
    )  # fmt: skip
    plain = endpoint(both, "no/traces #☃", config(two), usage_tracking=False)
    endpoint(both, "falls", config(two, FALLBACK), experiment_id="0", usage_tracking=False)
    both.create_gateway_endpoint("empty", [])
    none = config("none")
    for name, configs, more in (
        ("traced", [config(one)], {}),
        ("new", [config(one), config(one)], {"usage_tracking": False}),
        ("new", [config(one), none], {}),
        ("new", [config("")], {}),
        ("new", [config(one)], {"experiment_id": "77"}),
        ("new", [config(one)], {"experiment_id": "no number"}),
    ):
        assert both.create_gateway_endpoint(name, configs, **more)[0] == ERROR
    for asked in ({"endpoint_id": many}, {"name": "no/traces #☃"}, {"name": "none"}, {},
                  {"endpoint_id": "none"}, {"endpoint_id": ""},
                  {"endpoint_id": many, "name": "x"}):  # fmt: skip
        both.get_gateway_endpoint(**asked)
    endpoints(both)
    assert len(endpoints(both, provider="openai")) == 2
    endpoints(both, "anthropic", of)
    endpoints(both, "", "")
    assert endpoints(both, secret_id="none") == []
    both.update_gateway_endpoint(plain, "renamed", "you", usage_tracking=True)
    both.update_gateway_endpoint(plain, usage_tracking=False)
    both.update_gateway_endpoint(plain, "renamed", experiment_id="0")
    both.update_gateway_endpoint(plain, fallback_config=FallbackConfig(None, 7))
    both.update_gateway_endpoint(
        many, model_configs=[config(two, weight=2.5), config(two, FALLBACK, order=1)],
        routing_strategy=RoutingStrategy.REQUEST_BASED_TRAFFIC_SPLIT, updated_by="u",
    )  # fmt: skip
    both.update_gateway_endpoint(many, fallback_config=FallbackConfig(FallbackStrategy.SEQUENTIAL))
    both.update_gateway_endpoint(many)
    twice = [config(one), config(one)]
    for changed in ({"name": "traced"}, {"model_configs": [none]}, {"experiment_id": "77"},
                    {"experiment_id": "x"}, {"model_configs": twice}):  # fmt: skip
        assert both.update_gateway_endpoint(many, **changed)[0] == ERROR
        both.get_gateway_endpoint(many)
    assert both.update_gateway_endpoint("none", name="x")[0] == ERROR
    both.update_gateway_endpoint(many, model_configs=[])
    both.get_gateway_endpoint(many)
    assert len(endpoints(both)) == 3  # without models it is not listed
    both.delete_gateway_endpoint(many)
    assert both.delete_gateway_endpoint(many)[0] == ERROR
    both.remember(
        "again", "create_gateway_endpoint", "there already", [config(one)], id_of="endpoint_id"
    )
    both.delete_gateway_secret(of)
    endpoints(both)
    assert endpoints(both, secret_id=of) == []


def test_models_are_attached_and_detached(both: Both) -> None:
    of = secret(both, "s")
    one, two = definition(both, "d1", of), definition(both, "d2", of)
    three = definition(both, "d3", of)
    left = endpoint(both, "left", config(one), usage_tracking=False, created_by="me")
    endpoint(both, "right", config(one), config(two), usage_tracking=False)
    both.attach_model_to_endpoint(left, config(two, FALLBACK, 0.25, 0), "you")
    both.attach_model_to_endpoint(left, config(one, FALLBACK))
    for call in ((left, config(one, FALLBACK)), (left, config("none")), ("none", config(one)),
                 (left, config(""))):  # fmt: skip
        assert both.attach_model_to_endpoint(*call)[0] == ERROR
    both.get_gateway_endpoint(left)
    for used in (one, two):
        assert both.delete_gateway_model_definition(used)[0] == ERROR
    both.detach_model_from_endpoint(left, one)
    both.get_gateway_endpoint(left)
    both.detach_model_from_endpoint(left, one)
    for call in ((left, one), (left, three), ("none", one), ("", one)):
        assert both.detach_model_from_endpoint(*call)[0] == ERROR
    both.attach_model_to_endpoint(left, config(three))
    both.attach_model_to_endpoint(left, config(three, FALLBACK))
    assert both.detach_model_from_endpoint(left, three, "OTHER")[0] == ERROR
    both.detach_model_from_endpoint(left, three, linkage_type="PRIMARY")
    endpoints(both)
    assert both.delete_gateway_model_definition(one)[0] == ERROR
    both.delete_gateway_endpoint(Ref("right"))
    both.delete_gateway_model_definition(one)
    assert both.delete_gateway_model_definition(two)[0] == ERROR
    both.detach_model_from_endpoint(left, two)
    both.delete_gateway_model_definition(two)
    both.update_gateway_endpoint(left, model_configs=[])
    both.delete_gateway_model_definition(three)
    both.get_gateway_endpoint(left)
    names = [one.name for one in both.sides[1].store.list_gateway_endpoints()]
    assert names == []
    for name in "zya":
        endpoint(both, name, config(definition(both, name, of, ref=f"of {name}")))
    names = [one.name for one in both.sides[1].store.list_gateway_endpoints()]
    assert names == ["z", "y", "a"]  # ours: in the order of creation


def test_bindings_and_tags(both: Both) -> None:
    of = definition(both, "d", secret(both, "s"))
    left = endpoint(both, "left", config(of), usage_tracking=False)
    right = endpoint(both, "right", config(of), usage_tracking=False)
    for bound, resource in ((right, "z"), (left, "b/☃ #"), (left, "a"), (right, "a"), (left, "")):
        both.create_endpoint_binding(bound, "scorer", resource, "me")
    for call in ((left, "scorer", "a"), ("none", "scorer", "x"), (left, "unknown", "x")):
        assert both.create_endpoint_binding(*call)[0] == ERROR
    scorers = {"resource_type": "scorer"}
    for asked in ({}, {"endpoint_id": left}, {"endpoint_id": "none"}, {"resource_id": "a"},
                  scorers, {"resource_type": "other"}, {"endpoint_id": ""},
                  {"endpoint_id": left, **scorers, "resource_id": "a"}):  # fmt: skip
        both.list_endpoint_bindings(**asked)
    both.delete_endpoint_binding(left, "scorer", "b/☃ #")
    for call in ((left, "scorer", "b/☃ #"), ("none", "scorer", "a"), ("", "", "")):
        assert both.delete_endpoint_binding(*call)[0] == ERROR
    for key, value in (
        ("k", "v"),
        ("☃ #/", ""),
        ("none", None),
        ("k", "changed"),
        ("", "x" * 5000),
    ):
        both.set_gateway_endpoint_tag(left, GatewayEndpointTag(key, value))
    both.get_gateway_endpoint(left)
    both.delete_gateway_endpoint_tag(left, "k")
    both.delete_gateway_endpoint_tag(left, "k")
    assert both.set_gateway_endpoint_tag("none", GatewayEndpointTag("k", "v"))[0] == ERROR
    assert both.delete_gateway_endpoint_tag("none", "k")[0] == ERROR
    both.get_gateway_endpoint(name="left")
    both.delete_gateway_endpoint(left)
    assert [one["endpoint_id"] for one in both.list_endpoint_bindings()] == ["<right>"] * 2


def test_budgets(both: Both) -> None:
    of = definition(both, "d", secret(both, "s"))
    there = endpoint(both, "e", config(of), usage_tracking=False)
    scopes = BudgetTargetScope
    week = BudgetDuration("WEEKS", 2)
    made = [
        both.remember(f"b{number}", "create_budget_policy", *call, id_of="budget_policy_id")
        for number, call in enumerate(
            [
                (USD, 0.1 + 0.2, DAY, scopes.GLOBAL, ALERT, "me", "dropped"),
                (USD, 100, week, scopes.WORKSPACE, REJECT),
                (USD, 1e300, DAY, scopes.ENDPOINT, REJECT, None, there),
                (USD, 5e-324, DAY, scopes.USER, ALERT, "me", "some one ☃"),
                ("USD", 7, DAY, "GLOBAL", "ALERT"),
            ]
        )
    ]
    for call in ((USD, 1, DAY, scopes.ENDPOINT, ALERT), (USD, 1, DAY, scopes.USER, ALERT, "m", ""),
                 (USD, 1, DAY, scopes.ENDPOINT, ALERT, "m", "none"),
                 ("EUR", 1, DAY, scopes.GLOBAL, ALERT), (USD, 1, DAY, "MOON", ALERT)):  # fmt: skip
        assert both.create_budget_policy(*call)[0] == ERROR
    for one in made:
        both.get_budget_policy(one)
    both.update_budget_policy(made[0], USD, 3.5, week, scopes.USER, REJECT, "you", "user")
    both.update_budget_policy(made[0], target_scope=scopes.USER)
    both.update_budget_policy(made[0], target_scope=scopes.GLOBAL)
    both.update_budget_policy(made[0], target_value="ignored")
    both.update_budget_policy(made[1], target_scope=scopes.ENDPOINT, target_value=there)
    both.update_budget_policy(made[1], budget_amount=0)
    for changed in ({"target_scope": scopes.USER}, {"target_value": "none"}, {"target_value": ""},
                    {"budget_unit": "EUR"}, {"target_scope": "MOON"}):  # fmt: skip
        assert both.update_budget_policy(made[1], **changed)[0] == ERROR
        both.get_budget_policy(made[1])
    both.update_budget_policy(made[4])
    both.delete_gateway_endpoint(there)  # the policy stays, as in SQL
    both.get_budget_policy(made[2])
    both.update_budget_policy(made[2], budget_amount=9)
    both.delete_budget_policy(made[3])
    for gone in (made[3], "none", ""):
        for method in ("get_budget_policy", "delete_budget_policy", "update_budget_policy"):
            assert getattr(both, method)(gone)[0] == ERROR


def test_budgets_are_listed_by_id_page_by_page(both: Both) -> None:
    for number in range(5):
        both.create_budget_policy(USD, number, DAY, BudgetTargetScope.GLOBAL, ALERT)
    for side in both.sides:  # ids are random, so pages are compared with the whole list
        whole = [one.budget_policy_id for one in side.store.list_budget_policies()]
        assert whole == sorted(whole)
        token, found = None, []
        for size in (2, 2, 1):
            listed = side.store.list_budget_policies(2, token)
            assert len(listed) == size
            found += [one.budget_policy_id for one in listed]
            token = listed.token
        assert (found, token) == (whole, None)
        assert side.store.list_budget_policies(5).token is None
    for call in ((0,), (50001,), (None,), (2, "no token")):
        assert both.list_budget_policies(*call)[0] == ERROR


def test_gc_of_an_experiment_leaves_endpoints_without_it(both: Both) -> None:
    of = definition(both, "d", secret(both, "s"))
    there = endpoint(both, "e", config(of))
    traces = both.get_experiment_by_name("gateway/e")["experiment_id"]
    both.delete_experiment(traces)
    assert both.get_gateway_endpoint(there)["experiment_id"] == "gateway/e"
    both._hard_delete_experiment(traces)
    assert both.get_gateway_endpoint(there)["experiment_id"] is None
    with pytest.raises(MlflowException, match=r"not found \(endpoint_id='none'\)"):
        both.sides[1].store.get_gateway_endpoint("none")
