"""Calls that serve as the yardstick for what a request only refers to."""

from __future__ import annotations

from gateway.routes.route import TagNeed

READ_RUN = "runs/get"
READ_TRACE = "traces/get"
READ_LOGGED_MODEL = "logged-models/{id}:GET"
READ_DATASET = "datasets/{id}:GET"
READ_LABEL_SCHEMA = "label-schemas/get"
READ_ARTIFACTS = "artifacts/read"
READ_MODEL = "registered-models/get"

_NOTE = "mlflow.note.content"
"""The description: a text for people, like the tags of one's own."""

EXPERIMENT_TAGS = (
    # Has the spans of traces moved into an archive (MLflow's TraceExperimentTagKey).
    TagNeed("mlflow.trace.", "traces/{id}:PATCH"),
    # Where the scorers that run by themselves go on; setting it back has them run again.
    TagNeed("mlflow.latestOnlineScoring.", "scorers/online-config"),
    # What everybody's page of traces shows, and asks of them; there may be fifty.
    TagNeed("mlflow.customView.", "experiments/delete-experiment-tag"),
)
RUN_TAGS = (
    # Its name, who made it from which source, its parent, the models that it logged: what
    # runs/update, or only the one who logs it, would say.
    TagNeed("mlflow.", "runs/update", but=(_NOTE,)),
)
# A prompt is a registered model, and its text, kind and settings are tags of MLflow
# (mlflow/prompt/constants.py). Not _mlflow_experiment_ids, which MLflow's client writes for
# whoever loads a prompt.
MODEL_TAGS = (
    TagNeed("mlflow.prompt.", "registered-models/update"),
    TagNeed("_mlflow_prompt_", "registered-models/update"),
)
VERSION_TAGS = (
    TagNeed("mlflow.prompt.", "model-versions/update"),
    TagNeed("_mlflow_prompt_", "model-versions/update"),
)
