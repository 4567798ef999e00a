"""All MLflow servers behind one ``request``: spreads load, steps over servers that are down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from gateway.clock import Clock, SystemClock
from gateway.settings import Upstream
from gateway.upstream.answer import UpstreamResponse
from gateway.upstream.choose import GOOD, Standing, after_failure, order
from gateway.upstream.failures import NotSent
from gateway.upstream.health import probe
from gateway.upstream.pool import UpstreamPool


@dataclass(frozen=True, slots=True)
class Gauge:
    """One server's state, for metrics and ``readyz``."""

    url: str
    healthy: bool
    in_use: int
    idle: int
    waiting: int


class Upstreams:
    """The servers of ``settings.urls``. To be made inside the running event loop.

    ``start`` checks each server once and keeps checking; ``close`` ends that and closes all
    connections.
    """

    def __init__(self, settings: Upstream, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._pools = [UpstreamPool(url, settings) for url in settings.urls]
        self._standings: list[Standing] = [GOOD] * len(self._pools)
        self._answered = [0] * len(self._pools)
        self._turn = 0
        self._checking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Learn who is healthy, then watch on in the background."""
        await self.check()
        self._checking = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Stop watching and close every connection."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
        await asyncio.gather(*(pool.close() for pool in self._pools))

    def healthy(self) -> int:
        """How many servers answered when last asked."""
        return sum(standing.healthy for standing in self._standings)

    def gauges(self) -> list[Gauge]:
        """The state of each server, in the order of the settings."""
        return [
            Gauge(pool.url, standing.healthy, pool.in_use, pool.idle, pool.waiting)
            for pool, standing in zip(self._pools, self._standings, strict=True)
        ]

    async def request(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | None = None,
        *,
        repeatable: bool,
        stream: AsyncIterator[bytes] | None = None,
        stream_length: int | None = None,
    ) -> UpstreamResponse:
        """As ``UpstreamPool.request``, on the best server; on NotSent the next one is tried.

        Anything else that fails is the caller's to judge: that server may have begun to work.
        """
        failure: NotSent | None = None
        for index in self._order():
            try:
                answer = await self._pools[index].request(
                    method,
                    target,
                    headers,
                    body,
                    repeatable=repeatable,
                    stream=stream,
                    stream_length=stream_length,
                )
            except NotSent as error:
                failure = error
                if not error.busy:
                    self._failed(index)
            else:
                if not self._standings[index].healthy:
                    self._standings[index] = GOOD
                return answer
        raise failure or NotSent("there is no upstream")

    async def check(self) -> None:
        """Ask every server for its health, all at once."""
        await asyncio.gather(*(self._check(index) for index in range(len(self._pools))))

    def _order(self) -> Sequence[int]:
        if len(self._pools) == 1:
            return (0,)
        self._turn += 1
        return order(self._standings, [pool.in_use for pool in self._pools], self._turn)

    def _failed(self, index: int) -> None:
        self._standings[index] = after_failure(self._standings[index], self._clock.monotonic())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.health_seconds)
            await self.check()

    async def _check(self, index: int) -> None:
        pool = self._pools[index]
        standing = self._standings[index]
        answered, self._answered[index] = self._answered[index], pool.answered
        if standing.healthy and pool.answered != answered:
            return  # It answers real requests; a probe would only add load.
        if await probe(pool, self._settings):
            self._standings[index] = GOOD
            self._answered[index] = pool.answered
        else:
            self._failed(index)
