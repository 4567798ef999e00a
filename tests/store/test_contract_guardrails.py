"""Guardrails and their places at endpoints: MLflow's SQL store and ours answer the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mlflow.entities import ScorerVersion
from mlflow.entities.gateway_guardrail import (
    GatewayGuardrail,
    GatewayGuardrailConfig,
    GuardrailAction,
    GuardrailStage,
)

from tests.store import ai_gateway_world as world
from tests.store.ai_gateway_world import config, definition, quick_keys, secret
from tests.store.both import PLAIN, Both, Ref, RunRef, Side
from tests.store.spans import info

__all__ = ["quick_keys"]

ERROR = "error"
BEFORE, AFTER = GuardrailStage.BEFORE, GuardrailStage.AFTER
VALIDATION, SANITIZATION = GuardrailAction.VALIDATION, GuardrailAction.SANITIZATION


def guardrail_fields(side: Side, value: GatewayGuardrail) -> dict[str, Any]:
    found = {**vars(value), "scorer": side.plain(value.scorer)}
    fresh = found.pop("last_updated_at") >= found.pop("created_at") > 0
    return {**{name: side.plain(one) for name, one in found.items()}, "fresh": fresh}


def config_fields(side: Side, value: GatewayGuardrailConfig) -> dict[str, Any]:
    found = {**vars(value), "fresh": value.created_at > 0}
    del found["created_at"]
    return {name: side.plain(one) for name, one in found.items()}


def scorer_fields(side: Side, value: ScorerVersion) -> dict[str, Any]:
    found = {name: side.plain(one) for name, one in vars(value).items()}
    found["_creation_time"] = found["_creation_time"] > 0
    return found


PLAIN[GatewayGuardrail] = guardrail_fields
PLAIN[GatewayGuardrailConfig] = config_fields
PLAIN[ScorerVersion] = scorer_fields


def judge(name: str, **more: Any) -> str:
    return json.dumps(
        {"name": name, "mlflow_version": "3.17.2", "serialization_version": 1, **more}
    )


@pytest.fixture
def both(sql: Any, ours: Any, quick_keys: None) -> Both:
    return Both(sql, ours)


def endpoint(both: Both, name: str) -> Ref:
    of = definition(both, f"d {name}", secret(both, f"s {name}"))
    return world.endpoint(both, name, config(of), usage_tracking=False)


def guardrail(both: Both, name: str, *more: Any) -> Ref:
    return both.remember(name, "create_gateway_guardrail", name, *more, id_of="guardrail_id")


def test_guardrails(both: Both) -> None:
    there = endpoint(both, "e ☃")
    judged = both.remember("s", "register_scorer", "0", "s", judge("s", a="☃"), id_of="scorer_id")
    both.register_scorer("0", "s", judge("s", n=2))
    code = judge("c", call_source="return 1", call_signature="()", original_func_name="c")
    custom = both.remember("c", "register_scorer", "0", "c", code, id_of="scorer_id")
    one = guardrail(both, "one", judged, 1, BEFORE, VALIDATION)
    two = guardrail(both, "two #/", judged, 2, AFTER, SANITIZATION, there, "me")
    guardrail(both, "", judged, 2, AFTER, SANITIZATION, None, None)
    for call in (
        ("x", judged, 3, BEFORE, VALIDATION),
        ("x", "none", 1, BEFORE, VALIDATION),
        ("x", custom, 1, BEFORE, VALIDATION),
        ("x", judged, 1, BEFORE, VALIDATION, "none"),
        ("x", judged, 1, BEFORE, VALIDATION, ""),
    ):
        assert both.create_gateway_guardrail(*call)[0] == ERROR
    both.get_gateway_guardrail(one)
    assert both.get_gateway_guardrail(two)["action_endpoint_name"] == "e ☃"
    both.update_gateway_endpoint(there, "renamed")
    assert both.get_gateway_guardrail(two)["action_endpoint_name"] == "renamed"
    # A version that a guardrail runs stays.
    assert both.delete_scorer("0", "s", 1)[0] == ERROR
    both.delete_gateway_endpoint(there)
    assert both.get_gateway_guardrail(two)["action_endpoint_name"] is None
    for side in both.sides:  # ids are random, so pages are compared with the whole list
        whole = [row.guardrail_id for row in side.store.list_gateway_guardrails()]
        assert whole == sorted(whole)
        first = side.store.list_gateway_guardrails(2)
        last = side.store.list_gateway_guardrails(2, first.token)
        assert [row.guardrail_id for row in [*first, *last]] == whole
        assert (len(first), len(last), last.token) == (2, 1, None)
    both.delete_gateway_guardrail(one)
    for gone in (one, "none", ""):
        for method in ("get_gateway_guardrail", "delete_gateway_guardrail"):
            assert getattr(both, method)(gone)[0] == ERROR
    both.delete_scorer("0", "s", 1)
    for call in ((0,), (50001,), (1, "no token")):
        assert both.list_gateway_guardrails(*call)[0] == ERROR


def test_places_of_guardrails(both: Both) -> None:
    left, right = endpoint(both, "left"), endpoint(both, "right")
    judged = both.remember("s", "register_scorer", "0", "s", judge("s"), id_of="scorer_id")
    one, two, three = (
        guardrail(both, name, judged, 1, AFTER, SANITIZATION, left) for name in ("one", "two", "3")
    )
    both.add_guardrail_to_endpoint(left, one)
    both.add_guardrail_to_endpoint(left, two, 7, "me")
    both.add_guardrail_to_endpoint(left, three, execution_order=-1)
    both.add_guardrail_to_endpoint(right, two, 0)
    for call in ((left, two), ("none", two), (left, "none"), ("", two), (left, "")):
        assert both.add_guardrail_to_endpoint(*call)[0] == ERROR
    both.list_endpoint_guardrail_configs(left)
    both.update_endpoint_guardrail_config(left, one, 0)
    both.update_endpoint_guardrail_config(left, two)
    for call in ((right, one, 1), ("none", one, 1), (left, "none", 1)):
        assert both.update_endpoint_guardrail_config(*call)[0] == ERROR
    names = [place["guardrail"]["name"] for place in both.list_endpoint_guardrail_configs(left)]
    assert names == ["3", "one", "two"]
    both.remove_guardrail_from_endpoint(left, three)
    for call in ((left, three), ("none", one), (right, "none")):
        assert both.remove_guardrail_from_endpoint(*call)[0] == ERROR
    both.delete_gateway_guardrail(two)  # and with it its places
    assert len(both.list_endpoint_guardrail_configs(left)) == 1
    assert both.list_endpoint_guardrail_configs(right) == []
    assert both.update_endpoint_guardrail_config(right, two, 1)[0] == ERROR
    assert both.list_endpoint_guardrail_configs("none")[0] == ERROR
    both.delete_gateway_endpoint(left)
    assert both.list_endpoint_guardrail_configs(left)[0] == ERROR
    both.get_gateway_guardrail(one)


def test_places_of_one_order_follow_the_ids(both: Both) -> None:
    there = endpoint(both, "e")
    judged = both.remember("s", "register_scorer", "0", "s", judge("s"), id_of="scorer_id")
    for number in range(4):
        of = guardrail(both, f"g{number}", judged, 1, BEFORE, VALIDATION)
        both.add_guardrail_to_endpoint(there, of, None if number % 2 else 1)
    for side in both.sides:
        places = side.store.list_endpoint_guardrail_configs(side.made["e"])
        orders = [(place.execution_order is None, place.guardrail_id) for place in places]
        assert orders == sorted(orders)


def test_an_experiment_stays_as_long_as_a_guardrail_runs_one_of_its_scorers(both: Both) -> None:
    both.create_experiment("e")
    both.create_run("1", "u", 1, [], "r")
    judged = both.remember("s", "register_scorer", "1", "s", judge("s"), id_of="scorer_id")
    both.register_scorer("1", "s", judge("s", n=2))
    both.remember("o", "register_scorer", "1", "other", judge("s"), id_of="scorer_id")
    both.start_trace(info("tr-1", 1, "1"))
    one = guardrail(both, "one", judged, 1, BEFORE, VALIDATION)
    both.delete_experiment("1")
    assert both._hard_delete_experiment("1") == (ERROR, "BAD_REQUEST")
    # Nothing of it is gone.
    both.get_run(RunRef(0))
    both.get_trace("tr-1")
    both.restore_experiment("1")
    assert len(both.list_scorer_versions("1", "s")) == 2
    assert len(both.list_scorers("1")) == 2
    both.get_gateway_guardrail(one)
    both.delete_experiment("1")
    both.delete_gateway_guardrail(one)
    both._hard_delete_experiment("1")
    assert both.get_experiment("1")[0] == ERROR
    assert both.list_scorers_across_experiments(["1"]) == []
