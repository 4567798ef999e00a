"""Points of a metric as 24 bytes each: step, timestamp, value; every bit of each is kept.

Many points of one call are a *chunk*, an item with up to 4,096 of them. Points that come a few at
a time gather in the metric's *tail*, an item whose points are a set: adding one again changes
nothing. The run's document holds a metric's latest point and which tail is open, so a writer that
has read the document need not read the tail.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from dynamodb_store import keys, schema
from dynamodb_store.codec import Item
from dynamodb_store.table import Action

POINT_BYTES = 24
_POINT = struct.Struct(">qqd")
_TAIL = struct.Struct(">qIB")
_NAN = float("nan")


class Point(NamedTuple):
    """One logged value. NaN is one value here, as it is in MLflow's SQL store."""

    step: int
    timestamp: int
    value: float

    @property
    def recency(self) -> tuple[int, int, float]:
        """By which MLflow calls one point of a metric later than another (NaN counts as 0)."""
        return (self.step, self.timestamp, 0.0 if math.isnan(self.value) else self.value)

    @property
    def history(self) -> tuple[int, int, float]:
        """The order of MLflow's metric history."""
        return (self.timestamp, self.step, 0.0 if math.isnan(self.value) else self.value)

    def metric(self, name: str) -> Metric:
        """The point as MLflow's entity."""
        return Metric(key=name, value=self.value, timestamp=self.timestamp, step=self.step)


class Tail(NamedTuple):
    """The open tail of a metric: no point before ``start``; ``held`` may count repeats twice."""

    start: int
    number: int
    held: int


def point_of(metric: Metric) -> Point:
    """The point of a validated metric. Raises MlflowException when it exceeds 64 bits."""
    value = float(metric.value)
    point = Point(int(metric.step or 0), int(metric.timestamp), value if value == value else _NAN)
    if not all(-(2**63) <= number < 2**63 for number in point[:2]):
        raise MlflowException.invalid_parameter_value(
            f"Step and timestamp of metric '{metric.key}' must be 64-bit integers."
        )
    return point


def pack(points: Iterable[Point]) -> bytes:
    """Points as bytes, in order."""
    return b"".join(_POINT.pack(*point) for point in points)


def unpack(packed: bytes) -> Iterator[Point]:
    """The points of ``pack``, or the latest one in ``latest_value``."""
    whole = len(packed) // POINT_BYTES * POINT_BYTES
    return map(Point._make, _POINT.iter_unpack(packed[:whole]))


def latest_value(point: Point, tail: Tail | None) -> bytes:
    """What the run's document holds of a metric."""
    return _POINT.pack(*point) + (b"" if tail is None else _TAIL.pack(*tail))


def latest_of(value: bytes) -> Point:
    """The latest point in ``latest_value``."""
    return Point._make(_POINT.unpack_from(value))


def tail_of(value: bytes) -> Tail | None:
    """The open tail in ``latest_value``."""
    return Tail._make(_TAIL.unpack_from(value, POINT_BYTES)) if len(value) > POINT_BYTES else None


def chunk_items(pk: str, name: str, points: Iterable[Point]) -> list[Item]:
    """The items of one metric's points; the same points give the same items."""
    distinct = {pack([point]): point for point in points}
    ordered = sorted(distinct.values(), key=lambda point: point.history)
    size = schema.POINTS_PER_CHUNK
    return [_chunk(pk, name, ordered[at : at + size]) for at in range(0, len(ordered), size)]


def _chunk(pk: str, name: str, points: Sequence[Point]) -> Item:
    packed = pack(points)
    content = sha256(packed).hexdigest()[:16]
    return {"pk": pk, "sk": keys.points(name, points[0].timestamp, content), "points": packed}


def appended(
    pk: str, name: str, points: Iterable[Point], tail: Tail | None
) -> tuple[Tail, Action] | None:
    """The write that adds a few points to the metric's tail, and the tail then; or None.

    A new tail is begun when they do not fit, or when one of them is before the tail's start.
    """
    distinct = frozenset(pack([point]) for point in points)
    if len(distinct) > schema.POINTS_PER_TAIL:
        return None
    start = min(point.timestamp for point in points)
    if tail is None:
        tail = Tail(start, 0, 0)
    elif start < tail.start or tail.held + len(distinct) > schema.POINTS_PER_TAIL:
        tail = Tail(start, tail.number + 1, 0)
    tail = tail._replace(held=tail.held + len(distinct))
    add = {
        "Key": (pk, keys.tail(name, tail.start, tail.number)),
        "UpdateExpression": "ADD few :new",
        "ExpressionAttributeValues": {":new": distinct},
    }
    return tail, ("Update", add)


def raw_points(item: Item) -> bytes:
    """The points of a chunk or a tail, in any order."""
    return b"".join(item["few"]) if "few" in item else bytes(item["points"])
