"""THE file: how one MLflow request passes the stages, once each, in this order.

    read head -> match -> identify -> read body -> describe -> decide -> stamp
              -> forward -> settle -> answer

Each stage is a module of its own; this one only strings them together. Whatever a stage
raises is rendered by ``web.service``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial

from aiohttp import web

from gateway.audit.event import Trail
from gateway.authorize import Authorizer, refusal
from gateway.credentials.chain import Identify
from gateway.errors import BadRequest, Forbidden, TooLarge
from gateway.forward import Forwarder, Received
from gateway.model import Decision, Principal, Reason
from gateway.rate import RateLimit
from gateway.roles import RoleMatrix
from gateway.routes.call import Call
from gateway.routes.describe import Describer, header_refs
from gateway.routes.graphql import read_graphql
from gateway.routes.otlp import read_otlp
from gateway.routes.route import Ref, RefKind, Route
from gateway.settings import Settings
from gateway.settle import Settler, settles
from gateway.stamps import stamp
from gateway.trimmed import TrimmedAnswers
from gateway.web.head import Head
from gateway.web.menu import CONDITIONS, with_menu

_UI = "ui"
_BROWSER = "session:"
ANONYMOUS = Principal("anonymous", method="none")
_OWN_LANGUAGE = ("graphql", "otlp")
_LARGE = 256 * 1024
_SHORT = 256
_MOST_READS = 8192


@dataclass(frozen=True, slots=True)
class Parts:
    """What the proxy is made of; ``app.py`` wires it."""

    settings: Settings
    describer: Describer
    identify: Identify
    authorizer: Authorizer
    settler: Settler
    forwarder: Forwarder
    trimmed: TrimmedAnswers
    rate: RateLimit
    matrix: Callable[[], RoleMatrix]


class Proxy:
    """Takes requests for MLflow from the web server and gives answers back."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._limits = parts.settings.limits
        self._menu = parts.settings.session.menu
        self._reads: dict[str, Call] = {}

    async def handle(
        self, request: web.BaseRequest, head: Head, trail: Trail
    ) -> web.StreamResponse:
        """Answer one request, or raise a GatewayError. ``trail`` collects what happened."""
        parts = self._parts
        call = self._reads.get(head.target) if head.method == "GET" else None
        if call is None:
            match, raw_query = parts.describer.match(head.method, head.target)
            route = match.route
        else:
            route = call.route
        trail.call, trail.does = route.call, route.does
        if route.scope == "public":
            principal = ANONYMOUS
        else:
            principal = await self.principal(head)
            trail.principal = principal
        if call is None:
            raw_body = await self._json_body(request, head) if route.takes_json else None
            if raw_body is not None and len(raw_body) > _LARGE:
                # Checking megabytes takes a while; others must not wait for it.
                call = await asyncio.to_thread(parts.describer.describe, match, raw_query, raw_body)
            else:
                call = parts.describer.describe(match, raw_query, raw_body)
            self._remember(head, call)
        opaque = None
        if route.body in _OWN_LANGUAGE:
            opaque = await self._special_body(request, head, call, principal)
        decision = parts.authorizer.known_decision(call, principal)
        if decision is None:
            decision = await self._decide(call, principal)
        trail.decision = decision
        if not decision.allowed:
            raise refusal(call, principal, decision)
        if call.body is not None:
            stamp(
                call,
                principal,
                user=parts.settings.stamp_user,
                presigned_seconds=parts.settings.artifacts.presigned_seconds,
            )
        if route.answers and settles(route):
            # A client that goes away must not leave a resource without its owner.
            received = await asyncio.shield(self._settled(call, principal, head, trail))
            return parts.forwarder.whole_answer(received, trail.request_id)
        if route.narrows:
            empty = await parts.trimmed.narrow(call, principal)
            if empty is not None:
                return empty
        if (route.trims or call.graphql) and parts.trimmed.concerns(call, principal):
            return await parts.trimmed.answer(call, principal, head, trail)
        if route.call == _UI and self._menu and principal.method.startswith(_BROWSER):
            answer = await parts.forwarder.send(call, _unconditional(head), trail)
            page = with_menu(await parts.forwarder.receive(answer))
            return parts.forwarder.whole_answer(page, trail.request_id)
        stream = self._upload(request, head) if route.body == "stream" else None
        answer = await parts.forwarder.send(call, head, trail, body=opaque, stream=stream)
        if route.answers:
            received = await parts.forwarder.receive(answer, repeatable=call.route.repeatable)
            await parts.settler.after(call, principal, received.status, received.body)
            return parts.forwarder.whole_answer(received, trail.request_id)
        return await parts.forwarder.pass_on(request, answer, trail.request_id)

    def _remember(self, head: Head, call: Call) -> None:
        """A read whose whole meaning is in its target is read once: nothing below changes it."""
        route = call.route
        if head.method != "GET" or route.body != "none" or route.narrows or route.answers:
            return
        if len(head.target) <= _SHORT:
            while len(self._reads) >= _MOST_READS:
                del self._reads[next(iter(self._reads))]
            self._reads[head.target] = call

    async def principal(self, head: Head) -> Principal:
        """Who calls; raises Unauthenticated, Unavailable, or TooManyRequests."""
        principal = await self._identified(head)
        if self._parts.rate.limits:
            self._parts.rate.take(principal.name)
        return principal

    async def _identified(self, head: Head) -> Principal:
        identify = self._parts.identify
        if len(head.authorizations) == 1 and head.headers.cookie is None:
            known = identify.cached(head.authorizations[0])
            if known is not None:
                return known
        return await identify.principal(
            head.authorizations,
            head.headers.cookie,
            same_origin=head.headers.same_origin or head.method in ("GET", "HEAD"),
        )

    async def _decide(self, call: Call, principal: Principal) -> Decision:
        if call.route.scope == "public":
            return Decision(True, Reason.PUBLIC, call.route.call)
        return await self._parts.authorizer.decision(call, principal)

    async def _settled(
        self, call: Call, principal: Principal, head: Head, trail: Trail
    ) -> Received:
        parts = self._parts
        moved = await parts.settler.before(call)
        answer = await parts.forwarder.send(call, head, trail)
        received = await parts.forwarder.receive(answer, repeatable=call.route.repeatable)
        await parts.settler.after(call, principal, received.status, received.body, moved)
        taken = received.status == 400 and b"RESOURCE_ALREADY_EXISTS" in received.body
        if taken and await parts.authorizer.hides_name(call, principal):
            raise Forbidden(
                f"{principal.name} may not use this name: it is taken by something that is not "
                "shared with you, or was deleted. Choose another name, or ask an admin whose it is."
            )
        return received

    async def _json_body(self, request: web.BaseRequest, head: Head) -> bytes:
        """The body of a call that takes JSON."""
        if head.headers.content_encoding not in ("", "identity"):
            raise BadRequest("Send JSON without Content-Encoding; MLflow does not decode it.")
        kind = head.headers.content_type.partition(";")[0].strip().lower()
        if head.headers.has_body and kind not in ("application/json", ""):
            raise BadRequest("Send the body as JSON, with Content-Type: application/json.")
        return await self._read(request, head, self._limits.json_body)

    async def _special_body(
        self, request: web.BaseRequest, head: Head, call: Call, principal: Principal
    ) -> bytes | None:
        """Bodies with a language of their own: their identifiers join the call's refs."""
        route = call.route
        if route.body == "graphql":
            asked = read_graphql(call.body or {}, introspection=principal.admin)
            call.refs = asked.refs
            call.graphql = asked
            call.body = dict(asked.body)
        elif route.body == "otlp":
            call.refs = (*call.refs, *header_refs(route, head.headers.mlflow))
            raw = await self._read(request, head, self._limits.otlp_body)
            read = partial(
                read_otlp,
                raw,
                head.headers.content_type,
                head.headers.content_encoding,
                max_decoded=self._limits.otlp_body,
            )
            spans = await asyncio.to_thread(read) if len(raw) > _LARGE else read()
            call.refs += tuple(Ref(RefKind.NEW_TRACE, one, route.call) for one in spans.trace_ids)
            call.content_type = spans.content_type
            call.headers = tuple(
                (name.encode(), values[0].encode("latin-1"))
                for name, values in head.headers.mlflow.items()
                if name in _header_names(route)
            )
            return spans.body
        return None

    async def _read(self, request: web.BaseRequest, head: Head, limit: int) -> bytes:
        """The whole body, bounded. Raises TooLarge."""
        if not head.headers.has_body:
            return b""
        if head.headers.content_length is not None and head.headers.content_length > limit:
            raise TooLarge(f"The body is larger than {limit} bytes; send it in smaller parts.")
        await _continue(request, head)
        chunks: list[bytes] = []
        size = 0
        while chunk := await request.content.readany():
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"The body is larger than {limit} bytes; send it in smaller parts.")
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _upload(self, request: web.BaseRequest, head: Head) -> AsyncIterator[bytes]:
        """The body as it arrives, at MLflow's pace. Raises TooLarge."""
        limit = self._limits.artifact_body
        size = 0
        await _continue(request, head)
        while chunk := await request.content.readany():
            size += len(chunk)
            if limit and size > limit:
                raise TooLarge(f"The artifact is larger than {limit} bytes.")
            yield chunk


def _header_names(route: Route) -> frozenset[str]:
    return frozenset(
        named.where.names[0].lower() for named in route.refs if named.where.part == "header"
    )


def _unconditional(head: Head) -> Head:
    """The head without questions about a cached copy: the browser has another page than MLflow."""
    forward = [(name, value) for name, value in head.headers.forward if name not in CONDITIONS]
    return Head(head.method, head.target, replace(head.headers, forward=forward), ())


async def _continue(request: web.BaseRequest, head: Head) -> None:
    """Only now, after the decision, ask for the body (RFC 9110 §10.1.1)."""
    if (
        head.headers.expects_continue
        and request.version >= (1, 1)
        and request.transport is not None
    ):
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
