"""Any interleaving of writes on one gateway and polls and reads on another agrees with a model.

The model: after a poll of B, and for own writes at once, a cache answers as the store does.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.acl.cache import AclCache
from gateway.acl.sqlite import SqliteStore
from gateway.acl.store import Conflict
from gateway.model import Kind, Resource
from gateway.settings import Limits
from tests.fakes.clock import FakeClock

IDS = ("1", "2", "3")
KEYS = ("user:a", "group:g", "everyone")
ROLES = ("reader", "editor")
Model = dict[str, dict[str, str]]

who = st.sampled_from("AB")
ids = st.sampled_from(IDS)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("create"), who, ids, st.sampled_from(KEYS), st.sampled_from(ROLES)),
        st.tuples(st.just("set"), who, ids, st.sampled_from(KEYS), st.sampled_from(ROLES)),
        st.tuples(st.just("remove"), who, ids, st.sampled_from(KEYS)),
        st.tuples(st.just("drop"), who, ids),
        st.tuples(st.just("start reading"), who, ids),
        st.tuples(st.just("poll"), who),
        st.tuples(st.just("read"), who),
    ),
    min_size=4,
    max_size=25,
)


def resource(resource_id: str) -> Resource:
    return Resource(Kind.EXPERIMENT, resource_id)


async def agrees(cache: AclCache, model: Model) -> None:
    for resource_id in IDS:
        acl = await cache.get(resource(resource_id))
        assert (None if acl is None else dict(acl.grants)) == model.get(resource_id)
    for key in KEYS:
        seen = {i: (grants[key],) for i, grants in model.items() if key in grants}
        assert dict(await cache.visible((key,), Kind.EXPERIMENT)) == seen
    together = {
        i: tuple(grants[key] for key in KEYS if key in grants)
        for i, grants in model.items()
        if grants
    }
    assert dict(await cache.visible(KEYS, Kind.EXPERIMENT)) == together


async def write(cache: AclCache, model: Model, step: tuple[str, ...]) -> None:
    kind, _, target, *rest = step
    here = resource(target)
    acl = await cache.store.get_acl(here)
    match kind:
        case "create":
            if await cache.create_acl(here, None, {rest[0]: rest[1]}):
                model[target] = {rest[0]: rest[1]}
        case "set" if acl is not None:
            await cache.set_grant(here, rest[0], rest[1], expect_version=acl.version)
            model[target][rest[0]] = rest[1]
            with contextlib.suppress(Conflict):
                await cache.set_grant(here, "user:x", "x", expect_version=acl.version - 1)
        case "remove" if acl is not None:
            await cache.remove_grant(here, rest[0], expect_version=acl.version)
            model[target].pop(rest[0], None)
        case "drop":
            await cache.drop_acl(here)
            model.pop(target, None)


async def play(plan: list[tuple[str, ...]], fresh: Callable[[], SqliteStore]) -> None:
    clock = FakeClock()
    stores = {name: fresh() for name in "AB"}
    caches = {name: AclCache(store, clock, Limits()) for name, store in stores.items()}
    model: Model = {}
    behind = {"A": False, "B": False}
    reading: list[asyncio.Task[object]] = []
    for step in plan:
        name = step[1]
        cache = caches[name]
        match step[0]:
            case "poll":
                await cache.poll_once()
                behind[name] = False
            case "read":
                if not behind[name]:
                    await agrees(cache, model)
            case "start reading":
                # Under way while the next steps happen.
                reading.append(asyncio.create_task(cache.get(resource(step[2]))))
                reading.append(asyncio.create_task(cache.visible(KEYS, Kind.EXPERIMENT)))
            case _:
                await write(cache, model, step)
                behind["B" if name == "A" else "A"] = True
                if not behind[name]:
                    await agrees(cache, model)
    for cache in caches.values():
        await cache.poll_once()
        await agrees(cache, model)
    await asyncio.gather(*reading)
    for cache in caches.values():
        await agrees(cache, model)
    for store in stores.values():
        await store.close()


@settings(max_examples=60, deadline=None)
@given(steps)
def test_caches_agree_with_the_model(plan: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(plan, lambda: SqliteStore(Path(folder, "acl.db"))))
