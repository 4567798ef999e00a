"""Runs, their metrics, parameters, tags, inputs and outputs."""

from __future__ import annotations

from gateway.routes.catalogue.needs import RUN_TAGS
from gateway.routes.catalogue.rows import get, post
from gateway.routes.route import (
    AJAX,
    Learns,
    RefKind,
    Route,
    body,
    experiment,
    logged_model,
    narrow,
    optional,
    query,
    run,
)

_R = "2.0/mlflow/runs"
_M = "2.0/mlflow/metrics"
_RUN = run(body("run_id"))
_RUN_OR_UUID = run(body("run_id", "run_uuid"))  # the Python client sends both
_LEARNS_RUN = Learns(RefKind.RUN, "run.info.run_id", "run.info.experiment_id")

ROWS: tuple[Route, ...] = (
    post(
        f"{_R}/create",
        "CreateRun",
        # Without it MLflow answers with raw SQL.
        experiment(body("experiment_id")),
        does="create",
        answers=(_LEARNS_RUN,),
        tag_keys=("tags[].key",),
        stamps="user",
    ),
    get(f"{_R}/get", "GetRun", run(query("run_id", "run_uuid"))),
    post(f"{_R}/search", "SearchRuns", narrow(experiment(body("experiment_ids[]"))), does="read"),
    post(f"{_R}/update", "UpdateRun", _RUN_OR_UUID, repeatable=True),
    post(f"{_R}/delete", "DeleteRun", _RUN, does="delete", repeatable=True),
    post(f"{_R}/restore", "RestoreRun", _RUN, repeatable=True),
    post(
        f"{_R}/log-metric",
        "LogMetric",
        _RUN_OR_UUID,
        optional(logged_model(body("model_id"))),
        repeatable=True,
        plain=("key",),  # the metric's name
    ),
    post(
        f"{_R}/log-parameter",
        "LogParam",
        _RUN_OR_UUID,
        repeatable=True,
        plain=("key",),  # the parameter's name
    ),
    post(
        f"{_R}/set-tag",
        "SetTag",
        _RUN_OR_UUID,
        tag_keys=("key",),
        tag_needs=RUN_TAGS,
        repeatable=True,
    ),
    post(
        f"{_R}/delete-tag",
        "DeleteTag",
        _RUN,
        does="delete",
        tag_keys=("key",),
        tag_needs=RUN_TAGS,
    ),
    post(
        f"{_R}/log-batch",
        "LogBatch",
        _RUN,
        optional(logged_model(body("metrics[].model_id"))),
        # MLflow's SQL store ignores a metric's own run id; another store may not.
        optional(run(body("metrics[].run_id"))),
        tag_keys=("tags[].key",),
        repeatable=True,
    ),
    post(
        f"{_R}/log-inputs",
        "LogInputs",
        _RUN,
        optional(logged_model(body("models[].model_id"))),
        tag_keys=("datasets[].tags[].key",),
        repeatable=True,
    ),
    post(
        f"{_R}/outputs",
        "LogOutputs",
        _RUN,
        optional(logged_model(body("models[].model_id"))),
        repeatable=True,
    ),
    # Of a model that its client logs, the resources are an object.
    post(f"{_R}/log-model", "LogModel", _RUN, admin_texts={"model_json": "resources"}),
    post(
        f"{_R}/create-promptlab-run",
        {
            "experiment_id": "string",
            "run_name": "string",
            "user_id": "string",
            "tags": "@RunTag[]",
            "prompt_template": "string",
            "prompt_parameters": "listvalue",
            "model_route": "string",
            "model_parameters": "listvalue",
            "model_input": "string",
            "model_output": "string",
            "model_output_parameters": "listvalue",
            "mlflow_version": "string",
            "start_time": "int64",
        },
        experiment(body("experiment_id")),
        prefixes=AJAX,
        does="create",
        answers=(_LEARNS_RUN,),
        tag_keys=("tags[].key",),
        stamps="user",
    ),
    get(f"{_M}/get-history", "GetMetricHistory", run(query("run_id", "run_uuid"))),
    get(
        f"{_M}/get-history-bulk",
        {"run_id": "string[]", "metric_key": "string", "max_results": "int32"},
        run(query("run_id[]")),
        prefixes=AJAX,
    ),
    get(
        f"{_M}/get-history-bulk-interval",
        "GetMetricHistoryBulkInterval",
        run(query("run_ids[]")),
    ),
)
