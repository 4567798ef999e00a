"""A cache of one kind of record, filled by one store read per key however many ask.

What makes it safe beside a change feed: ``drop`` also cuts off a read that is under way, so
an answer from before the change reaches those who asked before it and is never kept. ``patch``
corrects a value without reading it again, and also corrects the answer of a read under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from typing import Generic, TypeVar

from gateway.acl.generations import UNKNOWN, Generations

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Read(Generic[V]):
    """A store read under way, and the corrections that its answer will need."""

    __slots__ = ("corrections", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[V] | None = None
        self.corrections: list[Callable[[V], V]] = []


class Shelf(Generic[K, V]):
    """Records by key; ``read`` fetches one.

    ``keep`` is asked, for an answer that no drop has cut off, whether this shelf keeps it.
    """

    def __init__(
        self,
        read: Callable[[K], Awaitable[V]],
        kept: Generations[K, V],
        *,
        keep: Callable[[K, V], bool] = lambda _key, _value: True,
    ) -> None:
        self._read = read
        self._kept = kept
        self._keep = keep
        self._reads: dict[K, _Read[V]] = {}
        self.peek = kept.get
        """The cached record or UNKNOWN (bound directly: the hot path calls it)."""

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: K) -> V:
        """The cached record, or the store's; raises what ``read`` raises."""
        value = self.peek(key)
        if value is not UNKNOWN:
            return value
        read = self._reads.get(key)
        if read is None:
            read = self._reads[key] = _Read()
            read.task = asyncio.create_task(self._fill(key, read))
            read.task.add_done_callback(_retrieve)
        assert read.task is not None
        # Shielded: who asked first may hang up while others still wait.
        return await asyncio.shield(read.task)

    def touched(self, key: K) -> bool:
        """Whether a record is cached or being read."""
        return key in self._kept or key in self._reads

    def __iter__(self) -> Iterator[K]:
        """Every key that is cached or being read, as of now."""
        return iter([*self._kept, *self._reads])

    def drop(self, key: K) -> None:
        """Forget a record and cut off a read of it that is under way."""
        self._kept.drop(key)
        self._reads.pop(key, None)

    def patch(self, key: K, correct: Callable[[V], V]) -> None:
        """Replace a record by ``correct(record)``, now or when the read under way comes back."""
        value = self.peek(key)
        if value is not UNKNOWN:
            corrected = correct(value)
            if corrected is not value:
                self._kept.put(key, corrected)
        read = self._reads.get(key)
        if read is not None:
            read.corrections.append(correct)

    def clear(self) -> None:
        """Forget everything and cut off all reads under way."""
        self._kept.clear()
        self._reads.clear()

    async def _fill(self, key: K, read: _Read[V]) -> V:
        try:
            value = await self._read(key)
            for correct in read.corrections:
                value = correct(value)
            if self._reads.get(key) is read and self._keep(key, value):
                self._kept.put(key, value)
            return value
        finally:
            if self._reads.get(key) is read:
                del self._reads[key]


def _retrieve(task: asyncio.Task[V]) -> None:
    """A failed read whose askers all hung up is nobody's error."""
    if not task.cancelled():
        task.exception()
