"""One answer of MLflow, whole or still arriving, as the proxy sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from gateway.upstream.failures import AnswerTooLarge, CutBody, UpstreamFailure


class Source(Protocol):
    """Where the body comes from: the connection, as far as a reader needs it."""

    def consumed(self) -> None:
        """The reader has taken what was buffered; more may come."""
        ...

    def abort(self) -> None:
        """Close the socket at once."""
        ...


class UpstreamResponse:
    """Status, headers (raw, in order) and body of one answer.

    The body is read once, by ``body_if_complete``, ``read`` or ``chunks``. Whoever holds a
    response calls ``release`` in a ``finally``: a body that was not read to its end closes the
    connection, a complete one has already gone back to the pool.
    ``content_length`` is what the header says, also for HEAD, where no body follows.
    """

    __slots__ = (
        "_chunks", "_complete", "_failure", "_source", "_taken", "_waiter", "content_length",
        "headers", "reason", "status",
    )  # fmt: skip

    def __init__(
        self,
        source: Source,
        status: int,
        reason: bytes,
        headers: list[tuple[bytes, bytes]],
        content_length: int | None,
        chunks: list[bytes],
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.content_length = content_length
        self._chunks = chunks
        self._source: Source | None = source
        self._complete = False
        self._taken = False
        self._failure: UpstreamFailure | None = None
        self._waiter: asyncio.Future[None] | None = None

    def body_if_complete(self) -> bytes | None:
        """The whole body when it is already here and unread; otherwise None."""
        if not self._complete or self._taken:
            return None
        return b"".join(self._chunks)

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises AnswerTooLarge over ``limit`` bytes, CutBody when cut."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                self.release()
                raise AnswerTooLarge(f"more than {limit} bytes")
            parts.append(chunk)
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises CutBody, after all that came, when it was cut."""
        while True:
            if self._chunks:
                data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
                self._chunks.clear()
                self._taken = True
                if self._source is not None:
                    self._source.consumed()
                yield data
            elif self._failure is not None:
                raise self._failure
            elif self._complete:
                return
            else:
                self._waiter = asyncio.get_running_loop().create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None

    def release(self) -> None:
        """The reader is done: an unfinished answer closes its connection."""
        if self._source is not None:
            self._source.abort()

    abort = release

    # Called by the connection:

    def arrived(self) -> None:
        """Bytes were appended to the chunks."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self, failure: UpstreamFailure | None) -> None:
        """No more will come: whole when ``failure`` is None."""
        self._source = None
        self._complete = failure is None
        if isinstance(failure, CutBody) or failure is None:
            self._failure = failure
        else:
            self._failure = CutBody(str(failure))
        self.arrived()
