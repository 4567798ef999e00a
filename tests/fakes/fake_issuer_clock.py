"""A clock that stands still until told, and sleeps that end when it gets there."""

from __future__ import annotations

import asyncio
import time


class FakeClock:
    """Wall and monotonic time, moved by ``advance`` only."""

    def __init__(self) -> None:
        self.wall = float(int(time.time()))
        self.mono = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.sleeps: list[float] = []

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.mono += seconds
        due = [future for when, future in self._sleepers if when <= self.mono]
        self._sleepers = [pair for pair in self._sleepers if pair[0] > self.mono]
        for future in due:
            if not future.done():
                future.set_result(None)

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleeps.append(seconds)
        self._sleepers.append((self.mono + seconds, future))
        await future
