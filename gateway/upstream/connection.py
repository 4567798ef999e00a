"""One connection to MLflow: writes a request, reads its answer, one exchange at a time.

The transport's callbacks drive everything, so that a small exchange costs one write, one read
and one wake-up of the waiting task. The pool owns connections and decides about reuse in time;
the connection decides whether it is fit for reuse at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

from gateway.errors import BadRequest
from gateway.upstream.answer import UpstreamResponse
from gateway.upstream.failures import Cut, CutBody, Garbled, UpstreamFailure
from gateway.upstream.framing import AnswerParser

WHOLE = 64 * 1024
"""Answers of a known length up to this are handed over whole: one wake-up instead of two."""

READ_AHEAD = 256 * 1024
"""Body bytes buffered for a slow reader before the socket is left alone (plus one read)."""

_JOIN = 64 * 1024


class Connection(asyncio.Protocol):
    """``idle_since`` and ``waiting_since`` are times of the loop; 0.0 means "not so now"."""

    __slots__ = (
        "_can_write",
        "_future",
        "_loop",
        "_lost",
        "_on_free",
        "_on_lost",
        "_parser",
        "_paused",
        "_response",
        "_reused",
        "_sender",
        "_transport",
        "busy",
        "idle_since",
        "waiting_since",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_free: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self._loop = loop
        self._on_free = on_free
        self._on_lost = on_lost
        self._parser = AnswerParser()
        self._transport: asyncio.Transport | None = None
        self._future: asyncio.Future[UpstreamResponse] | None = None
        self._response: UpstreamResponse | None = None
        self._sender: asyncio.Task[None] | None = None
        self._can_write: asyncio.Future[None] | None = None
        self._paused = False
        self._reused = False
        self._lost = False
        self.busy = False
        self.idle_since = 0.0
        self.waiting_since = 0.0

    @property
    def usable(self) -> bool:
        """Whether a request may be started on it."""
        transport = self._transport
        return not (self._lost or self.busy or transport is None or transport.is_closing())

    def fileno(self) -> int:
        """The socket's descriptor, or -1."""
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        return -1 if sock is None else int(sock.fileno())

    # One exchange:

    def start(
        self, head: bytes, body: bytes | None, *, is_head: bool
    ) -> asyncio.Future[UpstreamResponse]:
        """Send a request whose body is at hand; the future gives the answer or raises Cut."""
        future = self._begin(is_head)
        transport = self._transport
        assert transport is not None
        if not body:
            transport.write(head)
        elif len(body) <= _JOIN:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        self.waiting_since = self._loop.time()
        return future

    def start_stream(
        self, head: bytes, stream: AsyncIterator[bytes], length: int | None
    ) -> asyncio.Future[UpstreamResponse]:
        """Send a request whose body comes from ``stream``, chunked when ``length`` is None.

        The future also raises what ``stream`` raises, and BadRequest when it is short.
        """
        future = self._begin(is_head=False)
        transport = self._transport
        assert transport is not None
        transport.write(head)
        if length == 0:
            self.waiting_since = self._loop.time()
        else:
            self._sender = self._loop.create_task(self._send(stream, length))
            self._sender.add_done_callback(self._sender_ended)
        return future

    def abort(self) -> None:
        """Close the socket at once, whatever is under way."""
        self._fail("aborted by the gateway")

    def cancel(self, future: asyncio.Future[UpstreamResponse]) -> None:
        """Abort the exchange that ``start`` gave ``future`` for, unless it is over already.

        Once it is over, the connection may serve somebody else.
        """
        if self._future is future:
            self.abort()

    def check(self, now: float, answer_seconds: float) -> None:
        """Give up when the upstream has kept us waiting longer than ``answer_seconds``."""
        if self.waiting_since and now - self.waiting_since > answer_seconds:
            self._fail(f"nothing came for {answer_seconds:g} seconds")

    def consumed(self) -> None:
        """The reader has emptied the buffer: read on."""
        self._parser.size = 0
        if self._paused:
            self._resume_reading()
            self.waiting_since = self._loop.time()

    # Called by the transport:

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self.busy:
            self._drop()
            return
        parser = self._parser
        try:
            parser.feed(data)
        except Garbled as failure:
            self._fail(failure)
            return
        if self.waiting_since:
            self.waiting_since = self._loop.time()
        if not parser.head_done:
            return
        response = self._response
        if response is None:
            length = parser.content_length
            if parser.done or length is None or length > WHOLE:
                response = self._deliver()
            if parser.status >= 300 and self._sender is not None:
                # An early refusal: the rest of the body is not wanted. The transport's own
                # buffer is left to drain, which gives the server a chance to end politely.
                self._stop_sending(parser)
        if parser.done:
            self._finish()
        elif response is not None:
            response.arrived()
            if parser.size > READ_AHEAD:
                self._pause_reading()

    def eof_received(self) -> None:
        self._ended("closed by MLflow")

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._ended("closed by MLflow")
        else:
            self._fail(f"{type(exc).__name__}: {exc}")
        self._drop()
        self._parser.release()

    def pause_writing(self) -> None:
        self._can_write = self._loop.create_future()
        if self._sender is not None:
            # It is MLflow that we wait for now, not the sender of the body.
            self.waiting_since = self._loop.time()

    def resume_writing(self) -> None:
        waiter, self._can_write = self._can_write, None
        if self._sender is not None:
            self.waiting_since = 0.0
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # Inside:

    def _begin(self, is_head: bool) -> asyncio.Future[UpstreamResponse]:
        self._parser.begin(is_head=is_head)
        self.busy = True
        future = self._future = self._loop.create_future()
        return future

    async def _send(self, stream: AsyncIterator[bytes], length: int | None) -> None:
        transport = self._transport
        assert transport is not None
        sent = 0
        async for chunk in stream:
            if not chunk:
                continue
            sent += len(chunk)
            if length is None:
                transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            elif sent > length:
                raise BadRequest("The body of this request is longer than its Content-Length.")
            else:
                transport.write(chunk)
            if self._can_write is not None:
                await self._can_write
            if sent == length:
                break
        if length is None:
            transport.write(b"0\r\n\r\n")
        elif sent < length:
            raise BadRequest("The body of this request is shorter than its Content-Length.")
        # Not in the done callback: by then a fast answer may have come.
        self._sender = None
        self.waiting_since = self._loop.time()

    def _sender_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and self._sender is task:
            self._sender = None
            if self._future is not None and not self._future.done():
                self._future.set_exception(error)
            self._fail(f"the request's body ended with {type(error).__name__}")

    def _stop_sending(self, parser: AnswerParser) -> None:
        parser.keep_alive = False
        if self._sender is not None:
            sender, self._sender = self._sender, None
            sender.cancel()
            self.waiting_since = self._loop.time()

    def _deliver(self) -> UpstreamResponse:
        parser = self._parser
        response = self._response = UpstreamResponse(
            self, parser.status, parser.reason, parser.headers, parser.content_length, parser.chunks
        )
        if self._future is not None and not self._future.done():
            self._future.set_result(response)
        return response

    def _finish(self) -> None:
        """The answer is whole."""
        parser, transport, response = self._parser, self._transport, self._response
        assert transport is not None
        self._stop_sending_if_unsent()
        self.busy = False
        self.waiting_since = 0.0
        self._future = self._response = None
        if response is not None:
            response.end(None)
        if (
            parser.keep_alive
            and not parser.extra
            and not self._lost
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        ):
            if self._paused:
                self._resume_reading()
            self._reused = True
            self.idle_since = self._loop.time()
            self._on_free(self)
        else:
            self._drop()

    def _stop_sending_if_unsent(self) -> None:
        if self._sender is not None:
            self._stop_sending(self._parser)

    def _ended(self, why: str) -> None:
        """The peer has closed its side in good order."""
        if self.busy and self._parser.eof():
            if self._response is None:
                self._deliver()
            self._finish()
        else:
            self._fail(why)

    def _fail(self, why: str | UpstreamFailure) -> None:
        """The exchange, if there is one, is over without a whole answer."""
        if self.busy:
            self.busy = False
            self.waiting_since = 0.0
            self._stop_sending_if_unsent()
            future, self._future = self._future, None
            response, self._response = self._response, None
            failure = self._failure(why)
            if response is not None:
                response.end(failure)
            elif future is not None and not future.done():
                future.set_exception(failure)
        self._drop()

    def _failure(self, why: str | UpstreamFailure) -> UpstreamFailure:
        if isinstance(why, UpstreamFailure):
            return why
        if self._parser.head_done:
            return CutBody(why)
        return Cut(why, stale=self._reused and not self._parser.began)

    def _drop(self) -> None:
        """Close the socket and tell the pool, once."""
        if not self._lost:
            self._lost = True
            if self._transport is not None:
                self._transport.abort()
            self._on_lost(self)

    def _pause_reading(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self.waiting_since = 0.0
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        self._paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
