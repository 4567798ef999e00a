"""Calls that serve as the yardstick for what a request only refers to."""

from __future__ import annotations

READ_RUN = "runs/get"
READ_TRACE = "traces/get"
READ_LOGGED_MODEL = "logged-models/{id}:GET"
READ_DATASET = "datasets/{id}:GET"
READ_LABEL_SCHEMA = "label-schemas/get"
READ_ARTIFACTS = "artifacts/read"
READ_MODEL = "registered-models/get"
