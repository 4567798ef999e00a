"""After MLflow's answer: ownership of what was created, names that moved or went, what was learnt.

A crash between MLflow's answer and our write loses nothing: ownership is in the tags, a
rename has its ACL under both names, and a stale ACL of a deleted model is dropped before its
name can be created again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from gateway.acl.cache import AclCache
from gateway.acl.store import StoreUnavailable
from gateway.errors import BadRequest, Unavailable
from gateway.model import OWNER_TAG, Acl, Kind, Principal, Resource
from gateway.ownership import first_grants
from gateway.resolve import Ownership, Resolver
from gateway.roles import RoleMatrix
from gateway.routes.call import Call
from gateway.routes.identifiers import check_new_name
from gateway.routes.lookups import dig
from gateway.routes.route import Creates, Deletes, Learns, RefKind, Renames, Route

log = logging.getLogger(__name__)


def settles(route: Route) -> bool:
    """Whether a call of this row changes who owns what: then it is finished even if the client
    goes away."""
    return any(isinstance(a, Creates | Deletes | Renames) for a in route.answers)


class Settler:
    """Keeps ACLs and memory in step with what MLflow did."""

    def __init__(
        self,
        acls: AclCache,
        ownership: Ownership,
        resolver: Resolver,
        matrix: Callable[[], RoleMatrix],
    ) -> None:
        self._acls = acls
        self._ownership = ownership
        self._resolver = resolver
        self._matrix = matrix

    async def before(self, call: Call) -> Acl | None:
        """Before a create or rename is forwarded: the new name must carry no old grants.

        What a rename moves, for ``after``. Raises BadRequest for a new name that is missing or that
        no later request could use.
        """
        moved = None
        body = call.body or {}
        for answer in call.route.answers:
            if isinstance(answer, Creates) and answer.body_field is not None:
                name = check_new_name(body.get(answer.body_field), answer.body_field)
                await self._free_name(Resource(answer.kind, name))
            elif isinstance(answer, Renames):
                name = check_new_name(body.get(answer.new_field), answer.new_field)
                moved = await self._before_rename(body[answer.old_field], name)
        return moved

    async def _before_rename(self, old: str, new: str) -> Acl | None:
        if old == new:
            raise BadRequest("The new name is the old one; choose another.")
        target = Resource(Kind.MODEL, new)
        await self._free_name(target)
        acl = await self._ownership.acl(Resource(Kind.MODEL, old))
        # Where MLflow knows the new name it refuses, and the living model keeps its own ACL; also
        # when its database takes the new name for another spelling of an old one.
        if acl is not None and not await self._resolver.answers(target):
            # Under both names before MLflow renames: a crash in between loses no grant.
            await self._acls.create_acl(target, acl.owner, acl.grants)
        return acl

    async def _free_name(self, resource: Resource) -> None:
        """Drop the ACL of a model that is gone, so that its name starts fresh."""
        if await self._acls.store.get_acl(resource) is None:
            return
        if await self._resolver.tags(resource) is None:
            await self._acls.drop_acl(resource)

    async def after(
        self,
        call: Call,
        principal: Principal,
        status: int,
        body: bytes,
        moved: Acl | None = None,
    ) -> None:
        """After MLflow answered; ``moved``: what ``before`` returned. Never raises: what cannot be
        written now is rebuilt later."""
        try:
            for answer in call.route.answers:
                await self._one(answer, call, principal, status, body, moved)
        except (StoreUnavailable, Unavailable) as error:
            log.warning("settling %s is left to the next request: %s", call.route.call, error)

    async def _one(
        self,
        answer: Any,
        call: Call,
        principal: Principal,
        status: int,
        body: bytes,
        moved: Acl | None,
    ) -> None:
        sent = call.body or {}
        if isinstance(answer, Renames):
            old = Resource(Kind.MODEL, sent[answer.old_field])
            new = Resource(Kind.MODEL, sent[answer.new_field])
            await self._renamed(old, new, status, moved)
        elif status != 200:
            return
        elif isinstance(answer, Creates):
            await self._created(answer, sent, principal, body)
        elif isinstance(answer, Deletes):
            gone = Resource(Kind.MODEL, sent[answer.body_field])
            # Else somebody took the name before we heard of it, and what is there is theirs.
            if await self._resolver.tags(gone) is None:
                await self._acls.drop_acl(gone)
        elif isinstance(answer, Learns):
            self._learn(answer, body)

    async def _created(
        self, answer: Creates, sent: dict[str, Any], principal: Principal, body: bytes
    ) -> None:
        if answer.answer_field is not None:
            created = dig(_parsed(body), answer.answer_field)
        else:
            created = sent[answer.body_field or ""]
        if not isinstance(created, str):
            log.error("%s was created without an id in MLflow's answer", answer.kind.value)
            return
        resource = Resource(answer.kind, created)
        grants = first_grants(answer.kind, principal.name, principal.home_group, self._matrix())
        if not await self._acls.create_acl(resource, principal.name, grants):
            tags = await self._resolver.tags(resource)
            if tags is None or tags.get(OWNER_TAG) == principal.name:
                await self._replace_acl(resource, principal.name, grants)
        self._ownership.born(resource)

    async def _replace_acl(
        self, resource: Resource, owner: str | None, grants: Mapping[str, str]
    ) -> None:
        """What MLflow just made cannot have had grants: they were rebuilt from its tags a moment
        ago, or are of somebody who wanted the same name at the same time."""
        found = await self._acls.store.get_acl(resource)
        if found is not None and (found.owner, dict(found.grants)) == (owner, dict(grants)):
            return
        await self._acls.drop_acl(resource)
        await self._acls.create_acl(resource, owner, grants)

    async def _renamed(self, old: Resource, new: Resource, status: int, moved: Acl | None) -> None:
        if status == 200:
            self._ownership.born(new)
            # First what is there, then whether MLflow has the old name once more: then somebody
            # took it before we heard of the rename, and what is there may be theirs.
            found = await self._acls.store.get_acl(old)
            taken = await self._resolver.tags(old) is not None
            if taken or found is None:
                found = moved
            # Replaced, not only kept: another rename to the same name, which MLflow refused, may
            # have left its own grants there in the meantime.
            if found is None:
                await self._acls.drop_acl(new)
            else:
                await self._replace_acl(new, found.owner, found.grants)
            if not taken:
                await self._acls.drop_acl(old)
        elif 400 <= status < 500 and await self._resolver.tags(new) is None:
            await self._acls.drop_acl(new)

    def _learn(self, answer: Learns, body: bytes) -> None:
        parsed = _parsed(body)
        found, experiment = dig(parsed, answer.answer_id), dig(parsed, answer.answer_experiment)
        if isinstance(found, str) and isinstance(experiment, str):
            kind = RefKind.TRACE if answer.kind is RefKind.NEW_TRACE else answer.kind
            self._resolver.learn(kind, found, experiment)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
