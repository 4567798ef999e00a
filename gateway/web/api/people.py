"""``whoami`` and ``can``: who am I, and why may (or may not) somebody do something."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from gateway.acl.cache import AclCache
from gateway.errors import BadRequest, Forbidden
from gateway.model import Decision, Kind, Principal, Resource
from gateway.rbac import Need, decide, decide_server, explain
from gateway.resolve import Ownership
from gateway.roles import CallNames, RoleMatrix
from gateway.settings import Admins
from gateway.web.answer import json_answer
from gateway.web.own import Endpoint, OwnCall


class PeopleApi:
    """Answers about principals and decisions."""

    def __init__(
        self,
        acls: AclCache,
        ownership: Ownership,
        matrix: Callable[[], RoleMatrix],
        names: CallNames,
        admins: Admins,
    ) -> None:
        self._acls = acls
        self._ownership = ownership
        self._matrix = matrix
        self._names = names
        self._admins = admins

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's rows."""
        return (
            Endpoint("GET", "api/v1/whoami", "whoami", self.whoami),
            Endpoint("GET", "api/v1/can", "can", self.can),
        )

    async def whoami(self, call: OwnCall) -> web.StreamResponse:
        """``{principal, groups, admin, method}`` of the caller."""
        principal = call.principal
        return json_answer(
            200,
            {
                "principal": principal.name,
                "groups": sorted(principal.groups),
                "admin": principal.admin,
                "method": principal.method,
            },
        )

    async def can(self, call: OwnCall) -> web.StreamResponse:
        """Explain a decision; about others only for admins."""
        return json_answer(200, await self.answer(call))

    async def answer(self, call: OwnCall) -> dict[str, object]:
        """What ``can`` says about the call's query."""
        asked = call.query.get("principal") or call.principal.name
        name = call.query.get("call", "")
        if asked != call.principal.name and not call.principal.admin:
            raise Forbidden("Only an admin may ask about somebody else; leave 'principal' out.")
        if name not in self._names.experiment | self._names.model | self._names.server:
            raise BadRequest(f"There is no call '{name[:100]}'; 'mlgate routes' lists them.")
        principal = call.principal
        if asked != principal.name:
            principal = await self._someone(asked)
        decision, owner = await self._decide(principal, name, call)
        return {
            "principal": principal.name,
            "groups": sorted(principal.groups),
            "call": name,
            "resource": str(decision.resource) if decision.resource else None,
            "allowed": decision.allowed,
            "reason": decision.reason.value,
            "roles": list(decision.roles),
            "would_allow": list(decision.would_allow),
            "owner": owner,
            "explanation": explain(principal, decision),
        }

    async def _decide(
        self, principal: Principal, name: str, call: OwnCall
    ) -> tuple[Decision, str | None]:
        kind_text, resource_id = call.query.get("kind"), call.query.get("id")
        matrix = self._matrix()
        if not kind_text or not resource_id:
            if name not in self._names.server:
                raise BadRequest(f"{name} needs a resource; give kind and id.")
            return decide_server(principal, name, matrix), None
        kind = kind_from(kind_text)
        if name not in self._names.of_kind(kind):
            raise BadRequest(f"{name} is not a call on a {kind.value}.")
        resource = Resource(kind, resource_id)
        acl = await self._ownership.acl(resource)
        own = acl is not None and acl.roles_of(call.principal)
        owner = acl.owner if acl is not None and (own or call.principal.admin) else None
        return decide(principal, name, [Need(name, resource, acl)], matrix), owner

    async def _someone(self, name: str) -> Principal:
        if not name.startswith(("user:", "service:")):
            raise BadRequest("Ask about user:NAME or service:NAME.")
        person = await self._acls.person(name)
        groups = frozenset(person.groups if person is not None else ())
        bare = name.partition(":")[2]
        admin = name.startswith("user:") and bare in self._admins.users
        admin = admin or bool(groups & self._admins.groups)
        return Principal(name, groups, admin=admin, method="asked")


def kind_from(text: str) -> Kind:
    """``experiment`` or ``model``; raises BadRequest."""
    try:
        return Kind(text)
    except ValueError:
        raise BadRequest("The kind of a resource is 'experiment' or 'model'.") from None
