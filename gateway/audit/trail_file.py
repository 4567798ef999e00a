"""The file that audit lines are appended to, for searching. Never on the event loop."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from gateway.audit.lines import Read
from gateway.audit.search import Filters, Found, search

T = TypeVar("T")

STREAMS = frozenset({"stdout", "stderr", "off"})


class NotAFile(Exception):
    """What ``audit.to`` names cannot be read back."""


class TrailFile:
    """Searches the file that ``audit.to`` names; one search at a time in each process, so that
    nobody keeps all its threads busy."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._one = asyncio.Lock()

    async def search(
        self, filters: Filters, before: int | None, *, most: int, most_bytes: int
    ) -> Found:
        """The newest lines before an offset (None: before the end). Raises OSError, NotAFile.

        A file that was rotated meanwhile is shorter than the offset: then from its end.
        """
        look = partial(search, filters=filters, most=most, most_bytes=most_bytes)
        async with self._one:
            return await asyncio.to_thread(self._with_file, before, look)

    def _with_file(self, before: int | None, look: Callable[[Read, int], T]) -> T:
        # O_NONBLOCK: opening a pipe would wait for its other end.
        handle = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise NotAFile(self.path)
            size = status.st_size

            def read(start: int, wanted: int) -> bytes:
                return os.pread(handle, wanted, start)

            return look(read, size if before is None else min(before, size))
        finally:
            os.close(handle)
