"""From a call's identifiers to its decision: memory first, MLflow and the store on a miss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gateway.acl.cache import AclCache
from gateway.acl.generations import UNKNOWN
from gateway.errors import BadRequest, Forbidden, GatewayError, NotFound
from gateway.model import Acl, Decision, Kind, Principal, Reason, Resource
from gateway.rbac import Need, decide, decide_server, explain, may
from gateway.resolve import Ownership, Resolver
from gateway.roles import READ_CALL, RoleMatrix
from gateway.routes.call import Call
from gateway.routes.route import Creates, Ref, RefKind, Renames, kind_of

Matrix = Callable[[], RoleMatrix]
_MOST_DECISIONS = 50_000
READ_MODEL_ARTIFACTS = "model-versions/get-artifact"
"""What copying a version out of a model needs on that model."""


class _Known(NamedTuple):
    """A remembered decision and the very values that it was made from."""

    acl: Acl
    matrix: RoleMatrix
    principal: Principal
    decision: Decision


class Authorizer:
    """Decides calls, and says which of many resources a principal may use."""

    def __init__(
        self, acls: AclCache, ownership: Ownership, resolver: Resolver, matrix: Matrix
    ) -> None:
        self._acls = acls
        self._ownership = ownership
        self._resolver = resolver
        self._matrix = matrix
        self._decisions: dict[tuple[str, str, str, Resource], _Known] = {}

    def known_decision(self, call: Call, principal: Principal) -> Decision | None:
        """The hot path: a decision that needs nothing but memory; None: ask ``decision``.

        A decision is a pure function of immutable values, so it is remembered for exactly
        these values: a changed ACL, matrix or principal is another object.
        """
        refs = call.refs
        route = call.route
        if len(refs) != 1 or not route.kinds or route.scope != "resources" or route.new_traces:
            return None
        if call.reserved_tags or call.admin_fields or call.graphql is not None:
            return None
        resources = self._resolver.peek(refs[0])
        if resources is None or len(resources) != 1:
            return None
        acl = self._acls.peek(resources[0])
        if acl is UNKNOWN or acl is None:
            return None
        matrix = self._matrix()
        needed = refs[0].call
        key = (principal.name, needed, route.call, resources[0])
        known = self._decisions.get(key)
        if (
            known is not None
            and known.acl is acl
            and known.matrix is matrix
            and known.principal is principal
        ):
            return known.decision
        made = decide(principal, route.call, (Need(needed, resources[0], acl),), matrix)
        while len(self._decisions) >= _MOST_DECISIONS:
            del self._decisions[next(iter(self._decisions))]
        self._decisions[key] = _Known(acl, matrix, principal, made)
        return made

    async def decision(self, call: Call, principal: Principal) -> Decision:
        """The decision on a call. Narrowed identifiers are not part of it (see ``allowed``).

        Raises Unavailable when MLflow or the store cannot say, BadRequest when a trace would
        be moved from one experiment to another.
        """
        known = self.known_decision(call, principal)
        if known is not None:
            return known
        matrix = self._matrix()
        route = call.route
        refused = _refused_outright(call, principal, matrix)
        if refused is not None:
            return refused
        if route.scope == "server" or not route.kinds:
            server = decide_server(principal, route.call, matrix)
            if not server.allowed or not call.refs:
                return server
        elif not call.refs:
            if route.narrows:
                return Decision(True, Reason.ROLE_ALLOWS, route.call)
            return decide(principal, route.call, (), matrix)
        needs = self._known_needs(call.refs)
        complete = True
        if needs is None:
            needs, complete = await self._needs(call.refs)
        if not complete:
            return self._absent(call, principal, matrix, needs)
        if not needs:
            return Decision(False, Reason.CALL_UNLISTED, route.call)
        decision = decide(principal, route.call, needs, matrix)
        if decision.allowed and route.new_traces:
            _refuse_moves(needs)
        return decision

    def _known_needs(self, refs: Sequence[Ref]) -> list[Need] | None:
        """The hot path: everything is in memory, nothing is awaited."""
        needs = []
        for ref in refs:
            resources = self._resolver.peek(ref)
            if resources is None:
                return None
            for resource in resources:
                acl = self._acls.peek(resource)
                if acl is UNKNOWN or acl is None:
                    return None
                needs.append(Need(ref.call, resource, acl))
        return needs

    async def _needs(self, refs: Sequence[Ref]) -> tuple[list[Need], bool]:
        """The needs of the identifiers in order; False: one names nothing, those before it."""
        needs: list[Need] = []
        for ref in refs:
            resources = await self._resolver.resolve(ref, refs)
            if resources is None:
                return needs, False
            for resource in resources:
                acl = await self._ownership.acl(resource)
                needs.append(Need(_needed(ref, resource), resource, acl))
        return needs, True

    def _absent(
        self, call: Call, principal: Principal, matrix: RoleMatrix, before: Sequence[Need]
    ) -> Decision:
        """Something that the request names does not exist: only an admin hears it from MLflow.

        What comes ``before`` it is decided first, as it would be if the thing were there and
        hidden: the two must not be told apart.
        """
        if principal.admin and call.route.call in matrix.admin:
            return Decision(True, Reason.ADMIN, call.route.call)
        if before:
            decision = decide(principal, call.route.call, before, matrix)
            if not decision.allowed:
                return decision
        return Decision(False, Reason.ABSENT, call.route.call)

    async def allowed(self, refs: Iterable[Ref], principal: Principal) -> frozenset[str]:
        """The identifiers among ``refs`` whose resources all allow their call."""
        matrix = self._matrix()
        kept = set()
        for ref in refs:
            needs = self._known_needs((ref,))
            if needs is None:
                needs, complete = await self._needs((ref,))
                if not complete:
                    continue
            if needs and all(may(principal, need, matrix) for need in needs):
                kept.add(ref.id)
        return frozenset(kept)

    async def readable(self, principal: Principal, kind: Kind) -> Callable[[str], bool]:
        """A test for "may the principal find this resource in a list", by its id or name."""
        matrix = self._matrix()
        if principal.admin and READ_CALL[kind] in matrix.admin:
            return lambda _: True
        visible = await self._acls.visible(principal.keys, kind)
        call = READ_CALL[kind]
        return lambda one: any(matrix.allows(role, kind, call) for role in visible.get(one, ()))

    async def hides_name(self, call: Call, principal: Principal) -> bool:
        """Whether the name that a create or rename asks for belongs to something the principal
        cannot read. MLflow's client takes RESOURCE_ALREADY_EXISTS for "go on with that one"."""
        body = call.body or {}
        for answer in call.route.answers:
            if isinstance(answer, Renames):
                wanted = Ref(RefKind.MODEL, body[answer.new_field], READ_CALL[Kind.MODEL])
            elif isinstance(answer, Creates):
                kind = RefKind.MODEL if answer.kind is Kind.MODEL else RefKind.EXPERIMENT_NAME
                wanted = Ref(kind, str(body.get("name", "")), READ_CALL[answer.kind])
            else:
                continue
            found = await self._resolver.resolve(wanted)
            if found is None or not await self.may_read(principal, found[0]):
                return True
        return False

    async def may_read(self, principal: Principal, resource: Resource) -> bool:
        """Whether the principal may read one resource, rebuilding a lost ACL."""
        acl = await self._ownership.acl(resource)
        return may(principal, Need(READ_CALL[resource.kind], resource, acl), self._matrix())


def _needed(ref: Ref, resource: Resource) -> str:
    """The call that a resource must allow; a source may turn out to be another model."""
    if ref.kind is RefKind.MODEL_SOURCE and resource.kind is Kind.MODEL:
        return READ_MODEL_ARTIFACTS
    return ref.call


def _refused_outright(call: Call, principal: Principal, matrix: RoleMatrix) -> Decision | None:
    """Denials that do not depend on any resource."""
    name = call.route.call
    if call.route.scope == "refused":
        return Decision(False, Reason.REFUSED, name)
    if call.reserved_tags:
        return Decision(False, Reason.RESERVED_TAG, name)
    if call.admin_fields and not principal.admin:
        return Decision(False, Reason.ADMIN_FIELD, name)
    if not principal.admin:
        for ref in call.refs:
            # Before anything is looked up: else the answer would tell whether it exists.
            sure = ref.kind is not RefKind.MODEL_SOURCE
            if sure and not matrix.roles_allowing(kind_of(ref.kind), ref.call):
                return Decision(False, Reason.CALL_UNLISTED, name)
    if call.graphql is not None:
        # A document can run searches that name no resource; each is a call of its own.
        for twin in sorted(set(call.graphql.calls) - {ref.call for ref in call.refs}):
            asked = decide_server(principal, twin, matrix)
            if not asked.allowed:
                return asked
    return None


def _refuse_moves(needs: Sequence[Need]) -> None:
    # MLflow moves a trace that is written again under another experiment; what the gateway
    # remembers about a trace (and what its readers may see) relies on that never happening.
    if len({need.resource for need in needs if need.resource.kind is Kind.EXPERIMENT}) > 1:
        raise BadRequest(
            "This trace id is already used in another experiment, or the call names several "
            "experiments; log the trace under a new id."
        )


def refusal(call: Call, principal: Principal, decision: Decision) -> GatewayError:
    """The error for a denied call; what is absent and what is hidden look the same."""
    who, name = principal.name, call.route.call
    reason = decision.reason
    if reason is Reason.REFUSED:
        return Forbidden(f"{name} is not served through mlgate. {call.route.note}".strip())
    if reason is Reason.RESERVED_TAG:
        return Forbidden(
            f"{who} may not write the tag '{call.reserved_tags[0]}': it is reserved. "
            "Use another tag key."
        )
    if reason is Reason.ADMIN_FIELD:
        return Forbidden(
            f"{who} may not set '{call.admin_fields[0]}' in {name}: that is for admins. "
            "Leave it out or choose another."
        )
    hidden = reason in (Reason.ABSENT, Reason.NO_GRANT)
    if call.route.hides and hidden:
        return NotFound(
            f"No such name for {who}: what {name} asks for does not exist, or is not shared with "
            "you. Check the spelling, or ask its manager or an admin."
        )
    if hidden:
        return Forbidden(
            f"{who} may not call {name}: what it names does not exist or is not shared with you. "
            "Check the identifiers, or ask a manager of the experiment or model, or an admin, "
            f"for a role that lists {name}."
        )
    why = explain(principal, decision)
    for key, also in call.tags_needing:
        why += f" The tag '{key}' is MLflow's own: it needs a role that lists {also} too."
    return Forbidden(why)
