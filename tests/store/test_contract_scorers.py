"""Scorers on MLflow's SQL store and on ours: the same calls, the same answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mlflow.entities.gateway_endpoint import (
    GatewayEndpointBinding,
    GatewayEndpointModelConfig,
    GatewayModelLinkageType,
)
from mlflow.entities.scorer import ScorerVersion
from mlflow.genai.scorers.online.entities import OnlineScorer, OnlineScoringConfig

from tests.store.both import PLAIN, Both, Ref, Side

SCORER, OTHER = Ref("scorer"), Ref("other")


def plain_scorer(side: Side, scorer: ScorerVersion) -> tuple[Any, ...]:
    return (
        scorer.experiment_id,
        scorer.scorer_name,
        scorer.scorer_version,
        side.by_name(scorer._serialized_scorer),
        scorer.creation_time > 0,
        side.by_name(scorer.scorer_id) if scorer.scorer_id in side.made.values() else None,
    )


def plain_config(side: Side, config: OnlineScoringConfig) -> dict[str, Any]:
    fields = config.to_dict()
    assert fields.pop("online_scoring_config_id")
    return {**fields, "scorer_id": side.by_name(config.scorer_id)}


def plain_online(side: Side, scorer: OnlineScorer) -> tuple[Any, ...]:
    config = plain_config(side, scorer.online_config)
    return (scorer.name, side.by_name(scorer.serialized_scorer), config, scorer.scorer_version)


def plain_binding(side: Side, binding: GatewayEndpointBinding) -> tuple[Any, ...]:
    ids = (binding.endpoint_id, binding.resource_id)
    return (*map(side.by_name, ids), binding.resource_type.value, binding.display_name)


@pytest.fixture
def both(sql: Any, ours: Any, monkeypatch: pytest.MonkeyPatch) -> Both:
    monkeypatch.setenv("MLFLOW_CRYPTO_KEK_PASSPHRASE", "only for this test")
    for kind, plain in (
        (ScorerVersion, plain_scorer),
        (OnlineScoringConfig, plain_config),
        (OnlineScorer, plain_online),
        (GatewayEndpointBinding, plain_binding),
    ):
        monkeypatch.setitem(PLAIN, kind, plain)
    return Both(sql, ours)


def judge(instructions: str, model: str | None = "openai:/gpt") -> str:
    return json.dumps(
        {
            "name": "a judge",
            "description": None,
            "mlflow_version": "3.17.2",
            "serialization_version": 1,
            "instructions_judge_pydantic_data": {"instructions": instructions, "model": model},
        }
    )


def decorated(source: str) -> str:
    return json.dumps(
        {"name": "é", "call_source": source, "call_signature": "()", "original_func_name": "f"}
    )


def test_scorers_and_versions(both: Both) -> None:
    both.create_experiment("e")
    both.create_experiment("deleted")
    both.delete_experiment("2")
    plain = judge("is {{ outputs }} good?").replace(": ", ":   ")
    both.remember("scorer", "register_scorer", "1", "name ☃/#", plain, id_of="scorer_id")
    both.register_scorer("01", "name ☃/#", decorated("☃" * 20000))
    both.remember("other", "register_scorer", None, "b", decorated("x"), id_of="scorer_id")
    both.register_scorer("0", "B", decorated("y"))
    both.register_scorer("0", "x" * 250, decorated("z"))
    for bad in (
        ("77", "a", plain),
        ("2", "a", plain),
        ("x", "a", plain),
        ("1", "", plain),
        ("1", " ", plain),
        ("1", None, plain),
        ("1", 7, plain),
        ("1", "a", judge("q", " ")),
        ("1", "a", judge("q", 7)),  # type: ignore[arg-type]
        ("1", "a", judge("q", "gateway:/none")),
    ):
        answer = both.register_scorer(*bad)
        assert answer[0] == "error"
    for experiment_id in ("0", "1", "2", "77", "x"):
        both.list_scorers(experiment_id)
        both.get_scorer(experiment_id, "name ☃/#")
        both.list_scorer_versions(experiment_id, "name ☃/#")
    assert len(both.list_scorers_across_experiments(["1", "0", "01", "77"])) == 4
    both.list_scorers_across_experiments([])
    both.list_scorers_across_experiments(["x"])
    for version in (None, 1, 2, 3, 0):
        both.get_scorer("1", "name ☃/#", version)
    both.delete_scorer("1", "name ☃/#", 3)
    both.delete_scorer("1", "none")
    both.delete_scorer("2", "none")
    both.delete_scorer("1", "name ☃/#", 2)
    both.get_scorer("1", "name ☃/#")
    both.register_scorer("1", "name ☃/#", decorated("again"))
    both.list_scorer_versions("1", "name ☃/#")
    both.delete_scorer("1", "name ☃/#", 1)
    both.delete_scorer("1", "name ☃/#", 2)
    for method in ("get_scorer", "list_scorer_versions", "delete_scorer"):
        getattr(both, method)("1", "name ☃/#")
    both.list_scorers("1")
    both.register_scorer("1", "name ☃/#", plain)  # the same scorer, from version 1
    both.delete_scorer("1", "name ☃/#")
    both.list_scorers("1")
    both.register_scorer("1", "name ☃/#", plain)  # another scorer
    both.delete_experiment("1")
    both.list_scorers_across_experiments(["1"])
    both._hard_delete_experiment("1")
    both.list_scorers_across_experiments(["1"])


def test_online_scoring_and_endpoints_of_the_ai_gateway(both: Both) -> None:
    for side in both.sides:
        secret = side.store.create_gateway_secret("s", {"api_key": "value"}, provider="openai")
        model = side.store.create_gateway_model_definition("m", secret.secret_id, "openai", "gpt")
        config = GatewayEndpointModelConfig(
            model_definition_id=model.model_definition_id,
            linkage_type=GatewayModelLinkageType.PRIMARY,
            weight=1.0,
        )
        for name in ("first", "second"):
            made = side.store.create_gateway_endpoint(name=name, model_configs=[config])
            side.made[name] = made.endpoint_id
    asks = judge("is {{ outputs }} good?", "gateway:/first")
    both.remember("scorer", "register_scorer", "0", "online", asks, id_of="scorer_id")
    both.remember("other", "register_scorer", "0", "offline", judge("x"), id_of="scorer_id")
    both.register_scorer("0", "expects", judge("{{ expectations }}?", "gateway:/first"))
    both.get_scorer("0", "online")
    both.list_endpoint_bindings(None, "scorer", SCORER)
    for bad in (
        ("0", "online", "x"),
        ("0", "online", 1.5),
        ("0", "online", -0.1),
        ("0", "online", float("nan")),
        ("0", "online", 0.5, "nonsense"),
        ("0", "online", 0.5, 7),
        ("0", "none", 0.5),
        ("77", "online", 0.5),
        ("0", "offline", 0.5),
        ("0", "expects", 0.5),
    ):
        assert both.upsert_online_scoring_config(*bad)[0] == "error", bad
    both.upsert_online_scoring_config("0", "online", 0.25, "status = 'OK'")
    both.upsert_online_scoring_config("0", "offline", 0)
    both.get_online_scoring_configs([SCORER])
    both.get_online_scoring_configs([OTHER, "none"])
    both.get_online_scoring_configs([])
    both.get_active_online_scorers()
    both.upsert_online_scoring_config("00", "online", 0.5)
    both.get_online_scoring_configs([SCORER])
    both.register_scorer("0", "online", asks.replace("first", "second"))
    both.get_active_online_scorers()
    both.list_endpoint_bindings(None, "scorer", SCORER)
    both.list_scorer_versions("0", "online")
    both.delete_gateway_endpoint(Ref("second"))
    both.get_scorer("0", "online")
    both.list_scorers("0")
    both.get_active_online_scorers()
    both.register_scorer("0", "online", judge("now offline {{ outputs }}"))
    both.get_active_online_scorers()
    both.register_scorer("0", "online", asks)
    assert len(both.get_active_online_scorers()) == 1
    both.delete_scorer("0", "online")
    both.list_endpoint_bindings(None, "scorer", SCORER)
    both.get_online_scoring_configs([SCORER])
    both.get_active_online_scorers()
