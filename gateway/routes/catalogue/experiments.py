"""Experiments: their life, their tags, their datasets."""

from __future__ import annotations

from gateway.model import Kind
from gateway.routes.catalogue.needs import EXPERIMENT_TAGS
from gateway.routes.catalogue.rows import get, post, refused
from gateway.routes.route import (
    AJAX,
    Creates,
    Route,
    Trims,
    body,
    experiment,
    experiment_name,
    narrow,
    query,
)

_E = "2.0/mlflow/experiments"
AI_GATEWAY = "gateway/"
"""MLflow logs what is asked of an AI gateway endpoint, by whomever, to ``gateway/<its name>``, and
takes an experiment that has the name already: whoever made it would read all of it."""

ROWS: tuple[Route, ...] = (
    post(
        f"{_E}/create",
        "CreateExperiment",
        does="create",
        answers=(Creates(Kind.EXPERIMENT, "experiment_id", None),),
        tag_keys=("tags[].key",),
        # A location of one's own choice reads and writes other people's artifacts and server files.
        admin_fields=("artifact_location",),
        admin_names={"name": AI_GATEWAY},
        stamps="owner",
        plain=("name",),  # new: MLflow refuses a name that is taken
    ),
    get(f"{_E}/get", "GetExperiment", experiment(query("experiment_id"))),
    get(
        f"{_E}/get-by-name",
        "GetExperimentByName",
        experiment_name(query("experiment_name")),
        hides=True,
    ),
    get(f"{_E}/search", "SearchExperiments", answers=(Trims("experiments"),)),
    post(f"{_E}/search", "SearchExperiments", does="read", answers=(Trims("experiments"),)),
    post(
        f"{_E}/update",
        "UpdateExperiment",
        experiment(body("experiment_id")),
        repeatable=True,
        admin_names={"new_name": AI_GATEWAY},
        plain=("new_name",),  # MLflow refuses a name that is taken
    ),
    post(f"{_E}/delete", "DeleteExperiment", experiment(body("experiment_id")), does="delete"),
    post(f"{_E}/restore", "RestoreExperiment", experiment(body("experiment_id"))),
    post(
        f"{_E}/set-experiment-tag",
        "SetExperimentTag",
        experiment(body("experiment_id")),
        tag_keys=("key",),
        tag_needs=EXPERIMENT_TAGS,
        repeatable=True,
    ),
    post(
        f"{_E}/delete-experiment-tag",
        "DeleteExperimentTag",
        experiment(body("experiment_id")),
        does="delete",
        tag_keys=("key",),
        tag_needs=EXPERIMENT_TAGS,
    ),
    post(
        f"{_E}/search-datasets",
        "SearchDatasets",
        narrow(experiment(body("experiment_ids[]"))),
        prefixes=AJAX,
        does="read",
    ),
    refused(
        "POST",
        "/2.0mlflow/experiments/search-datasets",
        "The path is malformed in MLflow's own protos and MLflow answers 404.",
    ),
)
