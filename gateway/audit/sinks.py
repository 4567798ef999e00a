"""Where audit lines go. A line that cannot be written is counted and said once, never hidden."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import IO, Any, Protocol

import orjson

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Takes events. Must not block for long and must not raise."""

    def write(self, event: dict[str, Any]) -> None:
        """Write one event as one line."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...


class StreamSink:
    """JSON lines to an open binary stream, flushed per line."""

    def __init__(self, stream: IO[bytes], lost: Callable[[], None], *, owned: bool = False) -> None:
        self._stream = stream
        self._lost = lost
        self._owned = owned
        self._complained = False

    def write(self, event: dict[str, Any]) -> None:
        """Write one line; a full disk is counted (``mlgate_audit_lost_total``) and logged once."""
        try:
            self._stream.write(orjson.dumps(event) + b"\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._lost()
            if not self._complained:
                self._complained = True
                log.error("audit lines are being lost: %s", error)

    def close(self) -> None:
        """Close the stream when it is ours."""
        if self._owned:
            self._stream.close()


class NoSink:
    """``audit.to: off``."""

    def write(self, event: dict[str, Any]) -> None:
        """Write nothing."""

    def close(self) -> None:
        """Nothing to close."""


def open_sink(to: str, lost: Callable[[], None]) -> Sink:
    """The sink that ``audit.to`` names: ``stdout``, ``stderr``, ``off`` or a file to append to.

    Raises OSError when the file cannot be opened. Lines are appended unbuffered, so several
    worker processes may share one file.
    """
    if to == "off":
        return NoSink()
    if to in ("stdout", "stderr"):
        return StreamSink(getattr(sys, to).buffer, lost)
    return StreamSink(open(to, "ab", buffering=0), lost, owned=True)  # noqa: SIM115
