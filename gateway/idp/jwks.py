"""Keeps the keys of one issuer: fetched before they are needed, kept while the issuer is down.

An unknown key id (the issuer rotated) causes one fetch that all waiting requests share. Only
fruitless fetches are rationed, one an interval, so that invented key ids cannot stampede the
issuer while real rotations, however quick, are followed at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from gateway.clock import Clock
from gateway.errors import Unauthenticated, Unavailable
from gateway.idp.keys import KeySet, VerificationKey

log = logging.getLogger(__name__)

REFRESH_SECONDS = 600.0
"""How old keys may grow while nobody asks for an unknown one."""
INTERVAL_SECONDS = 10.0
"""At most one fruitless fetch in this time."""
FIRST_INTERVAL_SECONDS = 1.0
"""The same while there are no keys at all: everybody waits for them."""
ABSENT_SECONDS = 60.0
"""How long a key id that the issuer was found not to have is not asked for again."""
MAX_ABSENT = 10_000
MAX_BACKOFF_SECONDS = 60.0

Fetch = Callable[[], Awaitable[KeySet]]


class FetchFailed(Exception):
    """The issuer gave no usable keys; the text says why, for the log and for readiness."""


class KeyCache:
    """The keys of one issuer. ``fetch`` gets them and raises FetchFailed when it cannot."""

    def __init__(
        self,
        name: str,
        fetch: Fetch,
        clock: Clock,
        *,
        refresh_seconds: float = REFRESH_SECONDS,
        interval_seconds: float = INTERVAL_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = name
        self._fetch = fetch
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._interval = interval_seconds
        self._sleep = sleep
        self._keys: KeySet | None = None
        self._flight: asyncio.Task[bool] | None = None
        self._background: asyncio.Task[None] | None = None
        self._absent: OrderedDict[str, float] = OrderedDict()
        self._not_before = float("-inf")
        self.problem = "the keys were not fetched yet"
        """Why the last fetch failed; empty after one that worked."""

    @property
    def ready(self) -> bool:
        """Whether keys are known, fresh or kept."""
        return self._keys is not None

    def start(self) -> None:
        """Begin to fetch in the background; returns at once."""
        if self._background is None:
            self._background = asyncio.create_task(self._keep_fresh())

    async def stop(self) -> None:
        """End the background work and any fetch under way."""
        tasks = [task for task in (self._background, self._flight) if task is not None]
        self._background = self._flight = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def key(self, kid: str | None, algorithm: str) -> VerificationKey:
        """The one key for a token's header.

        Raises Unavailable while the issuer's keys were never fetched, Unauthenticated when the
        issuer has no such key or several that fit.
        """
        keys = self._keys
        if keys is None or not keys.has(kid):
            keys = await self._ask_again(kid)
        key = keys.find(kid, algorithm)
        if key is None:
            raise Unauthenticated(
                "The token's key or algorithm is not one of its issuer's; sign in again.",
                detail=f"{self._name}: no single key for kid={kid!r} alg={algorithm!r}",
            )
        return key

    async def _ask_again(self, kid: str | None) -> KeySet:
        if self._flight is not None:
            await self._refresh()
        # Again where that did not find it: it may have read the keys before this one was
        # published, and says nothing of it then.
        if not self._has(kid) and self._may_ask(kid):
            await self._refresh()
            if self._keys is not None and not self._has(kid):
                self._ration(kid)
        if self._keys is None:
            raise Unavailable(
                "The identity provider's keys are not known yet; try again shortly.",
                detail=f"{self._name}: {self.problem}",
            )
        return self._keys

    def _has(self, kid: str | None) -> bool:
        return self._keys is not None and self._keys.has(kid)

    def _may_ask(self, kid: str | None) -> bool:
        now = self._clock.monotonic()
        absent_until = self._absent.get(kid or "", float("-inf"))
        return now >= self._not_before and now >= absent_until

    def _ration(self, kid: str | None) -> None:
        now = self._clock.monotonic()
        self._not_before = now + self._interval
        if kid is not None:
            self._absent[kid] = now + ABSENT_SECONDS
            self._absent.move_to_end(kid)
            while len(self._absent) > MAX_ABSENT:
                self._absent.popitem(last=False)

    async def _refresh(self) -> bool:
        """Fetch once for everybody who waits; whether it worked."""
        if self._flight is None:
            self._flight = asyncio.create_task(self._fetch_once())
        # Shielded: a caller that goes away must not take the others' fetch with it.
        return await asyncio.shield(self._flight)

    async def _fetch_once(self) -> bool:
        try:
            self._keys = await self._fetch()
        except FetchFailed as failure:
            self._failed(failure)
            return False
        else:
            if self.problem:
                log.info("identity provider %s: keys fetched", self._name)
            self.problem = ""
            return True
        finally:
            self._flight = None

    def _failed(self, failure: FetchFailed) -> None:
        wait = FIRST_INTERVAL_SECONDS if self._keys is None else self._interval
        self._not_before = self._clock.monotonic() + min(wait, self._interval)
        self.problem = str(failure)
        kept = "keeping the keys known so far" if self._keys else "no keys yet, retrying"
        log.warning("identity provider %s: %s; %s", self._name, failure, kept)

    async def _keep_fresh(self) -> None:
        backoff = 1.0
        while True:
            if await self._refresh():
                backoff = 1.0
                await self._sleep(self._refresh_seconds)
            else:
                await self._sleep(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)
