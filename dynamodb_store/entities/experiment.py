"""An experiment: one document with its tags, an entry in the list of all, an item for its name."""

from __future__ import annotations

from typing import Any

from mlflow.entities import Experiment, ExperimentTag

from dynamodb_store import keys, schema
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.retention import Retention
from dynamodb_store.entities.run import pack
from dynamodb_store.table import Action

TAGS = "t"
SECTIONS = (TAGS,)


def id_of(document: Document) -> str:
    """The experiment's id."""
    return document.pk.removeprefix("E#")


def entry_key(document: Document) -> keys.Key:
    """Where the list of experiments holds it."""
    return keys.experiment_entry(id_of(document), document.head["creation_time"])


def entry(document: Document) -> Action:
    """The write of the experiment's list entry: a copy, or a pointer to a large one."""
    pk, sk = entry_key(document)
    item: Item = {"pk": pk, "sk": sk}
    if document.size <= 4 * schema.DIGEST_BYTES:
        packed = pack(document)
        if len(packed) <= schema.DIGEST_BYTES:
            item[schema.DIGEST] = packed
    return ("Put", {"Item": item})


def experiment_of(document: Document, retention: Retention | None) -> Experiment:
    """MLflow's Experiment; with what holds for its traces when the server archives them."""
    head = document.head
    experiment_id = id_of(document)
    tags: dict[str, Any] = dict(document.section(TAGS))
    kept = None if retention is None else retention.of(experiment_id, tags)
    return Experiment(
        experiment_id=experiment_id,
        name=head["name"],
        artifact_location=head["artifact_location"],
        lifecycle_stage=head["stage"],
        tags=[ExperimentTag(key, value) for key, value in tags.items()],
        creation_time=head["creation_time"],
        last_update_time=head["last_update_time"],
        workspace="default",
        effective_trace_archival_retention=kept,
    )
