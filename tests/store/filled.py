"""A database of MLflow with one of everything, for the tests of import and export."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from mlflow.entities import (
    AssessmentSource,
    Dataset,
    DatasetInput,
    Expectation,
    ExperimentTag,
    Feedback,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelParameter,
    LoggedModelStatus,
    LoggedModelTag,
    Metric,
    Param,
    RunStatus,
    RunTag,
    TraceState,
)
from mlflow.entities.assessment import AssessmentError
from mlflow.entities.model_registry import PromptVersion

from tests.store.spans import info, span

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


def fill_models(store: Any, run: str) -> list[str]:
    """Logged models in every state; their ids."""
    models = [
        store.create_logged_model(
            "1", name, run, [LoggedModelTag("k#/ ☃", "v"), LoggedModelTag("", "")],
            [LoggedModelParameter("é", "x" * 3000)], kind,
        ).model_id
        for name, kind in [("pending", None), ("ready", "agent"), ("deleted", ""), ("large", "l")]
    ]  # fmt: skip
    _, ready, deleted, large = models
    store.finalize_logged_model(ready, LoggedModelStatus.READY)
    store.finalize_logged_model(deleted, LoggedModelStatus.FAILED)
    store.delete_logged_model(deleted)
    params = [LoggedModelParameter(f"p{number}", "v" * 5000) for number in range(30)]
    store.log_logged_model_params(large, params)
    dataset = {"dataset_name": "d", "dataset_digest": "1"}
    for step, value in enumerate((0.1, 1e300, NAN)):
        store.log_metric(run, Metric("m", value, 5, step, model_id=ready, **dataset))
    store.log_batch(run, [Metric(f"n{i}", i, i, 0, model_id=large) for i in range(300)], [], [])
    return models


def fill_traces(store: Any, run: str) -> list[str]:
    """Traces with spans, without, in progress, with assessments of each kind; their ids."""
    metadata = {
        "mlflow.trace.session": "s1",
        "mlflow.trace.tokenUsage": '{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}',
        "mlflow.trace.cost": '{"input_cost": 0.1, "total_cost": 0.30000000000000004}',
        "own": "x",
    }
    tags = {"mlflow.traceName": "a name", "é#/ ": "☃", "empty": ""}
    store.start_trace(info("tr-1", 1500, "1", request_preview="question", response_preview="☃",
                           client_request_id="c1", tags=tags, trace_metadata=metadata))  # fmt: skip
    store.log_spans("1", [span("tr-1", 1, name="root", kind="LLM"), span("tr-1", 2, 1, end=None)])
    store.log_spans("1", [span("tr-1", 3, 1, content="☃" * 40000, mlflow__llm__model="gpt")])
    store.log_spans("2", [span("tr-by-spans", 1, start=5, end=9)])
    store.start_trace(
        info("tr-open", 7, "1", state=TraceState.IN_PROGRESS, execution_duration=None)
    )
    store.start_trace(info("tr-of-deleted", 8, "0"))
    source = AssessmentSource(source_type="HUMAN", source_id="me@example.com")
    about = {"source": source, "trace_id": "tr-1", "create_time_ms": 5, "last_update_time_ms": 6}
    whole = {"mlflow.trace.session": "s1", "mlflow.assessment.sourceRunId": run}
    store.create_assessment(
        Feedback(name="good", value=True, metadata=whole, rationale="r", **about)
    )
    store.create_assessment(Feedback(name="score", value=0.1, span_id="2", **about))
    store.create_assessment(Feedback(name="bad", error=AssessmentError("E", "text"), **about))
    store.create_assessment(Expectation(name="right", value={"a": [1, "☃"]}, **about))
    store.link_traces_to_run(["tr-1", "tr-by-spans"], run)
    store.link_prompts_to_trace("tr-1", [PromptVersion("p", 1, "text")])
    return ["tr-1", "tr-by-spans", "tr-open", "tr-of-deleted"]


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
