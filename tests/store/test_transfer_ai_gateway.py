"""Import and export of scorers and of the AI gateway's records."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.entities import (
    FallbackConfig,
    GatewayEndpointModelConfig,
    GatewayEndpointTag,
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
from mlflow.entities.gateway_endpoint import FallbackStrategy
from mlflow.entities.gateway_guardrail import (
    GatewayGuardrail,
    GatewayGuardrailConfig,
    GuardrailAction,
    GuardrailStage,
)
from mlflow.entities.scorer import ScorerVersion
from mlflow.genai.scorers.online.entities import OnlineScorer, OnlineScoringConfig

from dynamodb_store.transfer.importing import import_sql
from dynamodb_store.transfer.report import Refused
from tests.fakes.fake_dynamodb import WRITES
from tests.store.ai_gateway_world import FALLBACK, PRIMARY, quick_keys
from tests.store.both import PLAIN, Side
from tests.store.test_contract_scorers import judge
from tests.store.transferred import Copies, contents, copies

__all__ = ["copies", "quick_keys"]

TABLES = (
    "scorers", "scorer_versions", "online_scoring_configs", "secrets", "model_definitions",
    "endpoints", "endpoint_model_mappings", "endpoint_bindings", "endpoint_tags",
    "budget_policies", "guardrails", "guardrail_configs",
)  # fmt: skip
VALUE = {"api_key": "sk-0123456789abcdef", "other ☃": "x" * 40}
LARGE = "tags.a = '" + "".join(f"{number * number:x}" for number in range(90000)) + "'"


def fill(store: Any) -> SimpleNamespace:
    """One of everything, and what lost what it needs; ids by name."""
    made = SimpleNamespace()
    store.create_experiment("one")
    made.openai = store.create_gateway_secret("open ☃", VALUE, "openai", None, "me").secret_id
    made.aws = store.create_gateway_secret("aws", VALUE, "bedrock", {"r": "ü", "n": 1}).secret_id
    made.lost = store.create_gateway_secret("lost", VALUE).secret_id
    for number, secret in enumerate((made.openai, made.aws, made.lost)):
        define = store.create_gateway_model_definition
        found = define(f"d{number}", secret, "openai", f"m{number}", "me")
        setattr(made, f"d{number}", found.model_definition_id)
    store.delete_gateway_secret(made.lost)
    config = GatewayEndpointModelConfig
    made.both = store.create_gateway_endpoint(
        "both ☃",
        [config(made.d0, PRIMARY, 0.1, None), config(made.d1, FALLBACK, 1, 0)],
        "me",
        RoutingStrategy.REQUEST_BASED_TRAFFIC_SPLIT,
        FallbackConfig(FallbackStrategy.SEQUENTIAL, 3),
    ).endpoint_id
    made.plain = store.create_gateway_endpoint(
        "plain", [config(made.d0, PRIMARY, 2.0, None)], usage_tracking=False
    ).endpoint_id
    made.gone = store.create_gateway_endpoint("gone", [config(made.d2, PRIMARY)]).endpoint_id
    for key, value in (("k", "v"), ("none", None), ("", "")):
        store.set_gateway_endpoint_tag(made.both, GatewayEndpointTag(key, value))
    _fill_scorers(store, made)
    _fill_guardrails(store, made)
    store.delete_gateway_endpoint(made.gone)
    days = BudgetDuration(BudgetDurationUnit.DAYS, 2)
    for amount, scope, target in (
        (0.1, BudgetTargetScope.GLOBAL, None),
        (5, BudgetTargetScope.ENDPOINT, made.both),
    ):
        store.create_budget_policy(
            BudgetUnit.USD, amount, days, scope, BudgetAction.ALERT, "me", target
        )
    return made


def _fill_scorers(store: Any, made: SimpleNamespace) -> None:
    for name, text in (
        ("judge ☃", judge("{{ inputs }}")),
        ("judge ☃", judge("{{ outputs }}", "gateway:/both ☃")),
        ("other", judge("{{ inputs }} ☃")),
        ("other", judge("second")),
        ("other", judge("third")),
    ):
        made.scorer = store.register_scorer("1", name, text).scorer_id
    store.delete_scorer("1", "other", 2)
    store.upsert_online_scoring_config("1", "judge ☃", 0.3, "tags.a = 'b'")


def _fill_guardrails(store: Any, made: SimpleNamespace) -> None:
    create = store.create_gateway_guardrail
    before, after = GuardrailStage.BEFORE, GuardrailStage.AFTER
    made.valid = create("v ☃", made.scorer, 1, before, GuardrailAction.VALIDATION, None, "me")
    made.clean = create("c", made.scorer, 3, after, GuardrailAction.SANITIZATION, made.plain)
    made.lonely = create("l", made.scorer, 3, after, GuardrailAction.SANITIZATION, made.gone)
    made.valid, made.clean, made.lonely = (
        one.guardrail_id for one in (made.valid, made.clean, made.lonely)
    )
    store.add_guardrail_to_endpoint(made.both, made.valid, 2, "me")
    store.add_guardrail_to_endpoint(made.both, made.clean, 1)
    store.add_guardrail_to_endpoint(made.plain, made.clean)


def every_field(side: Side, value: Any) -> Any:
    """As it is, with ids and times: after an import these are the same too."""
    names = [one.name for one in fields(value)] if is_dataclass(value) else vars(value)
    found = {name: side.plain(getattr(value, name)) for name in names}
    # The models of an endpoint have no order in MLflow: SQL's is that of an index.
    return {name: sorted(one, key=str) if type(one) is list else one for name, one in found.items()}


KINDS = (
    ScorerVersion, OnlineScoringConfig, OnlineScorer, GatewayGuardrail, GatewayGuardrailConfig,
    GatewayBudgetPolicy, *(kind for kind in PLAIN if kind.__module__.startswith(
        "mlflow.entities.gateway")),
)  # fmt: skip


@pytest.fixture
def made(
    copies: Copies, ticking: None, quick_keys: None, monkeypatch: pytest.MonkeyPatch
) -> SimpleNamespace:
    for kind in KINDS:
        monkeypatch.setitem(PLAIN, kind, every_field)
    return fill(copies.store)


def test_they_survive_there_and_back(copies: Copies, made: SimpleNamespace) -> None:
    copies.change(
        "update secrets set description = 'd', masked_value = 'no JSON' where secret_name = 'aws'",
        "update secrets set auth_config = '{\"a\":1}' where secret_name = 'open ☃'",
        "update endpoints set fallback_config_json = '{\"max_attempts\":1}' where name = 'plain'",
    )
    outcome = copies.there()
    counts = [outcome.source.counts.get(name) for name in TABLES]
    assert counts == [2, 4, 1, 2, 3, 2, 3, 1, 3, 2, 3, 3]
    copies.and_back()
    assert contents(copies.back, *TABLES) == contents(copies.path, *TABLES)

    both = copies.both()
    assert both.sides[1].store._get_decrypted_secret(made.openai) == VALUE
    both._get_decrypted_secret(made.aws)
    for name in ("list_secret_infos", "list_gateway_model_definitions", "list_gateway_endpoints",
                 "list_endpoint_bindings", "list_budget_policies", "list_gateway_guardrails",
                 "get_active_online_scorers"):  # fmt: skip
        # MLflow's SQL asks for no order here; what it gives is that of random ids.
        theirs, ours = (sorted(side.call(name, (), {}), key=str) for side in both.sides)
        assert theirs == ours != [], name
    both.get_secret_info(secret_name="open ☃")
    both.get_gateway_model_definition(name="d2")
    both.get_gateway_endpoint(name="both ☃")
    both.list_endpoint_guardrail_configs(made.both)
    both.list_scorers("1")
    for name in ("judge ☃", "other"):
        both.list_scorer_versions("1", name)
    both.get_scorer("1", "other", 3)
    both.get_scorer("1", "other", 2)
    both.get_online_scoring_configs([one.scorer_id for one in copies.store.list_scorers("1")])


@pytest.mark.heavy
def test_the_store_goes_on_where_the_database_was(
    copies: Copies, made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.there()
    both = copies.both()
    for kind in KINDS:
        monkeypatch.setitem(PLAIN, kind, lambda side, value: type(value).__name__)
    error = "error"
    # names are taken, and what is in use stays
    assert both.create_gateway_secret("aws", VALUE)[0] == error
    assert both.create_gateway_model_definition("d1", made.aws, "p", "m")[0] == error
    assert both.create_gateway_endpoint("plain", [GatewayEndpointModelConfig(made.d0, PRIMARY)])
    assert both.delete_gateway_model_definition(made.d1)[0] == error
    assert both.delete_gateway_model_definition(made.d2) is None
    assert both.delete_scorer("1", "other", 3)[0] == error
    both.delete_gateway_guardrail(made.lonely)
    assert both.delete_scorer("1", "other", 3)[0] == error
    both.remove_guardrail_from_endpoint(made.plain, made.clean)
    both.delete_gateway_guardrail(made.clean)
    assert both.delete_scorer("1", "other", 3) is None
    both.detach_model_from_endpoint(made.both, made.d1)
    assert both.delete_gateway_model_definition(made.d1) is None
    # whatever was bound is not bound any more
    both.register_scorer("1", "judge ☃", judge("third", "gateway:/plain"))
    both.upsert_online_scoring_config("1", "judge ☃", 1, LARGE)
    for side in both.sides:
        bound = side.store.list_endpoint_bindings()
        assert [one.endpoint_id for one in bound] == [made.plain]
        assert side.store.get_scorer("1", "judge ☃").scorer_version == 3
    both.update_gateway_secret(made.openai, {"api_key": "sk-new-0123456789"}, {"a": 2})
    both.update_gateway_endpoint(
        made.plain, fallback_config=FallbackConfig(FallbackStrategy.SEQUENTIAL, 9)
    )
    both.delete_gateway_secret(made.aws)
    both.create_budget_policy(
        BudgetUnit.USD, 7, BudgetDuration(BudgetDurationUnit.DAYS, 1),
        BudgetTargetScope.GLOBAL, BudgetAction.ALERT,
    )  # fmt: skip
    outcome = copies.and_back()  # of what our store wrote by itself as well
    counts = [outcome.target.counts.get(name, 0) for name in TABLES]
    assert counts == [2, 4, 1, 1, 1, 2, 2, 1, 3, 3, 1, 1]


REFUSED = {
    "secrets: rows in workspaces": "update secrets set workspace = 'team'",
    "no JSON": "update secrets set auth_config = '{' where secret_name = 'aws'",
    "model_definitions: rows with the secret_id s-0, which is gone": "update model_definitions "
    "set secret_id = 's-0' where name = 'd0'",
    "endpoints: 1 rows have no name": "update endpoints set name = null where name = 'plain'",
    "the fallback_config_json of": "update endpoints set fallback_config_json = '[' "
    "where name = 'both ☃'",
    "endpoint_model_mappings: rows with the model_definition_id d-0, which is gone": "update "
    "endpoint_model_mappings set model_definition_id = 'd-0' where weight = 2.0",
    "guardrails: the scorer of": "update guardrails set scorer_version = 9 where name = 'c'",
    "guardrail_configs: rows with the guardrail_id gr-0, which is gone": "update "
    "guardrail_configs set guardrail_id = 'gr-0' where execution_order = 2",
    "online_scoring_configs: 2 rows for scorer": "insert into online_scoring_configs select 'x', "
    "scorer_id, sample_rate, experiment_id, filter_string from online_scoring_configs",
    "which is gone": "update scorers set experiment_id = 99 where scorer_name = 'other'",
    "endpoint_tags: 1 rows belong to nothing": "insert into endpoint_tags values ('a', 'b', 'e-0')",
}


def test_what_cannot_be_carried_is_listed_and_nothing_written(
    copies: Copies, made: SimpleNamespace
) -> None:
    copies.change(*REFUSED.values())
    copies.fake.calls.clear()
    source = copies.refused()
    with pytest.raises(Refused, match="nothing was written") as refused:
        import_sql(source, copies.table, str)
    source.close()
    for sentence in REFUSED:
        assert any(sentence in one for one in refused.value.problems), sentence
    assert any("is of experiment 99" in one for one in refused.value.problems)
    assert not WRITES & set(copies.fake.calls)
