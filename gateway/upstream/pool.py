"""The kept-alive connections to one MLflow server, shared by all requests of this process.

Bounded in number with a fair queue, most recently used first; idle ones are closed before
MLflow's uvicorn closes them (its keep-alive is 5 s). A connection that MLflow closed at the
very moment of reuse costs a repeatable request one retry, which nobody sees.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

from gateway.errors import BadRequest
from gateway.settings import Upstream
from gateway.upstream.answer import UpstreamResponse
from gateway.upstream.connection import Connection
from gateway.upstream.failures import Cut, NotSent
from gateway.upstream.head import HeadWriter

QUEUE_SECONDS = 60.0
"""How long a request waits for a free connection: half of what MLflow's client waits for us."""


class UpstreamPool:
    """Connections to one upstream base URL (``http`` or ``https``, no path).

    Raises ValueError for a URL, Host or secret that cannot be used, and OSError or SSLError for
    certificate files that cannot be read. To be made and used inside one running event loop.
    """

    def __init__(
        self, url: str, settings: Upstream, *, queue_seconds: float = QUEUE_SECONDS
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError(f"an upstream is http://HOST:PORT or https://HOST:PORT, not {url!r}")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError(f"an upstream URL has no path (there is static_prefix): {url!r}")
        self.url = url
        self.answered = 0
        """Whole exchanges so far, for the health check and metrics."""
        self._settings = settings
        self._queue_seconds = queue_seconds
        self._host = parts.hostname
        self._tls = _tls(settings) if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._heads = _head_writer(settings, parts.netloc)
        self._loop = asyncio.get_running_loop()
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []
        self._slots = 0
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] | None = None
        shortest = min(settings.keepalive_seconds, settings.answer_seconds)
        self._sweep_seconds = min(1.0, max(shortest / 4, 0.01))

    @property
    def in_use(self) -> int:
        """Connections that serve a request or are being made."""
        return self._slots - len(self._idle)

    @property
    def idle(self) -> int:
        """Connections ready for the next request."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """Requests that wait for a free connection."""
        return len(self._waiters)

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
        """Send one request; returns when the answer's head (or a small answer whole) is here.

        The body is ``body``, or ``stream`` (chunked when ``stream_length`` is None). ``stream``
        is touched only once a connection exists. ``repeatable``: sending it twice does no harm.
        Raises NotSent, Cut or CutBody, BadRequest for a head or body that may not be sent, and
        whatever ``stream`` raises. Being cancelled closes the socket at once.
        """
        length = stream_length if stream is not None else (len(body) if body is not None else None)
        chunked = stream is not None and stream_length is None
        head = self._heads.build(method, target, headers, length, chunked=chunked)
        connection = self._take(repeatable) or await self._acquire()
        is_head = method == "HEAD"
        if stream is not None:
            future = connection.start_stream(head, stream, stream_length)
            repeatable = False
        else:
            future = connection.start(head, body, is_head=is_head)
        try:
            return await future
        except Cut as cut:
            if not (repeatable and cut.stale):
                raise
        except asyncio.CancelledError:
            connection.cancel(future)
            raise
        connection = await self._acquire(fresh=True)
        future = connection.start(head, body, is_head=is_head)
        try:
            return await future
        except asyncio.CancelledError:
            connection.cancel(future)
            raise

    async def close(self) -> None:
        """Close every connection, busy ones too, and refuse further requests."""
        if self._closed is None:
            self._closed = self._loop.create_future()
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_exception(NotSent("the gateway is stopping"))
            self._waiters.clear()
            for connection in list(self._all):
                connection.abort()
            self._stop_if_empty()
        await asyncio.shield(self._closed)
        # The transports close their sockets in the next turn of the loop.
        await asyncio.sleep(0)

    # Taking connections:

    def _take(self, repeatable: bool) -> Connection | None:
        """The most recently used idle connection that is surely alive, if any."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            age = self._loop.time() - connection.idle_since
            if (
                connection.usable
                and age <= self._settings.keepalive_seconds
                and (repeatable or not _readable(connection.fileno()))
            ):
                return connection
            connection.abort()
        return None

    async def _acquire(self, *, fresh: bool = False) -> Connection:
        """A connection: a new one if there is room, else the next that becomes free.

        With ``fresh`` always a new one, at the cost of a kept one if need be.
        """
        while True:
            if self._closed is not None:
                raise NotSent("the gateway is stopping")
            if fresh and self._idle and self._slots >= self._settings.connections:
                return await self._replace(self._idle.pop(0))
            if self._slots < self._settings.connections and not self._waiters:
                self._slots += 1
                return await self._connect()
            connection = await self._queue()
            if connection is None:
                return await self._connect()
            if fresh:
                return await self._replace(connection)
            if connection.usable:
                return connection

    async def _replace(self, connection: Connection) -> Connection:
        """Close ``connection`` and make a new one in its slot."""
        if connection in self._all:
            self._all.remove(connection)
        else:
            self._slots += 1  # It was lost on the way here, and its slot with it.
        connection.abort()
        return await self._connect()

    async def _queue(self) -> Connection | None:
        """Wait for a turn: a connection, or None for the right to make one."""
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._queue_seconds):
                return await waiter
        except (TimeoutError, asyncio.CancelledError) as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            if isinstance(error, TimeoutError):
                raise NotSent(
                    f"all {self._settings.connections} connections were in use for "
                    f"{self._queue_seconds:g} seconds",
                    busy=True,
                ) from None
            raise

    async def _connect(self) -> Connection:
        """Make a connection in a slot that is already counted."""
        loop = self._loop
        made: Connection | None = None
        kept = False
        try:
            async with asyncio.timeout(self._settings.connect_seconds):
                _, made = await loop.create_connection(
                    lambda: Connection(loop, self._freed, self._lost),
                    self._host,
                    self._port,
                    ssl=self._tls,
                )
        except TimeoutError as error:
            raise NotSent(
                f"no connection to {self.url} in {self._settings.connect_seconds:g} seconds"
            ) from error
        except OSError as error:
            raise NotSent(f"no connection to {self.url}: {error}") from error
        else:
            if not made.usable or self._closed is not None:
                raise NotSent(f"{self.url} closed a new connection at once")
            kept = True
        finally:
            if not kept:
                if made is not None:
                    made.abort()
                self._free_slot()
        self._all.add(made)
        if self._sweep_timer is None:
            self._sweep_timer = loop.call_later(self._sweep_seconds, self._sweep)
        return made

    # Getting them back:

    def _freed(self, connection: Connection) -> None:
        self.answered += 1
        if self._closed is not None:
            connection.abort()
        elif not self._hand_to_waiter(connection):
            self._idle.append(connection)

    def _lost(self, connection: Connection) -> None:
        if connection in self._all:
            self._all.remove(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._free_slot()

    def _free_slot(self) -> None:
        self._slots -= 1
        if self._closed is not None:
            self._stop_if_empty()
        elif self._slots < self._settings.connections and self._hand_to_waiter(None):
            self._slots += 1

    def _give_back(self, connection: Connection | None) -> None:
        """A waiter was handed this and has gone away."""
        if connection is None:
            self._free_slot()
        elif connection.usable and not self._hand_to_waiter(connection):
            self._idle.append(connection)

    def _hand_to_waiter(self, connection: Connection | None) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _stop_if_empty(self) -> None:
        if self._slots == 0 and self._closed is not None and not self._closed.done():
            self._closed.set_result(None)
            if self._sweep_timer is not None:
                self._sweep_timer.cancel()

    def _sweep(self) -> None:
        """One timer for all connections instead of one for each request."""
        self._sweep_timer = None
        now = self._loop.time()
        settings = self._settings
        # The oldest idle connections are at the front.
        while self._idle and now - self._idle[0].idle_since > settings.keepalive_seconds:
            self._idle.pop(0).abort()
        for connection in list(self._all):
            connection.check(now, settings.answer_seconds)
        if self._all:
            self._sweep_timer = self._loop.call_later(self._sweep_seconds, self._sweep)


def _readable(descriptor: int) -> bool:
    """Whether something (an end of file, most likely) already waits on an idle socket.

    The event loop may not have seen it yet. Worth a system call before a request that may not
    be repeated.
    """
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _head_writer(settings: Upstream, netloc: str) -> HeadWriter:
    secret = None
    if settings.secret is not None:
        secret = (settings.secret_header.encode(), settings.secret.reveal().encode())
    try:
        return HeadWriter(settings.host or netloc, secret)
    except (BadRequest, UnicodeEncodeError) as error:
        raise ValueError("the upstream's host, secret_header or secret is not valid") from error


def _tls(settings: Upstream) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file)
    context.set_alpn_protocols(["http/1.1"])
    if settings.client_cert:
        context.load_cert_chain(settings.client_cert, settings.client_key)
    return context
