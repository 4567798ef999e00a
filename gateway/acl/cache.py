"""The ACLs, tokens, people and sessions in memory: the object that everybody else asks.

In steady state no request reads the store. What changes elsewhere arrives by the change feed
(one small read per interval); what changes here passes through and is in force when the write
returns. If the store cannot be read, decisions go on from memory for ``acl_grace_seconds``
after the last feed read that worked, then everything raises ``Unavailable``: fail closed.

This module holds no policy and knows no adapter.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from gateway.acl.feed import (
    ACL,
    PERSON,
    RESET,
    SESSION,
    TOKEN,
    acl_change,
    resource_of,
    session_change,
)
from gateway.acl.generations import UNKNOWN, Generations, Unknown
from gateway.acl.shelf import Shelf
from gateway.acl.store import (
    AclPage,
    Change,
    PersonRecord,
    SessionRecord,
    Store,
    StoreUnavailable,
    TokenRecord,
)
from gateway.acl.visible import Visible
from gateway.clock import Clock
from gateway.errors import Unavailable
from gateway.model import Acl, Kind, Resource
from gateway.settings import Limits

log = logging.getLogger(__name__)

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

FEED_SECONDS = 0.8
"""Between two feed reads: a change elsewhere is in force within a second, the read included."""

NO_TOKEN_SECONDS = 5.0
"""How long "no such token" is believed. The feed would end it too; this bounds a feed delay."""

_SHORTEST_GRACE = 3 * FEED_SECONDS
"""Below this a single slow feed read would refuse everybody."""

_ENTRIES_PER_ACL = 10
"""Bound of the index "who sees what": so many entries for each ACL of ``limits.acl_cache``."""

_MOST_REREADS = 64
"""More changed ACLs than this in one feed read, and the index is read again instead."""


_MOST_ROUNDS = 5

_UNREACHABLE = "The gateway cannot reach its access store; try again in a minute."


@dataclass(frozen=True, slots=True, eq=False)
class _Correction:
    """The layers that do not agree yet with an ACL that changed, and when they do."""

    layers: frozenset[tuple[str, Kind]]
    done: asyncio.Future[None]


@dataclass(slots=True)
class Counters:
    """How often the store was asked, for metrics and for the test of the hot path."""

    records: int = 0
    """Reads of ACLs, grants, tokens and people."""
    feed: int = 0
    """Reads of the change feed."""


class AclCache:
    """``Store`` with a memory. One per process and event loop.

    Nothing is cached before the first feed read, which ``get`` and its siblings make by
    themselves; a server runs ``run_feed`` as a task.
    """

    def __init__(self, store: Store, clock: Clock, limits: Limits) -> None:
        self.store = store
        self.reads = Counters()
        self._clock = clock
        self._monotonic = clock.monotonic
        self._grace = max(limits.acl_grace_seconds, _SHORTEST_GRACE)
        self._good_until = float("inf")  # nothing is cached yet that could be too old
        self._cursor: str | None = None
        self._polling = asyncio.Lock()
        self._sightings: dict[str, int] = {}
        self._corrections: list[_Correction] = []
        self._listeners: list[Callable[[Change], None]] = []
        tokens = limits.token_cache
        self._acls: Shelf[Resource, Acl | None] = Shelf(
            self._read_acl, Generations(limits.acl_cache)
        )
        self._layers: Shelf[tuple[str, Kind], Mapping[str, str]] = Shelf(
            self._read_layer, Generations(limits.acl_cache * _ENTRIES_PER_ACL, _weigh)
        )
        self._tokens: Shelf[str, TokenRecord | None] = Shelf(
            self._read_token, Generations(tokens), keep=self._keep_token
        )
        # Apart from the real ones, so that guesses cannot push those out.
        self._no_tokens: Generations[str, float] = Generations(max(100, tokens // 10))
        self._people: Shelf[str, PersonRecord | None] = Shelf(
            self._read_person, Generations(tokens)
        )
        self._sessions: Shelf[tuple[str, str], SessionRecord | None] = Shelf(
            self._read_session, Generations(tokens)
        )

    # -- reading ------------------------------------------------------------------------------

    def peek(self, resource: Resource) -> Acl | Unknown | None:
        """The cached ACL, None (there is none), or UNKNOWN: then ``await get``.

        Raises Unavailable when the cache is older than its grace.
        """
        if self._monotonic() > self._good_until:
            raise self._too_old()
        return self._acls.peek(resource)

    async def get(self, resource: Resource) -> Acl | None:
        """The ACL of a resource or None. Raises Unavailable."""
        return await self._get(self._acls, resource)

    def peek_visible(self, keys: Sequence[str], kind: Kind) -> Visible | Unknown:
        """Resource id -> roles for a principal's ``keys``, or UNKNOWN: ``await visible``.

        Raises Unavailable when the cache is older than its grace.
        """
        if self._monotonic() > self._good_until:
            raise self._too_old()
        if self._under_correction(keys, kind):
            return UNKNOWN
        layers = []
        for key in keys:
            layer = self._layers.peek((key, kind))
            if layer is UNKNOWN:
                return UNKNOWN
            layers.append(layer)
        return Visible(tuple(layers))

    async def visible(self, keys: Sequence[str], kind: Kind) -> Visible:
        """Resource id -> roles for a principal's ``keys``. Raises Unavailable.

        What the feed has brought by now is in it. ``get`` may be ahead by a feed read, where it
        had to ask the store.
        """
        if waits := self._under_correction(keys, kind):
            await asyncio.wait(waits)
        cached = self.peek_visible(keys, kind)
        if cached is not UNKNOWN:
            return cached
        layers = await asyncio.gather(*(self._get(self._layers, (key, kind)) for key in keys))
        return Visible(tuple(layers))

    def peek_token(self, token_hash: str) -> TokenRecord | Unknown | None:
        """The cached API token, None (there is none), or UNKNOWN. Raises Unavailable."""
        if self._monotonic() > self._good_until:
            raise self._too_old()
        token = self._tokens.peek(token_hash)
        if token is UNKNOWN:
            known_until = self._no_tokens.get(token_hash)
            if known_until is not UNKNOWN and self._monotonic() <= known_until:
                return None
        return token

    async def token(self, token_hash: str) -> TokenRecord | None:
        """The API token with this hash, expired or not, or None. Raises Unavailable."""
        cached = self.peek_token(token_hash)
        if cached is not UNKNOWN:
            return cached
        return await self._get(self._tokens, token_hash)

    async def person(self, name: str) -> PersonRecord | None:
        """A person or service account by principal name, or None. Raises Unavailable."""
        return await self._get(self._people, name)

    async def session(self, principal: str, session_hash: str) -> SessionRecord | None:
        """A browser session, expired or not, or None. Raises Unavailable."""
        return await self._get(self._sessions, (principal, session_hash))

    async def newest_session(self, principal: str, session_hash: str) -> SessionRecord | None:
        """The same as the store has it now: ``seen`` is not in the change feed."""
        self._sessions.drop((principal, session_hash))
        return await self.session(principal, session_hash)

    async def sessions_of(self, principal: str) -> Sequence[SessionRecord]:
        """The sessions of a principal; not cached."""
        with self._reachable():
            return await self.store.sessions_of(principal)

    async def tokens_of(self, principal: str | None) -> Sequence[TokenRecord]:
        """The tokens of a principal, newest first (None: everyone's); not cached."""
        with self._reachable():
            return await self.store.tokens_of(principal)

    async def people(self) -> Sequence[PersonRecord]:
        """Everybody seen; not cached. Raises Unavailable."""
        with self._reachable():
            return await self.store.people()

    async def acl_page(self, kind: Kind, after: str | None, most: int) -> AclPage:
        """``Store.acl_page``; not cached. Raises Unavailable."""
        with self._reachable():
            return await self.store.acl_page(kind, after, most)

    # -- writing: through to the store, in force here on return --------------------------------

    async def create_acl(
        self, resource: Resource, owner: str | None, grants: Mapping[str, str]
    ) -> bool:
        """``Store.create_acl``. Raises Unavailable."""
        return await self._write(
            self.store.create_acl(resource, owner, grants), acl_change(resource, grants)
        )

    async def set_grant(
        self, resource: Resource, principal: str, role: str, *, expect_version: int
    ) -> Acl:
        """``Store.set_grant``. Raises Conflict, Unavailable."""
        write = self.store.set_grant(resource, principal, role, expect_version=expect_version)
        return await self._write(write, acl_change(resource, [principal]))

    async def remove_grant(self, resource: Resource, principal: str, *, expect_version: int) -> Acl:
        """``Store.remove_grant``. Raises Conflict, Unavailable."""
        write = self.store.remove_grant(resource, principal, expect_version=expect_version)
        return await self._write(write, acl_change(resource, [principal]))

    async def drop_acl(self, resource: Resource) -> None:
        """``Store.drop_acl``. Raises Unavailable."""
        await self._write(self.store.drop_acl(resource), acl_change(resource, ()), former=True)

    async def put_token(self, token: TokenRecord) -> None:
        """``Store.put_token``. Raises Conflict, Unavailable."""
        await self._write(self.store.put_token(token), Change(TOKEN, token.hash))

    async def delete_token(self, token_id: str) -> TokenRecord | None:
        """``Store.delete_token``. Raises Unavailable."""
        removed = await self._write(self.store.delete_token(token_id))
        if removed is not None:
            await self._apply([Change(TOKEN, removed.hash)])
        return removed

    async def touch_token(self, token_hash: str, used: float) -> None:
        """``Store.touch_token``; cached records keep their older ``last_used``."""
        await self._write(self.store.touch_token(token_hash, used))

    async def put_person(self, person: PersonRecord) -> None:
        """``Store.put_person``. Raises Unavailable."""
        await self._write(self.store.put_person(person), Change(PERSON, person.name))

    async def create_person(self, person: PersonRecord) -> bool:
        """``Store.create_person``. Raises Unavailable."""
        return await self._write(self.store.create_person(person), Change(PERSON, person.name))

    async def put_session(self, session: SessionRecord) -> None:
        """``Store.put_session``. Raises Unavailable."""
        change = session_change(session.principal, session.hash)
        await self._write(self.store.put_session(session), change)

    async def replace_session(
        self, session: SessionRecord, *, expect_version: int
    ) -> SessionRecord:
        """``Store.replace_session``. Raises Conflict, Unavailable."""
        change = session_change(session.principal, session.hash)
        write = self.store.replace_session(session, expect_version=expect_version)
        return await self._write(write, change)

    async def touch_session(self, principal: str, session_hash: str, seen: float) -> None:
        """``Store.touch_session``; cached records keep their older ``seen``."""
        await self._write(self.store.touch_session(principal, session_hash, seen))

    async def delete_session(self, principal: str, session_hash: str) -> bool:
        """``Store.delete_session``. Raises Unavailable."""
        change = session_change(principal, session_hash)
        return await self._write(self.store.delete_session(principal, session_hash), change)

    async def delete_sessions(self, principal: str) -> int:
        """``Store.delete_sessions``. Raises Unavailable."""
        ended = await self._write(self.store.delete_sessions(principal))
        here = [key for key in self._sessions if key[0] == principal]
        await self._apply([session_change(*key) for key in here])
        return ended

    # -- the change feed ----------------------------------------------------------------------

    def on_change(self, callback: Callable[[Change], None]) -> None:
        """Call ``callback`` for each change, here or elsewhere, after it left this cache.

        A ``reset`` change means: anything may have changed. One change may come several times.
        """
        self._listeners.append(callback)

    async def poll_once(self) -> None:
        """Read the feed once and drop what it names. Raises Unavailable; then nothing is lost:
        the next call asks from the same place."""
        async with self._polling:
            await self._poll()

    async def run_feed(
        self, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        """Poll until cancelled. An outage is logged at its start and its end."""
        failing = False
        while True:
            started = self._monotonic()
            try:
                await self.poll_once()
            except Unavailable as error:
                if not failing:
                    log.warning("the change feed cannot be read: %s", error.detail)
                failing = True
            else:
                if failing:
                    log.warning("the change feed can be read again")
                failing = False
            await sleep(max(0.05, FEED_SECONDS - (self._monotonic() - started)))

    @property
    def age(self) -> float:
        """Seconds since the last feed read that worked (0 before the first), for metrics."""
        if self._cursor is None:
            return 0.0
        return max(0.0, self._monotonic() - (self._good_until - self._grace))

    # -- inside -------------------------------------------------------------------------------

    async def _get(self, shelf: Shelf[K, V], key: K) -> V:
        if self._monotonic() > self._good_until:
            raise self._too_old()
        value = shelf.peek(key)
        if value is not UNKNOWN:
            return value
        with self._reachable():
            if self._cursor is None:
                await self._first_poll()
            return await shelf.get(key)

    async def _first_poll(self) -> None:
        async with self._polling:
            if self._cursor is None:
                await self._poll()

    async def _poll(self) -> None:
        started = self._monotonic()
        self.reads.feed += 1
        with self._reachable():
            changes, cursor = await self.store.changes(self._cursor)
        sightings = {c.id: self._sightings.get(c.id, 0) + 1 for c in changes if c.id}
        # A row that the feed shows again and again is acted on at its 1st, 2nd, 4th, 8th
        # sighting: what was read back after the first may have come from an index or a region
        # that lags behind the feed.
        due = [c for c in changes if not c.id or sightings[c.id].bit_count() == 1]
        await self._apply(due)
        self._sightings = sightings
        self._cursor = cursor
        self._good_until = started + self._grace

    async def _apply(self, changes: Iterable[Change], *, former: bool = False) -> None:
        """Forget what changed, tell the listeners, correct the index of who sees what.

        ``former``: the changes do not say who saw the resource before; look at everyone cached.
        """
        seen_by: dict[Resource, set[str]] = {}
        for change in changes:
            if change.kind == ACL:
                resource = resource_of(change)
                if resource is not None:
                    self._acls.drop(resource)
                    seen_by.setdefault(resource, set()).update(change.principals)
            elif change.kind == TOKEN:
                self._tokens.drop(change.name)
                self._no_tokens.drop(change.name)
            elif change.kind == PERSON:
                self._people.drop(change.name)
            elif change.kind == SESSION:
                for principal in change.principals:
                    self._sessions.drop((principal, change.name))
            elif change.kind == RESET:
                self._forget_everything()
        if former:
            for resource, seers in seen_by.items():
                seers.update(key for key, kind in self._layers if kind is resource.kind)
        for change in changes:
            for listener in self._listeners:
                listener(change)
        await self._correct_index(seen_by)

    async def _correct_index(self, seen_by: Mapping[Resource, Iterable[str]]) -> None:
        """Make the cached grants of the keys agree with the ACLs as they are now.

        One strongly consistent read of each changed ACL, instead of reading again everything
        that a group may see because a member made an experiment.
        """
        todo: dict[Resource, list[str]] = {}
        for resource, seers in seen_by.items():
            keys = [key for key in seers if self._layers.touched((key, resource.kind))]
            if keys:
                todo[resource] = keys
        if not todo:
            return
        layers = frozenset((key, one.kind) for one, keys in todo.items() for key in keys)
        correction = _Correction(layers, asyncio.get_running_loop().create_future())
        self._corrections.append(correction)
        try:
            for _ in range(_MOST_ROUNDS):
                if not todo or len(todo) > _MOST_REREADS:
                    break
                try:
                    await asyncio.gather(*(self._acls.get(resource) for resource in todo))
                except StoreUnavailable:
                    break
                todo = self._correct_layers(todo)
        finally:  # also when it is cancelled: what was not corrected is read again
            for resource, keys in todo.items():
                for key in keys:
                    self._layers.drop((key, resource.kind))
            self._corrections.remove(correction)
            correction.done.set_result(None)

    def _under_correction(self, keys: Iterable[str], kind: Kind) -> list[asyncio.Future[None]]:
        """The ends of those corrections of these layers that are under way."""
        if not self._corrections:
            return []
        layers = {(key, kind) for key in keys}
        return [one.done for one in self._corrections if not one.layers.isdisjoint(layers)]

    def _correct_layers(self, todo: Mapping[Resource, list[str]]) -> dict[Resource, list[str]]:
        """Patch layers from the cached ACLs; what is left changed again in the meantime."""
        roles: dict[tuple[str, Kind], dict[str, str | None]] = defaultdict(dict)
        left: dict[Resource, list[str]] = {}
        for resource, keys in todo.items():
            acl = self._acls.peek(resource)
            if acl is UNKNOWN:
                left[resource] = keys
                continue
            for key in keys:
                role = acl.grants.get(key) if acl is not None else None
                roles[key, resource.kind][resource.id] = role
        for layer, changed in roles.items():
            self._layers.patch(layer, partial(_with_roles, changed))
        return left

    async def _write(self, write: Awaitable[T], *changes: Change, former: bool = False) -> T:
        try:
            with self._reachable():
                return await write
        finally:
            # Also after a failure: a write that timed out may have happened, and a conflict
            # says that what is cached is old.
            await self._apply(changes, former=former)

    async def _read_acl(self, resource: Resource) -> Acl | None:
        self.reads.records += 1
        return await self.store.get_acl(resource)

    async def _read_layer(self, layer: tuple[str, Kind]) -> Mapping[str, str]:
        self.reads.records += 1
        return await self.store.grants_of(*layer)

    async def _read_token(self, token_hash: str) -> TokenRecord | None:
        self.reads.records += 1
        return await self.store.get_token(token_hash)

    def _keep_token(self, token_hash: str, token: TokenRecord | None) -> bool:
        if token is None:
            self._no_tokens.put(token_hash, self._monotonic() + NO_TOKEN_SECONDS)
        return token is not None

    async def _read_person(self, name: str) -> PersonRecord | None:
        self.reads.records += 1
        return await self.store.get_person(name)

    async def _read_session(self, session: tuple[str, str]) -> SessionRecord | None:
        self.reads.records += 1
        return await self.store.get_session(*session)

    def _forget_everything(self) -> None:
        for shelf in (self._acls, self._layers, self._tokens, self._no_tokens, self._people):
            shelf.clear()
        self._sessions.clear()

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except StoreUnavailable as error:
            raise Unavailable(_UNREACHABLE, detail=str(error)) from error

    def _too_old(self) -> Unavailable:
        return Unavailable(
            _UNREACHABLE, detail=f"the change feed was last read {self.age:.0f} s ago"
        )


def _weigh(layer: Mapping[str, str]) -> int:
    return len(layer) + 1


def _with_roles(changed: Mapping[str, str | None], layer: Mapping[str, str]) -> Mapping[str, str]:
    """A layer with some roles set or (None) removed; the same one when nothing differs."""
    if all(layer.get(resource_id) == role for resource_id, role in changed.items()):
        return layer
    corrected = dict(layer)
    for resource_id, role in changed.items():
        if role is None:
            corrected.pop(resource_id, None)
        else:
            corrected[resource_id] = role
    return corrected
