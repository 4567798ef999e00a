"""Sort keys over several columns, ascending or descending, with SQL's place for NULL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import total_ordering
from typing import Any


@total_ordering
class Descending:
    """Sorts the other way around."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and bool(self.value == other.value)

    def __lt__(self, other: Descending) -> bool:
        return bool(other.value < self.value)


Column = tuple[Callable[[Any], Any], bool]
"""A value of a row, and whether it ascends."""


def by_columns(columns: Sequence[Column]) -> Callable[[Any], tuple[Any, ...]]:
    """A key for ``sorted``. None sorts below everything, as in SQLite."""

    def key(row: Any) -> tuple[Any, ...]:
        parts = []
        for column, ascending in columns:
            value = column(row)
            part = (value is not None, value if value is not None else 0)
            parts.append(part if ascending else Descending(part))
        return tuple(parts)

    return key
