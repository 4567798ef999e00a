"""Servers that a test owns: a TCP relay that can hold back answers, and a raw upstream.

Both speak plain sockets in threads, so that a test decides byte by byte what a gateway sees.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.stack import free_port


class _Listener:
    """Accepts connections and gives each to ``serve`` in a thread of its own."""

    def __init__(self) -> None:
        # Not a port of the system's choice: `mlgate up` lets it choose one for MLflow, which takes
        # it half a minute later.
        self._socket = socket.create_server(("127.0.0.1", free_port()))
        self._open: list[socket.socket] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        for one in (self._socket, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(accepted)
            threading.Thread(target=self._guarded, args=(accepted,), daemon=True).start()

    def _guarded(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), accepted:
            self.serve(accepted)

    def serve(self, accepted: socket.socket) -> None:
        raise NotImplementedError


class Relay(_Listener):
    """Passes bytes on to a server; answers to requests that contain ``hold`` wait for ``release``.

    ``held`` is set once such an answer has arrived here: the server has done its work.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 80)
        self.hold: bytes | None = None
        self.held = threading.Event()
        self.release = threading.Event()

    def serve(self, accepted: socket.socket) -> None:
        with socket.create_connection(self._target) as server:
            self._open.append(server)
            holding = threading.Event()
            back = threading.Thread(target=self._back, args=(server, accepted, holding))
            back.daemon = True
            back.start()
            while data := accepted.recv(65536):
                if self.hold is not None and self.hold in data:
                    holding.set()
                server.sendall(data)
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            back.join()

    def _back(
        self, server: socket.socket, accepted: socket.socket, holding: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if holding.is_set():
                    self.held.set()
                    self.release.wait(60)
                    holding.clear()
                accepted.sendall(data)
            accepted.shutdown(socket.SHUT_WR)


Answerer = Callable[["Asked"], None]


class Asked:
    """One request that reached the raw upstream, and its connection."""

    def __init__(self, connection: socket.socket, head: bytes, rest: bytes) -> None:
        self.connection = connection
        self.head = head
        self.rest = rest
        line = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        self.method, self.target = line[0], line[1]

    def answer(self, status: bytes, body: bytes, *headers: bytes) -> None:
        """A whole answer."""
        lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
        self.connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    def send(self, data: bytes) -> None:
        """Raw bytes."""
        self.connection.sendall(data)

    def gone(self, seconds: float = 60.0) -> bool:
        """Whether the gateway closes this connection, waiting for it."""
        self.connection.settimeout(seconds)
        try:
            while self.connection.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True


class RawUpstream(_Listener):
    """Answers ``/health``; every other request goes to ``answerer``, after its whole body came.

    When ``answerer`` returns, the connection is closed.
    """

    def __init__(self, answerer: Answerer) -> None:
        super().__init__()
        self.answerer = answerer
        self.asked: list[str] = []

    def serve(self, accepted: socket.socket) -> None:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = accepted.recv(65536)
                if not more:
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            length = _length(head)
            while len(data) < length:
                more = accepted.recv(65536)
                if not more:
                    return
                data += more
            asked = Asked(accepted, head, data[:length])
            data = data[length:]
            if asked.target == "/health":
                asked.answer(b"200 OK", b"OK")
                continue
            self.asked.append(f"{asked.method} {asked.target.partition('?')[0]}")
            self.answerer(asked)
            return


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
