"""Registered models and their versions. A prompt is a registered model with a tag."""

from __future__ import annotations

from gateway.model import Kind
from gateway.routes.catalogue.needs import (
    MODEL_TAGS,
    READ_ARTIFACTS,
    READ_LOGGED_MODEL,
    READ_RUN,
    VERSION_TAGS,
)
from gateway.routes.catalogue.rows import delete, get, patch, post
from gateway.routes.route import (
    Creates,
    Deletes,
    RefKind,
    Renames,
    Route,
    Trims,
    body,
    logged_model,
    model,
    query,
    ref,
    run,
)

_R = "2.0/mlflow/registered-models"
_V = "2.0/mlflow/model-versions"
_BODY = model(body("name"))
_QUERY = model(query("name"))

REGISTERED_MODELS: tuple[Route, ...] = (
    post(
        f"{_R}/create",
        "CreateRegisteredModel",
        does="create",
        answers=(Creates(Kind.MODEL, None, "name"),),
        tag_keys=("tags[].key",),
        stamps="owner",
    ),
    get(f"{_R}/get", "GetRegisteredModel", _QUERY, hides=True),
    get(f"{_R}/search", "SearchRegisteredModels", answers=(Trims("registered-models"),)),
    get(f"{_R}/get-latest-versions", "GetLatestVersions", _QUERY, hides=True),
    post(f"{_R}/get-latest-versions", "GetLatestVersions", _BODY, does="read", hides=True),
    patch(f"{_R}/update", "UpdateRegisteredModel", _BODY, repeatable=True),
    post(
        f"{_R}/rename",
        "RenameRegisteredModel",
        _BODY,
        answers=(Renames("name", "new_name"),),
    ),
    delete(f"{_R}/delete", "DeleteRegisteredModel", _BODY, answers=(Deletes("name"),)),
    post(
        f"{_R}/set-tag",
        "SetRegisteredModelTag",
        _BODY,
        tag_keys=("key",),
        tag_needs=MODEL_TAGS,
        repeatable=True,
    ),
    delete(
        f"{_R}/delete-tag",
        "DeleteRegisteredModelTag",
        _BODY,
        tag_keys=("key",),
        tag_needs=MODEL_TAGS,
    ),
    get(
        f"{_R}/alias",
        "GetModelVersionByAlias",
        _QUERY,
        call="registered-models/alias:GET",
        hides=True,
    ),
    post(
        f"{_R}/alias",
        "SetRegisteredModelAlias",
        _BODY,
        call="registered-models/alias:POST",
        repeatable=True,
    ),
    delete(
        f"{_R}/alias", "DeleteRegisteredModelAlias", _BODY, call="registered-models/alias:DELETE"
    ),
)

MODEL_VERSIONS: tuple[Route, ...] = (
    post(
        f"{_V}/create",
        "CreateModelVersion",
        _BODY,
        # Whoever reads the version reads whatever the source says.
        ref(RefKind.MODEL_SOURCE, body("source"), needs=READ_ARTIFACTS),
        run(body("run_id"), needs=READ_RUN, required=False),
        logged_model(body("model_id"), needs=READ_LOGGED_MODEL, required=False),
        does="create",
        tag_keys=("tags[].key",),
    ),
    get(f"{_V}/get", "GetModelVersion", _QUERY, hides=True),
    get(f"{_V}/get-download-uri", "GetModelVersionDownloadUri", _QUERY, hides=True),
    get(f"{_V}/search", "SearchModelVersions", answers=(Trims("model-versions"),)),
    patch(f"{_V}/update", "UpdateModelVersion", _BODY, repeatable=True),
    post(f"{_V}/transition-stage", "TransitionModelVersionStage", _BODY, repeatable=True),
    delete(f"{_V}/delete", "DeleteModelVersion", _BODY),
    post(
        f"{_V}/set-tag",
        "SetModelVersionTag",
        _BODY,
        tag_keys=("key",),
        tag_needs=VERSION_TAGS,
        repeatable=True,
    ),
    delete(
        f"{_V}/delete-tag",
        "DeleteModelVersionTag",
        _BODY,
        tag_keys=("key",),
        tag_needs=VERSION_TAGS,
    ),
    get(
        "/model-versions/get-artifact",
        {"name": "string", "version": "string", "path": "string"},
        _QUERY,
        hides=True,
        inner_paths=("path",),
    ),
)

ROWS: tuple[Route, ...] = (*REGISTERED_MODELS, *MODEL_VERSIONS)
