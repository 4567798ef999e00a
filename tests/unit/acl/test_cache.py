"""The cache in front of the store: what it remembers, what it forgets, when it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.acl import cache as cache_module
from gateway.acl.cache import AclCache
from gateway.acl.generations import UNKNOWN
from gateway.acl.sqlite import SqliteStore
from gateway.acl.store import Change, Conflict, PersonRecord, TokenRecord
from gateway.errors import Unavailable
from gateway.model import Kind, Resource
from gateway.settings import Limits
from tests.fakes.clock import FakeClock
from tests.fakes.gated_store import FakeGatedStore

EXPERIMENT = Resource(Kind.EXPERIMENT, "17")
OTHER = Resource(Kind.EXPERIMENT, "18")
ALICE = ("user:alice", "group:data-science", "everyone")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[FakeGatedStore]:
    inner = SqliteStore(tmp_path / "acl.db", clock)
    yield FakeGatedStore(inner)
    await inner.close()


@pytest.fixture
async def elsewhere(tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqliteStore]:
    """Another gateway's hands on the same file."""
    other = SqliteStore(tmp_path / "acl.db", clock)
    yield other
    await other.close()


@pytest.fixture
def cache(store: FakeGatedStore, clock: FakeClock) -> AclCache:
    return AclCache(store, clock, Limits(acl_grace_seconds=60))


def token(token_id: str = "id1", token_hash: str = "a" * 64) -> TokenRecord:
    return TokenRecord(
        id=token_id,
        hash=token_hash,
        principal="user:alice",
        label="",
        created=1.0,
        expires=4e9,
        created_by="user:alice",
    )


async def test_steady_state_reads_no_store(cache: AclCache, elsewhere: SqliteStore) -> None:
    await elsewhere.create_acl(EXPERIMENT, None, {"user:alice": "editor"})
    await elsewhere.put_token(token())
    for resource in (EXPERIMENT, OTHER):
        await cache.get(resource)
    await cache.visible(ALICE, Kind.EXPERIMENT)
    await cache.token("a" * 64)
    await cache.person("user:alice")
    await cache.poll_once()
    reads = cache.reads.records
    for _ in range(100):
        assert cache.peek(EXPERIMENT) is not UNKNOWN
        assert cache.peek(OTHER) is None
        assert await cache.get(EXPERIMENT) is not None
        assert cache.peek_visible(ALICE, Kind.EXPERIMENT) is not UNKNOWN
        assert dict(await cache.visible(ALICE, Kind.EXPERIMENT)) == {"17": ("editor",)}
        assert await cache.token("a" * 64) == token()
        assert await cache.person("user:alice") is None
        await cache.poll_once()
    assert cache.reads.records == reads


async def test_many_misses_of_one_acl_make_one_read(cache: AclCache, store: FakeGatedStore) -> None:
    await asyncio.gather(*(cache.get(EXPERIMENT) for _ in range(50)))
    assert store.calls.count("get_acl") == 1


async def test_the_others_still_get_an_answer_when_the_first_asker_hangs_up(
    cache: AclCache, store: FakeGatedStore
) -> None:
    await cache.poll_once()
    gate = store.hold("get_acl")
    first = asyncio.create_task(cache.get(EXPERIMENT))
    second = asyncio.create_task(cache.get(EXPERIMENT))
    await store.arrived.wait()
    first.cancel()
    gate.set()
    assert await second is None
    assert store.calls.count("get_acl") == 1


async def test_a_change_elsewhere_is_in_force_after_one_poll(
    cache: AclCache, elsewhere: SqliteStore
) -> None:
    assert await cache.get(EXPERIMENT) is None
    assert dict(await cache.visible(ALICE, Kind.EXPERIMENT)) == {}
    await elsewhere.create_acl(EXPERIMENT, None, {"group:data-science": "reader"})
    assert cache.peek(EXPERIMENT) is None
    await cache.poll_once()
    acl = await cache.get(EXPERIMENT)
    assert acl is not None
    assert dict(await cache.visible(ALICE, Kind.EXPERIMENT)) == {"17": ("reader",)}
    await elsewhere.remove_grant(EXPERIMENT, "group:data-science", expect_version=acl.version)
    await cache.poll_once()
    acl = await cache.get(EXPERIMENT)
    assert acl is not None
    assert not acl.grants
    assert dict(await cache.visible(ALICE, Kind.EXPERIMENT)) == {}


async def test_what_a_group_sees_is_corrected_not_read_again(
    cache: AclCache, store: FakeGatedStore, elsewhere: SqliteStore
) -> None:
    await cache.visible(ALICE, Kind.EXPERIMENT)
    read = store.calls.count("grants_of")
    for number in range(5):
        await elsewhere.create_acl(
            Resource(Kind.EXPERIMENT, str(number)), None, {"group:data-science": "editor"}
        )
    await cache.poll_once()
    assert len(await cache.visible(ALICE, Kind.EXPERIMENT)) == 5
    assert store.calls.count("grants_of") == read


async def test_very_many_changes_at_once_read_the_index_again(
    cache: AclCache, elsewhere: SqliteStore
) -> None:
    await cache.visible(ALICE, Kind.EXPERIMENT)
    for number in range(cache_module._MOST_REREADS + 1):
        await elsewhere.create_acl(
            Resource(Kind.EXPERIMENT, str(number)), None, {"everyone": "reader"}
        )
    await cache.poll_once()
    assert cache.peek_visible(ALICE, Kind.EXPERIMENT) is UNKNOWN
    assert len(await cache.visible(ALICE, Kind.EXPERIMENT)) == cache_module._MOST_REREADS + 1


async def test_a_read_that_a_change_overtakes_is_not_kept(
    cache: AclCache, store: FakeGatedStore, elsewhere: SqliteStore
) -> None:
    await elsewhere.create_acl(EXPERIMENT, None, {"user:alice": "manager"})
    await cache.poll_once()
    gate = store.hold("get_acl")
    overtaken = asyncio.create_task(cache.get(EXPERIMENT))
    await store.arrived.wait()  # it has read the old ACL, and the answer is on its way
    await elsewhere.drop_acl(EXPERIMENT)
    await cache.poll_once()
    gate.set()
    assert await overtaken is not None
    assert cache.peek(EXPERIMENT) is UNKNOWN
    assert await cache.get(EXPERIMENT) is None


async def test_an_index_read_that_a_change_overtakes_is_corrected(
    cache: AclCache, store: FakeGatedStore, elsewhere: SqliteStore
) -> None:
    await elsewhere.create_acl(EXPERIMENT, None, {"user:alice": "manager"})
    await cache.poll_once()
    gate = store.hold("grants_of")
    overtaken = asyncio.create_task(cache.visible(("user:alice",), Kind.EXPERIMENT))
    await store.arrived.wait()
    await elsewhere.drop_acl(EXPERIMENT)
    await elsewhere.create_acl(OTHER, None, {"user:alice": "reader"})
    await cache.poll_once()
    gate.set()
    assert dict(await overtaken) == {"18": ("reader",)}
    assert dict(await cache.visible(("user:alice",), Kind.EXPERIMENT)) == {"18": ("reader",)}


async def test_what_is_seen_waits_for_a_correction_under_way(
    cache: AclCache, store: FakeGatedStore, elsewhere: SqliteStore
) -> None:
    await elsewhere.create_acl(EXPERIMENT, None, {"user:alice": "manager"})
    assert dict(await cache.visible(ALICE, Kind.EXPERIMENT)) == {"17": ("manager",)}
    assert await cache.get(EXPERIMENT) is not None
    await elsewhere.drop_acl(EXPERIMENT)
    gate = store.hold("get_acl")
    polling = asyncio.create_task(cache.poll_once())
    await store.arrived.wait()  # the ACL is forgotten, what alice sees is about to be corrected
    assert cache.peek(EXPERIMENT) is UNKNOWN
    assert cache.peek_visible(ALICE, Kind.EXPERIMENT) is UNKNOWN
    seeing = asyncio.create_task(cache.visible(ALICE, Kind.EXPERIMENT))
    assert dict(await cache.visible(ALICE, Kind.MODEL)) == {}  # nothing of it has changed
    assert not seeing.done()
    gate.set()
    await polling
    assert dict(await seeing) == {}


async def test_a_correction_that_is_cut_off_leaves_nothing_old(
    cache: AclCache, store: FakeGatedStore
) -> None:
    await cache.create_acl(EXPERIMENT, None, {"user:alice": "manager"})
    assert dict(await cache.visible(ALICE, Kind.EXPERIMENT)) == {"17": ("manager",)}
    gate = store.hold("get_acl")
    dropping = asyncio.create_task(cache.drop_acl(EXPERIMENT))
    await store.arrived.wait()
    dropping.cancel()  # the client has hung up
    with pytest.raises(asyncio.CancelledError):
        await dropping
    gate.set()
    assert dict(await cache.visible(ALICE, Kind.EXPERIMENT)) == {}


async def test_own_writes_are_in_force_at_once(cache: AclCache) -> None:
    assert await cache.get(EXPERIMENT) is None
    await cache.visible(ALICE, Kind.EXPERIMENT)
    assert await cache.create_acl(EXPERIMENT, "user:alice", {"user:alice": "manager"})
    acl = await cache.get(EXPERIMENT)
    assert acl is not None
    assert dict(await cache.visible(ALICE, Kind.EXPERIMENT)) == {"17": ("manager",)}
    acl = await cache.set_grant(
        EXPERIMENT, "group:data-science", "reader", expect_version=acl.version
    )
    assert await cache.get(EXPERIMENT) == acl
    assert dict(await cache.visible(ALICE, Kind.EXPERIMENT)) == {"17": ("manager", "reader")}
    await cache.drop_acl(EXPERIMENT)
    assert await cache.get(EXPERIMENT) is None
    assert dict(await cache.visible(ALICE, Kind.EXPERIMENT)) == {}


async def test_a_conflict_makes_the_next_read_a_fresh_one(
    cache: AclCache, elsewhere: SqliteStore
) -> None:
    await cache.create_acl(EXPERIMENT, None, {"user:alice": "manager"})
    old = await cache.get(EXPERIMENT)
    assert old is not None
    new = await elsewhere.set_grant(EXPERIMENT, "user:bob", "reader", expect_version=old.version)
    with pytest.raises(Conflict):
        await cache.set_grant(EXPERIMENT, "user:eve", "reader", expect_version=old.version)
    assert await cache.get(EXPERIMENT) == new


async def test_tokens_are_cached_and_dropped(cache: AclCache, elsewhere: SqliteStore) -> None:
    assert await cache.token("a" * 64) is None
    await elsewhere.put_token(token())
    await cache.poll_once()
    assert await cache.token("a" * 64) == token()
    await elsewhere.delete_token("id1")
    await cache.poll_once()
    assert await cache.token("a" * 64) is None
    await cache.put_token(token())
    assert await cache.token("a" * 64) == token()
    assert await cache.delete_token("id1") == token()
    assert await cache.token("a" * 64) is None


async def test_that_there_is_no_token_is_believed_briefly(
    cache: AclCache, store: FakeGatedStore, clock: FakeClock
) -> None:
    for _ in range(10):
        assert await cache.token("b" * 64) is None
    assert store.calls.count("get_token") == 1
    clock.advance(cache_module.NO_TOKEN_SECONDS + 0.1)
    await cache.token("b" * 64)
    assert store.calls.count("get_token") == 2


async def test_guessed_tokens_do_not_push_out_real_ones(
    store: FakeGatedStore, clock: FakeClock
) -> None:
    cache = AclCache(store, clock, Limits(token_cache=20))
    await cache.put_token(token())
    await cache.token("a" * 64)
    for number in range(500):
        await cache.token(f"{number:064x}")
    reads = cache.reads.records
    assert await cache.token("a" * 64) == token()
    assert cache.reads.records == reads
    assert len(cache._no_tokens) <= 100


async def test_listeners_hear_of_changes_here_and_elsewhere(
    cache: AclCache, elsewhere: SqliteStore
) -> None:
    heard: list[tuple[str, str]] = []
    cache.on_change(lambda change: heard.append((change.kind, change.name)))
    await cache.poll_once()
    await cache.put_token(token())
    await cache.delete_token("id1")
    assert heard == [("token", "a" * 64)] * 2
    await elsewhere.put_person(
        PersonRecord(name="user:bob", groups=("x",), home_group=None, seen=1.0)
    )
    await cache.poll_once()
    assert ("person", "user:bob") in heard


async def test_an_outage_is_lived_through_for_the_grace_and_then_refused(
    cache: AclCache, store: FakeGatedStore, clock: FakeClock, elsewhere: SqliteStore
) -> None:
    await elsewhere.create_acl(EXPERIMENT, None, {"user:alice": "manager"})
    await cache.get(EXPERIMENT)
    await cache.visible(ALICE, Kind.EXPERIMENT)
    store.down = True
    clock.advance(59)
    with pytest.raises(Unavailable):
        await cache.poll_once()
    assert cache.peek(EXPERIMENT) is not UNKNOWN
    assert await cache.visible(ALICE, Kind.EXPERIMENT)
    with pytest.raises(Unavailable) as not_cached:
        await cache.get(OTHER)
    assert "test took" not in not_cached.value.message
    clock.advance(2)
    with pytest.raises(Unavailable):
        cache.peek(EXPERIMENT)
    with pytest.raises(Unavailable):
        cache.peek_visible(ALICE, Kind.EXPERIMENT)
    with pytest.raises(Unavailable):
        cache.peek_token("a" * 64)
    with pytest.raises(Unavailable):
        await cache.get(EXPERIMENT)
    store.down = False
    await elsewhere.drop_acl(EXPERIMENT)
    await cache.poll_once()
    assert await cache.get(EXPERIMENT) is None


async def test_only_the_feed_counts_as_contact(
    cache: AclCache, store: FakeGatedStore, clock: FakeClock
) -> None:
    await cache.get(EXPERIMENT)
    clock.advance(40)
    await cache.get(OTHER)  # the store answers, yet the feed was not read
    clock.advance(40)
    with pytest.raises(Unavailable):
        cache.peek(EXPERIMENT)


async def test_a_failed_poll_loses_no_change(
    cache: AclCache, store: FakeGatedStore, elsewhere: SqliteStore
) -> None:
    await cache.get(EXPERIMENT)
    await elsewhere.create_acl(EXPERIMENT, None, {"user:alice": "manager"})
    store.down = True
    with pytest.raises(Unavailable):
        await cache.poll_once()
    store.down = False
    await cache.poll_once()
    assert await cache.get(EXPERIMENT) is not None


async def test_a_gap_longer_than_the_feed_empties_the_cache(
    cache: AclCache, clock: FakeClock, elsewhere: SqliteStore
) -> None:
    await cache.get(EXPERIMENT)
    heard: list[Change] = []
    cache.on_change(heard.append)
    await elsewhere.create_acl(EXPERIMENT, None, {"user:alice": "manager"})
    clock.advance(7200)
    for number in range(70):  # enough writes for the store to clear out old feed rows
        await elsewhere.put_token(token(f"id{number}", f"{number:064x}"))
    await cache.poll_once()
    assert [change.kind for change in heard] == ["reset"]
    assert cache.peek(EXPERIMENT) is UNKNOWN
    assert await cache.get(EXPERIMENT) is not None


async def test_an_unreachable_store_at_the_start_is_a_503(
    cache: AclCache, store: FakeGatedStore
) -> None:
    store.down = True
    for ask in (
        cache.get(EXPERIMENT),
        cache.visible(ALICE, Kind.MODEL),
        cache.token("a" * 64),
        cache.create_acl(EXPERIMENT, None, {}),
    ):
        with pytest.raises(Unavailable) as refused:
            await ask
        assert refused.value.detail == "the test took the store down"


async def test_a_write_that_failed_is_not_trusted_to_have_done_nothing(
    cache: AclCache, store: FakeGatedStore
) -> None:
    await cache.create_acl(EXPERIMENT, None, {"user:alice": "manager"})
    await cache.get(EXPERIMENT)
    store.down = True
    with pytest.raises(Unavailable):
        await cache.drop_acl(EXPERIMENT)
    assert cache.peek(EXPERIMENT) is UNKNOWN


async def test_the_feed_is_read_once_an_interval_through_outages(
    cache: AclCache, store: FakeGatedStore, clock: FakeClock
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.advance(seconds)
        store.down = len(pauses) == 2
        if len(pauses) == 5:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await cache.run_feed(sleep=sleep)
    assert pauses == [cache_module.FEED_SECONDS] * 5
    assert store.calls == ["changes"] * 5
    assert cache.age == pytest.approx(cache_module.FEED_SECONDS)


async def test_the_cache_is_bounded(store: FakeGatedStore, clock: FakeClock) -> None:
    cache = AclCache(store, clock, Limits(acl_cache=10))
    for number in range(100):
        await cache.get(Resource(Kind.MODEL, str(number)))
        await cache.get(Resource(Kind.MODEL, "often"))
    assert len(cache._acls) <= 10
    assert store.calls.count("get_acl") == 101


async def test_a_layer_read_while_an_own_write_ran_is_corrected(
    cache: AclCache, store: FakeGatedStore
) -> None:
    await cache.create_acl(EXPERIMENT, None, {"user:alice": "manager"})
    gate = store.hold("grants_of")
    reading = asyncio.create_task(cache.visible(("user:alice",), Kind.EXPERIMENT))
    await store.arrived.wait()
    await cache.drop_acl(EXPERIMENT)
    gate.set()
    await reading
    assert dict(await cache.visible(("user:alice",), Kind.EXPERIMENT)) == {}
