"""An evaluation dataset: a document with its tags and schema, and an entry in the list of all."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable
from typing import Any

from mlflow.entities.evaluation_dataset import EvaluationDataset

from dynamodb_store import keys, schema
from dynamodb_store.codec import Item
from dynamodb_store.documents import Document
from dynamodb_store.entities.run import pack
from dynamodb_store.table import Action

TAGS, SCHEMA = "t", "s"
SECTIONS = (TAGS, SCHEMA)
_NO_VALUE = b""
"""A tag without a value, which MLflow allows when a dataset is created."""


def id_of(document: Document) -> str:
    """The dataset's id."""
    return document.pk.removeprefix("ED#")


def entry_key(document: Document) -> keys.Key:
    """Where the list of all datasets holds it."""
    return keys.evaluation_dataset_entry(document.head["created_time"], id_of(document))


def entry(document: Document) -> Action:
    """The write of the dataset's list entry: a copy, or a pointer to a large one."""
    pk, sk = entry_key(document)
    item: Item = {"pk": pk, "sk": sk}
    if document.size <= 4 * schema.DIGEST_BYTES:
        packed = pack(document)
        if len(packed) <= schema.DIGEST_BYTES:
            item[schema.DIGEST] = packed
    return ("Put", {"Item": item})


def dataset_of(document: Document) -> EvaluationDataset:
    """MLflow's EvaluationDataset, without records and experiments, which it loads itself."""
    head = document.head
    return EvaluationDataset(
        dataset_id=id_of(document),
        name=head["name"],
        tags=tags_of(document),
        schema=schema_of(document),
        profile=head["profile"],
        digest=head["digest"],
        created_time=head["created_time"],
        last_update_time=head["last_update_time"],
        created_by=head["created_by"],
        last_updated_by=head["last_updated_by"],
    )


def tags_of(document: Document) -> dict[str, Any]:
    """The tags, with None for those that have no value."""
    return {
        key[1:]: None if value == _NO_VALUE else value
        for key, value in document.section(TAGS).items()
    }


def set_tag(document: Document, key: str, value: Any) -> None:
    """Set a tag; names may be empty in MLflow but not in DynamoDB."""
    document.set(TAGS, f"={key}", _NO_VALUE if value is None else str(value))


def remove_tag(document: Document, key: str) -> bool:
    """Remove a tag; False when there is none."""
    if document.get(TAGS, f"={key}") is None:
        return False
    document.remove(TAGS, f"={key}")
    return True


def schema_of(document: Document) -> str | None:
    """The schema as MLflow's JSON text."""
    packed = document.get(SCHEMA, SCHEMA)
    return None if packed is None else zlib.decompress(packed).decode()  # type: ignore[arg-type]


def extend_schema(document: Document, records: Iterable[dict[str, Any]]) -> None:
    """Add the fields of records to the schema; fields that it has keep their type."""
    before = schema_of(document)
    fields: dict[str, Any] = (
        json.loads(before)
        if before
        else {"inputs": {}, "outputs": {}, "expectations": {}, "version": "1.0"}
    )
    some = before is not None
    for record in records:
        some = True
        _extend(fields["inputs"], record.get("inputs"))
        _extend(fields["expectations"], record.get("expectations"))
        outputs = record.get("outputs")
        if isinstance(outputs, dict):
            _extend(fields["outputs"], outputs)
        elif outputs is not None and not fields["outputs"]:
            fields["outputs"] = _kind(outputs)
    after = json.dumps(fields)
    if some and after != before:
        set_schema(document, after)


def set_schema(document: Document, text: str) -> None:
    """Set the schema, MLflow's JSON text."""
    document.set(SCHEMA, SCHEMA, zlib.compress(text.encode()))


def _extend(fields: Any, values: dict[str, Any] | None) -> None:
    if isinstance(fields, dict):
        for name, value in (values or {}).items():
            fields.setdefault(name, _kind(value))


def _kind(value: Any) -> str:
    """MLflow's name for a value's type."""
    if value is None:
        return "null"
    for kind, name in (
        (bool, "boolean"),
        (int, "integer"),
        (float, "float"),
        (str, "string"),
        (list, "array"),
        (dict, "object"),
    ):
        if isinstance(value, kind):
            return name
    return "unknown"


def digest_of(name: str, last_update_time: int) -> str:
    """MLflow's digest of a dataset: of its name and the time of its last change."""
    return hashlib.sha256(f"{name}:{last_update_time}".encode()).hexdigest()[:8]
