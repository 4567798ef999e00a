"""The decision: may this principal make this call on these resources, and why.

Pure: everything it needs is handed in. Default deny. Several grants combine to the union of
what their roles allow; a call that touches several resources needs all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.model import Acl, Decision, Principal, Reason, Resource
from gateway.roles import RoleMatrix


class Need(NamedTuple):
    """One resource that a request touches, the call it must allow, and its ACL if it has one."""

    call: str
    resource: Resource
    acl: Acl | None


def may(principal: Principal, need: Need, matrix: RoleMatrix) -> bool:
    """Whether one resource allows its call to the principal (no explanation)."""
    if principal.admin and need.call in matrix.admin:
        return True
    if need.acl is None:
        return False
    calls = matrix.calls
    kind = need.resource.kind
    return any(need.call in calls[role, kind] for role in _known(need.acl, principal, matrix))


def _known(acl: Acl, principal: Principal, matrix: RoleMatrix) -> list[str]:
    # A role that roles.yaml no longer has allows nothing.
    return [role for role in acl.roles_of(principal) if role in matrix.roles]


def decide(
    principal: Principal,
    call: str,
    needs: Sequence[Need],
    matrix: RoleMatrix,
) -> Decision:
    """Decide a call on resources. ``needs`` must not be empty: no resource, no role, no pass."""
    resources = tuple(need.resource for need in needs)
    if principal.admin and call in matrix.admin:
        return Decision(True, Reason.ADMIN, call, resources)
    for need in needs:
        if not may(principal, need, matrix):
            return _denied(principal, need, matrix, call, resources)
    if not needs:
        return Decision(False, Reason.CALL_UNLISTED, call)
    first = needs[0]
    roles = first.acl.roles_of(principal) if first.acl is not None else ()
    return Decision(True, Reason.ROLE_ALLOWS, call, resources, first.resource, roles)


def _denied(
    principal: Principal,
    need: Need,
    matrix: RoleMatrix,
    call: str,
    resources: tuple[Resource, ...],
) -> Decision:
    roles = need.acl.roles_of(principal) if need.acl is not None else ()
    would = matrix.roles_allowing(need.resource.kind, need.call)
    reason = Reason.ROLE_LACKS_CALL if roles else Reason.NO_GRANT
    if not would:
        reason = Reason.CALL_UNLISTED
    return Decision(False, reason, call, resources, need.resource, roles, would)


def decide_server(principal: Principal, call: str, matrix: RoleMatrix) -> Decision:
    """Decide a call that touches no experiment or model (the ``server:`` part of roles.yaml)."""
    if principal.admin and call in matrix.admin:
        return Decision(True, Reason.ADMIN, call)
    if call in matrix.everyone:
        return Decision(True, Reason.SERVER_CALL_FOR_EVERYONE, call)
    return Decision(False, Reason.ADMIN_ONLY, call)


def explain(principal: Principal, decision: Decision, hint: str = "") -> str:
    """The sentence of a decision: who, which call, which resource, which role would do.

    Never names what the caller may not know: a resource only by the identifier the caller
    itself sent (the call line), never by what it resolved to.
    """
    who = principal.name
    if decision.allowed:
        return f"{who} may call {decision.call}: {decision.reason.value.replace('_', ' ')}."
    if decision.reason is Reason.ADMIN_ONLY:
        return f"{who} may not call {decision.call}: it is for admins. Ask an mlgate admin."
    if decision.reason is Reason.CALL_UNLISTED:
        return (
            f"{who} may not call {decision.call}: no role in roles.yaml lists it. "
            "Ask an mlgate admin."
        )
    would = " or ".join(decision.would_allow)
    kind = decision.resource.kind.value if decision.resource is not None else "resource"
    if decision.reason is Reason.ROLE_LACKS_CALL:
        return (
            f"{who} is {', '.join(sorted(set(decision.roles)))} here and may not call "
            f"{decision.call}: role {would} on the {kind} is needed. Ask a manager of the {kind}."
        )
    return (
        f"{who} may not call {decision.call}: what it names does not exist or is not shared with "
        f"you (role {would} on the {kind} is needed). {hint or 'Ask its manager or an admin.'}"
    )
