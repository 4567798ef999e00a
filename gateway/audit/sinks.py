"""Where audit lines go. A line that cannot be written is counted and said once, never hidden."""

from __future__ import annotations

import asyncio
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
    """JSON lines to an open binary stream.

    The lines of one turn of the event loop are written together; a line is on its way before
    the loop waits for anything.
    """

    def __init__(self, stream: IO[bytes], lost: Callable[[], None], *, owned: bool = False) -> None:
        self._stream = stream
        self._lost = lost
        self._owned = owned
        self._complained = False
        self._lines: list[bytes] = []

    def write(self, event: dict[str, Any]) -> None:
        """Write one line, at the latest when the event loop has done this turn's work."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._flush)
        self._lines.append(orjson.dumps(event))

    def _flush(self) -> None:
        """A full disk is counted (``mlgate_audit_lost_total``) and logged once."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        lines.append(b"")
        try:
            rest = memoryview(b"\n".join(lines))
            while rest:
                # An unbuffered file may take a part only.
                taken = self._stream.write(rest)
                if not taken:
                    raise OSError("nothing could be written")
                rest = rest[taken:]
            self._stream.flush()
        except (OSError, ValueError) as error:
            for _ in lines[1:]:
                self._lost()
            if not self._complained:
                self._complained = True
                log.error("audit lines are being lost: %s", error)

    def close(self) -> None:
        """Write what is left; close the stream when it is ours."""
        self._flush()
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
    return StreamSink(open(to, "ab", buffering=0), lost, owned=True)
