"""Spans as items: chunks in the trace's partition, and their columns in the experiment's list.

A chunk holds what one ``log_spans`` brought, compressed; its key is the hash of it, so that the
client's repeat overwrites itself. ``seq`` is the revision of the trace that it was written with:
of two chunks that hold the same span, the later one counts.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from mlflow.entities import Span
from mlflow.store.tracking.utils.trace_analytics import (
    bounded_model_dimension,
    finite_float_or_none,
)
from mlflow.tracing.constant import SpanAttributeKey
from mlflow.tracing.utils import TraceJSONEncoder

from dynamodb_store import keys, schema
from dynamodb_store.codec import Item

_KINDS, _KIND_BYTES = 40, 2000


class SpanRow(NamedTuple):
    """One span with the columns that MLflow's SQL store has for it; ``content`` is all of it."""

    span_id: str
    parent_id: str | None
    name: str
    type: str | None
    status: str
    start_ns: int
    end_ns: int | None
    input_cost: float | None
    output_cost: float | None
    total_cost: float | None
    model_name: str | None
    model_provider: str | None
    content: str = ""


def row_of(span: Span, fields: dict[str, Any]) -> SpanRow:
    """The row of a span; ``fields`` is its dictionary as MLflow stores it."""
    attributes = fields.get("attributes", {})
    cost: Any = {}
    if text := attributes.get(SpanAttributeKey.LLM_COST):
        try:
            cost = json.loads(text)
        except (TypeError, ValueError):
            cost = {}
    cost = cost if isinstance(cost, dict) else {}
    return SpanRow(
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=span.name,
        type=span.span_type,
        status=span.status.status_code.value,
        start_ns=span.start_time_ns,
        end_ns=span.end_time_ns,
        input_cost=finite_float_or_none(cost.get("input_cost")),
        output_cost=finite_float_or_none(cost.get("output_cost")),
        total_cost=finite_float_or_none(cost.get("total_cost")),
        model_name=bounded_model_dimension(plain_text(attributes.get(SpanAttributeKey.MODEL))),
        model_provider=bounded_model_dimension(
            plain_text(attributes.get(SpanAttributeKey.MODEL_PROVIDER))
        ),
        content=json.dumps(fields, cls=TraceJSONEncoder, ensure_ascii=False),
    )


def plain_text(value: Any) -> Any:
    """The text inside a JSON string, or the value as it is."""
    try:
        parsed = json.loads(value)
    except (json.JSONDecodeError, TypeError):
        return value
    return parsed if isinstance(parsed, str) else value


def chunk_items(pk: str, rows: Sequence[SpanRow], sequence: int) -> tuple[Item, list[Item]]:
    """The chunk, which makes them count, and parts to be written before it."""
    packed = _compress(rows)
    content = sha256(packed).hexdigest()[:32]
    item: Item = {"pk": pk, "sk": keys.chunk(content), "seq": sequence}
    if len(packed) <= schema.SPANS_INLINE_BYTES:
        return {**item, "doc": packed}, []
    size = schema.PART_BYTES
    parts: list[Item] = [
        {"pk": pk, "sk": keys.chunk_part(content, number), "doc": packed[at : at + size]}
        for number, at in enumerate(range(0, len(packed), size))
    ]
    return {**item, "parts": len(parts)}, parts


def rows_from(items: Iterable[Item]) -> dict[str, SpanRow]:
    """The spans of a trace by id, from all items of its partition."""
    chunks: list[Item] = []
    parts: dict[str, list[bytes]] = {}
    for item in items:
        if item["sk"].startswith(keys.CHUNKS):
            chunks.append(item)
        elif item["sk"].startswith(keys.PARTS):
            parts.setdefault(item["sk"].split("#")[1], []).append(item["doc"])
    found: dict[str, SpanRow] = {}
    for chunk in sorted(chunks, key=lambda item: int(item["seq"])):
        packed = chunk.get("doc")
        if packed is None:
            some = parts.get(chunk["sk"].removeprefix(keys.CHUNKS), [])
            if len(some) < chunk["parts"]:  # its trace is being deleted
                continue
            packed = b"".join(some)
        found |= {row.span_id: row for row in unpack(packed)}
    return found


def columns_item(key: keys.Key, trace_id: str, rows: Iterable[SpanRow]) -> Item:
    """The entry of a trace in the list of spans: all rows without contents, or a pointer."""
    item: Item = {"pk": key[0], "sk": key[1], "trace": trace_id}
    packed = _compress(row[:-1] for row in rows)
    if len(packed) <= schema.SPAN_LIST_BYTES:
        item[schema.DIGEST] = packed
    return item


def unpack(packed: bytes) -> Iterator[SpanRow]:
    """The rows of a chunk, or of an entry in the list of spans (then without contents)."""
    rows = json.loads(zlib.decompress(packed).decode("utf-8", "surrogatepass"))
    return (SpanRow(*row) for row in rows)


def kinds_of(rows: Iterable[SpanRow]) -> str:
    """Each name, type and status of the spans with its latest start, as JSON; null if many."""
    kinds: dict[tuple[str, str | None, str], int] = {}
    for row in rows:
        kind = (row.name, row.type, row.status)
        kinds[kind] = max(kinds.get(kind, row.start_ns), row.start_ns)
    text = json.dumps([[*kind, start] for kind, start in kinds.items()])
    return text if len(kinds) <= _KINDS and len(text) <= _KIND_BYTES else "null"


def latest_start(rows: Iterable[SpanRow]) -> int:
    """The start of the latest span in milliseconds."""
    return max(row.start_ns for row in rows) // 1_000_000


def _compress(rows: Iterable[Sequence[Any]]) -> bytes:
    text = json.dumps(list(rows), ensure_ascii=False, separators=(",", ":"))
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 6)
