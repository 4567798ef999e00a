"""What the gateway itself answers below ``/access``: dispatch, identity and JSON bodies.

The endpoints live in ``web/api/``; each is one row of ``ENDPOINTS`` there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.audit.event import Trail
from gateway.errors import BadRequest, TooLarge, UnknownEndpoint
from gateway.model import Principal
from gateway.routes.bodies import dump, parse_object
from gateway.routes.target import decode_once, parse_query, split_target
from gateway.web.head import FORM, Head

_MOST_BODY = 64 * 1024


@dataclass(slots=True)
class OwnCall:
    """One request to an endpoint of the gateway."""

    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    principal: Principal
    trail: Trail
    head: Head


Respond = Callable[[OwnCall], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: ``path`` below ``/access`` with ``{holes}``; ``open``: without sign-in."""

    method: str
    path: str
    call: str
    respond: Respond
    open: bool = False
    quiet: bool = False
    """Not worth an audit line (probes)."""
    form: bool = False
    """The body may also be an HTML form; each field once."""


class OwnEndpoints:
    """Finds and runs the gateway's own endpoints."""

    def __init__(
        self,
        endpoints: tuple[Endpoint, ...],
        identify: Callable[[Head], Awaitable[Principal]],
    ) -> None:
        self._endpoints = [(e, e.path.strip("/").split("/")) for e in endpoints]
        self._identify = identify

    async def handle(
        self, request: web.BaseRequest, head: Head, trail: Trail
    ) -> web.StreamResponse:
        """Answer a request whose path starts with ``/access/``; raises GatewayError."""
        path, raw_query = split_target(head.target)
        endpoint, params = self._find(head.method, path)
        trail.call = endpoint.call
        trail.does = "read" if head.method == "GET" else "write"
        if endpoint.quiet:
            trail.notes["quiet"] = True
        principal = Principal("anonymous", method="none")
        if not endpoint.open:
            principal = await self._identify(head)
            trail.principal = principal
        query: dict[str, str] = {}
        for name, values in parse_query(raw_query).items():
            if len(values) > 1:
                raise BadRequest(f"The query field '{name}' is given twice; give it once.")
            query[name] = values[0]
        body: Mapping[str, Any] = {}
        if raw := await _read(request, head):
            kind = head.headers.content_type.partition(";")[0].strip().lower()
            body = _form(raw) if endpoint.form and kind == FORM else parse_object(raw)
        dump(body)  # refuses text that no store can hold
        return await endpoint.respond(OwnCall(params, query, body, principal, trail, head))

    def _find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        # Names may contain an encoded slash here: nothing is forwarded from this path.
        segments = [decode_once(s) for s in path.removeprefix("/access/").split("/")]
        for endpoint, template in self._endpoints:
            if endpoint.method == method and len(template) == len(segments):
                params = _fit(template, segments)
                if params is not None:
                    return endpoint, params
        raise UnknownEndpoint(
            f"{method} {path[:100]} is not an endpoint of mlgate; see /access/openapi.json."
        )


def _form(raw: bytes) -> dict[str, str]:
    try:
        fields = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100
        )
    except ValueError as problem:
        raise BadRequest("The form cannot be read.") from problem
    if len(dict(fields)) < len(fields):
        raise BadRequest("A field of the form is given twice; give it once.")
    return dict(fields)


def _fit(template: list[str], segments: list[str]) -> dict[str, str] | None:
    params = {}
    for want, got in zip(template, segments, strict=True):
        if want.startswith("{"):
            if not got:
                return None
            params[want[1:-1]] = got
        elif want != got:
            return None
    return params


async def _read(request: web.BaseRequest, head: Head) -> bytes:
    if not head.headers.has_body or head.method == "GET":
        return b""
    parts = []
    size = 0
    while chunk := await request.content.readany():
        size += len(chunk)
        if size > _MOST_BODY:
            raise TooLarge(f"The body is larger than {_MOST_BODY} bytes.")
        parts.append(chunk)
    return b"".join(parts)
