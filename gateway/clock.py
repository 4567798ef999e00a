"""The one place that reads the time, so that tests can inject another clock."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for what is written down, monotonic time for what expires in memory."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        ...


class SystemClock:
    """The machine's clock; builtins, because every request asks it several times."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
