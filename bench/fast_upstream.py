"""A trivial MLflow stand-in that costs almost nothing: what remains is the proxy's own work.

Run as ``python fast_upstream.py PORT``. Answers every request at once from bytes made at start:
``experiments/get`` about 400 bytes of JSON, ``/version``, ``/health``, and ``{}`` for the rest.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import httptools
import uvloop

EXPERIMENT_ID = "1"
_EXPERIMENT = {
    "experiment": {
        "experiment_id": EXPERIMENT_ID,
        "name": "bench/overhead of an access gateway",
        "artifact_location": "mlflow-artifacts:/1",
        "lifecycle_stage": "active",
        "last_update_time": 1760000000000,
        "creation_time": 1760000000000,
        "tags": [
            {"key": "mlflow.experimentKind", "value": "custom_model_development"},
            {"key": "team", "value": "platform"},
        ],
    }
}


def _answer(body: bytes, content_type: str = "application/json") -> bytes:
    head = (
        f"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: fast\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


_GET = _answer(json.dumps(_EXPERIMENT, indent=2).encode())
_ANSWERS = {
    b"/api/2.0/mlflow/experiments/get": _GET,
    b"/ajax-api/2.0/mlflow/experiments/get": _GET,
    b"/version": _answer(b"3.17.2", "text/plain"),
    b"/health": _answer(b"OK", "text/plain"),
}
_OTHER = _answer(b"{}")


class FastServer(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._answer = _OTHER

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio.Transport, only of its shape.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        self._answer = _ANSWERS.get(url.partition(b"?")[0], _OTHER)

    def on_message_complete(self) -> None:
        self._transport.write(self._answer)


async def main(port: int) -> None:
    """Serve on loopback until ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(FastServer, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
