"""A line of progress that a long command keeps renewing on a terminal."""

from __future__ import annotations

import sys

from gateway.clock import SystemClock

_SECONDS_ON_A_TERMINAL = 0.2
_SECONDS_ELSEWHERE = 5.0


class Progress:
    """Called with what is being done; writes to stderr, on a terminal over the last line."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._terminal = sys.stderr.isatty()
        self._every = _SECONDS_ON_A_TERMINAL if self._terminal else _SECONDS_ELSEWHERE
        self._shown = self._clock.now()
        self._length = 0

    def __call__(self, text: str) -> None:
        now = self._clock.now()
        if now - self._shown < self._every:
            return
        self._shown = now
        if self._terminal:
            print(f"\r{text:{self._length}}", end="", file=sys.stderr, flush=True)
            self._length = len(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Wipe the line."""
        if self._length:
            print(f"\r{'':{self._length}}\r", end="", file=sys.stderr, flush=True)
            self._length = 0
