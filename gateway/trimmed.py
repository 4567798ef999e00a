"""Answers that would show too much: drives the pure filters with real answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from gateway.audit.event import Trail
from gateway.authorize import Authorizer
from gateway.errors import BadRequest
from gateway.filters.lists import ids_in, trim_list
from gateway.filters.page_token import PageTokens, is_page_token
from gateway.filters.trim import Ask, Fetch, trim
from gateway.forward import Forwarder, Received
from gateway.model import GROUP_TAG, OWNER_TAG, Kind, Principal, Resource
from gateway.roles import READ_CALL, RoleMatrix
from gateway.routes.call import Call
from gateway.routes.describe import narrow_body
from gateway.routes.graphql_answer import trim_graphql
from gateway.routes.lookups import tag_dict
from gateway.routes.route import Trims
from gateway.settings import Limits
from gateway.web.answer import Whole, json_answer
from gateway.web.head import Head


class TrimmedAnswers:
    """Searches and lists, cut down to what the caller may read."""

    def __init__(
        self,
        authorizer: Authorizer,
        forwarder: Forwarder,
        tokens: PageTokens,
        matrix: Callable[[], RoleMatrix],
        limits: Limits,
    ) -> None:
        self._authorizer = authorizer
        self._forwarder = forwarder
        self._tokens = tokens
        self._matrix = matrix
        self._most_calls = limits.search_upstream_calls

    def concerns(self, call: Call, principal: Principal) -> bool:
        """Whether the answer of this call has to be trimmed for this principal."""
        if call.graphql is not None:
            return True
        if call.route.trims is None:
            return False
        # Somebody who became an admin between two pages goes on with the gateway's token.
        token = (call.body or call.query).get("page_token")
        ours = isinstance(token, str) and is_page_token(token)
        return ours or not self._sees_all(principal)

    def _sees_all(self, principal: Principal) -> bool:
        return principal.admin and self._matrix().admin.issuperset(READ_CALL.values())

    async def narrow(self, call: Call, principal: Principal) -> web.StreamResponse | None:
        """Take out of the request what the caller may not use; an empty answer if all goes."""
        if self._sees_all(principal):
            return None
        kept = await self._authorizer.allowed(call.narrow, principal)
        if not kept:
            return json_answer(200, {})
        for named in call.route.refs:
            if named.narrow:
                narrow_body(call, named.where.names[0], kept)
        return None

    async def answer(
        self, call: Call, principal: Principal, head: Head, trail: Trail
    ) -> web.StreamResponse:
        """Forward the call as often as its page needs, and answer with the trimmed page."""
        if call.graphql is not None:
            return await self._graphql(call, principal, head, trail)
        how = call.route.trims
        assert how is not None
        if how.plan != "list":
            return await self._paged(how, call, principal, head, trail)
        received = await self._forwarder.receive(await self._forwarder.send(call, head, trail))
        if received.status != 200:
            return self._forwarder.whole_answer(received, trail.request_id)
        answer = _object(received)
        readable = await self._readable(how.kind, ids_in(answer, how.rows, how.ids), principal)
        return json_answer(200, trim_list(answer, how.rows, how.ids, readable))

    async def _readable(
        self, kind: Kind, ids: frozenset[str], principal: Principal
    ) -> Callable[[str], bool]:
        test = await self._authorizer.readable(principal, kind)
        return {one for one in ids if test(one)}.__contains__

    async def _paged(
        self, how: Trims, call: Call, principal: Principal, head: Head, trail: Trail
    ) -> web.StreamResponse:
        fields = dict(call.body) if call.body is not None else _typed(call.query)
        steps = trim(
            how.plan,
            fields,
            seal=self._tokens,
            principal=principal.name,
            max_calls=self._most_calls,
        )
        send: Any = None
        try:
            while True:
                step = steps.send(send)
                if isinstance(step, Ask):
                    send = await self._asked(step, principal)
                    continue
                received = await self._fetch(step, call, head, trail)
                if received.status != 200:
                    steps.close()
                    return self._forwarder.whole_answer(received, trail.request_id)
                send = _object(received)
        except StopIteration as stop:
            trail.notes["upstream_calls"] = stop.value.upstream_calls
            return json_answer(200, stop.value.answer)

    async def _fetch(self, step: Fetch, call: Call, head: Head, trail: Trail) -> Received:
        if call.body is not None:
            call.body = dict(step.fields)
        else:
            call.query = {
                name: value if isinstance(value, list) else str(value)
                for name, value in step.fields.items()
            }
        return await self._forwarder.receive(await self._forwarder.send(call, head, trail))

    async def _asked(self, step: Ask, principal: Principal) -> frozenset[Resource]:
        """Which rows may be read. A row that is stamped with the caller's name or group but is
        not among what the caller sees may have lost its ACL in a crash: look it up."""
        readable = set()
        tests: dict[Kind, Callable[[str], bool]] = {}
        for resource, row in step.rows:
            test = tests.get(resource.kind)
            if test is None:
                test = await self._authorizer.readable(principal, resource.kind)
                tests[resource.kind] = test
            if test(resource.id) or (
                _stamped_for(row, principal)
                and await self._authorizer.may_read(principal, resource)
            ):
                readable.add(resource)
        return frozenset(readable)

    async def _graphql(
        self, call: Call, principal: Principal, head: Head, trail: Trail
    ) -> web.StreamResponse:
        assert call.graphql is not None
        received = await self._forwarder.receive(await self._forwarder.send(call, head, trail))
        if received.status != 200:
            return self._forwarder.whole_answer(received, trail.request_id)
        readable = await self._authorizer.readable(principal, Kind.MODEL)
        answer = trim_graphql(_object(received), call.graphql, readable)
        return Whole(
            200,
            [(b"content-type", b"application/json"), (b"cache-control", b"no-store")],
            json.dumps(answer).encode("utf-8"),
        )


def _stamped_for(row: Mapping[str, Any], principal: Principal) -> bool:
    tags = tag_dict(row.get("tags"))
    return tags.get(OWNER_TAG) == principal.name or tags.get(GROUP_TAG) in principal.groups


def _object(received: Received) -> dict[str, Any]:
    answer = json.loads(received.body)
    if not isinstance(answer, dict):
        raise BadRequest("MLflow's answer to this search is not a JSON object.")
    return answer


def _typed(query: Mapping[str, Any]) -> dict[str, Any]:
    """A GET search as its POST twin has it: ``max_results`` as a number."""
    fields = dict(query)
    if isinstance(fields.get("max_results"), str):
        fields["max_results"] = int(fields["max_results"])
    return fields
