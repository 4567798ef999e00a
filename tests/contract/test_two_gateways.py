"""Two gateways on one store: what one changes is in force on the other after one feed read."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway.acl.cache import AclCache
from gateway.acl.sqlite import SqliteStore
from gateway.acl.store import TokenRecord
from gateway.clock import SystemClock
from gateway.model import Kind, Principal, Resource
from gateway.settings import Limits
from tests.contract.conftest import Stores

EXPERIMENT = Resource(Kind.EXPERIMENT, "17")
BOB = Principal("user:bob", frozenset({"research"}))


async def test_a_grant_and_a_revocation_are_in_force_after_one_poll(stores: Stores) -> None:
    here, there = (AclCache(stores(), SystemClock(), Limits()) for _ in range(2))
    await here.create_acl(EXPERIMENT, "user:alice", {"user:alice": "manager"})
    acl = await there.get(EXPERIMENT)
    assert acl is not None
    assert not acl.roles_of(BOB)
    assert not await there.visible(BOB.keys, Kind.EXPERIMENT)

    await here.set_grant(EXPERIMENT, "group:research", "reader", expect_version=acl.version)
    await there.poll_once()
    acl = await there.get(EXPERIMENT)
    assert acl is not None
    assert acl.roles_of(BOB) == ("reader",)
    assert dict(await there.visible(BOB.keys, Kind.EXPERIMENT)) == {"17": ("reader",)}

    await here.remove_grant(EXPERIMENT, "group:research", expect_version=acl.version)
    await there.poll_once()
    acl = await there.get(EXPERIMENT)
    assert acl is not None
    assert not acl.roles_of(BOB)
    assert not await there.visible(BOB.keys, Kind.EXPERIMENT)

    reads = there.reads.records
    for _ in range(10):
        there.peek(EXPERIMENT)
        await there.visible(BOB.keys, Kind.EXPERIMENT)
    assert there.reads.records == reads


async def test_a_revoked_token_is_dead_elsewhere_after_one_poll(stores: Stores) -> None:
    here, there = (AclCache(stores(), SystemClock(), Limits()) for _ in range(2))
    token = TokenRecord(
        id="t1",
        hash="c" * 64,
        principal="user:bob",
        label="",
        created=1.0,
        expires=4e9,
        created_by="user:bob",
    )
    dropped: list[str] = []
    there.on_change(lambda change: dropped.append(change.name))
    await here.put_token(token)
    assert await there.token("c" * 64) == token
    await here.delete_token("t1")
    await there.poll_once()
    assert await there.token("c" * 64) is None
    assert "c" * 64 in dropped


_OTHER_PROCESS = """
import asyncio, sys
from gateway.acl import sqlite
from gateway.acl.sqlite import SqliteStore
from gateway.model import Kind, Resource

# SQLite is not fair: on a slow disk one writer waits until the other has done all of its work.
sqlite._BUSY_SECONDS = 60.0

async def main(path, name):
    store = SqliteStore(path)
    for number in range(25):
        resource = Resource(Kind.EXPERIMENT, f"{name}-{number}")
        assert await store.create_acl(resource, None, {"everyone": "reader"})
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_write_one_sqlite_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "acl.db"
    store = SqliteStore(path)
    _, cursor = await store.changes(None)
    root = Path(__file__).parents[2]
    others = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _OTHER_PROCESS, str(path), name, cwd=root
        )
        for name in ("one", "two")
    ]
    seen: list[str] = []
    waiting = asyncio.gather(*(process.wait() for process in others))
    while not waiting.done():
        rows, cursor = await store.changes(cursor)
        seen += [row.name for row in rows]
        await asyncio.wait([waiting], timeout=0.02)
    assert await waiting == [0, 0]
    rows, _ = await store.changes(cursor)
    seen += [row.name for row in rows]
    expected = {f"experiment:{name}-{n}" for name in ("one", "two") for n in range(25)}
    assert sorted(seen) == sorted(expected)
    assert len(await store.grants_of("everyone", Kind.EXPERIMENT)) == 50
    await store.close()
