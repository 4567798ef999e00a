"""Sends a decided call to MLflow and brings the answer back, whole or as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from gateway.audit.event import Trail
from gateway.errors import MayHaveRun, NotFound, Unavailable
from gateway.routes.call import Call
from gateway.upstream import UpstreamFailure, UpstreamResponse, Upstreams, error_for
from gateway.web.answer import JSON_TYPE, Whole, cleaned_error, passed_on, stream_through
from gateway.web.head import Head

_MOST_HELD = 64 * 1024 * 1024
"""An answer that has to be read (trimmed, settled, an error) may be this large."""
_HTML = b"text/html"


@dataclass(slots=True)
class Received:
    """A whole answer of MLflow."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Forwarder:
    """The proxy's way to MLflow."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    async def send(
        self,
        call: Call,
        head: Head,
        trail: Trail,
        *,
        body: bytes | None = None,
        stream: AsyncIterator[bytes] | None = None,
    ) -> UpstreamResponse:
        """Forward a call: its canonical target, its rebuilt body or the given opaque one.

        Raises Unavailable when MLflow did not get it (or may get it again), MayHaveRun when it
        may have run and must not be repeated.
        """
        route = call.route
        headers = list(head.headers.forward)
        headers.append((b"x-request-id", trail.request_id.encode("ascii")))
        if body is None and stream is None:
            body = call.body_bytes()
        if route.body in ("json", "free", "graphql"):
            headers.append(JSON_TYPE)
        elif call.content_type:
            headers.append((b"content-type", call.content_type.encode("latin-1")))
        elif route.body == "stream" and head.headers.content_type:
            headers.append((b"content-type", head.headers.content_type.encode("latin-1")))
        headers.extend(call.headers)
        trail.upstream_calls += 1
        try:
            answer = await self._upstreams.request(
                route.method,
                call.target(),
                headers,
                body,
                repeatable=route.repeatable,
                stream=stream if head.headers.has_body else None,
                stream_length=head.headers.content_length,
            )
        except UpstreamFailure as failure:
            raise error_for(failure, route.repeatable) from failure
        if answer.status in (502, 503, 504):
            answer.release()
            raise _vanished(answer.status, route.repeatable)
        if 300 <= answer.status < 304 or 304 < answer.status < 400:
            answer.release()
            raise NotFound("MLflow answered with a redirect, which is not passed on.")
        return answer

    async def ask(self, target: str) -> tuple[int, bytes]:
        """A GET of the gateway's own: status and body. Raises Unavailable."""
        try:
            answer = await self._upstreams.request(
                "GET", target, ((b"accept", b"application/json"),), repeatable=True
            )
            body = answer.body_if_complete()
            if body is None:
                body = await answer.read(_MOST_HELD)
            return answer.status, body
        except UpstreamFailure as failure:
            raise error_for(failure, True) from failure

    async def receive(self, answer: UpstreamResponse, *, repeatable: bool = True) -> Received:
        """Read an answer whole. Raises TooLarge when it is too large; when it was cut, Unavailable
        or, for a call that must not be repeated, MayHaveRun.
        """
        try:
            body = answer.body_if_complete()
            if body is None:
                body = await answer.read(_MOST_HELD)
        except UpstreamFailure as failure:
            raise error_for(failure, repeatable) from failure
        finally:
            answer.release()
        return Received(answer.status, answer.headers, body)

    def whole_answer(self, received: Received, request_id: str) -> Whole:
        """A whole answer for the client, cleaned when it is an error."""
        headers = passed_on(received.headers, request_id)
        if received.status >= 400:
            return self._error(received, headers, request_id)
        return Whole(received.status, headers, received.body)

    async def pass_on(
        self, request: web.BaseRequest, answer: UpstreamResponse, request_id: str
    ) -> web.StreamResponse:
        """The answer for the client: at once when it is here already, else as it streams."""
        if answer.status >= 400:
            return self.whole_answer(await self.receive(answer), request_id)
        body = answer.body_if_complete()
        headers = passed_on(answer.headers, request_id)
        if body is None:
            return await stream_through(request, answer, headers)
        answer.release()
        return Whole(answer.status, headers, body)

    def _error(
        self, received: Received, headers: list[tuple[bytes, bytes]], request_id: str
    ) -> Whole:
        cleaned = cleaned_error(received.status, received.body, request_id)
        if cleaned is None:
            return Whole(received.status, headers, received.body)
        kept = [(n, v) for n, v in headers if n.lower() != b"content-type"]
        return Whole(received.status, [JSON_TYPE, *kept], cleaned)


def _vanished(status: int, repeatable: bool) -> Unavailable | MayHaveRun:
    """A 502, 503 or 504 that something in front of MLflow gave."""
    detail = f"upstream answered {status}"
    if repeatable:
        return Unavailable(
            "MLflow is not available right now; try again in half a minute.", detail=detail
        )
    return MayHaveRun(
        "MLflow did not answer in time, so this call may or may not have taken effect. "
        "Look at the result before you repeat it.",
        detail=detail,
    )
