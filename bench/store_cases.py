"""What is measured: calls of MLflow's store interface, the same on every side.

A case is prepared anew before each of its repeats, where it writes; preparing is not measured.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Metric, Param, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE, ErrorCode
from store_data import Run

from dynamodb_store import keys

ACTIVE = ViewType.ACTIVE_ONLY
Work = Callable[[], Any]


@dataclass(frozen=True)
class Places:
    """Where the data lie."""

    ended: str
    """Experiment whose runs have ended."""
    open: str
    """Experiment whose runs never ended."""
    doomed: str
    """Experiment that is deleted and restored."""
    runs: int
    doomed_runs: int
    long_run: str
    """Run with a metric of very many points."""
    points: int
    experiments: int
    large: str | None = None
    """Experiment of very many runs."""
    models: int = 0
    versions: int = 0


@dataclass(frozen=True)
class Case:
    name: str
    prepare: Callable[[Any, Places], Work]
    repeats: int | None = None
    """None: as the command line says."""


_names = itertools.count()


def _run(store: Any, at: Places) -> str:
    run = store.create_run(at.ended, "u", 1, [RunTag("a", "1")], f"bench-{next(_names)}")
    return str(run.info.run_id)


def _create_experiment(side: Any, at: Places) -> Work:
    return lambda: side.tracking.create_experiment(f"{side.name} {next(_names)}")


def _create_run(side: Any, at: Places) -> Work:
    tags = [RunTag("a", "1"), RunTag("b", "2")]
    return lambda: side.tracking.create_run(at.ended, "u", 1, tags, "bench")


def _on_new_run(method: str, *arguments: Any) -> Callable[[Any, Places], Work]:
    def prepare(side: Any, at: Places) -> Work:
        run_id = _run(side.tracking, at)
        side.tracking.log_metric(run_id, Metric("m", 1.0, 1, 1))
        return lambda: getattr(side.tracking, method)(run_id, *arguments)

    return prepare


def _get_run(side: Any, at: Places) -> Work:
    run_id = _run(side.tracking, at)
    side.tracking.log_batch(run_id, *_batch(20))
    return lambda: side.tracking.get_run(run_id)


def _batch(params: int) -> tuple[list[Metric], list[Param], list[RunTag]]:
    return (
        [Metric(f"metric {i}", i / 3, 1, 1) for i in range(100)],
        [Param(f"param {i}", "value") for i in range(params)],
        [RunTag(f"tag {i}", "value") for i in range(5)],
    )


def _search(
    where: str, filter_string: str = "", most: int = 100, order: list[str] | None = None
) -> Callable[[Any, Places], Work]:
    def prepare(side: Any, at: Places) -> Work:
        ids = [getattr(at, where)]
        return lambda: side.tracking.search_runs(ids, filter_string, ACTIVE, most, order)

    return prepare


def _deep_page(order: list[str] | None) -> Callable[[Any, Places], Work]:
    def prepare(side: Any, at: Places) -> Work:
        half = max(1, min(at.runs // 2, 50_000))
        found = side.tracking.search_runs([at.ended], "", ACTIVE, half, order)
        return lambda: side.tracking.search_runs([at.ended], "", ACTIVE, 100, order, found.token)

    return prepare


def _settle(side: Any, at: Places) -> Work:
    """Searches until quiet runs are copied; then the same search once more."""
    search = _search("open", "", 10, ["metrics.accuracy DESC"])(side, at)
    for _ in range(at.runs // 500 + 2 if side.meter else 0):
        side.meter.take()
        search()
        if side.meter.take().calls <= keys.SHARDS:
            break
    return search


def _history(pages: int) -> Callable[[Any, Places], Work]:
    def prepare(side: Any, at: Places) -> Work:
        token = None
        for _ in range(pages):
            token = side.tracking.get_metric_history(at.long_run, "loss", 25_000, token).token
        return lambda: side.tracking.get_metric_history(at.long_run, "loss", 25_000, token)

    return prepare


def _chart(side: Any, at: Places) -> Work:
    ask = side.tracking.get_metric_history_bulk_interval
    return lambda: ask([at.long_run], "loss", 320, None, None)


def _chart_of_runs(side: Any, at: Places) -> Work:
    ids = [Run(at.ended, number, True).run_id for number in range(min(100, at.runs))]
    return lambda: side.tracking.get_metric_history_bulk_interval(ids, "loss", 320, None, None)


def _search_experiments(filter_string: str) -> Callable[[Any, Places], Work]:
    return lambda side, at: lambda: side.tracking.search_experiments(ACTIVE, 100, filter_string)


def _by_name(side: Any, at: Places) -> Work:
    return lambda: side.tracking.get_experiment_by_name("experiment 7")


def _delete_experiment(side: Any, at: Places) -> Work:
    return lambda: _until_done(side.tracking.delete_experiment, at.doomed)


def _restore_experiment(side: Any, at: Places) -> Work:
    return lambda: _until_done(side.tracking.restore_experiment, at.doomed)


def _until_done(call: Callable[[str], None], experiment_id: str) -> None:
    """As MLflow's client does: a request that was too long is made again, and goes on."""
    while True:
        try:
            return call(experiment_id)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(TEMPORARILY_UNAVAILABLE):
                raise
            print("  not done within the time of a request: again", file=sys.stderr, flush=True)


def cases(at: Places) -> Iterator[Case]:
    """All cases, in the order of the table."""
    yield Case("create_experiment", _create_experiment)
    yield Case("create_run, 2 tags", _create_run)
    yield Case("log_metric", _on_new_run("log_metric", Metric("m", 2.0, 2, 2)))
    yield Case("log_param", _on_new_run("log_param", Param("p", "1")))
    yield Case("set_tag", _on_new_run("set_tag", RunTag("t", "1")))
    yield Case("log_batch: 100 metrics, 10 params, 5 tags", _on_new_run("log_batch", *_batch(10)))
    thousand = [Metric("loss", i / 7, i, i) for i in range(1000)]
    yield Case("log_batch: 1,000 points of a metric", _on_new_run("log_batch", thousand, [], []))
    yield Case("end a run", _on_new_run("update_run_info", RunStatus.FINISHED, 9, None))
    yield Case("get_run: 100 metrics, 20 params, 5 tags", _get_run)
    some = f"of {at.runs:,} ended runs"
    best = ["metrics.accuracy DESC"]
    yield Case(f"search_runs {some}: first 100", _search("ended"))
    yield Case("the same, page of 100 in the middle", _deep_page(None))
    yield Case("filter by metric: accuracy > 0.99", _search("ended", "metrics.accuracy > 0.99"))
    yield Case("filter by param: depth = '42'", _search("ended", "params.depth = '42'"))
    yield Case("filter by tag: team = 'team 7'", _search("ended", "tags.team = 'team 7'"))
    yield Case("top 10 by a metric", _search("ended", "", 10, best))
    yield Case("sorted by a metric, page of 100 in the middle", _deep_page(best))
    three = "metrics.accuracy > 0.5 AND params.depth = '42' AND tags.team LIKE 'team %'"
    yield Case("three filters, sorted", _search("ended", three, 100, best))
    never = f"of {at.runs:,} runs that never ended"
    yield Case(f"top 10 {never}: first search", _search("open", "", 10, best), repeats=1)
    yield Case(f"top 10 {never}: once copied", _settle)
    if at.large:
        yield Case("large experiment: first 100", _search("large"))
        yield Case("large experiment: top 10 by a metric", _search("large", "", 10, best))
        yield Case("large experiment: filter by param", _search("large", "params.depth = '42'"))
    yield Case(f"chart, 320 of {at.points:,} points", _chart)
    yield Case("chart of 100 runs, a point each", _chart_of_runs)
    yield Case("get_metric_history, first 25,000", _history(0))
    pages = at.points // 25_000 // 2
    yield Case("get_metric_history, 25,000 in the middle", _history(pages))
    yield Case(f"search_experiments of {at.experiments:,}: first 100", _search_experiments(""))
    named = "name LIKE 'experiment 42%'"
    yield Case("search_experiments by name", _search_experiments(named))
    yield Case("get_experiment_by_name", _by_name)
    yield Case(f"delete_experiment, {at.doomed_runs:,} runs", _delete_experiment, repeats=1)
    yield Case(f"restore_experiment, {at.doomed_runs:,} runs", _restore_experiment, repeats=1)
    if at.models:
        yield from registry_cases(at)


def registry_cases(at: Places) -> Iterator[Case]:
    """Cases of the model registry."""

    def registry(method: str, *arguments: Any) -> Callable[[Any, Places], Work]:
        return lambda side, at: lambda: getattr(side.registry, method)(*arguments)

    def create_model(side: Any, at: Places) -> Work:
        return lambda: side.registry.create_registered_model(f"new {next(_names)}")

    yield Case("create_registered_model", create_model)
    yield Case("create_model_version", registry("create_model_version", "model 1", "s3://b/x"))
    yield Case("get_registered_model", registry("get_registered_model", "model 1"))
    yield Case("get_model_version", registry("get_model_version", "model 1", "1"))
    yield Case(
        f"search_registered_models of {at.models:,}: first 100",
        registry("search_registered_models", None, 100),
    )
    yield Case(
        "search_registered_models by name",
        registry("search_registered_models", "name LIKE 'model 4%'", 100),
    )
    yield Case(
        f"search_model_versions of a model, {at.versions:,}",
        registry("search_model_versions", "name = 'model 1'", 100),
    )
    yield Case("get_latest_versions", registry("get_latest_versions", "model 1"))
