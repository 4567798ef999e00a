"""Drives identifiers to resources: from memory, or by asking MLflow once.

The run (trace, logged model, ...) -> experiment mapping never changes, so it is learnt from
answers that pass by and kept in a bounded memory. Ownership that got lost between MLflow's
answer and our ACL row is rebuilt here from the tags that were born with the resource.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.acl.cache import AclCache
from gateway.acl.generations import UNKNOWN
from gateway.clock import Clock, SystemClock
from gateway.errors import Unavailable
from gateway.model import Acl, Kind, Resource
from gateway.ownership import acl_from_tags
from gateway.roles import RoleMatrix
from gateway.routes.lookups import (
    ARTIFACT_ROOT,
    LOOKUPS,
    TAGS_OF,
    Source,
    dig,
    lies_under,
    parse_model_uri,
    parse_source,
    tags_in,
)
from gateway.routes.route import Ref, RefKind

Ask = Callable[[str], Awaitable[tuple[int, bytes]]]
"""Sends a GET to MLflow: request target in, status and body out."""

_DIRECT = frozenset({RefKind.EXPERIMENT, RefKind.ARTIFACT_PATH})
_SOURCES = frozenset({RefKind.MODEL_SOURCE, RefKind.MODEL_URI})
_UNOWNED_SECONDS = 15.0
_TRACE_SECONDS = 30.0


class Resolver:
    """Answers "which experiments or models does this identifier belong to"."""

    def __init__(self, ask: Ask, *, prefix: str, remember: int, clock: Clock | None = None) -> None:
        """``prefix``: MLflow's static prefix; ``remember``: how many mappings to keep."""
        self._ask = ask
        self._clock = clock or SystemClock()
        self._prefix = prefix
        self._remember = remember
        self._known: dict[tuple[RefKind, str], tuple[Resource, ...]] = {}
        self._traces: dict[str, tuple[float, tuple[Resource, ...]]] = {}
        self._asking: dict[tuple[RefKind, str], asyncio.Task[tuple[Resource, ...] | None]] = {}
        self.asked = 0

    def peek(self, ref: Ref) -> tuple[Resource, ...] | None:
        """What is known without asking; None: ask with ``resolve``."""
        kind = ref.kind
        if kind in _DIRECT:
            return (Resource(Kind.EXPERIMENT, ref.id),)
        if kind is RefKind.MODEL:
            return (Resource(Kind.MODEL, ref.id),)
        if kind is RefKind.TRACE or kind is RefKind.NEW_TRACE:
            known = self._traces.get(ref.id)
            if known is None or known[0] <= self._clock.monotonic():
                return None
            return known[1]
        return self._known.get((kind, ref.id))

    def learn(self, kind: RefKind, value: str, experiment_id: str) -> None:
        """Remember where something lives, from an answer that MLflow just gave.

        A trace only for a while: its id is the client's choice, so after a deletion the same id
        may come to live elsewhere.
        """
        if kind is RefKind.TRACE:
            while len(self._traces) >= self._remember:
                del self._traces[next(iter(self._traces))]
            lives = (Resource(Kind.EXPERIMENT, experiment_id),)
            self._traces[value] = (self._clock.monotonic() + _TRACE_SECONDS, lives)
            return
        while len(self._known) >= self._remember:
            del self._known[next(iter(self._known))]
        self._known[kind, value] = (Resource(Kind.EXPERIMENT, experiment_id),)

    async def resolve(self, ref: Ref, beside: Sequence[Ref] = ()) -> tuple[Resource, ...] | None:
        """The resources of one identifier; None when MLflow has no such thing.

        ``beside`` are the other identifiers of the same request: a model version's source may
        have to lie under its run. A new trace that does not exist yet resolves to ().
        Raises Unavailable when MLflow cannot say.
        """
        found = self.peek(ref)
        if found is not None:
            return found
        if ref.kind in _SOURCES:
            return await self._resolve_source(ref, beside)
        kind = RefKind.TRACE if ref.kind is RefKind.NEW_TRACE else ref.kind
        found = await self._lookup_once(kind, ref.id)
        if ref.kind is RefKind.NEW_TRACE:
            # What a loosely comparing database finds under another spelling is not new.
            return () if found is None else found or None
        return found or None

    async def _lookup_once(self, kind: RefKind, value: str) -> tuple[Resource, ...] | None:
        key = (kind, value)
        task = self._asking.get(key)
        if task is None:
            task = asyncio.ensure_future(self._lookup(kind, value))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)

    async def _lookup(self, kind: RefKind, value: str) -> tuple[Resource, ...] | None:
        """None: there is no such thing; (): there is, but not under this very id."""
        lookup = LOOKUPS[kind]
        answer = await self._get(lookup.target_for(value))
        if answer is None:
            return None
        experiments = lookup.experiments_in(answer, value)
        if lookup.stays and len(experiments) == 1:
            self.learn(kind, value, experiments[0])
        return tuple(Resource(Kind.EXPERIMENT, one) for one in experiments)

    async def _resolve_source(self, ref: Ref, beside: Sequence[Ref]) -> tuple[Resource, ...] | None:
        source = (
            parse_source(ref.id) if ref.kind is RefKind.MODEL_SOURCE else parse_model_uri(ref.id)
        )
        if source.kind is not None:
            return await self.resolve(Ref(source.kind, source.id, ref.call))
        if source == Source():
            return ()
        for other in beside:
            place = ARTIFACT_ROOT.get(other.kind)
            if place is None:
                continue
            answer = await self._get(LOOKUPS[other.kind].target_for(other.id))
            if answer is not None and lies_under(source.under, dig(answer, place)):
                return await self.resolve(other)
        return None

    async def tags(self, resource: Resource) -> dict[str, str] | None:
        """The tags of an experiment or model, from MLflow; None when there is no such thing."""
        answer = await self._get(TAGS_OF[resource.kind].target_for(resource.id))
        return None if answer is None else tags_in(answer, resource)

    async def answers(self, resource: Resource) -> bool:
        """Whether MLflow answers for this id or name at all, perhaps with one spelled otherwise."""
        return await self._get(TAGS_OF[resource.kind].target_for(resource.id)) is not None

    async def _get(self, target: str) -> dict[str, Any] | None:
        self.asked += 1
        status, body = await self._ask(self._prefix + target)
        if status == 200:
            try:
                answer = json.loads(body)
            except ValueError as error:
                raise _unclear(target, "200 without JSON") from error
            return answer if isinstance(answer, dict) else None
        if status in (400, 404):
            return None
        raise _unclear(target, str(status))


def _unclear(target: str, answer: str) -> Unavailable:
    return Unavailable(
        "MLflow could not say what this call belongs to; try again in half a minute.",
        detail=f"lookup {target.partition('?')[0]} answered {answer}",
    )


class Ownership:
    """ACLs with the lost ones rebuilt: what the decision asks for."""

    def __init__(
        self,
        acls: AclCache,
        resolver: Resolver,
        matrix: Callable[[], RoleMatrix],
        clock: Clock,
    ) -> None:
        self._acls = acls
        self._resolver = resolver
        self._matrix = matrix
        self._clock = clock
        self._unowned: dict[Resource, float] = {}

    def peek(self, resource: Resource) -> Acl | None:
        """The ACL if it is in memory; None: ask with ``acl``."""
        found = self._acls.peek(resource)
        return None if found is UNKNOWN else found

    async def acl(self, resource: Resource) -> Acl | None:
        """The ACL of a resource; rebuilt from its ownership tags when the row is missing.

        None: nobody owns it (it is older than the gateway, or does not exist).
        """
        acl = await self._acls.get(resource)
        if acl is not None:
            return acl
        until = self._unowned.get(resource)
        if until is not None and until > self._clock.monotonic():
            return None
        tags = await self._resolver.tags(resource)
        rebuilt = acl_from_tags(resource, tags, self._matrix()) if tags is not None else None
        if rebuilt is None:
            while len(self._unowned) >= 10_000:
                del self._unowned[next(iter(self._unowned))]
            self._unowned[resource] = self._clock.monotonic() + _UNOWNED_SECONDS
            return None
        await self._acls.create_acl(resource, rebuilt.owner, rebuilt.grants)
        self._unowned.pop(resource, None)
        return await self._acls.get(resource)

    def born(self, resource: Resource) -> None:
        """A resource was just created: forget that nobody owned it."""
        self._unowned.pop(resource, None)
