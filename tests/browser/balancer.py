"""A load balancer without sticky sessions: each new connection goes to the next gateway."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit


class Balancer:
    """Listens on ``port`` of loopback in a thread; ``behind`` may be set later."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.behind: Sequence[str] = ()
        self.taken: list[int] = []
        """Connections that each gateway got."""
        self._port = port
        self._count = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Balancer:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self._port))
        self._ready.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = self.behind  # a test may set another meanwhile
        number = self._count % len(behind)
        self._count += 1
        self.taken.append(number)
        parts = urlsplit(behind[number])
        try:
            there, back = await asyncio.open_connection(parts.hostname, parts.port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, back), _pump(there, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()
