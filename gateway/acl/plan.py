"""How an ACL gets from one state to another: the DynamoDB transactions that do it. Pure.

A step is one transaction: the meta item, under the condition that its version is still the one
that was read, some grants, and (added by the adapter) the feed rows that name them. Nearly every
change is one step. An ACL with more grants than fit shrinks or grows in several, each consistent
and announced by itself, the meta item made first and deleted last: a crash in between leaves an
ACL with some of the grants, and no change that the feed does not tell.

At most 100 actions in a transaction (docs.aws.amazon.com/amazondynamodb, TransactWriteItems).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.acl import keys
from gateway.acl.feed import acl_change
from gateway.acl.items import Item, StoredAcl, grant_item, key, meta_item
from gateway.acl.store import Change
from gateway.model import Acl, Resource

Action = tuple[str, dict[str, Any]]
"""``Put`` or ``Delete`` and its parameters without the table's name."""

MOST_ACTIONS = 100


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction; each change becomes a feed row in it."""

    actions: tuple[Action, ...]
    changes: tuple[Change, ...]


def replace(
    resource: Resource,
    before: StoredAcl | None,
    owner: str | None,
    grants: Mapping[str, str] | None,
    first_version: int,
) -> list[Step]:
    """The steps from ``before`` to these grants; ``grants`` None: to no ACL at all."""
    born = first_version if before is None else before.born
    had = {} if before is None else before.acl.grants
    want = {} if grants is None else grants
    edits: list[tuple[str, Action]] = []
    for principal in had:
        if principal not in want:
            sort = keys.grant_sk(principal)
            edits.append((principal, _delete(key(keys.acl_pk(resource), sort))))
    for principal, role in want.items():
        if had.get(principal) != role:
            edits.append((principal, _put(grant_item(resource, principal, role, born))))

    steps = []
    version = None if before is None else before.acl.version
    room = MOST_ACTIONS - 2
    chunks = [edits[at : at + room] for at in range(0, len(edits), room)] or [[]]
    for number, chunk in enumerate(chunks, 1):
        following = first_version if version is None else version + 1
        if grants is None and number == len(chunks):
            meta = _delete(key(keys.acl_pk(resource), keys.META), version)
        else:
            acl = Acl(resource, owner, {}, following)
            meta = _put(meta_item(acl, born), _condition(version))
        change = acl_change(resource, (principal for principal, _ in chunk))
        steps.append(Step((meta, *(action for _, action in chunk)), (change,)))
        version = following
    return steps


def _put(item: Item, condition: dict[str, Any] | None = None) -> Action:
    return "Put", {"Item": item, **(condition or {})}


def _delete(primary_key: Item, version: int | None = None) -> Action:
    condition = {} if version is None else _condition(version)
    return "Delete", {"Key": primary_key, **condition}


def _condition(version: int | None) -> dict[str, Any]:
    """The meta item is still at ``version`` (None: is still absent)."""
    if version is None:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    return {
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {":version": {"N": str(version)}},
    }
