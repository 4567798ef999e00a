"""Ownership from tags: the ACL that a resource is born with, and is rebuilt from.

The gateway stamps ``mlgate.owner`` and ``mlgate.group`` on what is created, in the very write
that creates it; the ACL row follows. Whoever finds a resource without a row rebuilds it here.
Pure: tags and the matrix in, an ACL out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.model import GROUP_TAG, OWNER_TAG, Acl, Kind, Principal, Resource
from gateway.roles import RoleMatrix

OWNER_PREFIXES = ("user:", "service:")


def ownership_tags(principal: Principal) -> dict[str, str]:
    """The tags to stamp on what ``principal`` creates."""
    tags = {OWNER_TAG: principal.name}
    if principal.home_group:
        tags[GROUP_TAG] = principal.home_group
    return tags


def first_grants(
    kind: Kind, owner: str, home_group: str | None, matrix: RoleMatrix
) -> Mapping[str, str]:
    """The grants on a new resource, by the defaults of roles.yaml; ``home_group`` is bare."""
    defaults = matrix.defaults[kind]
    grants = {owner: defaults.creator}
    if home_group and defaults.group is not None:
        grants[f"group:{home_group}"] = defaults.group
    return MappingProxyType(grants)


def acl_from_tags(resource: Resource, tags: Mapping[str, str], matrix: RoleMatrix) -> Acl | None:
    """The ACL that the ownership tags describe, or None when they name no owner.

    An owner is spelled like a principal (``user:…`` or ``service:…``); anything else is not a
    stamp of ours and gives nobody anything.
    """
    owner = tags.get(OWNER_TAG, "")
    if not is_owner(owner):
        return None
    grants = first_grants(resource.kind, owner, tags.get(GROUP_TAG), matrix)
    return Acl(resource, owner, grants)


def is_owner(name: str) -> bool:
    """Whether ``name`` can own something: a person or a service account, spelled in full."""
    return any(name.startswith(prefix) and name != prefix for prefix in OWNER_PREFIXES)
