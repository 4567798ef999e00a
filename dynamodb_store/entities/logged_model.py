"""A logged model: a document with its tags and params, metrics beside it, an entry in a list.

While the model is pending its entry only points to it; once it is ready or failed the entry holds
a copy that each change of the document renews. Metrics are items of their own that are only ever
added, so that any number of runs can log to one model at once.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from hashlib import sha256

from mlflow.entities import LifecycleStage, LoggedModel, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from dynamodb_store import keys, schema
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.points import point_of
from dynamodb_store.entities.run import COPIED, pack
from dynamodb_store.table import Action

TAGS, PARAMS = "t", "p"
SECTIONS = (TAGS, PARAMS)
MEASURED = "measured"
"""Whether any metric was logged to the model; searches read no metrics of others."""

_METRICS_PER_ITEM = 200
"""With the longest names about 220 KB before compression."""


def id_of(document: Document) -> str:
    """The model's id."""
    return document.pk.removeprefix("LM#")


def is_deleted(document: Document) -> bool:
    """Whether the model is deleted."""
    return bool(document.head["stage"] == LifecycleStage.DELETED)


def entry_key(document: Document) -> keys.Key:
    """Where its experiment's list holds it."""
    head = document.head
    return keys.logged_model_entry(head["experiment_id"], head["creation_time"], id_of(document))


def entry(document: Document) -> Action:
    """The write of the model's list entry; marks in the document whether it holds a copy."""
    pk, sk = entry_key(document)
    item: Item = {"pk": pk, "sk": sk}
    head = document.head
    head[COPIED] = False
    settled = LoggedModelStatus.is_finalized(LoggedModelStatus.from_int(head["status"]))
    if (settled or is_deleted(document)) and document.size <= 4 * schema.DIGEST_BYTES:
        packed = pack(document)
        if len(packed) <= schema.DIGEST_BYTES:
            head[COPIED] = True
            item[schema.DIGEST] = packed
    return ("Put", {"Item": item})


def changed(document: Document) -> list[Action]:
    """What has to be written with a change of the document besides itself."""
    before = document.head[COPIED]
    write = entry(document)
    return [write] if before or document.head[COPIED] else []


def model_of(document: Document, metrics: Sequence[Metric] = ()) -> LoggedModel:
    """MLflow's LoggedModel."""
    head = document.head
    return LoggedModel(
        model_id=id_of(document),
        experiment_id=head["experiment_id"],
        name=head["name"],
        artifact_location=head["artifact_location"],
        creation_timestamp=head["creation_time"],
        last_updated_timestamp=head["last_update_time"],
        status=LoggedModelStatus.from_int(head["status"]),
        model_type=head["model_type"],
        source_run_id=head["source_run_id"],
        status_message=head["status_message"],
        tags=named(document, TAGS) or None,
        params=named(document, PARAMS) or None,
        metrics=list(metrics) or None,
    )


def slot(key: str) -> str:
    """A tag's or a param's name inside the document: MLflow allows "", DynamoDB does not."""
    return f"={key}"


def named(document: Document, section: str) -> dict[str, str]:
    """The tags or params by the names that MLflow gave."""
    return {name[1:]: str(value) for name, value in document.section(section).items()}


def metric_items(model_id: str, run_id: str, metrics: Iterable[Metric]) -> list[Item]:
    """The items of metrics that a run logs to a model; the same metrics give the same items."""
    rows = list(dict.fromkeys(_row(metric) for metric in metrics))
    size = _METRICS_PER_ITEM
    return [
        _metric_item(model_id, run_id, rows[at : at + size]) for at in range(0, len(rows), size)
    ]


_Row = tuple[str, float, int, int, str | None, str | None]


def _row(metric: Metric) -> _Row:
    point = point_of(metric)
    return (
        metric.key,
        point.value,
        point.timestamp,
        point.step,
        metric.dataset_name,
        metric.dataset_digest,
    )


def _metric_item(model_id: str, run_id: str, rows: Sequence[_Row]) -> Item:
    text = json.dumps(rows).encode()
    sk = f"{keys.model_metrics_of(run_id)}{sha256(text).hexdigest()[:32]}"
    return {"pk": keys.logged_model(model_id), "sk": sk, "doc": zlib.compress(text)}


def metrics_of(model_id: str, items: Iterable[Item]) -> list[Metric]:
    """The distinct metrics of items, by name, time, step and run."""
    found = {}
    for item in items:
        run_id = item["sk"].split("#")[1]
        for row in json.loads(zlib.decompress(item["doc"])):
            name, value, timestamp, step, dataset, dataset_digest = row
            place = (name, timestamp, step, run_id, dataset or "", dataset_digest or "")
            found[*place, repr(value)] = Metric(
                key=name,
                value=value,
                timestamp=timestamp,
                step=step,
                run_id=run_id,
                dataset_name=dataset,
                dataset_digest=dataset_digest,
                model_id=model_id,
            )
    return [metric for _, metric in sorted(found.items(), key=lambda pair: pair[0])]


def no_model(model_id: str) -> MlflowException:
    """MLflow's error for a logged model that does not exist."""
    return MlflowException(f"Logged model with ID '{model_id}' not found.", RESOURCE_DOES_NOT_EXIST)
