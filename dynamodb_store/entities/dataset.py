"""Datasets that runs use: (experiment, name, digest) is one, and what was logged first stays.

Its long texts (a profile may have 16 MB) lie compressed in parts in the dataset's partition. A
small one is copied into each run that uses it: it never changes, so the copy cannot be stale.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from hashlib import sha256

from mlflow.entities import Dataset, DatasetInput, InputTag

from dynamodb_store import keys, schema
from dynamodb_store.codec import Item

Fields = list[str | None]
"""name, digest, source type, source, schema, profile."""


def fields_of(dataset: Dataset) -> Fields:
    """What of a dataset is kept."""
    return [
        dataset.name,
        dataset.digest,
        dataset.source_type,
        dataset.source,
        dataset.schema,
        dataset.profile,
    ]


def dataset_items(experiment_id: str, fields: Fields) -> list[Item]:
    """The items of a dataset: parts first and the head last, which makes them count."""
    packed = zlib.compress(json.dumps(fields).encode())
    content = sha256(packed).hexdigest()[:16]
    pk = keys.dataset(experiment_id, str(fields[0]), str(fields[1]))
    size = schema.PART_BYTES
    parts = [packed[at : at + size] for at in range(0, len(packed), size)]
    if len(parts) == 1:
        return [{"pk": pk, "sk": keys.HEAD, "doc": packed, "parts": 0, "content": content}]
    items: list[Item] = [
        {"pk": pk, "sk": f"P#{content}#{number:04d}", "doc": part}
        for number, part in enumerate(parts)
    ]
    return [*items, {"pk": pk, "sk": keys.HEAD, "parts": len(parts), "content": content}]


def fields_from(head: Item, parts: Iterable[Item]) -> Fields:
    """The dataset of a head and its parts in order."""
    packed = b"".join(item["doc"] for item in parts) if head["parts"] else head["doc"]
    fields: Fields = json.loads(zlib.decompress(packed))
    return fields


def input_value(order: int, fields: Fields, tags: list[InputTag]) -> bytes:
    """A run's use of a dataset, with the dataset itself when it is small enough."""
    pairs = [[tag.key, tag.value] for tag in tags]
    packed = zlib.compress(json.dumps([order, pairs, fields]).encode())
    if len(packed) <= schema.INLINE_DATASET_BYTES:
        return packed
    return zlib.compress(json.dumps([order, pairs, fields[:3]]).encode())


def input_parts(value: bytes) -> tuple[int, list[list[str]], Fields]:
    """Order, tags and fields of ``input_value``; only three fields when it is not all of them."""
    order, pairs, fields = json.loads(zlib.decompress(value))
    return order, pairs, fields


def input_of(value: bytes) -> tuple[int, DatasetInput]:
    """MLflow's entity and its place among the run's inputs."""
    order, pairs, fields = input_parts(value)
    name, digest, source_type, *rest = fields
    source, dataset_schema, profile = rest or (None, None, None)
    dataset = Dataset(
        name=name,
        digest=digest,
        source_type=source_type,
        source=source,
        schema=dataset_schema,
        profile=profile,
    )
    return order, DatasetInput(dataset, [InputTag(key, text) for key, text in pairs])
