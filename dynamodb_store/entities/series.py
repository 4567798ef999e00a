"""The points of a metric as columns: a million of them are put in order in half a second.

MLflow's two orders (history and sampling) and its sampling for charts, without an object for each
point until it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dynamodb_store.entities.points import Point

_ROW = np.dtype([("step", ">i8"), ("timestamp", ">i8"), ("value", ">f8")])
Rows = NDArray[np.int64]


class Series:
    """Distinct points, equal when all their bits are; in no order until one is asked for."""

    def __init__(self, raw: bytes) -> None:
        rows = np.frombuffer(raw, _ROW)
        self.step = rows["step"].astype(np.int64)
        self.timestamp = rows["timestamp"].astype(np.int64)
        self.value = rows["value"].astype(np.float64)

    def __len__(self) -> int:
        return len(self.step)

    def _only(self, rows: Rows | NDArray[np.bool_]) -> Series:
        chosen = object.__new__(Series)
        chosen.step, chosen.timestamp = self.step[rows], self.timestamp[rows]
        chosen.value = self.value[rows]
        return chosen

    @property
    def _bits(self) -> Rows:
        return self.value.view(np.int64)

    @property
    def _number(self) -> NDArray[np.float64]:
        """NaN counts as 0, as MLflow's SQL store keeps it."""
        return np.where(np.isnan(self.value), 0.0, self.value)

    def in_history_order(self) -> Series:
        """By timestamp, step, value; each point once."""
        return self._sorted((self._bits, self._number, self.step, self.timestamp))

    def in_sampling_order(self) -> Series:
        """By step, timestamp, value, NaN after 0; each point once."""
        nan = np.isnan(self.value)
        return self._sorted((self._bits, nan, self._number, self.timestamp, self.step))

    def _sorted(self, columns: tuple[NDArray[np.generic], ...]) -> Series:
        ordered = self._only(np.lexsort(columns))
        if len(ordered) < 2:
            return ordered
        new = np.ones(len(ordered), np.bool_)
        new[1:] = (
            (np.diff(ordered.step) != 0)
            | (np.diff(ordered.timestamp) != 0)
            | (ordered._bits[1:] != ordered._bits[:-1])
        )
        return ordered if new.all() else ordered._only(new)

    def after(self, last: Point) -> Series:
        """The points that follow ``last`` in history order."""
        return self._only(self.are_after(last))

    def are_after(self, last: Point) -> NDArray[np.bool_]:
        """Which points follow ``last`` in history order."""
        other = Series.of([last])
        later: NDArray[np.bool_] = self._bits > other._bits
        for mine, its in (
            (self._number, other._number),
            (self.step, other.step),
            (self.timestamp, other.timestamp),
        ):
            later = (mine > its) | ((mine == its) & later)
        return later

    def before(self, timestamp: int) -> int:
        """How many points are before a timestamp."""
        return int(np.count_nonzero(self.timestamp < timestamp))

    def in_steps(self, first: int, last: int) -> Series:
        """The points from one step to another, both included."""
        return self._only((self.step >= first) & (self.step <= last))

    def at_steps(self, steps: Iterable[int]) -> Series:
        """The points of some steps."""
        return self._only(
            np.isin(
                self.step,
                np.array([one for one in set(steps) if -(2**63) <= one < 2**63], np.int64),
            )
        )

    def max_step(self) -> int:
        """The largest step, 0 without points."""
        return int(self.step.max()) if len(self) else 0

    def points(self, first: int = 0, last: int | None = None) -> list[Point]:
        """The points from one place to another, in the present order."""
        part = slice(first, last)
        columns = (self.step[part], self.timestamp[part], self.value[part])
        return list(map(Point._make, zip(*(one.tolist() for one in columns), strict=True)))

    def sampled(self, at_most: int) -> list[Point]:
        """At most so many points: the first of each of as many even groups, and the last of all.

        The groups are SQL's NTILE, which MLflow's SQL store uses: the first are larger by one.
        """
        ordered = self.in_sampling_order()
        size, larger = divmod(len(ordered), at_most)
        groups = min(at_most, len(ordered))
        places = [number * size + min(number, larger) for number in range(groups)]
        if places and places[-1] != len(ordered) - 1:
            if len(places) >= at_most:
                places.pop()
            places.append(len(ordered) - 1)
        return ordered._only(np.array(places, np.int64)).points()

    @classmethod
    def of(cls, points: Iterable[Point]) -> Series:
        """These points."""
        return cls(np.array([tuple(point) for point in points], _ROW).tobytes())
