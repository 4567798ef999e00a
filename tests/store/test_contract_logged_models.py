"""Logged models on MLflow's SQL store and on ours: the same calls, the same answers."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.entities import (
    LoggedModel,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelParameter,
    LoggedModelStatus,
    LoggedModelTag,
    Metric,
    Param,
    RunTag,
    ViewType,
)

from tests.store.both import PLAIN, Both, Ref, RunRef, Side

RUN, OTHER, GHOST = RunRef(0), RunRef(1), RunRef(99)
A, B, C, NONE = Ref("a"), Ref("b"), Ref("c"), Ref("nothing", "m-none")


def plain_model(side: Side, model: LoggedModel) -> dict[str, Any]:
    fields = model.to_dictionary()
    fields.pop("creation_timestamp"), fields.pop("last_updated_timestamp")
    fields["model_id"] = side.by_name(model.model_id)
    fields["artifact_location"] = side.by_name(model.artifact_location)
    if model.source_run_id in side.runs:
        fields["source_run_id"] = side.runs.index(model.source_run_id)
    metrics = []
    for metric in model.metrics or ():
        of_run = side.runs.index(metric.run_id)
        known = side.by_name(metric.model_id)
        metrics.append((*_values(metric), of_run, known))
    fields["metrics"] = sorted(metrics, key=str) if model.metrics is not None else None
    return fields


def _values(metric: Metric) -> tuple[Any, ...]:
    return (
        metric.key,
        metric.value,
        metric.timestamp,
        metric.step,
        metric.dataset_name,
        metric.dataset_digest,
    )


@pytest.fixture
def both(sql: Any, ours: Any, ticking: None, monkeypatch: pytest.MonkeyPatch) -> Both:
    monkeypatch.setitem(PLAIN, LoggedModel, plain_model)
    return Both(sql, ours)


class ModelMetric:
    """A metric of a model, whose id is only known on each side."""

    def __init__(self, model: Ref, key: str, value: float, at: int, step: int, *of: str) -> None:
        self.model, self.arguments, self.dataset = model, (key, value, at, step), of

    def on(self, side: Side) -> Metric:
        model_id = side.made.get(self.model.name, self.model.otherwise)
        return Metric(*self.arguments, model_id, *self.dataset)


def log(both: Both, run: RunRef, *metrics: ModelMetric, batch: bool = False) -> Any:
    """The metrics one by one, or in one batch; what both say to the last call."""
    answers = []
    for side in both.sides:
        made = [metric.on(side) for metric in metrics]
        if batch:
            answers.append(side.call("log_batch", (run, made, [], []), {}))
        for metric in () if batch else made:
            answer = side.call("log_metric", (run, metric), {})
        if not batch:
            answers.append(answer)
    assert answers[0] == answers[1]
    return answers[0]


def link(both: Both, method: str, kind: type, model: Ref, *rest: Any) -> Any:
    answers = []
    for side in both.sides:
        one = kind(side.made[model.name], *rest)
        args = (RUN, None, [one]) if method == "log_inputs" else (RUN, [one])
        answers.append(side.call(method, args, {}))
    assert answers[0] == answers[1]
    return answers[0]


def tags(**values: str) -> list[LoggedModelTag]:
    return [LoggedModelTag(key, value) for key, value in values.items()]


def params(**values: str) -> list[LoggedModelParameter]:
    return [LoggedModelParameter(key, value) for key, value in values.items()]


def make(both: Both, name: str, *args: Any, **kwargs: Any) -> Ref:
    return both.remember(name, "create_logged_model", *args, id_of="model_id", **kwargs)


def test_a_model_from_creation_to_removal(both: Both) -> None:
    both.create_experiment("e")
    both.create_run("1", "u", 1, [], "r")
    make(both, "a", "1", "name #☃ x", RUN, tags(k="v"), params(p="1", q=""), "pyfunc")
    make(both, "b", "01", "second", None, None, None, None)
    make(both, "c", "0", "third", "", None, None, "")
    for model in (A, B, C, NONE):
        both.get_logged_model(model)
    both.log_logged_model_params(A, params(r="new"))
    both.log_logged_model_params(A, [])
    both.log_logged_model_params(NONE, params(r="new"))
    both.log_logged_model_params(A, params(p="other"))
    for model in (A, NONE):
        both.log_logged_model_params(model, [*params(z="1"), *params(z="1")])
    both.finalize_logged_model(A, LoggedModelStatus.READY)
    both.finalize_logged_model(B, LoggedModelStatus.FAILED)
    both.finalize_logged_model(NONE, LoggedModelStatus.READY)
    long = [LoggedModelTag("k", "x"), LoggedModelTag("", ""), LoggedModelTag("#/ ☃", "🚀" * 20000)]
    both.set_logged_model_tags(A, long)
    both.set_logged_model_tags(A, [LoggedModelTag("two", "1"), LoggedModelTag("two", "2")])
    for model in (A, NONE):
        both.set_logged_model_tags(model, [LoggedModelTag("two", None)])
    both.set_logged_model_tags(A, [])
    both.set_logged_model_tags(B, [LoggedModelTag(f"t{i}", str(i)) for i in range(90)])
    both.set_logged_model_tags(NONE, tags(a="b"))
    both.delete_logged_model_tag(A, "k")
    both.delete_logged_model_tag(A, "k")
    both.delete_logged_model_tag(A, "")
    both.delete_logged_model_tag(NONE, "k")
    both.get_logged_model(A)
    both.set_model_versions_tags("registered", "1", B)
    both.set_model_versions_tags("registered", "2", B)
    both.set_model_versions_tags("other", "1", NONE)
    both.get_logged_model(B)
    both._get_deleted_logged_models()
    both.delete_logged_model(A)
    both.delete_logged_model(A)
    both.delete_logged_model(NONE)
    both.get_logged_model(A)
    both.get_logged_model(A, allow_deleted=True)
    both.set_model_versions_tags("registered", "1", A)
    both.set_logged_model_tags(A, tags(still="works"))
    both.finalize_logged_model(A, LoggedModelStatus.FAILED)
    both.get_logged_model(A, True)
    assert both._get_deleted_logged_models() == ["<a>"]
    assert both._get_deleted_logged_models(older_than=10**9) == []
    both.search_logged_models(["1"])
    both._hard_delete_logged_model(A)
    both._hard_delete_logged_model(A)
    both.get_logged_model(A, True)
    both._get_deleted_logged_models()
    both.search_logged_models(["0", "1"])


REFUSED: list[tuple[Any, ...]] = [
    ("create_logged_model", "1", ""),
    ("create_logged_model", "1", "a/b"),
    ("create_logged_model", "1", "a'b"),
    ("create_logged_model", "77", "a"),
    ("create_logged_model", "2", "a"),
    ("create_logged_model", "x", "a"),
    ("create_logged_model", "1", "a", None, tags(a="1") * 2),
    ("create_logged_model", "1", "a", None, None, params(a="1") * 2),
    ("create_logged_model", "1", "a", None, [LoggedModelTag("a", None)]),
    ("search_logged_models", ["x"]),
    ("search_logged_models", ["1"], "nonsense"),
    ("search_logged_models", ["1"], "name > 'a'"),
    ("search_logged_models", ["1"], "name = 'a' OR name = 'b'"),
    ("search_logged_models", ["1"], "metrics.m LIKE '1'"),
    ("search_logged_models", ["1"], "params.m > '1'"),
    ("search_logged_models", ["1"], "odd.m = '1'"),
    ("search_logged_models", ["1"], None, [{"dataset_digest": "1"}]),
    ("search_logged_models", ["1"], None, None, 5, [{"field_name": "odd"}]),
    ("search_logged_models", ["1"], None, None, 5, [{"field_name": "params.p"}]),
]


def test_refusals_have_the_same_error_code(both: Both) -> None:
    both.create_experiment("e")
    both.create_experiment("deleted")
    both.delete_experiment("2")
    for method, *args in REFUSED:
        answer = getattr(both, method)(*args)
        assert isinstance(answer, tuple), (method, args)
        assert answer[0] == "error"
    assert both.search_logged_models(["0", "1", "2"]) == []


def test_metrics_of_models(both: Both) -> None:
    both.create_experiment("e")
    both.create_run("1", "u", 1, [], "r")
    both.create_run("1", "u", 2, [], "s")
    make(both, "a", "1", "one")
    make(both, "b", "0", "of another experiment")
    both.finalize_logged_model(A, LoggedModelStatus.READY)
    log(both, RUN, ModelMetric(A, "acc/☃", 0.1, 5, 0), ModelMetric(A, "acc/☃", 0.1, 5, 0))
    log(both, RUN, ModelMetric(A, "acc/☃", 0.2, 5, 1, "data", "d1"))
    log(both, OTHER, ModelMetric(A, "acc/☃", 0.3, 5, 1, "data", "d2"))
    log(both, RUN, ModelMetric(B, "loss", -1e-320, 2**62, -(2**62), "", ""))
    batch = [ModelMetric(A, f"m{i % 3}", i / 7, i, i) for i in range(300)]
    log(both, RUN, *batch, ModelMetric(B, "m0", 1.0, 1, 1), *batch[:5], batch=True)
    both.log_batch(RUN, [Metric("of the run", 1, 1, 1)], [Param("p", "1")], [RunTag("t", "1")])
    for model in (A, B):
        both.get_logged_model(model)
    both.finalize_logged_model(A, LoggedModelStatus.READY)
    both.get_run(RUN)
    both.get_metric_history(RUN, "m0")
    both.get_metric_history(RUN, "acc/☃")
    assert log(both, RUN, ModelMetric(NONE, "m", 1.0, 1, 1)) == ("error", "BAD_REQUEST")


def test_runs_and_models_are_linked_and_removed(both: Both) -> None:
    both.create_experiment("e")
    both.create_run("1", "u", 1, [], "r")
    both.create_run("1", "u", 2, [], "s")
    make(both, "a", "1", "one", RUN)
    make(both, "b", "1", "two", RUN)
    link(both, "log_outputs", LoggedModelOutput, A, 3)
    link(both, "log_outputs", LoggedModelOutput, B, 0)
    assert link(both, "log_outputs", LoggedModelOutput, A, 4) == ("error", "BAD_REQUEST")
    link(both, "log_inputs", LoggedModelInput, B)
    link(both, "log_inputs", LoggedModelInput, B)
    for run in (RUN, OTHER):
        log(both, run, ModelMetric(A, "m", 1.0, 1, 1), ModelMetric(A, "n", 2.0, 1, 1))
    for side in both.sides:
        run = side.store.get_run(side.runs[0])
        outputs = [(one.model_id, one.step) for one in run.outputs.model_outputs]
        assert sorted(outputs) == sorted([(side.made["a"], 3), (side.made["b"], 0)])
        assert [one.model_id for one in run.inputs.model_inputs] == [side.made["b"]]
    both.delete_run(RUN)
    assert log(both, RUN, ModelMetric(A, "m", 3.0, 3, 3)) == ("error", "INVALID_PARAMETER_VALUE")
    both.get_logged_model(A)
    both._hard_delete_run(RUN)
    assert [one[4:] for one in both.get_logged_model(A)["metrics"]] == [(None, None, 1, "<a>")] * 2
    both.delete_experiment("1")
    both.get_logged_model(A)
    both.search_logged_models(["1"])
    both._hard_delete_experiment("1")
    both.get_logged_model(A)
    both.get_logged_model(B)
    both.search_logged_models(["1"])


@pytest.fixture
def shelf(both: Both) -> Both:
    """Seven models in two experiments, with everything that a search may ask for."""
    both.create_experiment("e")
    both.create_run("0", "u", 1, [], "r")
    both.create_run("0", "u", 2, [], "s")
    make(both, "a", "0", "alpha", RUN, tags(k="v", only="a"), params(lr="0.1"), "sklearn")
    make(both, "b", "0", "beta", OTHER, tags(k="w"), params(lr="0.01", **{"a b": "1"}), "torch")
    make(both, "c", "0", "gamma", None, None, None, None)
    make(both, "d", "1", "Alpha", RUN, tags(k=""), params(lr="0.1"), "sklearn")
    make(both, "e", "0", "alpha_1", None, tags(k="v"), None, "")
    make(both, "f", "0", "100 # of")
    make(both, "g", "0", "deleted", None, tags(k="v"))
    both.finalize_logged_model(A, LoggedModelStatus.READY)
    both.finalize_logged_model(B, LoggedModelStatus.FAILED)
    both.finalize_logged_model(Ref("e"), LoggedModelStatus.READY)
    both.delete_logged_model(Ref("g"))
    for model, run, values in (
        (A, RUN, [("acc", 0.5, 1, 0), ("acc", 0.9, 2, 0, "train", "1"), ("loss", 3.0, 1, 1)]),
        (B, RUN, [("acc", 0.7, 2, 0, "train", "2"), ("acc", 0.6, 2, 1, "test", "1")]),
        (B, OTHER, [("acc", 0.1, 3, 1, "test", "1"), ("loss", 1.0, 0, 0)]),
        (Ref("d"), OTHER, [("acc", 0.6, 5, 5, "train", "1")]),
        (Ref("e"), OTHER, [("acc", -1.0, 5, 5), ("loss", 1.0, 1, 1, "test", "1")]),
    ):
        log(both, run, *(ModelMetric(model, *one) for one in values), batch=True)
    return both


FILTERS = [
    None,
    "name = 'alpha'",
    "name != 'alpha'",
    "name LIKE 'alpha%'",
    "name like 'alpha_1'",
    "name ILIKE 'ALPHA%'",
    "name LIKE '100 #%'",
    "name IN ('alpha', 'gamma')",
    "name NOT IN ('alpha', 'gamma')",
    "name IN ('alpha')",
    "attributes.name = 'alpha' AND model_type = 'sklearn'",
    "model_type = ''",
    "model_type != 'sklearn'",
    "model_type NOT IN ('sklearn')",
    "status = '2'",
    "status != '1'",
    "status = 'READY'",
    "status IN ('2', '3')",
    "experiment_id = '1'",
    "lifecycle_stage = 'active'",
    "lifecycle_stage = 'deleted'",
    "artifact_location LIKE '%models%'",
    "status_message = 'x'",
    "creation_timestamp > 0",
    "creation_time < 5",
    "creation_timestamp_ms != 1.5",
    "last_updated_timestamp >= 1",
    "params.lr = '0.1'",
    "params.lr != '0.1'",
    "params.`a b` = '1'",
    "params.lr LIKE '0.0%'",
    "params.lr IN ('0.1', '0.2')",
    "tags.k = 'v'",
    "tags.k = ''",
    "tags.k != 'v'",
    "tags.k ILIKE 'W'",
    "tags.k = 'v' AND tags.only = 'a'",
    "metrics.acc > 0.55",
    "metrics.acc = 0.6",
    "metrics.acc != 0.6",
    "metrics.acc <= -1 AND metrics.loss >= 1",
    "metrics.acc > 0.8 AND metrics.acc < 0.6",
    "metrics.loss > 0 AND params.lr = '0.1'",
    "metrics.none > 0",
]
DATASETS: list[list[dict[str, Any]] | None] = [
    None,
    [],
    [{"dataset_name": "train"}],
    [{"dataset_name": "train", "dataset_digest": "1"}],
    [{"dataset_name": "train", "dataset_digest": "2"}, {"dataset_name": "test"}],
    [{"dataset_name": "train", "dataset_digest": None}],
    [{"dataset_name": "none"}],
]


def test_search_filters_and_datasets(shelf: Both) -> None:
    sizes = set()
    for text in FILTERS:
        sizes.add(len(shelf.search_logged_models(["0", "1"], text)))
    assert sizes >= {0, 1, 2, 3, 6}
    for datasets in DATASETS:
        for text in (
            None,
            "metrics.acc > 0.65",
            "name LIKE 'a%'",
            "metrics.acc > 0 AND name != 'b'",
        ):
            shelf.search_logged_models(["0", "1"], text, datasets)
    for ids in (["1"], ["0", "0"], ["01"], [], ["55"]):
        shelf.search_logged_models(ids)
    both_runs = [shelf.search_runs(["0"], "", ViewType.ALL)]
    assert both_runs


def test_search_orders_and_pages(shelf: Both) -> None:
    for order in (
        [{"field_name": "name"}],
        [{"field_name": "name", "ascending": False}],
        [{"field_name": "creation_time", "ascending": True}],
        [{"field_name": "creation_timestamp", "ascending": False}],
        [{"field_name": "last_updated_timestamp"}],
        [{"field_name": "model_type"}, {"field_name": "name", "ascending": False}],
        [{"field_name": "model_type", "ascending": False}],
        [{"field_name": "experiment_id", "ascending": False}, {"field_name": "status"}],
        [{"field_name": "metrics.acc"}],
        [{"field_name": "metrics.acc", "ascending": False}],
        [{"field_name": "metrics.acc", "dataset_name": "train"}],
        [{"field_name": "metrics.acc", "dataset_name": "train", "dataset_digest": "1"}],
        [{"field_name": "metrics.acc", "dataset_name": None, "dataset_digest": None}],
        [{"field_name": "metrics.loss"}, {"field_name": "metrics.acc", "ascending": False}],
        [{"field_name": "metrics.none"}],
        None,
    ):
        shelf.search_logged_models(["0", "1"], None, None, 50, order)
        pages = shelf.pages("search_logged_models", ["0", "1"], max_results=2, order_by=order)
        assert [len(page) for page in pages] == [2, 2, 2]
    filtered = {"filter_string": "metrics.acc > -2", "max_results": 1}
    assert len(shelf.pages("search_logged_models", ["0", "1"], **filtered)) == 4
    assert len(shelf.pages("search_logged_models", ["0"], max_results=3)) == 2
    assert shelf.search_logged_models(["0", "1"], None, None, 2)
    for side in shelf.sides:
        token = side.store.search_logged_models(["0"], max_results=1).token
        for search in (
            (["1"],),
            (["0"], "name = 'x'"),
            (["0"], None, None, 1, [{"field_name": "name"}]),
        ):
            answer = side.call("search_logged_models", search, {"page_token": token})
            assert answer == ("error", "INVALID_PARAMETER_VALUE")
