"""The rules of sharing: who may give, change or take away which grant. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.errors import BadRequest, Forbidden
from gateway.model import EVERYONE, Acl, Kind, Principal
from gateway.roles import ACL_WRITE, RoleMatrix

MANAGER = "manager"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_grant_key(key: str) -> str:
    """A principal as grants spell it: ``user:…``, ``service:…``, ``group:…`` or ``everyone``.

    Raises BadRequest for anything else.
    """
    kind, colon, name = key.partition(":")
    known = key == EVERYONE or (
        colon and kind in ("user", "service", "group") and name and name == name.strip()
    )
    if not known or _CONTROL.search(key) or len(key) > 512:
        raise BadRequest(
            f"'{key[:80]}' is not a principal; write user:NAME, group:NAME, service:NAME or "
            "everyone."
        )
    return key


def check_change(
    acl: Acl, caller: Principal, key: str, role: str | None, matrix: RoleMatrix
) -> None:
    """Whether ``caller`` (who may ``acl/write`` here) may give ``key`` the role; None: remove.

    Raises BadRequest for an unknown role and for the last manager, Forbidden for a role above
    the caller's own.
    """
    kind = acl.resource.kind
    if role is not None and role not in matrix.roles:
        raise BadRequest(f"There is no role '{role}'; roles are {', '.join(matrix.roles)}.")
    if not caller.admin:
        for touched in (role, acl.grants.get(key)):
            if touched is not None and not may_give(acl, caller, touched, matrix):
                raise Forbidden(
                    f"{caller.name} may not give or take the role '{touched}', which is above "
                    "their own; ask a manager."
                )
    after = dict(acl.grants)
    after.pop(key, None)
    if role is not None:
        after[key] = role
    if _managed(acl.grants, kind, matrix) and not _managed(after, kind, matrix):
        raise BadRequest(
            f"{key} is the last one who can manage this {kind.value}; make somebody else "
            "manager first."
        )


def may_give(acl: Acl, caller: Principal, role: str, matrix: RoleMatrix) -> bool:
    """Whether a role is not above the caller's own here; an admin has none above."""
    return caller.admin or _reaches(acl.roles_of(caller), role, acl.resource.kind, matrix)


def _reaches(own: tuple[str, ...], role: str, kind: Kind, matrix: RoleMatrix) -> bool:
    # A role that roles.yaml no longer has allows nothing, so anybody who shares may remove it.
    known = role in matrix.roles
    mine = [r for r in own if r in matrix.roles]
    return not known or any(r == MANAGER or matrix.covers(r, role, kind) for r in mine)


def _managed(grants: Mapping[str, str], kind: Kind, matrix: RoleMatrix) -> bool:
    return any(matrix.allows(role, kind, ACL_WRITE) for role in grants.values())
