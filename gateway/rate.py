"""A token bucket per principal: one caller cannot starve the others."""

from __future__ import annotations

import math

from gateway.clock import Clock
from gateway.errors import TooManyRequests
from gateway.settings import Limits

_MOST_CALLERS = 50_000


class RateLimit:
    """``limits.requests_per_second`` for each principal, with ``limits.burst`` at once.

    0 requests per second: no limit, no work.
    """

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._rate = limits.requests_per_second
        self.limits = self._rate > 0
        """Whether there is any limit."""
        self._burst = float(max(limits.burst, 1))
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, principal: str) -> None:
        """Count one request; raises TooManyRequests with the seconds to wait."""
        if not self._rate:
            return
        now = self._clock.monotonic()
        tokens, then = self._buckets.pop(principal, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        if len(self._buckets) >= _MOST_CALLERS:
            del self._buckets[next(iter(self._buckets))]
        if tokens < 1.0:
            self._buckets[principal] = (tokens, now)
            wait = max(1, math.ceil((1.0 - tokens) / self._rate))
            raise TooManyRequests(
                f"{principal} sends more than {self._rate:g} requests a second; slow down.",
                retry_after=wait,
            )
        self._buckets[principal] = (tokens - 1.0, now)
