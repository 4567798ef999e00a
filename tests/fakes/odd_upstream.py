"""An HTTP server that misbehaves as told: raw bytes out, nothing checked, one script a connection.

The script is a coroutine function that gets a ``FakeExchange``; when it returns, the connection
is closed (FIN), unless it was reset before.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FakeRequest:
    """One request as it came in."""

    line: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]


class FakeExchange:
    """One connection, from the server's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> FakeRequest:
        """The next request's head. Raises IncompleteReadError when the client has closed."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        line, *rest = raw.decode("latin-1").split("\r\n")[:-2]
        headers = {}
        for text in rest:
            name, _, value = text.partition(": ")
            assert name.lower() not in headers, f"{name} was sent twice"
            headers[name.lower()] = value
        return FakeRequest(line, headers)

    async def body(self, request: FakeRequest) -> bytes:
        """The whole body of ``request``."""
        if request.headers.get("transfer-encoding") == "chunked":
            whole = b""
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                whole += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
            return whole
        return await self.reader.readexactly(int(request.headers.get("content-length", "0")))

    async def request(self) -> FakeRequest:
        """The next request's head, its body read and forgotten."""
        request = await self.head()
        await self.body(request)
        return request

    async def send(self, *pieces: bytes) -> None:
        """Write each piece on its own, letting the other side read in between."""
        for piece in pieces:
            if self.writer.transport.is_closing():
                raise ConnectionResetError  # uvloop raises RuntimeError, asyncio nothing.
            self.writer.write(piece)
            await self.writer.drain()
            for _ in range(3):
                await asyncio.sleep(0)

    async def closed(self) -> None:
        """Returns once the client has closed its side."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:  # the client was faster: uvloop's way, asyncio's
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[FakeExchange], Awaitable[None]]


class FakeOddUpstream:
    """Runs ``script`` for each connection; ``async with`` starts and stops it."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.connections = 0
        self.open = 0
        self.failures: list[BaseException] = []
        self._tls = tls
        self._port = 0
        self._kept: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._port}"

    async def __aenter__(self) -> FakeOddUpstream:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        if self._kept is not None:
            self._kept.close()
        for failure in self.failures:
            raise failure

    async def listen(self) -> None:
        """Listen, on the same port as before when stopped in between."""
        if self._kept is None:
            # Bound and not listening: while this server is down its port refuses, and nobody
            # else on the machine is given it.
            self._kept = socket.socket()
            self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._kept.bind(("127.0.0.1", 0))
            self._port = self._kept.getsockname()[1]
        self._server = await asyncio.start_server(
            self._run, "127.0.0.1", self._port, ssl=self._tls, limit=1 << 20, reuse_address=True
        )

    async def stop(self) -> None:
        """Close the listener and every connection."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            await self.script(FakeExchange(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        except Exception as failure:  # noqa: BLE001
            self.failures.append(failure)
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until ``condition`` holds; a vain wait ends after a minute."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


def plain(body: bytes, *extra: bytes) -> bytes:
    """A good answer of known length."""
    lines = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *extra]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(chunks: Iterable[bytes], extension: bytes = b"", trailer: bytes = b"") -> bytes:
    """A good chunked answer."""
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(c), extension, c) for c in chunks)
    return (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + framed + b"0\r\n%b\r\n" % trailer
    )


def always(answer: bytes) -> Script:
    """Answer every request with the same bytes."""

    async def script(exchange: FakeExchange) -> None:
        while True:
            await exchange.request()
            await exchange.send(answer)

    return script


def once(*pieces: bytes) -> Script:
    """Answer one request, piece by piece, then close."""

    async def script(exchange: FakeExchange) -> None:
        await exchange.request()
        await exchange.send(*pieces)

    return script
