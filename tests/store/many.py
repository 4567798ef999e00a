"""Runs by the thousand, put into the table directly but by the store's own code."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from mlflow.entities import RunStatus

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.points import Point, latest_value
from dynamodb_store.entities.run import CHANGED, COPIED, METRICS, PARAMS, SECTIONS, TAGS, entry


def put_runs(
    store: Any, number: int, *, experiment_id: str = "0", ended: bool = False, changed: int = 0
) -> list[str]:
    """Runs with two metrics and five params; returns their ids."""
    documents = [_run(experiment_id, at, ended, changed) for at in range(number)]

    def items() -> Iterator[Item]:
        for document in documents:
            _, parameters = entry(document)
            yield from document.items()
            yield parameters["Item"]

    store.table.batch_write(items())
    return [document.pk.removeprefix("R#") for document in documents]


def _run(experiment_id: str, number: int, ended: bool, changed: int) -> Document:
    run_id = uuid.uuid4().hex
    head: Item = {
        "experiment_id": experiment_id,
        "name": f"run {number}",
        "user_id": "someone@example.com",
        "status": RunStatus.to_string(RunStatus.FINISHED if ended else RunStatus.RUNNING),
        "start_time": 1_700_000_000_000 + number,
        "end_time": 1_700_000_100_000 + number if ended else None,
        "stage": "active",
        "deleted_time": None,
        "artifact_uri": f"s3://bucket/root/{experiment_id}/{run_id}/artifacts",
        COPIED: False,
        CHANGED: changed,
    }
    document = Document(keys.run(run_id), head, SECTIONS)
    document.set(TAGS, "mlflow.runName", f"run {number}")
    for name, value in (("m", float(number)), ("loss", 1 / (number + 1))):
        document.set(METRICS, name, latest_value(Point(1, 1_700_000_000_000, value), None))
    for at in range(5):
        document.set(PARAMS, f"parameter_{at}", f"value {number * at}")
    return document
