"""Evaluation datasets: each is linked to experiments, and all of them must allow a call."""

from __future__ import annotations

from gateway.routes.catalogue.rows import delete, get, patch, post
from gateway.routes.route import (
    RefKind,
    Route,
    body,
    experiment,
    narrow,
    path,
    query,
    ref,
)

_D = "3.0/mlflow/datasets"
_ONE = f"{_D}/{{dataset_id}}"
_DATASET = ref(RefKind.DATASET, path("dataset_id"))
# A dataset found through a readable experiment may be linked to others as well, and the answer
# does not say to which.

ROWS: tuple[Route, ...] = (
    post(
        f"{_D}/create",
        "CreateDataset",
        experiment(body("experiment_ids[]")),
        does="create",
        plain=("name", "source"),  # the new dataset's name, and a description of its origin
    ),
    # Without experiment_ids MLflow lists every dataset of the server. A dataset that is also
    # linked to an experiment the caller cannot read is listed (who linked it here could edit
    # both); reading or changing it needs every linked experiment.
    get(
        f"{_D}/search",
        "SearchEvaluationDatasets",
        narrow(experiment(query("experiment_ids[]"))),
        requires_any=("experiment_ids",),
    ),
    post(
        f"{_D}/search",
        "SearchEvaluationDatasets",
        narrow(experiment(body("experiment_ids[]"))),
        does="read",
        requires_any=("experiment_ids",),
    ),
    get(_ONE, "GetDataset", _DATASET, call="datasets/{id}:GET"),
    delete(_ONE, "DeleteDataset", _DATASET, call="datasets/{id}:DELETE"),
    get(f"{_ONE}/experiment-ids", "GetDatasetExperimentIds", _DATASET),
    # The tags are a JSON object in a string; nothing reads mlgate.* tags of a dataset.
    patch(f"{_ONE}/tags", "SetDatasetTags", _DATASET, repeatable=True),
    delete(f"{_ONE}/tags/{{key}}", "DeleteDatasetTag", _DATASET, tag_keys=("key",)),
    get(f"{_ONE}/records", "GetDatasetRecords", _DATASET, call="datasets/{id}/records:GET"),
    post(f"{_ONE}/records", "UpsertDatasetRecords", _DATASET, call="datasets/{id}/records:POST"),
    delete(
        f"{_ONE}/records",
        "DeleteDatasetRecords",
        _DATASET,
        call="datasets/{id}/records:DELETE",
        plain=("dataset_record_ids[]",),  # of this dataset
    ),
    post(
        f"{_ONE}/add-experiments",
        "AddDatasetToExperiments",
        _DATASET,
        experiment(body("experiment_ids[]")),
        repeatable=True,
    ),
    post(
        f"{_ONE}/remove-experiments",
        "RemoveDatasetFromExperiments",
        _DATASET,
        experiment(body("experiment_ids[]")),
        repeatable=True,
    ),
)
