"""Records to DynamoDB items and back, in DynamoDB's own notation (``{"S": …}``). Pure.

An ACL is a meta item (owner, version) and one item for each grant. ``born`` is the version at
which the ACL was made: a grant with another ``born`` is left over from an earlier ACL of that
name (two regions of a global table can produce one) and does not count.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.acl import keys
from gateway.acl.store import Change, PersonRecord, SessionRecord, TokenRecord
from gateway.model import Acl, Kind, Resource

Item = dict[str, Any]

INDEX = "gsi1"
TTL = "expires_at"

FEED_KEPT_SECONDS = 2 * 3600
"""When DynamoDB may delete a feed row (it does so within days)."""

TOKEN_KEPT_SECONDS = 30 * 86400
"""How long an expired token can still be listed."""


def key(pk: str, sk: str) -> Item:
    """A primary key."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def primary_key(item: Item) -> Item:
    """Where an item is in the table."""
    return {"pk": item["pk"], "sk": item["sk"]}


def place_of_key(primary: Item) -> str:
    """A primary key as one text, to go on from in a later request."""
    return json.dumps([primary["pk"]["S"], primary["sk"]["S"]])


def key_of_place(text: str) -> Item:
    """The primary key again."""
    pk, sk = json.loads(text)
    return key(pk, sk)


@dataclass(frozen=True, slots=True)
class StoredAcl:
    """An ACL as read, with the ``born`` of its grants."""

    acl: Acl
    born: int


def meta_item(acl: Acl, born: int) -> Item:
    """Owner and version of an ACL."""
    item = key(keys.acl_pk(acl.resource), keys.META)
    item |= {
        "kind": {"S": acl.resource.kind.value},
        "id": {"S": acl.resource.id},
        "version": {"N": str(acl.version)},
        "born": {"N": str(born)},
    }
    if acl.owner is not None:
        item["owner"] = {"S": acl.owner}
    return item


def grant_item(resource: Resource, principal: str, role: str, born: int) -> Item:
    """One grant, with its place in the inverted index."""
    return key(keys.acl_pk(resource), keys.grant_sk(principal)) | {
        "gsi1pk": {"S": keys.seen_pk(principal, resource.kind)},
        "gsi1sk": {"S": keys.seen_sk(resource)},
        "id": {"S": resource.id},
        "principal": {"S": principal},
        "role": {"S": role},
        "born": {"N": str(born)},
    }


def stored_acl(resource: Resource, items: Iterable[Item]) -> StoredAcl | None:
    """The ACL from all items of its partition; None without a meta item."""
    meta: Item | None = None
    grants: dict[str, tuple[str, str]] = {}
    for item in items:
        if item["sk"]["S"] == keys.META:
            meta = item
        else:
            grants[item["principal"]["S"]] = (item["role"]["S"], item["born"]["N"])
    if meta is None:
        return None
    born = meta["born"]["N"]
    valid = {principal: role for principal, (role, since) in grants.items() if since == born}
    owner = meta.get("owner")
    acl = Acl(resource, owner["S"] if owner else None, valid, int(meta["version"]["N"]))
    return StoredAcl(acl, int(born))


def resource_of(item: Item) -> Resource:
    """The resource of a meta item."""
    return Resource(Kind(item["kind"]["S"]), item["id"]["S"])


def token_item(token: TokenRecord) -> Item:
    """An API token; the index lists it under its principal."""
    item = key(keys.token_pk(token.hash), keys.TOKEN) | {
        "gsi1pk": {"S": keys.tokens_pk(token.principal)},
        "gsi1sk": {"S": keys.tokens_sk(token.created, token.id)},
        "id": {"S": token.id},
        "hash": {"S": token.hash},
        "principal": {"S": token.principal},
        "label": {"S": token.label},
        "created": _number(token.created),
        "expires": _number(token.expires),
        "created_by": {"S": token.created_by},
        "groups": _texts(token.groups),
        TTL: _token_ttl(token),
    }
    if token.home_group is not None:
        item["home_group"] = {"S": token.home_group}
    if token.last_used is not None:
        item["last_used"] = _number(token.last_used)
    return item


def token_id_item(token: TokenRecord) -> Item:
    """What leads from the token's id to its hash."""
    return key(keys.token_id_pk(token.id), keys.TOKEN_ID) | {
        "hash": {"S": token.hash},
        TTL: _token_ttl(token),
    }


def token_of(item: Item) -> TokenRecord:
    """The token of a token item."""
    return TokenRecord(
        id=item["id"]["S"],
        hash=item["hash"]["S"],
        principal=item["principal"]["S"],
        label=item["label"]["S"],
        created=float(item["created"]["N"]),
        expires=float(item["expires"]["N"]),
        created_by=item["created_by"]["S"],
        groups=_of_texts(item["groups"]),
        home_group=item["home_group"]["S"] if "home_group" in item else None,
        last_used=float(item["last_used"]["N"]) if "last_used" in item else None,
    )


def person_item(person: PersonRecord) -> Item:
    """A person; the index lists everybody."""
    item = key(keys.person_pk(person.name), keys.PERSON) | {
        "gsi1pk": {"S": keys.PEOPLE},
        "gsi1sk": {"S": keys.free(person.name)},
        "name": {"S": person.name},
        "groups": _texts(person.groups),
        "seen": _number(person.seen),
    }
    if person.home_group is not None:
        item["home_group"] = {"S": person.home_group}
    return item


def person_of(item: Item) -> PersonRecord:
    """The person of a person item."""
    return PersonRecord(
        name=item["name"]["S"],
        groups=_of_texts(item["groups"]),
        home_group=item["home_group"]["S"] if "home_group" in item else None,
        seen=float(item["seen"]["N"]),
    )


def session_item(session: SessionRecord) -> Item:
    """A browser session, with its principal's others."""
    item = key(keys.sessions_pk(session.principal), keys.session_sk(session.hash)) | {
        "hash": {"S": session.hash},
        "principal": {"S": session.principal},
        "provider": {"S": session.provider},
        "groups": _texts(session.groups),
        "created": _number(session.created),
        "expires": _number(session.expires),
        "refreshed": _number(session.refreshed),
        "seen": _number(session.seen),
        "tokens": {"B": session.tokens},
        "busy_until": _number(session.busy_until),
        "version": {"N": str(session.version)},
        TTL: {"N": str(math.ceil(session.expires))},
    }
    if session.home_group is not None:
        item["home_group"] = {"S": session.home_group}
    return item


def session_of(item: Item) -> SessionRecord:
    """The session of a session item."""
    return SessionRecord(
        hash=item["hash"]["S"],
        principal=item["principal"]["S"],
        provider=item["provider"]["S"],
        groups=_of_texts(item["groups"]),
        home_group=item["home_group"]["S"] if "home_group" in item else None,
        created=float(item["created"]["N"]),
        expires=float(item["expires"]["N"]),
        refreshed=float(item["refreshed"]["N"]),
        seen=float(item["seen"]["N"]),
        tokens=bytes(item["tokens"]["B"]),
        busy_until=float(item["busy_until"]["N"]),
        version=int(item["version"]["N"]),
    )


def feed_item(change: Change, at: float, row_id: str) -> Item:
    """A feed row at a moment."""
    return key(keys.feed_pk(at), keys.feed_sk(at, row_id)) | {
        "kind": {"S": change.kind},
        "name": {"S": change.name},
        "principals": _texts(change.principals),
        TTL: {"N": str(int(at) + FEED_KEPT_SECONDS)},
    }


def change_of(item: Item) -> Change:
    """The change of a feed row; its sort key is its id."""
    return Change(
        item["kind"]["S"], item["name"]["S"], _of_texts(item["principals"]), item["sk"]["S"]
    )


def role_by_id(items: Iterable[Item]) -> Mapping[str, str]:
    """Resource id -> role of grant items."""
    return {item["id"]["S"]: item["role"]["S"] for item in items}


def _number(value: float) -> Item:
    return {"N": repr(float(value))}


def _texts(values: Iterable[str]) -> Item:
    # A list, not a set: a set can be neither empty nor ordered.
    return {"L": [{"S": value} for value in values]}


def _of_texts(value: Item) -> tuple[str, ...]:
    return tuple(element["S"] for element in value["L"])


def _token_ttl(token: TokenRecord) -> Item:
    return {"N": str(math.ceil(token.expires) + TOKEN_KEPT_SECONDS)}
