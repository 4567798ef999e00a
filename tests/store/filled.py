"""A database of MLflow with one of everything, for the tests of import and export."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

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
)

NAN = float("nan")


def fill_tracking(store: Any) -> list[str]:
    """Experiments and runs in every state; the ids of the runs."""
    store.create_experiment(
        "one", None, [ExperimentTag("k/ é:", "v" * 20000), ExperimentTag("empty", "")]
    )
    store.create_experiment("with/slash # and ☃", "s3://elsewhere/x")
    store.create_experiment("deleted", None, [ExperimentTag("a", "b")])
    runs = [
        store.create_run(experiment, "u", start, [RunTag("mlflow.user", "me")], name).info.run_id
        for experiment, start, name in [
            ("1", 5, "under way"), ("1", 2**62, "ended ☃"), ("1", 7, "deleted"), ("2", 1, "large"),
            ("3", 1, "of a deleted experiment"), ("0", 9, None),
        ]
    ]  # fmt: skip
    first, ended, deleted, large, gone, _ = runs
    store.log_batch(
        first,
        [Metric("acc/val 1", i * 0.1, 1000 - i, i % 7) for i in range(700)],
        [Param("p", ""), Param("é", "🚀" * 1000)],
        [RunTag("x y", "1"), RunTag("empty", "")],
    )
    for value in (NAN, -1.0, float("inf"), 1e-320, float(2**53 + 2)):
        store.log_metric(first, Metric("odd", value, 2**62, -(2**62)))
    store.log_metric(first, Metric("odd", NAN, 3, 3))
    store.log_metric(ended, Metric("m", 1, 1, 1))
    store.update_run_info(ended, RunStatus.FINISHED, 2**62 + 1, None)
    store.delete_run(deleted)
    for part in range(9):
        values = [Param(f"p{part}-{i}", "v" * 5000) for i in range(10)]
        tags = [RunTag(f"t{part}-{i}", "☃" * 2000) for i in range(10)]
        store.log_batch(large, [], values, tags)
    store.log_metric(gone, Metric("m", 2, 2, 2))
    store.delete_experiment("3")
    _inputs(store, first, ended, large)
    return runs


def _inputs(store: Any, first: str, ended: str, large: str) -> None:
    small = Dataset("d", "1", "local", "source", "schema", "profile")
    context = [InputTag("mlflow.data.context", "train"), InputTag("other", "")]
    big = Dataset("large ☃", "2", "s3", "s" * 60000, "c" * 9000, None)
    store.log_inputs(first, [DatasetInput(small, context)], [LoggedModelInput("m-" + "1" * 32)])
    store.log_inputs(first, [DatasetInput(big, [])])
    store.log_inputs(ended, [DatasetInput(small, [])])
    store.log_inputs(large, [DatasetInput(small, context)])
    store.log_outputs(first, [LoggedModelOutput("m-" + "2" * 32, 3)])


def age(path: Path) -> None:
    """What only databases have that were filled by older versions of MLflow."""
    with sqlite3.connect(path) as database:
        database.execute("update experiments set creation_time = null, last_update_time = null "
                         "where experiment_id = 2")  # fmt: skip
        database.execute("update runs set name = null, source_type = 'NOTEBOOK', source_name = "
                         "'nb', source_version = 'abc' where name = 'large'")  # fmt: skip
        database.execute("insert into datasets (dataset_uuid, experiment_id, name, digest, "
                         "dataset_source_type, dataset_source) "
                         "values ('unused', 1, 'nobody uses it', '9', 'local', 's')")  # fmt: skip
    database.close()
