"""API tokens of people and service accounts: made, listed, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from gateway.acl.cache import AclCache
from gateway.acl.store import PersonRecord, TokenRecord
from gateway.clock import Clock
from gateway.errors import BadRequest, Forbidden, NotFound
from gateway.model import Kind, Principal
from gateway.settings import Tokens
from gateway.tokens import is_account_name, issue
from gateway.web.answer import json_answer
from gateway.web.own import Endpoint, OwnCall

_FIELDS = frozenset({"principal", "label", "days", "group"})


class TokensApi:
    """Makes and revokes API tokens; the secret is in one answer only, its hash is stored."""

    def __init__(self, acls: AclCache, bounds: Tokens, clock: Clock) -> None:
        self._acls = acls
        self._bounds = bounds
        self._clock = clock

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's rows."""
        return (
            Endpoint("GET", "api/v1/tokens", "tokens/list", self.list),
            Endpoint("POST", "api/v1/tokens", "tokens/create", self.create),
            Endpoint("DELETE", "api/v1/tokens/{id}", "tokens/revoke", self.revoke),
        )

    async def list(self, call: OwnCall) -> web.StreamResponse:
        """The caller's tokens, or those of ``principal`` (a service of the caller's group)."""
        records = await self.records(call, call.query.get("principal", call.principal.name))
        return json_answer(200, {"tokens": [_shown(record) for record in records]})

    async def records(self, call: OwnCall, asked: str) -> Sequence[TokenRecord]:
        """The tokens of ``asked``, if the caller may see them; ``all`` of everyone for admins."""
        if asked == "all" and call.principal.admin:
            return await self._acls.tokens_of(None)
        await self._may_act_for(call.principal, asked)
        return await self._acls.tokens_of(asked)

    async def create(self, call: OwnCall) -> web.StreamResponse:
        """A new token: ``{principal?, label?, days?, group?}`` -> ``{token, id, expires, …}``.

        ``group`` is the group of a new service account; the account may do what it may.
        """
        secret, record = await self.make(call)
        return json_answer(200, {**_shown(record), "token": secret})

    async def make(self, call: OwnCall, *, new: bool = False) -> tuple[str, TokenRecord]:
        """A new token as the body describes it, if the caller may: the secret and its record.

        ``new``: it has to be the first one of a service account that does not exist yet.
        """
        unknown = set(call.body) - _FIELDS
        if unknown:
            raise BadRequest(f"Unknown field '{sorted(unknown)[0]}'; use {sorted(_FIELDS)}.")
        owner = _text(call.body, "principal", call.principal.name)
        days = call.body.get("days")
        if days is not None and (isinstance(days, bool) or not isinstance(days, int | float)):
            raise BadRequest("'days' must be a number.")
        groups, home, first = await self._groups(call, owner, new)
        secret, record = issue(
            owner,
            label=_text(call.body, "label", ""),
            created_by=call.principal.name,
            clock=self._clock,
            bounds=self._bounds,
            days=days,
            groups=groups,
            home_group=home,
        )
        if first is not None:
            await self._put_account(call.principal, first)
        await self._acls.put_token(record)
        call.trail.notes.update({"token_id": record.id, "token_of": owner})
        return secret, record

    async def revoke(self, call: OwnCall) -> web.StreamResponse:
        """Revoke a token by its id, at once here and within a second everywhere."""
        return json_answer(200, {"revoked": await self.end(call, call.params["id"])})

    async def end(self, call: OwnCall, wanted: str) -> str:
        """Revoke, if the caller may; the id."""
        missing = NotFound("You have no token with this id.")
        record = await self._find(call.principal, wanted)
        if record is None:
            raise missing
        if await self._acls.delete_token(record.id) is None:
            raise missing
        call.trail.notes.update({"token_id": record.id, "token_of": record.principal})
        return record.id

    async def _find(self, caller: Principal, token_id: str) -> TokenRecord | None:
        everyones = await self._acls.tokens_of(None)
        found = next((record for record in everyones if record.id == token_id), None)
        if found is None or found.principal == caller.name or caller.admin:
            return found
        try:
            await self._may_act_for(caller, found.principal)
        except Forbidden:
            return None
        return found

    async def _may_act_for(self, caller: Principal, owner: str) -> None:
        """Oneself; a service account of one's group; anything for an admin."""
        if owner == caller.name or caller.admin:
            return
        if owner.startswith("service:"):
            service = await self._acls.person(owner)
            if service is not None and caller.groups.intersection(service.groups):
                return
        raise Forbidden(
            f"{caller.name} may not manage tokens of {owner[:100]}; it must be your own, or a "
            "service account of one of your groups."
        )

    async def _groups(
        self, call: OwnCall, owner: str, new: bool
    ) -> tuple[tuple[str, ...], str | None, PersonRecord | None]:
        """The groups that the new token acts with, the home group, and a new account to write."""
        caller = call.principal
        if owner == caller.name:
            return tuple(sorted(caller.groups)), caller.home_group, None
        if not owner.startswith("service:"):
            raise Forbidden("A token of a person can be made by that person only.")
        if not is_account_name(owner):
            raise BadRequest(
                "A service account is spelled service:NAME: letters, digits, '.', '_', '-', '@'."
            )
        service = await self._acls.person(owner)
        if service is None or (service.teamless and caller.admin and call.body.get("group")):
            service = await self._new_service(call, owner)
            return service.groups, service.home_group, service
        await self._may_act_for(caller, owner)
        if new:
            raise BadRequest(f"{owner} is there already; make it another token on its own page.")
        return service.groups, service.home_group, None

    async def _new_service(self, call: OwnCall, owner: str) -> PersonRecord:
        caller = call.principal
        group = _text(call.body, "group", caller.home_group or "")
        if not group and not caller.admin:
            raise BadRequest("A new service account needs 'group': the team that it belongs to.")
        if group and group not in caller.groups and not caller.admin:
            raise Forbidden(f"{caller.name} is not in group '{group[:100]}'.")
        if not caller.admin and await self._has_grants(owner):
            raise Forbidden(f"{owner} is already in use; ask an mlgate admin for its token.")
        groups = (group,) if group else ()
        return PersonRecord(
            name=owner, groups=groups, home_group=group or None, seen=self._clock.now()
        )

    async def _put_account(self, caller: Principal, account: PersonRecord) -> None:
        """Write a new account. Another gateway may have made it, which ours has not heard of yet:
        whoever was first keeps it. Raises BadRequest."""
        if await self._acls.create_person(account):
            return
        known = await self._acls.person(account.name)
        if not caller.admin or known is None or not known.teamless:
            raise BadRequest(f"{account.name} is there already; look at it once more.")
        await self._acls.put_person(account)

    async def _has_grants(self, owner: str) -> bool:
        # It may be the client of an identity provider: whoever claims its name gets its grants.
        return any([len(await self._acls.visible((owner,), kind)) for kind in Kind])


def _text(body: Any, name: str, default: str) -> str:
    value = body.get(name, default)
    if not isinstance(value, str):
        raise BadRequest(f"'{name}' must be a string.")
    return value


def _shown(record: TokenRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "principal": record.principal,
        "label": record.label,
        "created": record.created,
        "expires": record.expires,
        "created_by": record.created_by,
        "last_used": record.last_used,
    }
