"""``/access/services``: the service accounts of my team, with what their tokens are up to."""

from __future__ import annotations

import asyncio
import dataclasses

from aiohttp import web

from gateway.acl.store import PersonRecord
from gateway.clock import Clock
from gateway.errors import BadRequest, Forbidden, GatewayError
from gateway.web.api.tokens import TokensApi
from gateway.web.console.directory import Directory
from gateway.web.console.shell import Pages, console_page, moment
from gateway.web.console.tokens import TokenPages, days_of
from gateway.web.own import Endpoint, OwnCall

_FIELDS = frozenset({"name", "group", "label", "days"})


class ServicePages:
    """Lists accounts and makes new ones; their tokens have the page of tokens."""

    def __init__(
        self, tokens: TokensApi, pages: TokenPages, directory: Directory, clock: Clock
    ) -> None:
        self._tokens = tokens
        self._pages = pages
        self._directory = directory
        self._clock = clock

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's rows."""
        return (
            Endpoint("GET", "services", "tokens/list", self.show),
            Endpoint("POST", "services", "tokens/create", self.create, form=True),
        )

    async def show(self, call: OwnCall) -> web.StreamResponse:
        """The list, and the form for one more."""
        return await self._page(call)

    async def create(self, call: OwnCall) -> web.StreamResponse:
        """Make an account with its first token, and show that, this once."""
        texts = all(isinstance(value, str) for value in call.body.values())
        if not texts or set(call.body) - _FIELDS:
            raise BadRequest("The form is not the one of this page; load the page again.")
        try:
            body = {
                "principal": "service:" + call.body.get("name", "").removeprefix("service:"),
                "group": call.body.get("group", "").strip(),
                "label": call.body.get("label", "").strip(),
                "days": days_of(call.body),
            }
            made = dataclasses.replace(call, body=body)
            secret, record = await self._tokens.make(made, new=True)
        except GatewayError as refused:
            return await self._page(call, refused)
        return await self._pages.page(call, record.principal, secret=secret)

    async def _page(self, call: OwnCall, refused: GatewayError | None = None) -> web.StreamResponse:
        me, text = call.principal, call.query.get("q", "").strip()[:200]
        found = await self._directory.accounts(me, text)
        pages = Pages(found, {**call.query, "kind": "", "of": ""}, "/access/services")
        rows = await asyncio.gather(*(self._row(call, one) for one in pages.items))
        groups = set(me.groups)
        if me.admin:
            groups |= {group for one in await self._directory.people() for group in one.groups}
        lives, default = self._pages.lives()
        return console_page(
            call,
            "services.html",
            here="services",
            refused=refused,
            q=text,
            rows=[row for row in rows if row is not None],
            pages=pages,
            groups=sorted(groups),
            home=me.home_group,
            typed={
                name: call.body.get(name, "") if refused is not None else "" for name in _FIELDS
            },
            lives=lives,
            default=default,
        )

    async def _row(self, call: OwnCall, one: PersonRecord) -> dict[str, object] | None:
        try:
            records = await self._tokens.records(call, one.name)
        except Forbidden:  # it changed its team since the list was read
            return None
        now = self._clock.now()
        alive = [record for record in records if record.expires > now]
        return {
            "key": one.name,
            "name": one.name.partition(":")[2],
            "groups": sorted(one.groups),
            "alive": len(alive),
            "expired": len(records) - len(alive),
            "used": moment(max((r.last_used for r in records if r.last_used), default=None)),
            "until": moment(min(r.expires for r in alive)) if alive else None,
        }
