"""A run: one document with its latest metrics, params and tags, and an entry in a list.

While a run is under way its entry only points to it, so that logging writes no shared partition.
When it has ended the entry holds a copy, rewritten with every later change, so that a search reads
thousands of runs with a few Queries. A run that went quiet without ending gets a copy from the
search that finds it (``settled``); its next change takes the copy away again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable

from mlflow.entities import (
    DatasetInput,
    LifecycleStage,
    LoggedModelInput,
    LoggedModelOutput,
    Param,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
    RunStatus,
    RunTag,
)
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import documents, keys, schema
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.dataset import input_of
from dynamodb_store.entities.points import POINT_BYTES, latest_of
from dynamodb_store.table import Action

TAGS, PARAMS, METRICS, DATASETS, MODELS_IN, MODELS_OUT = "t", "p", "m", "d", "i", "o"
MEASURED = "q"
"""The logged models to which the run logged metrics: they go when the run is removed."""
SECTIONS = (TAGS, PARAMS, METRICS, DATASETS, MODELS_IN, MODELS_OUT, MEASURED)
COPIED = "copied"
"""Whether the run's list entry holds a copy that each change has to renew."""
CHANGED = "changed"
"""When the run was last changed, by the clock of the server that did: tells quiet runs."""


def id_of(document: Document) -> str:
    """The run's id."""
    return document.pk.removeprefix("R#")


def has_ended(document: Document) -> bool:
    """Whether the run's status is a final one."""
    return bool(RunStatus.is_terminated(RunStatus.from_string(document.head["status"])))


def is_active(document: Document) -> bool:
    """Whether the run is not deleted."""
    return bool(document.head["stage"] == LifecycleStage.ACTIVE)


def entry(document: Document, *, quiet: bool = False) -> Action:
    """The write of the run's list entry; marks in the document whether it holds a copy."""
    head = document.head
    pk, sk = keys.run_entry(head["experiment_id"], head["start_time"], id_of(document))
    item: Item = {"pk": pk, "sk": sk}
    settled = quiet or not is_active(document) or has_ended(document)
    head[COPIED] = False
    if settled and not document.paged and document.size <= 4 * schema.DIGEST_BYTES:
        head[COPIED] = True  # the copy says so as well
        packed = pack(_for_readers(document))
        if len(packed) <= schema.DIGEST_BYTES:
            item[schema.DIGEST] = packed
        else:
            head[COPIED] = False
    return ("Put", {"Item": item})


def changed(document: Document) -> list[Action]:
    """What has to be written with a change of the document besides itself."""
    before = document.head[COPIED]
    document.head[CHANGED] = get_current_time_millis()
    write = entry(document)
    return [write] if before or document.head[COPIED] else []


def restaged(document: Document, stage: str, deleted_time: int | None) -> list[Action]:
    """The writes that move a run to another stage, without writing its values again.

    Their conditions fail when the run has changed since it was read.
    """
    document.head |= {"stage": stage, "deleted_time": deleted_time}
    document.head[CHANGED] = get_current_time_millis()
    listed = entry(document)
    names = ["stage", "deleted_time", COPIED, CHANGED]
    return [documents.set_in_head(document, names), listed, deletion_mark(document)]


def deletion_mark(document: Document) -> Action:
    """Lists the run for ``mlflow gc``, or no longer."""
    pk, sk = keys.deleted_run(id_of(document))
    if is_active(document):
        return ("Delete", {"Key": (pk, sk)})
    item = {"pk": pk, "sk": sk, "deleted_time": document.head["deleted_time"]}
    return ("Put", {"Item": item})


def settled(document: Document) -> list[Action]:
    """The writes that copy a quiet run into its list; none when it is too large."""
    listed = entry(document, quiet=True)
    return [documents.set_in_head(document, [COPIED]), listed] if document.head[COPIED] else []


def is_quiet(document: Document, since: int) -> bool:
    """Whether a run is under way, has no copy, and has not been changed since a time."""
    head = document.head
    under_way = is_active(document) and not has_ended(document)
    return under_way and not head[COPIED] and int(head.get(CHANGED) or 0) <= since


def _for_readers(document: Document) -> Document:
    """The run without what only writers need: which tails of metrics are open, its last change."""
    values = {
        slot: value[:POINT_BYTES] if slot[0] == METRICS else value
        for slot, value in document.values.items()
    }
    head = {name: value for name, value in document.head.items() if name != CHANGED}
    return Document(document.pk, head, SECTIONS, document.revision, values)


def pack(document: Document) -> bytes:
    """The document as compressed bytes."""
    values: list[list[str]] = []
    blobs: list[list[str]] = []
    for (section, name), value in document.values.items():
        if isinstance(value, bytes):
            blobs.append([section, name, value.hex()])
        else:
            values.append([section, name, value])
    text = json.dumps([document.pk, document.head, document.revision + 1, values, blobs])
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 6)


def unpack_document(packed: bytes, sections: tuple[str, ...] = SECTIONS) -> Document:
    """The document of ``pack``, for reading only."""
    pk, head, revision, values, blobs = json.loads(zlib.decompress(packed))
    document = Document(pk, head, sections, revision)
    document.values = {(section, name): value for section, name, value in values}
    document.values |= {(section, name): bytes.fromhex(text) for section, name, text in blobs}
    return document


def info_of(document: Document) -> RunInfo:
    """MLflow's RunInfo."""
    head = document.head
    return RunInfo(
        run_id=id_of(document),
        # Imported runs of old databases may have their name as a tag only.
        run_name=head["name"] or document.get(TAGS, MLFLOW_RUN_NAME) or head["name"],
        experiment_id=head["experiment_id"],
        user_id=head["user_id"],
        status=head["status"],
        start_time=head["start_time"],
        end_time=head["end_time"],
        lifecycle_stage=head["stage"],
        artifact_uri=head["artifact_uri"],
    )


def run_of(document: Document, *, with_model_inputs: bool) -> Run:
    """MLflow's Run. Its searches leave model inputs out, and so may we."""
    metrics = document.section(METRICS)
    data = RunData(
        metrics=[latest_of(bytes(value)).metric(key) for key, value in metrics.items()],  # type: ignore[arg-type]
        params=[Param(key, value) for key, value in document.section(PARAMS).items()],
        tags=[RunTag(key, value) for key, value in document.section(TAGS).items()],
    )
    inputs = RunInputs(
        dataset_inputs=_in_order(input_of(bytes(value)) for value in _blobs(document, DATASETS)),
        model_inputs=[LoggedModelInput(one) for one in document.section(MODELS_IN)]
        if with_model_inputs
        else None,
    )
    outputs = [
        LoggedModelOutput(model_id=model_id, step=int(step))
        for model_id, step in document.section(MODELS_OUT).items()
    ]
    return Run(info_of(document), data, inputs, RunOutputs(outputs))


def _blobs(document: Document, section: str) -> Iterable[bytes]:
    return (value for value in document.section(section).values() if isinstance(value, bytes))


def _in_order(inputs: Iterable[tuple[int, DatasetInput]]) -> list[DatasetInput]:
    return [one for _, one in sorted(inputs, key=lambda pair: pair[0])]
