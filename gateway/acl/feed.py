"""The feed's spelling of a change, shared by the adapters. Pure: no store, no clock.

A ``Change`` names a resource as ``kind:id``; ids may hold any character, so the text is split
at the first colon only.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.acl.store import Change
from gateway.model import Kind, Resource

ACL = "acl"
TOKEN = "token"
PERSON = "person"
SESSION = "session"
RESET = "reset"


def acl_change(resource: Resource, principals: Iterable[str], row_id: str = "") -> Change:
    """The feed row that says: the ACL of ``resource`` changed for these grant keys."""
    return Change(ACL, str(resource), tuple(sorted(set(principals))), row_id)


def session_change(principal: str, session_hash: str) -> Change:
    """The feed row that says: this browser session changed or ended."""
    return Change(SESSION, session_hash, (principal,))


def resource_of(change: Change) -> Resource | None:
    """The resource that an ``acl`` change names; None when the name is not one of ours.

    A newer gateway on the same store may know more kinds than this one.
    """
    kind, _, resource_id = change.name.partition(":")
    if kind not in _KINDS:
        return None
    return Resource(Kind(kind), resource_id)


_KINDS = frozenset(kind.value for kind in Kind)
