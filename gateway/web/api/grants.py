"""Sharing: who has access to an experiment or model, and giving or taking it."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from gateway.acl.cache import AclCache
from gateway.acl.store import Conflict
from gateway.errors import BadRequest, Forbidden, NotFound, Unavailable
from gateway.model import Acl, Decision, Principal, Reason, Resource
from gateway.rbac import Need, decide, explain
from gateway.resolve import Ownership, Resolver
from gateway.roles import ACL_READ, ACL_WRITE, RoleMatrix
from gateway.sharing import check_change, check_grant_key
from gateway.web.answer import json_answer
from gateway.web.api.people import kind_from
from gateway.web.own import Endpoint, OwnCall

_TRIES = 5


class GrantsApi:
    """Reads and changes ACLs for those who may."""

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

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's rows."""
        return (
            Endpoint("GET", "api/v1/acl/{kind}/{id}", ACL_READ, self.show),
            Endpoint("PUT", "api/v1/acl/{kind}/{id}/{principal}", ACL_WRITE, self.grant),
            Endpoint("DELETE", "api/v1/acl/{kind}/{id}/{principal}", ACL_WRITE, self.revoke),
        )

    async def show(self, call: OwnCall) -> web.StreamResponse:
        """``{grants: [{principal, role}], owner}`` of a resource."""
        acl = await self.permitted(call, ACL_READ)
        return json_answer(200, _shown(acl))

    async def grant(self, call: OwnCall) -> web.StreamResponse:
        """Give a principal one role, replacing its earlier one."""
        role = call.body.get("role")
        if not isinstance(role, str) or set(call.body) != {"role"}:
            raise BadRequest('Send {"role": "reader"} (or another role of roles.yaml).')
        return json_answer(200, _shown(await self.change(call, call.params["principal"], role)))

    async def revoke(self, call: OwnCall) -> web.StreamResponse:
        """Take a principal's role away."""
        return json_answer(200, _shown(await self.change(call, call.params["principal"], None)))

    async def change(self, call: OwnCall, principal: str, role: str | None) -> Acl:
        """Give ``principal`` the role (None: take it away) on what the path names, if the caller
        may; the new ACL."""
        key = check_grant_key(principal)
        for _ in range(_TRIES):
            acl = await self.permitted(call, ACL_WRITE)
            check_change(acl, call.principal, key, role, self._matrix())
            call.trail.notes.update({"grant_to": key, "role": role})
            try:
                if role is None:
                    changed = await self._acls.remove_grant(
                        acl.resource, key, expect_version=acl.version
                    )
                else:
                    changed = await self._acls.set_grant(
                        acl.resource, key, role, expect_version=acl.version
                    )
            except Conflict:
                continue
            return changed
        raise Unavailable("Others are changing this sharing at the same time; try again.")

    async def permitted(self, call: OwnCall, needed: str) -> Acl:
        """The ACL if the caller may make the call on it."""
        resource = Resource(kind_from(call.params["kind"]), call.params["id"])
        acl = await self._ownership.acl(resource)
        decision = decide(call.principal, needed, [Need(needed, resource, acl)], self._matrix())
        call.trail.decision = decision
        if not decision.allowed:
            raise _refusal(call.principal, decision)
        if acl is not None:
            return acl
        # Only an admin comes here: nobody owns it yet, or there is no such thing.
        if await self._resolver.tags(resource) is None:
            raise NotFound(f"MLflow has no {resource.kind.value} '{resource.id[:200]}'.")
        if needed == ACL_READ:
            # Looking makes nothing: `mlgate acl import` would take it for owned.
            return Acl(resource, None, {})
        await self._acls.create_acl(resource, None, {})
        created = await self._acls.get(resource)
        if created is None:
            raise Unavailable("The sharing could not be read back; try again.")
        return created


def _refusal(principal: Principal, decision: Decision) -> Forbidden:
    if decision.reason is Reason.ROLE_LACKS_CALL:
        return Forbidden(explain(principal, decision))
    return Forbidden(
        f"{principal.name} may not call {decision.call} here: it does not exist or is not shared "
        "with you. Ask its manager or an admin."
    )


def _shown(acl: Acl) -> dict[str, object]:
    return {
        "owner": acl.owner,
        "grants": [{"principal": p, "role": r} for p, r in sorted(acl.grants.items())],
    }
