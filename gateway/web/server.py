"""aiohttp's HTTP server with our own answer for what is not HTTP.

aiohttp would answer in plain text, echo the client's bytes and name itself; here a person gets
a sentence as for every other bad request, and the audit gets its line.
"""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from gateway.web.service import Service

log = logging.getLogger(__name__)

_IDLE_SECONDS = 75.0
"""Longer than the 60 s of a usual load balancer, so that it is the one to close first."""


class _Connection(RequestHandler):
    """One client connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer when the parser gives up (4xx) or something below the service fails."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        service = self._manager.request_handler if self._manager is not None else None
        assert isinstance(service, Service)
        if status >= 500:
            log.error("below the service: %r", exc)
        return service.unreadable(request, status)


class HttpServer(web.Server):
    """The low-level server; ``service`` answers every request that can be parsed."""

    def __init__(self, service: Service, *, max_line: int, max_field: int) -> None:
        """``max_line``, ``max_field``: bytes of the request line and of one header.
        To be made inside the event loop.

        Bodies pass as they are; cancelling the handler when the client leaves closes MLflow's
        side at once.
        """
        super().__init__(
            service,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            keepalive_timeout=_IDLE_SECONDS,
            max_line_size=max_line,
            max_field_size=max_field,
        )

    def __call__(self) -> Any:
        """A handler for a new connection (asyncio's protocol factory)."""
        return _Connection(self, loop=self._loop, **self._kwargs)
