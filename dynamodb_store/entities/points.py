"""Points of a metric as 24 bytes each: step, timestamp, value; every bit of each is kept."""

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

_POINT = struct.Struct(">qqd")
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

    @property
    def sampling(self) -> tuple[int, int, float, bool]:
        """The order in which MLflow samples points for charts."""
        return (*self.recency, math.isnan(self.value))

    def metric(self, name: str) -> Metric:
        """The point as MLflow's entity."""
        return Metric(key=name, value=self.value, timestamp=self.timestamp, step=self.step)


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
    """The points of ``pack``."""
    return map(Point._make, _POINT.iter_unpack(packed))


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


def chunk_start(item: Item) -> int:
    """The first timestamp of a chunk's points; chunks lie in this order."""
    return _POINT.unpack_from(item["points"])[1]  # type: ignore[no-any-return]
