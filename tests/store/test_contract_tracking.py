"""The same calls on MLflow's SQL store and on ours give the same answers, field by field."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.entities import (
    Dataset,
    DatasetInput,
    ExperimentTag,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    RunStatus,
    RunTag,
    ViewType,
)

from tests.store.both import Both, RunRef

NAN = float("nan")
RUN, OTHER, GHOST = RunRef(0), RunRef(1), RunRef(99)


@pytest.fixture
def both(sql: Any, ours: Any, ticking: None) -> Both:
    return Both(sql, ours)


def test_experiments_live_are_renamed_tagged_deleted_and_restored(both: Both) -> None:
    assert both.create_experiment("one", None, [ExperimentTag("k", "v"), ExperimentTag("e", "")])
    both.create_experiment("with/slash # and ☃", "s3://elsewhere/x")
    for experiment_id in ("0", "1", "2", None, "01"):
        both.get_experiment(experiment_id)
    for name in ("one", "with/slash # and ☃", "Default", "none", "ONE"):
        both.get_experiment_by_name(name)
    both.rename_experiment("1", "uno")
    both.get_experiment_by_name("one")
    both.create_experiment("one")
    both.rename_experiment("1", "uno")
    both.set_experiment_tag("1", ExperimentTag("k", "changed"))
    both.set_experiment_tag("1", ExperimentTag("k#/ ☃", "v" * 20000))
    both.delete_experiment_tag("1", "e")
    both.get_experiment("1")
    both.delete_experiment("1")
    both.get_experiment_by_name("uno")
    both.restore_experiment("1")
    both.get_experiment("1")


REFUSED: tuple[tuple[Any, ...], ...] = (
    ("create_experiment", "taken"),
    ("create_experiment", ""),
    ("create_experiment", "x" * 501),
    ("create_experiment", None),
    ("rename_experiment", "1", "Default"),
    ("rename_experiment", "2", "new"),
    ("rename_experiment", "77", "new"),
    ("rename_experiment", "1", ""),
    ("get_experiment", "77"),
    ("get_experiment", "no number"),
    ("delete_experiment", "2"),
    ("delete_experiment", "77"),
    ("restore_experiment", "1"),
    ("set_experiment_tag", "2", ExperimentTag("a", "b")),
    ("set_experiment_tag", "1", ExperimentTag("a", "b" * 20001)),
    ("set_experiment_tag", "77", ExperimentTag("a", "b")),
    ("delete_experiment_tag", "1", "none"),
    ("delete_experiment_tag", "2", "k"),
    ("create_run", "2", "u", 1, [], None),
    ("create_run", "77", "u", 1, [], None),
    ("create_run", "1", "u", 1, [RunTag("mlflow.runName", "a")], "b"),
    ("get_run", GHOST),
    ("update_run_info", GHOST, 3, 4, "x"),
    ("update_run_info", OTHER, 3, 4, "x"),
    ("log_metric", GHOST, Metric("m", 1, 1, 1)),
    ("log_metric", OTHER, Metric("m", 1, 1, 1)),
    ("log_metric", RUN, Metric("m", "x", 1, 1)),
    ("log_metric", RUN, Metric("", 1, 1, 1)),
    ("log_metric", RUN, Metric("m" * 251, 1, 1, 1)),
    ("log_metric", RUN, Metric("../m", 1, 1, 1)),
    ("log_param", RUN, Param("p", "other")),
    ("log_param", OTHER, Param("p", "1")),
    ("log_param", GHOST, Param("p", "1")),
    ("set_tag", OTHER, RunTag("t", "1")),
    ("set_tag", GHOST, RunTag("t", "1")),
    ("set_tag", RUN, RunTag("", "1")),
    ("delete_tag", RUN, "none"),
    ("delete_tag", OTHER, "t"),
    ("log_batch", RUN, [], [Param("p", "2"), Param("z", "1")], []),
    ("log_batch", RUN, [], [Param("z", "1"), Param("z", "2")], []),
    ("log_batch", RUN, [Metric("m", 1, 1, 1)] * 1001, [], []),
    ("log_batch", RUN, [], [Param(str(i), "1") for i in range(101)], []),
    ("log_batch", GHOST, [], [], []),
    ("log_inputs", OTHER, [], None),
    ("log_outputs", OTHER, []),
    ("search_runs", ["1"], "metrics.", ViewType.ALL),
    ("search_runs", ["1"], "params.a > 3", ViewType.ALL),
    ("search_runs", ["1"], "metrics.a LIKE 'x'", ViewType.ALL),
    ("search_runs", ["1"], "", ViewType.ALL, 0),
    ("search_runs", ["1"], "", ViewType.ALL, 50001),
    ("search_runs", ["1"], "", ViewType.ALL, 10, ["nothing.x"]),
    ("search_runs", ["1"], "", ViewType.ALL, 10, ["metrics.a", "metrics.a DESC"]),
    ("search_runs", ["1"], "", ViewType.ALL, 10, [], "no token"),
    ("search_runs", ["x"], "", ViewType.ALL),
    ("search_experiments", ViewType.ALL, 0),
    ("search_experiments", ViewType.ALL, 10, "name > 'x'"),
    ("search_experiments", ViewType.ALL, 10, "creation_time LIKE '1'"),
    ("search_experiments", ViewType.ALL, 10, "creation_time > 1.5"),
    ("search_experiments", ViewType.ALL, 10, "experiment_id > '1'"),
    ("search_experiments", ViewType.ALL, 10, "", ["tags.x"]),
    ("get_metric_history_bulk_interval", [RUN], "m", 5, 1, None),
)


def test_refusals_have_the_same_error_code_and_change_nothing(both: Both) -> None:
    both.create_experiment("taken", None, [ExperimentTag("k", "v")])
    both.create_experiment("deleted", None, [ExperimentTag("k", "v")])
    both.delete_experiment("2")
    both.create_run("1", "u", 1, [RunTag("t", "v")], "first")
    both.log_param(RUN, Param("p", "1"))
    both.create_run("1", "u", 2, [RunTag("t", "v")], "second")
    both.delete_run(OTHER)

    def state() -> Any:
        runs = both.search_runs(["0", "1", "2"], "", ViewType.ALL)
        return both.get_run(RUN), runs, both.search_experiments(ViewType.ALL)

    before = state()
    for method, *arguments in REFUSED:
        answer = getattr(both, method)(*arguments)
        assert isinstance(answer, tuple), (method, arguments)
        assert answer[0] == "error", (method, arguments)
    assert state() == before


def test_a_run_from_creation_to_end(both: Both) -> None:
    both.create_experiment("e")
    tags = [RunTag("mlflow.user", "me"), RunTag("empty", ""), RunTag("☃ #/", "🚀" * 2000)]
    both.create_run("1", "u", 2**62, tags, "a name")
    both.log_metric(RUN, Metric("acc/val #1", 0.1, 5, 0))
    both.log_metric(RUN, Metric("acc/val #1", 0.2, 4, 1))
    both.log_metric(RUN, Metric("acc/val #1", 9.0, 9, 0))
    both.log_metric(RUN, Metric("acc/val #1", 9.0, 9, 0))
    both.log_metric(RUN, Metric("n", NAN, 1, 1))
    both.log_metric(RUN, Metric("n", -1.0, 1, 1))
    both.log_metric(RUN, Metric("step", 1e-320, -(2**62), 2**62))
    both.log_param(RUN, Param("p", ""))
    both.log_param(RUN, Param("p", ""))
    both.set_tag(RUN, RunTag("x", "1"))
    both.set_tag(RUN, RunTag("x", "2"))
    both.set_tag(RUN, RunTag("mlflow.runName", "renamed"))
    both.delete_tag(RUN, "empty")
    both.get_run(RUN)
    both.update_run_info(RUN, RunStatus.FINISHED, 2**62 + 1, "named again")
    both.get_run(RUN)
    both.log_batch(
        RUN,
        [Metric("acc/val #1", 0.3, 6, 7), Metric("acc/val #1", 0.4, 6, 7), Metric("b", 1, 1, 1)],
        [Param("p", ""), Param("q", "é")],
        [RunTag("x", "3"), RunTag("x", "4"), RunTag("mlflow.runName", "third")],
    )
    both.set_tag(RUN, RunTag("after", "end"))
    both.get_run(RUN)
    both.search_runs(["1"], "", ViewType.ALL)
    for name in ("acc/val #1", "n", "step", "none"):
        both.get_metric_history(RUN, name)
        both.get_max_step_for_metric(RUN, name)
    both.delete_run(RUN)
    both.get_run(RUN)
    both.search_runs(["1"], "", ViewType.ACTIVE_ONLY)
    both.search_runs(["1"], "", ViewType.DELETED_ONLY)
    both.restore_run(RUN)
    both.get_run(RUN)


def test_inputs_and_outputs(both: Both) -> None:
    both.create_experiment("e")
    both.create_run("1", "u", 1, [], "a")
    both.create_run("1", "u", 2, [], "b")
    small = Dataset("d", "1", "local", "source", "schema", "profile")
    changed = Dataset("d", "1", "local", "other source", None, None)
    large = Dataset("large ☃", "2", "s3", "s" * 60000, "c" * 9000, None)
    context = [InputTag("mlflow.data.context", "train"), InputTag("other", "")]
    both.log_inputs(RUN, [DatasetInput(small, context)], [LoggedModelInput("m-1")])
    both.log_inputs(OTHER, [DatasetInput(changed, [])])
    both.log_inputs(OTHER, [DatasetInput(small, context)])
    both.get_run(RUN)
    both.get_run(OTHER)
    both.log_inputs(RUN, [DatasetInput(large, [])])
    both.log_outputs(RUN, [LoggedModelOutput("m-2", 3)])
    both.search_runs(["1"], "dataset.name = 'd'", ViewType.ALL)
    both.search_runs(["1"], "dataset.context = 'train'", ViewType.ALL)
    both.search_runs(["1"], "dataset.digest LIKE '%2'", ViewType.ALL)
    both.search_runs(["1"], "dataset.name = 'none'", ViewType.ALL)


def test_a_deleted_experiment_takes_its_runs_along(both: Both) -> None:
    both.create_experiment("e")
    for number in range(3):
        both.create_run("1", "u", number, [], f"r{number}")
    both.delete_run(OTHER)
    both.delete_experiment("1")
    both.search_runs(["1"], "", ViewType.ALL)
    both.restore_experiment("1")
    both.search_runs(["1"], "", ViewType.ALL)


def test_gc_removes_for_good(both: Both) -> None:
    both.create_experiment("e")
    both.create_run("1", "u", 1, [], "a")
    both.create_run("1", "u", 2, [], "b")
    both.log_metric(RUN, Metric("m", 1, 1, 1))
    both.delete_run(RUN)
    for side in both.sides:
        assert side.store._get_deleted_runs() == side.runs[:1]
        assert side.store._get_deleted_runs(older_than=100_000) == []
    both._hard_delete_run(RUN)
    both._hard_delete_run(RUN)
    both.get_run(RUN)
    both.get_metric_history(RUN, "m")
    both._hard_delete_experiment("1")
    both.delete_experiment("1")
    both._hard_delete_experiment("1")
    both.get_experiment("1")
    both.get_run(OTHER)
    both.get_experiment_by_name("e")


FILTERS = [
    "",
    "metrics.m > 1",
    "metrics.m != 2",
    "metrics.m <= 2 and params.p = 'a'",
    "metrics.`odd name` = 1",
    "params.p LIKE 'A%'",
    "params.p ILIKE 'A%'",
    "params.p != 'a'",
    "params.p IN ('a', 'Ab')",
    "tags.t = ''",
    "tags.t IS NULL",
    "tags.t IS NOT NULL",
    "tags.`mlflow.runName` LIKE 'r_'",
    "attributes.run_name = 'r1'",
    "run_name != 'r1'",
    "attributes.status = 'FINISHED'",
    "attributes.start_time >= 1000",
    "attributes.end_time < 99",
    "attributes.user_id = 'u'",
    "params.p = 'none'",
]
ORDERS: list[list[str]] = [
    [],
    ["metrics.m DESC"],
    ["metrics.m ASC"],
    ["params.p", "start_time"],
    ["params.p DESC"],
    ["tags.t"],
    ["start_time ASC"],
    ["end_time DESC"],
    ["attributes.run_name DESC"],
    ["status", "metrics.m"],
]


@pytest.fixture
def many(both: Both) -> Both:
    both.create_experiment("e1")
    both.create_experiment("e2")
    for number in range(9):
        both.create_run(str(number % 2 + 1), "u", 1000 + number * 10, [], f"r{number}")
    values = [3.0, 1.0, NAN, 2.0, float(2**53), -1.0, 2.0, NAN]
    for number, value in enumerate(values):
        both.log_metric(RunRef(number), Metric("m", value, 1, 1))
    for number, text in enumerate(["a", "Ab", "ab", "", "a", "zz"]):
        both.log_param(RunRef(number), Param("p", text))
    for number in (1, 3, 5):
        both.update_run_info(RunRef(number), RunStatus.FINISHED, 50 + number * 20, None)
        both.set_tag(RunRef(number), RunTag("t", "" if number == 3 else "x\ny"))
    both.log_metric(RunRef(8), Metric("odd name", 1, 1, 1))
    both.delete_run(RunRef(7))
    return both


def test_searches_for_runs(many: Both) -> None:
    for filter_string in FILTERS:
        for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL):
            many.search_runs(["1", "2"], filter_string, view)
    for experiment_ids in ([], ["1"], ["2", "2"], ["0"], ["77"]):
        many.search_runs(experiment_ids, "", ViewType.ALL)


def test_orders_of_runs(many: Both) -> None:
    for order in ORDERS:
        many.search_runs(["1", "2"], "", ViewType.ALL, 100, order)


def test_pages_of_runs(many: Both) -> None:
    for order in ORDERS[:3]:
        for filter_string in ("", "metrics.m > 0"):
            pages = many.pages("search_runs", ["1", "2"], filter_string, ViewType.ALL, 2, order)
            assert len(pages) > 2


def test_searches_for_experiments(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(["alpha", "Beta", "beta/x", "gamma_1", "γ 🚀"]):
        both.create_experiment(name, None, [ExperimentTag("n", str(number))])
    both.set_experiment_tag("2", ExperimentTag("note", ""))
    both.delete_experiment("4")
    for filter_string in [
        "",
        "name = 'alpha'",
        "name LIKE 'b%'",
        "name ILIKE 'b%'",
        "name LIKE '%\\_1'",
        "name != 'alpha'",
        "tags.n = '2'",
        "tags.note IS NOT NULL",
        "tags.note IS NULL",
        "tags.n != '2'",
        "experiment_id IN ('1', '3')",
        "creation_time > 5 AND tags.n LIKE '%'",
        "last_update_time < 5",
    ]:
        for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL):
            both.search_experiments(view, 100, filter_string, ["experiment_id"])
    for order in (["name"], ["name DESC"], ["experiment_id DESC"], ["last_update_time", "name"]):
        pages = both.pages("search_experiments", ViewType.ALL, 2, None, order)
        assert [len(page) for page in pages] == [2, 2, 2]


def test_metric_history_in_pages_and_samples(both: Both) -> None:
    both.create_experiment("e")
    both.create_run("1", "u", 1, [], "a")
    both.create_run("1", "u", 2, [], "b")
    both.log_batch(RUN, [Metric("m", i * 0.1, 1000 - i, i) for i in range(57)], [], [])
    both.log_batch(RUN, [Metric("m", i * 0.1, 1000 - i, i) for i in range(20, 70)], [], [])
    both.log_batch(RUN, [Metric("m", NAN, 3, 3), Metric("m", NAN, 3, 3)], [], [])
    for number in range(7):
        both.log_metric(OTHER, Metric("m", number, 5, 0))
    both.get_metric_history(RUN, "m")
    assert len(both.pages("get_metric_history", RUN, "m", max_results=10)) == 8
    both.get_metric_history_bulk([RUN], "m", 30)
    for size in (1, 2, 3, 7, 10, 70, 71, 72, 1000):
        both.get_metric_history_bulk_interval([RUN, OTHER], "m", size, None, None)
        both.get_metric_history_bulk_interval([OTHER, RUN], "m", size, 5, 31)
    both.get_metric_history_bulk_interval([RUN], "m", 0, 5, 31)
    both.get_metric_history_bulk_interval([GHOST], "m", 5, None, None)
    both.get_metric_history_bulk_interval_from_steps(RUN, "m", [3, 5, 60, 99], 100)
    both.get_metric_history_bulk_interval_from_steps(RUN, "m", [3, 5, 60], 2)
