"""Artifacts: MLflow's proxy (paths start with the experiment id), downloads and URLs by run."""

from __future__ import annotations

from gateway.routes.catalogue.rows import delete, get, post, put
from gateway.routes.route import (
    AJAX,
    RefKind,
    Route,
    body,
    logged_model,
    optional,
    path,
    query,
    ref,
    run,
)

_A = "2.0/mlflow-artifacts"
_FILE = "{artifact_path:path}"
_PATH = ref(RefKind.ARTIFACT_PATH, path("artifact_path"))

ROWS: tuple[Route, ...] = (
    get(f"{_A}/artifacts/{_FILE}", None, _PATH, call="artifacts/read"),
    get(
        f"{_A}/artifacts",
        "artifacts.ListArtifacts",
        # An empty path lists the folder of every experiment.
        ref(RefKind.ARTIFACT_PATH, query("path")),
        call="artifacts/list-directory",
    ),
    put(f"{_A}/artifacts/{_FILE}", None, _PATH, call="artifacts/write", body="stream"),
    delete(f"{_A}/artifacts/{_FILE}", None, _PATH, call="artifacts/delete"),
    # The body's path is the file's name once more; stores join it to the path of the request.
    post(
        f"{_A}/mpu/create/{_FILE}",
        "artifacts.CreateMultipartUpload",
        _PATH,
        call="artifacts/mpu/create",
        file_names=("path",),
    ),
    post(
        f"{_A}/mpu/complete/{_FILE}",
        "artifacts.CompleteMultipartUpload",
        _PATH,
        call="artifacts/mpu/complete",
        file_names=("path",),
        plain=("upload_id", "parts[].url"),  # the store's own handles of this upload
    ),
    post(
        f"{_A}/mpu/abort/{_FILE}",
        "artifacts.AbortMultipartUpload",
        _PATH,
        call="artifacts/mpu/abort",
        does="delete",
        file_names=("path",),
        plain=("upload_id",),  # the store's own handle of this upload
    ),
    get(f"{_A}/presigned/{_FILE}", None, _PATH, call="artifacts/presigned"),
    get(
        "2.0/mlflow/artifacts/list",
        "ListArtifacts",
        run(query("run_id", "run_uuid")),
        inner_paths=("path",),
    ),
    post(
        "2.0/mlflow/artifacts/presigned-download-url",
        "CreatePresignedDownloadUrl",
        run(body("run_id")),
        does="read",
        inner_paths=("path",),
    ),
    post(
        "2.0/mlflow/artifacts/presigned-upload-url",
        "CreatePresignedUploadUrl",
        optional(run(body("run_id"))),
        optional(logged_model(body("model_id"))),
        requires_any=("run_id", "model_id"),
        repeatable=True,
        inner_paths=("path",),
    ),
    get(
        "/get-artifact",
        {"run_id": "string", "run_uuid": "string", "path": "string"},
        run(query("run_id", "run_uuid")),
        inner_paths=("path",),
    ),
    post(
        "2.0/mlflow/upload-artifact",
        None,
        run(query("run_uuid")),
        prefixes=AJAX,
        body="stream",
        query=("run_uuid", "path"),
        inner_paths=("path",),
    ),
)
