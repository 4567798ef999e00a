"""Random calls about evaluation datasets with their records, and about scorers."""

from __future__ import annotations

import json
from typing import Any

import mlflow.utils.crypto
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities.dataset_record import DatasetRecord
from mlflow.entities.evaluation_dataset import EvaluationDataset
from mlflow.entities.gateway_guardrail import GatewayGuardrail, GuardrailAction, GuardrailStage
from mlflow.entities.scorer import ScorerVersion
from mlflow.genai.scorers.online.entities import OnlineScorer, OnlineScoringConfig

from tests.store import ai_gateway_world as world
from tests.store import test_contract_scorers as scorers
from tests.store.both import PLAIN, Ref, Side
from tests.store.random_calls import Call, Worlds, call, examples, refs, sequences, worlds
from tests.store.test_contract_evaluation_datasets import plain_dataset, plain_record

__all__ = ["worlds"]


def plain_config(side: Side, config: OnlineScoringConfig) -> tuple[Any, ...]:
    return (config.experiment_id, config.sample_rate, config.filter_string)


def plain_online(side: Side, one: OnlineScorer) -> tuple[Any, ...]:
    shown = side.by_name(one.serialized_scorer)
    return (one.name, shown, one.scorer_version, plain_config(side, one.online_config))


def plain_guardrail(side: Side, one: GatewayGuardrail) -> tuple[Any, ...]:
    return (one.name, side.by_name(one.guardrail_id), side.plain(one.scorer))


@pytest.fixture(autouse=True)
def comparable(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, plain in (
        (EvaluationDataset, plain_dataset),
        (DatasetRecord, plain_record),
        (ScorerVersion, scorers.plain_scorer),
        (OnlineScoringConfig, plain_config),
        (OnlineScorer, plain_online),
        (GatewayGuardrail, plain_guardrail),
    ):
        monkeypatch.setitem(PLAIN, kind, plain)
    monkeypatch.setenv("MLFLOW_CRYPTO_KEK_PASSPHRASE", "only for this test")
    monkeypatch.setattr(mlflow.utils.crypto, "PBKDF2_ITERATIONS", 1)


datasets = refs("dataset", 4)
texts = st.sampled_from(["", "v", "é ☃"])
names = st.sampled_from(["alpha", "Alpha", "b #/", ""])
keys = st.sampled_from(["k", "", "mlflow.user"])
tags = st.dictionaries(keys, texts, max_size=2)
experiments = st.sampled_from(["0", "0", "1", "2", "77"])
some_experiments = st.lists(experiments, max_size=2)
numbers = st.integers(0, 4)
inputs = st.builds(lambda number: {"q": number}, numbers)
objects = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from([1, 2.5, None]), max_size=2)
new_records = st.lists(
    st.fixed_dictionaries(
        {"inputs": inputs},
        optional={
            "outputs": st.one_of(st.none(), objects),
            "expectations": objects,
            "tags": tags,
            "source": st.just({"source_type": "TRACE", "source_data": {"trace_id": "tr-1"}}),
        },
    ),
    max_size=4,
)
filters = st.sampled_from(
    [
        None,
        "name = 'alpha'",
        "name != 'alpha'",
        "name LIKE 'a%'",
        "name ILIKE 'a%'",
        "tags.k = 'v'",
        "tags.k != 'v'",
        "created_by = 'v'",
        "last_updated_by != 'v'",
        "tags.k = 'v' AND name != ''",
    ]
)
orders = st.sampled_from(
    [None, ["name", "created_time"], ["created_time ASC"], ["last_update_time DESC", "name"]]
)


def load(store: Any, dataset_id: str) -> Any:
    return store._load_dataset_records(dataset_id)[0]


def delete_records(store: Any, dataset_id: str, wanted: list[int]) -> Any:
    """Records have ids of their store's own making; a scenario names them by their inputs."""
    found = store._load_dataset_records(dataset_id)[0]
    gone = [one.dataset_record_id for one in found if one.inputs.get("q") in wanted]
    return store.delete_dataset_records(dataset_id, [*gone, "dr-none"])


dataset_steps = [
    call(
        "create_dataset", names, tags, some_experiments, makes="dataset", id_of="dataset_id"
    ),
    call("get_dataset", datasets),
    call("set_dataset_tags", datasets, tags),
    call("delete_dataset_tag", datasets, keys),
    call("get_dataset_experiment_ids", datasets),
    call("add_dataset_to_experiments", datasets, some_experiments),
    call("remove_dataset_from_experiments", datasets, some_experiments),
    call("upsert_dataset_records", datasets, new_records),
    call("upsert_dataset_records", datasets, new_records),
    call(load, datasets, sort=True),
    call(delete_records, datasets, st.lists(numbers, max_size=2)),
    call("search_entities_by_destination", st.just(["0", "1"]), st.just("experiment"),
         st.just("evaluation_dataset"), sort=True),
    call(
        "search_datasets",
        st.one_of(st.none(), some_experiments),
        filters,
        paged=True,
        kwargs={"max_results": st.integers(1, 3), "order_by": orders},
    ),
    call("delete_experiment", st.just("1")),
    call("restore_experiment", st.just("1")),
    call("delete_dataset", datasets),
]  # fmt: skip


def experiments_0_1_and_deleted_2() -> list[Call]:
    made = [Call("create_experiment", (name,)) for name in ("one", "two")]
    return [*made, Call("delete_experiment", ("2",))]


def drive_datasets(worlds: Worlds, calls: list[Call]) -> None:
    both = worlds.new()
    makes: dict[str, Any] = {"makes": "dataset", "id_of": "dataset_id"}
    first = [
        *experiments_0_1_and_deleted_2(),
        Call("create_dataset", ("alpha", {"k": "v"}, ["0"]), **makes),
        Call("create_dataset", ("b", None, ["1"]), **makes),
        Call("upsert_dataset_records", (Ref("dataset0"), [{"inputs": {"q": 1}}])),
    ]
    worlds.drive(both, [*first, *calls])
    end = [Call("search_datasets"), Call("search_datasets", (["0", "1"],))]
    for name in both.sides[0].made:
        end += [Call("get_dataset", (Ref(name),)), Call(load, (Ref(name),), sort=True)]
    worlds.drive(both, end)
    worlds.end(both)


dataset_calls = dataset_steps


@examples(2)
@given(calls=sequences(*dataset_calls, more=0))
def test_datasets(worlds: Worlds, calls: list[Call]) -> None:
    drive_datasets(worlds, calls)


@pytest.mark.heavy
@examples(100)
@given(calls=sequences(*dataset_calls, more=20))
def test_datasets_at_length(worlds: Worlds, calls: list[Call]) -> None:
    drive_datasets(worlds, calls)


scorer_names = st.sampled_from(["s", "s", "é #/", ""])
versions = st.sampled_from([None, 1, 2, 3, 9])
endpoint_names = ["first", "second"]
serialized = st.sampled_from(
    [
        scorers.decorated("x"),
        scorers.judge("is {{ outputs }} good?"),
        scorers.judge("is {{ outputs }} good?", "gateway:/first"),
        scorers.judge("is {{ inputs }} bad?", "gateway:/second"),
        scorers.judge("{{ expectations }}?", "gateway:/first"),
        scorers.judge("x", "gateway:/none"),
        json.dumps({"name": "built in", "mlflow_version": "3.17.2"}),
    ]
)
guardrails = refs("guardrail", 3)


def scorer_id_of(store: Any, experiment_id: str, name: str) -> str:
    return str(store.get_scorer(experiment_id, name).scorer_id)


def guard(store: Any, experiment_id: str, name: str, version: int) -> Any:
    scorer_id = scorer_id_of(store, experiment_id, name)
    return store.create_gateway_guardrail(
        "g", scorer_id, version, GuardrailStage.BEFORE, GuardrailAction.VALIDATION
    )


def bindings(store: Any, experiment_id: str, name: str) -> Any:
    found = store.list_endpoint_bindings(None, "scorer", scorer_id_of(store, experiment_id, name))
    names = [store.get_gateway_endpoint(endpoint_id=one.endpoint_id).name for one in found]
    return list(zip(names, [one.display_name for one in found], strict=True))


def configurations(store: Any, experiment_id: str, name: str) -> Any:
    return store.get_online_scoring_configs([scorer_id_of(store, experiment_id, name)])


def endpoint_id_of(store: Any, name: str) -> str:
    return str(store.get_gateway_endpoint(name=name).endpoint_id)


def delete_endpoint(store: Any, name: str) -> Any:
    return store.delete_gateway_endpoint(endpoint_id_of(store, name))


def rename_endpoint(store: Any, name: str, to: str) -> Any:
    store.update_gateway_endpoint(endpoint_id_of(store, name), to)


endpoints = st.sampled_from(endpoint_names)
scorer_steps = [
    call("register_scorer", experiments, scorer_names, serialized),
    call("register_scorer", st.just("0"), st.just("s"), serialized),
    call("get_scorer", experiments, scorer_names, versions),
    call("list_scorers", experiments),
    call("list_scorer_versions", experiments, scorer_names),
    call("list_scorers_across_experiments", some_experiments),
    call(
        "upsert_online_scoring_config",
        experiments,
        scorer_names,
        st.sampled_from([0, 0.25, 1, 2]),
        st.sampled_from([None, "", "status = 'OK'", "nonsense"]),
    ),
    call(
        "upsert_online_scoring_config", st.just("0"), st.just("s"), st.sampled_from([0, 0.25, 1.0])
    ),
    call("get_active_online_scorers", sort=True),
    call(configurations, experiments, scorer_names),
    call(bindings, experiments, scorer_names, sort=True),
    call(guard, experiments, scorer_names, versions.filter(bool), makes="guardrail",
         id_of="guardrail_id"),
    call("delete_gateway_guardrail", guardrails),
    call(rename_endpoint, endpoints, endpoints),
    call(delete_endpoint, endpoints),
    call("delete_experiment", st.just("1")),
    call("restore_experiment", st.just("1")),
    call("delete_scorer", experiments, scorer_names, versions),
]  # fmt: skip


def drive_scorers(worlds: Worlds, calls: list[Call]) -> None:
    both = worlds.new()
    of = world.definition(both, "d", world.secret(both, "key"))
    for name in endpoint_names:
        world.endpoint(both, name, world.config(of), usage_tracking=False)
    first = [
        *experiments_0_1_and_deleted_2(),
        Call("register_scorer", ("0", "s", scorers.judge("{{ outputs }}?", "gateway:/first"))),
        Call("register_scorer", ("1", "s", scorers.judge("{{ outputs }}?"))),
    ]
    end = [Call("list_scorers_across_experiments", (["0", "1"],))]
    for name in ("s", "é #/"):
        end.append(Call("list_scorer_versions", ("0", name)))
        end.append(Call(bindings, ("0", name), sort=True))
    worlds.drive(both, [*first, *calls, *end, Call("get_active_online_scorers", sort=True)])
    worlds.end(both)


scorer_calls = scorer_steps


@examples(2)
@given(calls=sequences(*scorer_calls, more=0))
def test_scorers(worlds: Worlds, calls: list[Call]) -> None:
    drive_scorers(worlds, calls)


@pytest.mark.heavy
@examples(100)
@given(calls=sequences(*scorer_calls, more=20))
def test_scorers_at_length(worlds: Worlds, calls: list[Call]) -> None:
    drive_scorers(worlds, calls)
