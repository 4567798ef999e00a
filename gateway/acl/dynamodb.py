"""The ACL store on one DynamoDB table, for any number of gateways in any number of regions.

Each write is a transaction together with its feed rows, so no change can be lost in between.
The feed is read by time: from the cursor back over ``overlap`` (clock skew, replication between
regions) and over the longest time a write can take, so rows are seen several times and never
missed. ``docs/acl-store.md`` lists the access patterns and what they cost.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from gateway.acl import items, keys, plan
from gateway.acl.dynamodb_table import CALL_SECONDS, ConditionFailed, Table
from gateway.acl.dynamodb_url import DynamoDbUrl
from gateway.acl.feed import PERSON, RESET, TOKEN, session_change
from gateway.acl.store import (
    AclPage,
    Change,
    Conflict,
    PersonRecord,
    SessionRecord,
    StoreUnavailable,
    TokenRecord,
)
from gateway.clock import Clock, SystemClock
from gateway.model import Acl, Kind, Resource

OVERLAP_SECONDS = 5.0

FEED_REACH_SECONDS = items.FEED_KEPT_SECONDS / 2
"""A cursor older than this is answered with ``reset``; rows are kept for twice as long."""

_TRIES = 5
_LIST_AT_ONCE = 8
_PAGE_SCANNED = 1000
_PAGE_SCANS = 4
"""One page of ACLs looks at this many items of the table so often at most, 1 MB each time."""
_SESSIONS_AT_ONCE = plan.MOST_ACTIONS // 2


class DynamoDbStore:
    """``Store`` over the table of ``url``, which must exist; the first call connects.

    ``overlap`` is how far clocks of gateways may differ and how long replication between regions
    may take. A machine whose clock is further off is refused: it would miss revocations.
    """

    def __init__(
        self, url: DynamoDbUrl, clock: Clock | None = None, *, overlap: float = OVERLAP_SECONDS
    ) -> None:
        self._clock = clock or SystemClock()
        self._table = Table(url, self._clock)
        self._overlap = overlap

    async def get_acl(self, resource: Resource) -> Acl | None:
        stored = await self._stored(resource)
        return None if stored is None else stored.acl

    async def create_acl(
        self, resource: Resource, owner: str | None, grants: Mapping[str, str]
    ) -> bool:
        try:
            await self._take(plan.replace(resource, None, owner, grants, self._first_version()))
        except Conflict:
            return False
        return True

    async def set_grant(
        self, resource: Resource, principal: str, role: str, *, expect_version: int
    ) -> Acl:
        return await self._change_grant(resource, principal, role, expect_version)

    async def remove_grant(self, resource: Resource, principal: str, *, expect_version: int) -> Acl:
        return await self._change_grant(resource, principal, None, expect_version)

    async def drop_acl(self, resource: Resource) -> None:
        for _ in range(_TRIES):
            stored = await self._stored(resource)
            if stored is None:
                return
            try:
                return await self._take(plan.replace(resource, stored, None, None, 0))
            except Conflict:
                continue
        raise Conflict(f"{resource} keeps changing; try again.")

    async def grants_of(self, key: str, kind: Kind) -> Mapping[str, str]:
        return items.role_by_id(await self._indexed(keys.seen_pk(key, kind)))

    async def list_acls(self, kind: Kind) -> AsyncIterator[Acl]:
        pages = self._table.scan(
            ConsistentRead=True,
            FilterExpression="sk = :meta AND kind = :kind",
            ExpressionAttributeValues={":meta": {"S": keys.META}, ":kind": {"S": kind.value}},
        )
        async for page in pages:
            for acl in await self._each(page):
                yield acl

    async def acl_page(self, kind: Kind, after: str | None, most: int) -> AclPage:
        # A scan: an index of all ACLs would cost every writer, and admins look rarely.
        place = None if after is None else items.key_of_place(after)
        metas: list[items.Item] = []
        for _ in range(_PAGE_SCANS):
            found, place = await self._table.scan_some(
                place,
                ConsistentRead=True,
                Limit=_PAGE_SCANNED,
                FilterExpression="sk = :meta AND kind = :kind",
                ExpressionAttributeValues={":meta": {"S": keys.META}, ":kind": {"S": kind.value}},
            )
            metas += found
            if place is None or len(metas) >= most:
                break
        if len(metas) > most:
            metas = metas[:most]
            place = items.primary_key(metas[-1])
        acls = await self._each(metas)
        return AclPage(tuple(acls), None if place is None else items.place_of_key(place))

    async def _each(self, metas: Sequence[items.Item]) -> list[Acl]:
        """The ACLs of some meta items; those dropped meanwhile are left out."""
        acls: list[Acl] = []
        for at in range(0, len(metas), _LIST_AT_ONCE):
            some = metas[at : at + _LIST_AT_ONCE]
            found = await asyncio.gather(*(self.get_acl(items.resource_of(m)) for m in some))
            acls += (acl for acl in found if acl is not None)
        return acls

    async def put_token(self, token: TokenRecord) -> None:
        same_id = {"#id": "id"}, {":id": {"S": token.id}}
        same_hash = {"#hash": "hash"}, {":hash": {"S": token.hash}}
        actions = (
            _put_if(items.token_item(token), "attribute_not_exists(pk) OR #id = :id", *same_id),
            _put_if(
                items.token_id_item(token), "attribute_not_exists(pk) OR #hash = :hash", *same_hash
            ),
        )
        try:
            await self._write(plan.Step(actions, (Change(TOKEN, token.hash),)))
        except ConditionFailed as error:
            raise Conflict(
                f"The token id {token.id} or its hash is taken; make another."
            ) from error

    async def get_token(self, token_hash: str) -> TokenRecord | None:
        item = await self._table.get(items.key(keys.token_pk(token_hash), keys.TOKEN))
        return None if item is None else items.token_of(item)

    async def tokens_of(self, principal: str | None) -> Sequence[TokenRecord]:
        if principal is not None:
            found = await self._indexed(keys.tokens_pk(principal), newest_first=True)
            return [items.token_of(item) for item in found]
        pages = self._table.scan(
            ConsistentRead=True,
            FilterExpression="sk = :token",
            ExpressionAttributeValues={":token": {"S": keys.TOKEN}},
        )
        tokens = [items.token_of(item) async for page in pages for item in page]
        return sorted(tokens, key=lambda token: (token.created, token.id), reverse=True)

    async def delete_token(self, token_id: str) -> TokenRecord | None:
        pointer_key = items.key(keys.token_id_pk(token_id), keys.TOKEN_ID)
        pointer = await self._table.get(pointer_key)
        if pointer is None:
            return None
        token = await self.get_token(pointer["hash"]["S"])
        token_key = items.key(keys.token_pk(pointer["hash"]["S"]), keys.TOKEN)
        actions = (("Delete", {"Key": token_key}), ("Delete", {"Key": pointer_key}))
        await self._write(plan.Step(actions, (Change(TOKEN, pointer["hash"]["S"]),)))
        return token

    async def touch_token(self, token_hash: str, used: float) -> None:
        # Conditional: an update of a token revoked meanwhile would make a new, broken item.
        await self._table.update(
            Key=items.key(keys.token_pk(token_hash), keys.TOKEN),
            UpdateExpression="SET last_used = :used",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":used": {"N": repr(float(used))}},
        )

    async def put_person(self, person: PersonRecord) -> None:
        action = ("Put", {"Item": items.person_item(person)})
        await self._write(plan.Step((action,), (Change(PERSON, person.name),)))

    async def create_person(self, person: PersonRecord) -> bool:
        absent = {"ConditionExpression": "attribute_not_exists(pk)"}
        action = ("Put", {"Item": items.person_item(person), **absent})
        try:
            await self._write(plan.Step((action,), (Change(PERSON, person.name),)))
        except ConditionFailed:
            return False
        return True

    async def get_person(self, name: str) -> PersonRecord | None:
        item = await self._table.get(items.key(keys.person_pk(name), keys.PERSON))
        return None if item is None else items.person_of(item)

    async def people(self) -> Sequence[PersonRecord]:
        return [items.person_of(item) for item in await self._indexed(keys.PEOPLE)]

    async def put_session(self, session: SessionRecord) -> None:
        action = ("Put", {"Item": items.session_item(session)})
        await self._write(plan.Step((action,), (session_change(session.principal, session.hash),)))

    async def get_session(self, principal: str, session_hash: str) -> SessionRecord | None:
        item = await self._table.get(_session_key(principal, session_hash))
        return None if item is None else items.session_of(item)

    async def replace_session(
        self, session: SessionRecord, *, expect_version: int
    ) -> SessionRecord:
        following = replace(session, version=expect_version + 1)
        version = {"#version": "version"}, {":version": {"N": str(expect_version)}}
        action = _put_if(items.session_item(following), "#version = :version", *version)
        step = plan.Step((action,), (session_change(session.principal, session.hash),))
        try:
            await self._write(step)
        except ConditionFailed as error:
            raise Conflict("The session was changed or ended elsewhere.") from error
        return following

    async def touch_session(self, principal: str, session_hash: str, seen: float) -> None:
        await self._table.update(
            Key=_session_key(principal, session_hash),
            UpdateExpression="SET seen = :seen",
            ConditionExpression="attribute_exists(pk) AND seen < :seen",
            ExpressionAttributeValues={":seen": {"N": repr(float(seen))}},
        )

    async def sessions_of(self, principal: str) -> Sequence[SessionRecord]:
        found = await self._table.query(
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": keys.sessions_pk(principal)}},
        )
        return [items.session_of(item) for item in found]

    async def delete_session(self, principal: str, session_hash: str) -> bool:
        known = await self.get_session(principal, session_hash)
        await self._end_sessions(principal, [session_hash])
        return known is not None

    async def delete_sessions(self, principal: str) -> int:
        hashes = [session.hash for session in await self.sessions_of(principal)]
        for at in range(0, len(hashes), _SESSIONS_AT_ONCE):
            await self._end_sessions(principal, hashes[at : at + _SESSIONS_AT_ONCE])
        return len(hashes)

    async def changes(self, cursor: str | None) -> tuple[Sequence[Change], str]:
        now = self._clock.now()
        since = now if cursor is None else float(cursor)
        if now - since > FEED_REACH_SECONDS:
            await self.ping()
            self._refuse_wrong_clock()
            return [Change(RESET, "")], repr(now)
        # min: a clock that was set back must not leave a hole.
        start = min(since, now) - self._overlap - CALL_SECONDS
        found: list[items.Item] = []
        for partition in keys.feed_pks(start, now + self._overlap):
            found += await self._table.query(
                ConsistentRead=True,
                KeyConditionExpression="pk = :pk AND sk >= :from",
                ExpressionAttributeValues={
                    ":pk": {"S": partition},
                    ":from": {"S": keys.feed_from(start)},
                },
            )
        self._refuse_wrong_clock()
        rows = [] if cursor is None else [items.change_of(item) for item in found]
        return rows, repr(now)

    async def secret(self, name: str) -> bytes:
        secret_key = items.key(keys.secret_pk(name), keys.SECRET)
        item = await self._table.get(secret_key)
        if item is None:
            await self._table.update(
                Key=secret_key,
                UpdateExpression="SET #value = :fresh",
                ConditionExpression="attribute_not_exists(pk)",
                ExpressionAttributeNames={"#value": "value"},
                ExpressionAttributeValues={":fresh": {"B": secrets.token_bytes(32)}},
            )
            item = await self._table.get(secret_key)
        assert item is not None
        return bytes(item["value"]["B"])

    async def ping(self) -> None:
        await self._table.get(items.key("ping", "ping"))

    async def close(self) -> None:
        await self._table.close()

    async def _end_sessions(self, principal: str, hashes: Sequence[str]) -> None:
        actions = tuple(("Delete", {"Key": _session_key(principal, one)}) for one in hashes)
        changes = tuple(session_change(principal, one) for one in hashes)
        await self._write(plan.Step(actions, changes))

    async def _stored(self, resource: Resource) -> items.StoredAcl | None:
        found = await self._table.query(
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": keys.acl_pk(resource)}},
        )
        return items.stored_acl(resource, found)

    async def _indexed(self, partition: str, *, newest_first: bool = False) -> list[items.Item]:
        return await self._table.query(
            IndexName=items.INDEX,
            KeyConditionExpression="gsi1pk = :pk",
            ExpressionAttributeValues={":pk": {"S": partition}},
            ScanIndexForward=not newest_first,
        )

    async def _change_grant(
        self, resource: Resource, principal: str, role: str | None, expect_version: int
    ) -> Acl:
        stored = await self._stored(resource)
        if stored is None or stored.acl.version != expect_version:
            raise Conflict(f"{resource} was changed by somebody else; read it again.")
        acl = stored.acl
        if acl.grants.get(principal) == role:
            return acl
        grants = {**acl.grants}
        if role is None:
            del grants[principal]
        else:
            grants[principal] = role
        await self._take(plan.replace(resource, stored, acl.owner, grants, 0))
        return Acl(resource, acl.owner, grants, acl.version + 1)

    async def _take(self, steps: Sequence[plan.Step]) -> None:
        for step in steps:
            try:
                await self._write(step)
            except ConditionFailed as error:
                raise Conflict("Changed by somebody else; read it again.") from error

    async def _write(self, step: plan.Step) -> None:
        """One transaction: the step's actions and a feed row for each of its changes."""
        self._refuse_wrong_clock()

        def actions() -> list[plan.Action]:
            now = self._clock.now()
            rows = (items.feed_item(c, now, secrets.token_hex(8)) for c in step.changes)
            return [*step.actions, *(("Put", {"Item": row}) for row in rows)]

        await self._table.transact(actions)

    def _first_version(self) -> int:
        # Time, not 1: above every version that an earlier ACL of this name can have reached.
        return int(self._clock.now() * 1e6)

    def _refuse_wrong_clock(self) -> None:
        skew = self._table.skew
        if abs(skew) > max(self._overlap, 2.0):
            raise StoreUnavailable(
                f"This machine's clock is {skew:+.0f} s off DynamoDB's; set it (NTP), or changes "
                "made elsewhere would be missed."
            )


def _session_key(principal: str, session_hash: str) -> items.Item:
    return items.key(keys.sessions_pk(principal), keys.session_sk(session_hash))


def _put_if(
    item: items.Item, condition: str, names: Mapping[str, str], values: Mapping[str, items.Item]
) -> plan.Action:
    return "Put", {
        "Item": item,
        "ConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
