"""Answers to the client: small ones whole, large ones as they stream, errors cleaned.

MLflow's own error bodies can hold SQL with its parameters, server paths and other people's
ids (docs/threat-model.md), so 5xx answers and SQL texts are replaced by a general sentence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from gateway.upstream import CutBody, UpstreamResponse
from gateway.upstream.head import written_by_pool

RawHeaders = Iterable[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json")
_DROPPED = frozenset({b"server", b"set-cookie", b"location", b"content-length", b"x-request-id"})
_SQL_MARKS = (b"[SQL:", b"sqlalchemy", b"sqlite3.", b"psycopg", b"pymysql", b"Traceback (most")
_UNIQUE_MARKS = (b"UNIQUE constraint", b"Duplicate entry", b"duplicate key value")
_CLEANED = (
    "MLflow failed on this call. Try again; if it goes on, give the request id "
    "to whoever runs this service."
)
_REFUSED = "MLflow's database refused this call; check the values that it sends."
_TAKEN = (
    "This name is taken, perhaps by something that is not shared with you or was deleted; "
    "choose another name."
)


@lru_cache(maxsize=256)
def _status_line(status: int) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    return f"HTTP/1.1 {status} {reason}\r\n".encode("ascii")


@lru_cache(maxsize=1024)
def _passes(name: bytes) -> bool:
    lower = name.lower()
    return not (lower in _DROPPED or lower.startswith(b"access-control-") or written_by_pool(lower))


class Whole(web.StreamResponse):
    """A complete small answer, written in one piece.

    aiohttp's own Response costs a third of the gateway's work per request; this one formats
    the head itself and knows nothing of cookies, compression or chunking.
    """

    def __init__(self, status: int, headers: RawHeaders, body: bytes) -> None:
        # StreamResponse.__init__ builds what is not used here; only these are read by aiohttp.
        self._keep_alive: bool | None = None
        self._status = status
        self._eof_sent = False
        self.raw_headers = list(headers)
        self.payload = body

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._status

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write head and body to the client's connection (aiohttp calls this)."""
        keep = bool(request.keep_alive)
        self._keep_alive = keep
        parts = [_status_line(self._status)]
        for name, value in self.raw_headers:
            parts += (name, b": ", value, b"\r\n")
        if self._status not in (204, 304):
            parts.append(b"content-length: %d\r\n" % len(self.payload))
        if not keep:
            parts.append(b"connection: close\r\n")
        elif request.version < (1, 1):
            parts.append(b"connection: keep-alive\r\n")
        parts.append(b"\r\n")
        if request.method != "HEAD":
            parts.append(self.payload)
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        transport.write(b"".join(parts))
        if len(self.payload) > 65536:
            await request.protocol._drain_helper()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""
        self._eof_sent = True


def passed_on(headers: RawHeaders, request_id: str) -> list[tuple[bytes, bytes]]:
    """MLflow's answer headers that the client may see, with the request id added.

    What MLflow says nothing about is for this caller only, and is asked for again: a cache in
    between may guess otherwise (RFC 9111 §4.2.2) and give it to somebody else who asks.
    """
    kept = [(name, value) for name, value in headers if _passes(name)]
    if not any(name.lower() == b"cache-control" for name, _ in kept):
        kept.append((b"cache-control", b"private, no-cache"))
    kept.append((b"x-request-id", request_id.encode("ascii")))
    return kept


def json_answer(status: int, value: Any, headers: RawHeaders = ()) -> Whole:
    """An answer of our own, as JSON."""
    body = json.dumps(value, separators=(",", ":")).encode("utf-8")
    return Whole(status, [JSON_TYPE, (b"cache-control", b"no-store"), *headers], body)


def cleaned_error(status: int, body: bytes, request_id: str) -> bytes | None:
    """What replaces an MLflow error body that says too much; None: it may pass.

    The error code of a 4xx stays: clients act on RESOURCE_ALREADY_EXISTS.
    """
    if status < 500 and not any(mark in body for mark in _SQL_MARKS):
        return None
    code = "INTERNAL_ERROR"
    message = _CLEANED
    if status < 500:
        code = _error_code(body)
        taken = code == "RESOURCE_ALREADY_EXISTS" or any(m in body for m in _UNIQUE_MARKS)
        message = _TAKEN if taken else _REFUSED
    text = f"{message} (request {request_id})"
    return json.dumps({"error_code": code, "message": text}).encode("utf-8")


def _error_code(body: bytes) -> str:
    try:
        code = json.loads(body)["error_code"]
    except (ValueError, KeyError, TypeError):
        return "INVALID_PARAMETER_VALUE"
    return code if isinstance(code, str) and code.isupper() else "INVALID_PARAMETER_VALUE"


async def stream_through(
    request: web.BaseRequest, answer: UpstreamResponse, headers: list[tuple[bytes, bytes]]
) -> web.StreamResponse:
    """Pass an answer on as it arrives, at the client's pace.

    When MLflow's answer is cut, so is the client's connection: a cut body must never look whole.
    """
    response = web.StreamResponse(status=answer.status)
    for name, value in headers:
        response.headers.add(name.decode("latin-1"), value.decode("latin-1"))
    if answer.content_length is not None:
        response.content_length = answer.content_length
    elif request.version >= (1, 1):
        response.enable_chunked_encoding()
    try:
        await response.prepare(request)
        async for chunk in answer.chunks():
            await response.write(chunk)
    except CutBody:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("MLflow's answer was cut") from None
    finally:
        answer.release()
    await response.write_eof()
    return response
