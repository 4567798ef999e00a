"""A record of an evaluation dataset: made of what a caller gave, merged with what was there.

Its id is a hash of the dataset and of the inputs, by which MLflow tells records apart. So a record
is found by either without an index, and the client's repeat of an insert finds what it inserted.
An imported record keeps the id that it has; a second pointer leads to it from that hash.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from mlflow.entities.dataset_record import DatasetRecord
from mlflow.entities.dataset_record_source import DatasetRecordSource
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_USER

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.records import Body, Record

LARGEST = 7 * 1024 * 1024
"""Bytes of a record: 25 parts, which one call writes."""

Given = dict[str, Any]
"""A record as a caller gives it."""


def record_id(dataset_id: str, given: Given) -> str:
    """The id of the record with these inputs. Raises MlflowException when they are no JSON."""
    try:
        return _made_id(dataset_id, hash_of({"inputs": given.get("inputs", {})}))
    except (TypeError, ValueError) as error:
        raise MlflowException.invalid_parameter_value(f"Inputs must be JSON: {error}") from None


def hash_of(body: Body) -> str:
    """MLflow's hash of a record's inputs; an imported one says when its hash is another."""
    inputs = json.dumps(body["inputs"], sort_keys=True)
    return str(body.get("input_hash") or hashlib.sha256(inputs.encode()).hexdigest())


def _made_id(dataset_id: str, input_hash: str) -> str:
    return f"dr-{hashlib.sha256(f'{dataset_id}:{input_hash}'.encode()).hexdigest()[:32]}"


def id_in(record: Record) -> str:
    """The id of a stored record."""
    return record.sk.split("#", 1)[1]


def pointers(dataset_id: str, one: str, body: Body) -> list[Item]:
    """The pointers to a record: one at its id, and one at its inputs when its id is another."""
    made = _made_id(dataset_id, hash_of(body))
    found: list[Item] = []
    for at in dict.fromkeys((one, made)):
        pk, sk = keys.dataset_record_pointer(dataset_id, at)
        found.append({"pk": pk, "sk": sk, "created_time": body["created_time"]})
    if made != one:
        found[1]["record"] = one
    return found


def new_body(dataset_id: str, given: Given, now: int) -> Body:
    """What is kept of a new record. Raises MlflowException for what MLflow has no record of."""
    if given.get("inputs", {}) is None:
        raise MlflowException("inputs must be provided")  # INTERNAL_ERROR, as in SQL
    tags = given.get("tags")
    user = tags[MLFLOW_USER] if tags and MLFLOW_USER in tags else None
    source = given.get("source") or None
    record = DatasetRecord(
        dataset_record_id="",
        dataset_id=dataset_id,
        inputs=given.get("inputs", {}),
        outputs=given.get("outputs", {}),
        created_time=now,
        last_update_time=now,
        expectations=given.get("expectations"),
        tags=tags,
        source=DatasetRecordSource.from_dict(source) if isinstance(source, dict) else source,
        created_by=user,
        last_updated_by=user,
    )
    return {
        "inputs": record.inputs,
        "outputs": record.outputs,
        "expectations": record.expectations,
        "tags": record.tags,
        "source": record.source.to_dict() if record.source else None,
        "source_id": record.source_id,
        "created_time": now,
        "last_update_time": now,
        "created_by": user,
        "last_updated_by": user,
    }


def merge(body: Body, given: Given, now: int) -> None:
    """Change a record as MLflow does when the same inputs are given again."""
    if "outputs" in given:
        body["outputs"] = given["outputs"]
    if expectations := given.get("expectations"):
        body["expectations"] = {**(body["expectations"] or {}), **expectations}
    if tags := given.get("tags"):
        body["tags"] = {**(body["tags"] or {}), **tags}
        if MLFLOW_USER in tags:
            body["last_updated_by"] = tags[MLFLOW_USER]
    body["last_update_time"] = now


def record_of(dataset_id: str, one: str, body: Body) -> DatasetRecord:
    """MLflow's DatasetRecord."""
    return DatasetRecord(
        dataset_record_id=one,
        dataset_id=dataset_id,
        inputs=body["inputs"],
        outputs=body["outputs"],
        expectations=body["expectations"],
        tags=body["tags"],
        source=DatasetRecordSource.from_dict(body["source"]) if body["source"] else None,
        source_id=body["source_id"],
        created_time=body["created_time"],
        last_update_time=body["last_update_time"],
        created_by=body["created_by"],
        last_updated_by=body["last_updated_by"],
    )


def check_json(body: Body) -> None:
    """Raises MlflowException when a body is no JSON, or larger than some two dozen items."""
    try:
        size = len(json.dumps(body))
    except (TypeError, ValueError) as error:
        raise MlflowException.invalid_parameter_value(f"A record must be JSON: {error}") from None
    if size > LARGEST:
        raise MlflowException.invalid_parameter_value(
            f"A record has {size} bytes; at most {LARGEST}."
        )
