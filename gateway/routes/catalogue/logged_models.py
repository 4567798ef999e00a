"""Logged models (``m-…``) of an experiment."""

from __future__ import annotations

from gateway.routes.catalogue.needs import READ_RUN
from gateway.routes.catalogue.rows import delete, get, patch, post
from gateway.routes.route import (
    AJAX,
    Learns,
    RefKind,
    Route,
    body,
    experiment,
    logged_model,
    narrow,
    path,
    run,
)

_L = "2.0/mlflow/logged-models"
_ONE = f"{_L}/{{model_id}}"
_MODEL = logged_model(path("model_id"))

ROWS: tuple[Route, ...] = (
    post(
        _L,
        "CreateLoggedModel",
        experiment(body("experiment_id")),
        run(body("source_run_id"), needs=READ_RUN, required=False),
        does="create",
        answers=(Learns(RefKind.LOGGED_MODEL, "model.info.model_id", "model.info.experiment_id"),),
        tag_keys=("tags[].key",),
        plain=("name",),  # of the new logged model; names are not unique
    ),
    get(_ONE, "GetLoggedModel", _MODEL, call="logged-models/{id}:GET", query=("allow_deleted",)),
    patch(_ONE, "FinalizeLoggedModel", _MODEL, call="logged-models/{id}:PATCH", repeatable=True),
    delete(_ONE, "DeleteLoggedModel", _MODEL, call="logged-models/{id}:DELETE"),
    post(
        f"{_L}/search",
        "SearchLoggedModels",
        narrow(experiment(body("experiment_ids[]"))),
        does="read",
    ),
    post(f"{_ONE}/params", "LogLoggedModelParamsRequest", _MODEL),
    patch(
        f"{_ONE}/tags",
        "SetLoggedModelTags",
        _MODEL,
        tag_keys=("tags[].key",),
        repeatable=True,
    ),
    delete(f"{_ONE}/tags/{{tag_key}}", "DeleteLoggedModelTag", _MODEL, tag_keys=("tag_key",)),
    get(
        f"{_ONE}/artifacts/directories",
        "ListLoggedModelArtifacts",
        _MODEL,
        inner_paths=("artifact_directory_path",),
    ),
    get(
        f"{_ONE}/artifacts/files",
        {"artifact_file_path": "string"},
        _MODEL,
        prefixes=AJAX,
        inner_paths=("artifact_file_path",),
    ),
)
