"""A bounded mapping that forgets what was not used lately, in two generations.

A hit in the young generation is a single dict lookup without bookkeeping. When the young one
weighs half the limit it becomes the old one; what the former old one still held unused is
forgotten, and a hit in the old one moves back to the young.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from enum import Enum
from typing import Final, Generic, Literal, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Unknown(Enum):
    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown.UNKNOWN
"""Not cached; None is an answer of its own (there is no such record)."""

Unknown = Literal[_Unknown.UNKNOWN]


def _one(_: object) -> int:
    return 1


class Generations(Generic[K, V]):
    """Keeps values up to ``limit`` in total (by ``weigh``, by default 1 each)."""

    def __init__(self, limit: int, weigh: Callable[[V], int] = _one) -> None:
        self._half = max(1, limit // 2)
        self._weigh = weigh
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._weight = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __contains__(self, key: K) -> bool:
        return key in self._young or key in self._old

    def __iter__(self) -> Iterator[K]:
        return iter([*self._young, *self._old])

    def get(self, key: K) -> V | Unknown:
        """The value or UNKNOWN."""
        value: V | Unknown = self._young.get(key, UNKNOWN)
        if value is UNKNOWN and self._old:
            value = self._old.pop(key, UNKNOWN)
            if value is not UNKNOWN:
                self._add(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value, in place of the key's earlier one."""
        self.drop(key)
        self._add(key, value)

    def drop(self, key: K) -> None:
        """Forget a key; no error when it is not here."""
        value: V | Unknown = self._young.pop(key, UNKNOWN)
        if value is not UNKNOWN:
            self._weight -= self._weigh(value)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._young.clear()
        self._old.clear()
        self._weight = 0

    def _add(self, key: K, value: V) -> None:
        self._young[key] = value
        self._weight += self._weigh(value)
        if self._weight >= self._half:
            self._old, self._young, self._weight = self._young, {}, 0
