"""Sends bytes to a server exactly as they are, and takes apart whatever comes back."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    """One HTTP answer: its head as sent, and its decoded body."""

    status: int
    head: bytes
    body: bytes

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def code(self) -> str:
        """MLflow's error code; '' when the answer is no error, None-safe otherwise."""
        value = self.json
        return str(value.get("error_code", "")) if isinstance(value, dict) else ""

    @property
    def request_id(self) -> bytes:
        for line in self.head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"x-request-id":
                return value.strip()
        return b""


def exchange(
    url: str, sent: bytes, *, seconds: float = 60.0, silence: float | None = None
) -> tuple[bytes, list[Reply]]:
    """Send bytes on a new connection and read until the server closes it.

    ``silence``: an answer has come and nothing more for so long: it was the last one. Returns
    everything that came back, raw, and the answers found in it.
    """
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 80), seconds) as sock:
        received = b""
        with suppress(TimeoutError, ConnectionError):
            sock.sendall(sent)  # a server may hang up on nonsense before it has all of it
        with suppress(TimeoutError, ConnectionError):  # or wait for more of it
            while chunk := sock.recv(65536):
                received += chunk
                if silence is not None and b"\r\n\r\n" in received:
                    sock.settimeout(silence)
    return received, replies(received)


def replies(received: bytes) -> list[Reply]:
    """The HTTP answers in a stream of bytes."""
    found = []
    while received:
        head, split, rest = received.partition(b"\r\n\r\n")
        if not split or not head.startswith(b"HTTP/1."):
            raise AssertionError(f"not an HTTP answer: {received[:200]!r}")
        status = int(head.split(b" ", 2)[1])
        if status < 200:
            received = rest
            continue
        body, received = _body(head, rest)
        found.append(Reply(status, head, body))
    return found


def _body(head: bytes, rest: bytes) -> tuple[bytes, bytes]:
    headers = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip().lower()
    if headers.get(b"transfer-encoding") == b"chunked":
        return _chunks(rest)
    if b"content-length" in headers:
        size = int(headers[b"content-length"])
        return rest[:size], rest[size:]
    return rest, b""


def _chunks(rest: bytes) -> tuple[bytes, bytes]:
    body = b""
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if size == 0:
            return body, rest.partition(b"\r\n")[2]
        body, rest = body + rest[:size], rest[size + 2 :]
    return body, b""
