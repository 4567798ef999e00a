"""Reading all points of a metric of several runs: in one Query each, and large ones in slices.

A Query answers at most 1 MB (about 36,000 points) and says only then where to go on. So when there
is more, the rest is cut by time into slices that are read at once; how many tells the pace of the
first page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dynamodb_store import keys
from dynamodb_store.codec import Item
from dynamodb_store.entities.points import raw_points
from dynamodb_store.table import THREADS, Table


@dataclass
class _Reading:
    """What of one run is read, and after which sort key there is more."""

    pk: str
    pieces: list[bytes]
    first: str = ""
    after: str | None = None


@dataclass
class _Slice:
    reading: _Reading
    low: str
    high: str
    after: str | None = None


def all_points(table: Table, run_ids: Sequence[str], name: str) -> list[bytes]:
    """The points of a metric in each run, 24 bytes a point, in no order."""
    readings = table.parallel(lambda run_id: _first_page(table, run_id, name), run_ids)
    more = [one for one in readings if one.after is not None]
    if more:
        ends = table.parallel(lambda one: _end(table, one, name), more)
        each = max(1, THREADS // len(more))
        slices = [
            part
            for one, end in zip(more, ends, strict=True)
            for part in _slices(one, end, name, each)
        ]
        for part, pieces in zip(
            slices, table.parallel(lambda part: _read(table, part), slices), strict=True
        ):
            part.reading.pieces += pieces
    return [b"".join(one.pieces) for one in readings]


def _first_page(table: Table, run_id: str, name: str) -> _Reading:
    pk = keys.run(run_id)
    items, after = table.query(pk, prefix=keys.points_of(name))
    return _Reading(pk, _raw(items), items[0]["sk"] if items else "", after)


def _end(table: Table, reading: _Reading, name: str) -> str:
    items, _ = table.query(reading.pk, prefix=keys.points_of(name), reverse=True, limit=1)
    return str(items[0]["sk"]) if items else str(reading.after)


def _slices(reading: _Reading, end: str, name: str, at_most: int) -> list[_Slice]:
    """The rest of a run's points, cut at times that are even between here and the end."""
    assert reading.after is not None
    began, here, ends = map(keys.points_start, (reading.first, reading.after, end))
    pages = (ends - here) / max(1, here - began)
    count = max(1, min(at_most, int(pages + 1)))
    times = sorted({here + (ends - here) * i // count for i in range(1, count)} - {here})
    cuts = [keys.points_from(name, time) for time in times]
    lows, highs = [reading.after, *cuts], [*cuts, keys.points_end(name)]
    slices = [_Slice(reading, low, high) for low, high in zip(lows, highs, strict=True)]
    slices[0].after = reading.after
    return slices


def _read(table: Table, part: _Slice) -> list[bytes]:
    # Cuts lie between sort keys, never on one: keys go on after the timestamp.
    items = table.query_all(part.reading.pk, between=(part.low, part.high), after=part.after)
    return _raw(items)


def _raw(items: Iterable[Item]) -> list[bytes]:
    return [raw_points(item) for item in items]
