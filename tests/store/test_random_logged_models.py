"""Random calls about logged models: made, finalized, tagged, measured, searched, removed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import (
    LoggedModel,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelParameter,
    LoggedModelStatus,
    LoggedModelTag,
    Metric,
)

from tests.store.both import PLAIN, Make, Ref, RunRef
from tests.store.random_calls import Call, Worlds, call, examples, refs, sequences, worlds
from tests.store.test_contract_logged_models import plain_model

__all__ = ["worlds"]


@pytest.fixture(autouse=True)
def comparable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLAIN, LoggedModel, plain_model)


models = refs("model", 5)
runs = st.sampled_from([0, 0, 1, 7]).map(RunRef)
experiments = st.sampled_from(["0", "0", "1", "01", "2", "77"])
scopes = st.sampled_from([["0"], ["0", "1"], ["1"], ["2", "0"], []])
names = st.sampled_from(["alpha", "Alpha", "b #☃", "a/b", ""])
texts = st.sampled_from(["", "v", "w ☃"])
keys = st.sampled_from(["k", "é x"])
tags = st.builds(LoggedModelTag, keys, texts)
params = st.builds(LoggedModelParameter, st.sampled_from(["p", "q", "r"]), texts)
types = st.sampled_from([None, "", "pyfunc"])
statuses = st.sampled_from(list(LoggedModelStatus)[:3])
metrics = st.sampled_from(["acc", "loss"])
numbers = st.sampled_from([-1.0, 0.0, 0.1, 0.5, 1e300])
data = st.sampled_from([(), (), ("train", "1"), ("train", "2"), ("test", "1")])
filters = st.sampled_from(
    [
        None,
        "name = 'alpha'",
        "name ILIKE 'alpha'",
        "name NOT IN ('alpha', 'x')",
        "model_type = 'pyfunc'",
        "model_type != 'pyfunc'",
        "status = 'READY'",
        "status != '1'",
        "lifecycle_stage = 'active'",
        "tags.k = 'v'",
        "tags.k != 'v'",
        "params.p = 'v'",
        "params.p != ''",
        "metrics.acc > 0.05",
        "metrics.acc <= 0 AND metrics.loss > -5",
        "metrics.loss != 0.5",
    ]
)
datasets = st.sampled_from(
    [
        None,
        None,
        [{"dataset_name": "train"}],
        [{"dataset_name": "train", "dataset_digest": "1"}, {"dataset_name": "test"}],
    ]
)
orders = st.sampled_from(
    [
        None,
        [{"field_name": "name"}],
        [{"field_name": "creation_time", "ascending": True}],
        [{"field_name": "last_updated_timestamp", "ascending": False}],
        [{"field_name": "model_type"}, {"field_name": "name", "ascending": False}],
        [{"field_name": "metrics.acc"}],
        [{"field_name": "metrics.acc", "ascending": False, "dataset_name": "train"}],
    ]
)

steps = [
    call(
        "create_logged_model",
        experiments,
        names,
        st.one_of(st.none(), runs),
        st.lists(tags, max_size=2),
        st.lists(params, max_size=2),
        types,
        makes="model",
        id_of="model_id",
    ),
    call(
        "create_logged_model", st.just("0"), st.just("alpha"), runs, makes="model", id_of="model_id"
    ),
    call("finalize_logged_model", models, statuses),
    call("set_logged_model_tags", models, st.lists(tags, max_size=3)),
    call("delete_logged_model_tag", models, keys),
    call("log_logged_model_params", models, st.lists(params, max_size=2)),
    call(
        "set_model_versions_tags", st.sampled_from(["m", "n"]), st.sampled_from(["1", "2"]), models
    ),
    call("get_logged_model", models),
    call(
        "log_metric",
        runs,
        st.builds(
            lambda *of: Make(Metric, *of[:2], 0, of[2], of[3], *of[4]),
            metrics,
            numbers,
            st.integers(0, 2),
            models,
            data,
        ),
    ),
    call(
        "log_outputs",
        runs,
        st.builds(lambda *of: [Make(LoggedModelOutput, *of)], models, st.integers(0, 2)),
    ),
    call("log_inputs", runs, st.none(), models.map(lambda of: [Make(LoggedModelInput, of)])),
    call("delete_run", runs),
    call("restore_run", runs),
    call("delete_experiment", st.just("1")),
    call("restore_experiment", st.just("1")),
    call(
        "search_logged_models",
        scopes,
        filters,
        datasets,
        paged=True,
        kwargs={"max_results": st.integers(1, 3), "order_by": orders},
    ),
    call("delete_logged_model", models),
    call("get_logged_model", models, st.just(True)),
    call("_get_deleted_logged_models", sort=True),
    call("_hard_delete_logged_model", models),
]


def one_of_a_kind(at: int, one: Call) -> Call:
    """Where SQL refuses what is there already and ours takes a repeat (docs/store.md), none is."""
    if one.method == "log_logged_model_params":
        new = [LoggedModelParameter(each.key, f"{each.value} {at}") for each in one.args[1]]
        return replace(one, args=(one.args[0], new))
    if one.method == "log_metric":
        run, made = one.args
        key, value, _, *rest = made.args
        return replace(one, args=(run, Make(Metric, key, value, 100 + at, *rest)))
    return one


def linked_once(calls: list[Call]) -> list[Call]:
    """No second output of one model by one run: SQL refuses it, and ours takes the repeat."""
    seen, left = set(), []
    for one in calls:
        if one.method == "log_outputs":
            made = (one.args[0].number, one.args[1][0].args[0].name)
            if made in seen:
                continue
            seen.add(made)
        left.append(one)
    return left


def drive(worlds: Worlds, calls: list[Call]) -> None:
    both = worlds.new()
    makes = {"makes": "model", "id_of": "model_id"}
    start: list[Call] = [
        Call("create_experiment", ("one",)),
        Call("create_experiment", ("two",)),
        Call("delete_experiment", ("2",)),
        Call("create_run", ("0", "u", 1, [], "r")),
        Call("create_run", ("1", "u", 2, [], "s")),
        Call("create_logged_model", ("0", "alpha", RunRef(0)), **makes),  # type: ignore[arg-type]
        Call("create_logged_model", ("1", "beta"), **makes),  # type: ignore[arg-type]
    ]
    unique = [one_of_a_kind(at, one) for at, one in enumerate(linked_once(calls))]
    worlds.drive(both, [*start, *unique])
    end = [Call("get_logged_model", (Ref(name), True)) for name in both.sides[0].made]
    end += [Call("search_logged_models", (["0", "1", "2"],)), Call("get_run", (RunRef(0),))]
    worlds.drive(both, end)
    worlds.end(both)


all_steps = [*steps[:2], *steps]


@examples(2)
@given(calls=sequences(*all_steps, more=0))
def test_logged_models(worlds: Worlds, calls: list[Call]) -> None:
    drive(worlds, calls)


@pytest.mark.heavy
@examples(100)
@given(calls=sequences(*all_steps, more=20))
def test_logged_models_at_length(worlds: Worlds, calls: list[Call]) -> None:
    drive(worlds, calls)
