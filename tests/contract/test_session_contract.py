"""What every store promises of browser sessions, and what two gateways on it see of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.acl.cache import AclCache
from gateway.acl.feed import session_change
from gateway.acl.store import Conflict, SessionRecord, Store
from gateway.clock import SystemClock
from gateway.settings import Limits
from tests.contract.conftest import Stores

ALICE = "user:alice"


def session(number: int = 1, **changes: object) -> SessionRecord:
    made = SessionRecord(
        hash=f"{number:064x}",
        principal=ALICE,
        provider="corp",
        groups=("data-science", "a b"),
        home_group="data-science",
        created=1_700_000_000.25,
        expires=4_000_000_000.5,
        refreshed=1_700_000_000.25,
        seen=1_700_000_000.25,
        tokens=bytes(range(256)),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def test_a_session_is_read_back_as_written(store: Store) -> None:
    for number, one in enumerate(
        [session(1), session(2, home_group=None, groups=(), tokens=b"", busy_until=7.5)]
    ):
        await store.put_session(one)
        assert await store.get_session(ALICE, one.hash) == one, number
    assert await store.get_session("user:bob", session(1).hash) is None
    assert await store.get_session(ALICE, session(3).hash) is None


@pytest.mark.parametrize("name", ["user:a#b/c", "user:" + "模" * 256, "user:" + "y" * 3000])
async def test_a_principal_may_have_any_name(store: Store, name: str) -> None:
    one = session(1, principal=name)
    await store.put_session(one)
    assert await store.get_session(name, one.hash) == one
    assert [s.hash for s in await store.sessions_of(name)] == [one.hash]


async def test_a_replaced_session_has_the_next_version(store: Store) -> None:
    one = session()
    await store.put_session(one)
    changed = await store.replace_session(replace(one, groups=("ops",)), expect_version=1)
    assert changed == replace(one, groups=("ops",), version=2)
    assert await store.get_session(ALICE, one.hash) == changed
    with pytest.raises(Conflict):
        await store.replace_session(one, expect_version=1)
    assert await store.get_session(ALICE, one.hash) == changed


async def test_of_two_gateways_that_claim_one_session_one_wins(stores: Stores) -> None:
    one = session()
    gateways = [stores() for _ in range(3)]
    await gateways[0].put_session(one)
    took = await asyncio.gather(
        *(g.replace_session(replace(one, busy_until=9e9), expect_version=1) for g in gateways),
        return_exceptions=True,
    )
    assert sorted(type(t).__name__ for t in took) == ["Conflict", "Conflict", "SessionRecord"]


async def test_an_ended_session_never_comes_back(store: Store) -> None:
    one = session()
    await store.put_session(one)
    assert await store.delete_session(ALICE, one.hash) is True
    assert await store.get_session(ALICE, one.hash) is None
    assert await store.delete_session(ALICE, one.hash) is False
    with pytest.raises(Conflict):
        await store.replace_session(one, expect_version=1)
    await store.touch_session(ALICE, one.hash, 2_000_000_000.0)
    assert await store.get_session(ALICE, one.hash) is None
    assert list(await store.sessions_of(ALICE)) == []


async def test_the_last_use_only_grows(store: Store) -> None:
    one = session()
    await store.put_session(one)
    for seen, kept in ((1_800_000_000.5, 1_800_000_000.5), (1_750_000_000.0, 1_800_000_000.5)):
        await store.touch_session(ALICE, one.hash, seen)
        found = await store.get_session(ALICE, one.hash)
        assert found == replace(one, seen=kept)


async def test_all_sessions_of_a_person_end_and_nobody_elses(store: Store) -> None:
    mine = [session(number) for number in range(1, 61)]
    other = session(1, principal="user:alice2")
    for one in (*mine, other):
        await store.put_session(one)
    assert await store.delete_sessions(ALICE) == 60
    assert list(await store.sessions_of(ALICE)) == []
    assert await store.get_session("user:alice2", other.hash) == other
    assert await store.delete_sessions(ALICE) == 0


async def test_the_feed_tells_of_each_change_but_not_of_a_use(stores: Stores) -> None:
    here, there = stores(), stores()
    _, cursor = await there.changes(None)
    one = session()
    row = session_change(ALICE, one.hash)
    await here.put_session(one)
    await here.replace_session(one, expect_version=1)
    await here.delete_session(ALICE, one.hash)
    rows, _ = await there.changes(cursor)
    assert len([c for c in rows if replace(c, id="") == row]) == 3
    _, cursor = await there.changes(None)
    two = session(2)
    await here.put_session(two)
    before, _ = await there.changes(cursor)
    await here.touch_session(ALICE, two.hash, 2_000_000_000.0)
    after, _ = await there.changes(cursor)
    assert len(after) == len(before)


async def test_a_session_that_ended_is_dead_elsewhere_after_one_poll(stores: Stores) -> None:
    here, there = (AclCache(stores(), SystemClock(), Limits()) for _ in range(2))
    for end in ("one", "all"):
        one = session()
        await here.put_session(one)
        await there.poll_once()
        assert await there.session(ALICE, one.hash) == one
        if end == "one":
            await here.delete_session(ALICE, one.hash)
        else:
            await here.delete_sessions(ALICE)
        assert await here.session(ALICE, one.hash) is None
        await there.poll_once()
        assert await there.session(ALICE, one.hash) is None


async def test_steady_use_of_a_session_reads_no_store(stores: Stores) -> None:
    cache = AclCache(stores(), SystemClock(), Limits())
    await cache.put_session(session())
    await cache.session(ALICE, session().hash)
    reads = cache.reads.records
    for _ in range(10):
        await cache.session(ALICE, session().hash)
    assert cache.reads.records == reads
