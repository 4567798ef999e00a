"""What every ACL store promises (gateway/acl/store.py), on every adapter."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest

from gateway.acl.store import Change, Conflict, PersonRecord, Store, StoreUnavailable, TokenRecord
from gateway.clock import SystemClock
from gateway.model import Acl, Kind, Resource
from tests.contract.conftest import Stores

EXPERIMENT = Resource(Kind.EXPERIMENT, "17")
MODEL = Resource(Kind.MODEL, "churn")

ODD_NAMES = [
    "plain",
    "with space",
    "a#b",
    "a/b",
    "#",
    "=",
    "~",
    "=a",
    "~" + "0" * 64,
    "M",
    "G#=user:alice",
    "Ärger-模型-🚀",
    "e\u0301",
    "\u00e9",
    "quote'\"; DROP TABLE acl; --",
    "%41",
    "line\nbreak\ttab",
    "CASE",
    "case",
    "x" * 256,
    "模" * 256,
    "y" * 3000,
    "~" + sha256(b"y" * 3000).hexdigest(),
]


def token(number: int = 1, **changes: object) -> TokenRecord:
    made = TokenRecord(
        id=f"id{number}",
        hash=f"{number:064x}",
        principal="user:alice",
        label="laptop #1",
        created=1_700_000_000.25 + number,
        expires=4_000_000_000.5,
        created_by="user:alice",
        groups=("data-science", "a b"),
        home_group="data-science",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def acl_of(store: Store, resource: Resource = EXPERIMENT) -> Acl:
    acl = await store.get_acl(resource)
    assert acl is not None
    return acl


async def made(store: Store, resource: Resource = EXPERIMENT, **grants: str) -> Acl:
    named = {f"user:{name}": role for name, role in grants.items()} or {"user:alice": "manager"}
    assert await store.create_acl(resource, "user:alice", named)
    return await acl_of(store, resource)


# -- ACLs --


async def test_a_resource_without_acl_has_none(store: Store) -> None:
    assert await store.get_acl(EXPERIMENT) is None


async def test_an_acl_is_read_back_as_created(store: Store) -> None:
    grants = {"user:alice": "manager", "group:data-science": "editor", "everyone": "reader"}
    assert await store.create_acl(EXPERIMENT, "user:alice", grants) is True
    acl = await acl_of(store)
    assert (acl.resource, acl.owner, dict(acl.grants)) == (EXPERIMENT, "user:alice", grants)


async def test_an_acl_may_have_no_owner_and_no_grants(store: Store) -> None:
    assert await store.create_acl(MODEL, None, {})
    acl = await acl_of(store, MODEL)
    assert acl.owner is None
    assert not acl.grants


async def test_creating_twice_changes_nothing(store: Store) -> None:
    first = await made(store)
    assert await store.create_acl(EXPERIMENT, "user:bob", {"user:bob": "manager"}) is False
    assert await acl_of(store) == first
    assert not await store.grants_of("user:bob", Kind.EXPERIMENT)


async def test_of_many_creators_at_once_one_wins(stores: Stores) -> None:
    gateways = [stores() for _ in range(4)]
    won = await asyncio.gather(
        *(
            gateway.create_acl(EXPERIMENT, f"user:{number}", {f"user:{number}": "manager"})
            for number, gateway in enumerate(gateways)
        )
    )
    assert sorted(won) == [False, False, False, True]
    winner = f"user:{won.index(True)}"
    acl = await acl_of(gateways[0])
    assert (acl.owner, dict(acl.grants)) == (winner, {winner: "manager"})


async def test_a_grant_is_added_and_replaced(store: Store) -> None:
    before = await made(store)
    added = await store.set_grant(EXPERIMENT, "user:bob", "reader", expect_version=before.version)
    assert dict(added.grants) == {"user:alice": "manager", "user:bob": "reader"}
    assert added.version == before.version + 1
    assert await acl_of(store) == added
    changed = await store.set_grant(EXPERIMENT, "user:bob", "editor", expect_version=added.version)
    assert changed.grants["user:bob"] == "editor"
    assert await acl_of(store) == changed
    assert await store.grants_of("user:bob", Kind.EXPERIMENT) == {"17": "editor"}


async def test_the_grant_that_is_already_there_changes_nothing(store: Store) -> None:
    before = await made(store)
    same = await store.set_grant(EXPERIMENT, "user:alice", "manager", expect_version=before.version)
    assert same == before == await acl_of(store)


async def test_a_grant_is_removed(store: Store) -> None:
    before = await made(store, alice="manager", bob="reader")
    after = await store.remove_grant(EXPERIMENT, "user:bob", expect_version=before.version)
    assert dict(after.grants) == {"user:alice": "manager"}
    assert await acl_of(store) == after
    assert not await store.grants_of("user:bob", Kind.EXPERIMENT)


async def test_removing_a_grant_that_is_not_there_changes_nothing(store: Store) -> None:
    before = await made(store)
    after = await store.remove_grant(EXPERIMENT, "user:bob", expect_version=before.version)
    assert after == before == await acl_of(store)


async def test_a_change_based_on_an_old_version_is_refused(store: Store) -> None:
    old = await made(store)
    new = await store.set_grant(EXPERIMENT, "user:bob", "reader", expect_version=old.version)
    with pytest.raises(Conflict):
        await store.set_grant(EXPERIMENT, "user:carol", "reader", expect_version=old.version)
    with pytest.raises(Conflict):
        await store.remove_grant(EXPERIMENT, "user:bob", expect_version=old.version)
    assert await acl_of(store) == new


async def test_a_change_of_an_acl_that_is_gone_is_refused(store: Store) -> None:
    old = await made(store)
    await store.drop_acl(EXPERIMENT)
    with pytest.raises(Conflict):
        await store.set_grant(EXPERIMENT, "user:bob", "reader", expect_version=old.version)
    with pytest.raises(Conflict):
        await store.remove_grant(EXPERIMENT, "user:alice", expect_version=old.version)
    assert await store.get_acl(EXPERIMENT) is None


async def test_of_two_admins_at_once_one_gets_a_conflict(stores: Stores) -> None:
    one, two = stores(), stores()
    base = await made(one)
    results = await asyncio.gather(
        one.set_grant(EXPERIMENT, "user:bob", "reader", expect_version=base.version),
        two.remove_grant(EXPERIMENT, "user:alice", expect_version=base.version),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["Acl", "Conflict"]
    (winner,) = [result for result in results if isinstance(result, Acl)]
    assert await acl_of(two) == winner


async def test_dropping_takes_all_grants_away(store: Store) -> None:
    await made(store, alice="manager", bob="reader")
    await store.drop_acl(EXPERIMENT)
    assert await store.get_acl(EXPERIMENT) is None
    for principal in ("user:alice", "user:bob"):
        assert not await store.grants_of(principal, Kind.EXPERIMENT)


async def test_dropping_nothing_is_no_error(store: Store) -> None:
    await store.drop_acl(EXPERIMENT)


async def test_a_name_made_again_starts_fresh_and_refuses_old_versions(store: Store) -> None:
    old = await made(store, alice="manager", bob="editor")
    old = await store.set_grant(EXPERIMENT, "user:carol", "reader", expect_version=old.version)
    await store.drop_acl(EXPERIMENT)
    new = await made(store, dave="manager")
    assert dict(new.grants) == {"user:dave": "manager"}
    assert new.version > old.version
    with pytest.raises(Conflict):
        await store.set_grant(EXPERIMENT, "user:bob", "editor", expect_version=old.version)


async def test_grants_of_a_key_are_kept_apart_by_key_and_kind(store: Store) -> None:
    await store.create_acl(EXPERIMENT, None, {"group:a": "reader", "user:a": "editor"})
    await store.create_acl(Resource(Kind.EXPERIMENT, "18"), None, {"group:a": "manager"})
    await store.create_acl(Resource(Kind.MODEL, "17"), None, {"group:a": "owner", "everyone": "x"})
    assert await store.grants_of("group:a", Kind.EXPERIMENT) == {"17": "reader", "18": "manager"}
    assert await store.grants_of("group:a", Kind.MODEL) == {"17": "owner"}
    assert await store.grants_of("everyone", Kind.MODEL) == {"17": "x"}
    assert await store.grants_of("everyone", Kind.EXPERIMENT) == {}
    assert await store.grants_of("group:", Kind.EXPERIMENT) == {}


async def test_every_acl_of_a_kind_is_listed(store: Store) -> None:
    expected = {}
    for number in range(30):
        acl = await made(store, Resource(Kind.EXPERIMENT, str(number)), alice="a", bob="b")
        expected[acl.resource] = acl
    await made(store, MODEL)
    listed = [acl async for acl in store.list_acls(Kind.EXPERIMENT)]
    assert {acl.resource: acl for acl in listed} == expected
    assert len(listed) == 30


@pytest.mark.parametrize(("most", "looked_at"), [(2, 3), (100, 1000)])
async def test_pages_of_acls_hold_every_acl_of_a_kind_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, most: int, looked_at: int
) -> None:
    monkeypatch.setattr("gateway.acl.dynamodb._PAGE_SCANNED", looked_at)
    monkeypatch.setattr("gateway.acl.dynamodb._PAGE_SCANS", 1)
    first = await store.acl_page(Kind.MODEL, None, most)
    assert (first.acls, first.after) == ((), None)
    names = ["1", "2", "3", *ODD_NAMES[1:3]]
    for name in names:
        await made(store, Resource(Kind.MODEL, name), alice="a", bob="b")
    await made(store)
    await store.put_token(token())
    found: list[Acl] = []
    after: str | None = None
    for _ in range(30):
        page = await store.acl_page(Kind.MODEL, after, most)
        assert len(page.acls) <= most
        found += page.acls
        after = page.after
        if after is None:
            break
    assert after is None
    assert sorted(acl.resource.id for acl in found) == sorted(names)
    assert all(dict(acl.grants) == {"user:alice": "a", "user:bob": "b"} for acl in found)


async def test_odd_names_are_kept_apart(store: Store) -> None:
    for number, name in enumerate(ODD_NAMES):
        assert await store.create_acl(
            Resource(Kind.MODEL, name), name or None, {"user:x": f"role{number}"}
        )
    for number, name in enumerate(ODD_NAMES):
        acl = await acl_of(store, Resource(Kind.MODEL, name))
        assert (acl.resource.id, acl.owner) == (name, name)
        assert dict(acl.grants) == {"user:x": f"role{number}"}
    seen = await store.grants_of("user:x", Kind.MODEL)
    assert seen == {name: f"role{number}" for number, name in enumerate(ODD_NAMES)}
    await store.drop_acl(Resource(Kind.MODEL, ODD_NAMES[2]))
    assert len(await store.grants_of("user:x", Kind.MODEL)) == len(ODD_NAMES) - 1


async def test_odd_principals_are_kept_apart(store: Store) -> None:
    grants = {f"user:{name}": f"role{number}" for number, name in enumerate(ODD_NAMES)}
    assert await store.create_acl(MODEL, None, grants)
    assert dict((await acl_of(store, MODEL)).grants) == grants
    for principal, role in grants.items():
        assert await store.grants_of(principal, Kind.MODEL) == {"churn": role}


async def test_more_grants_than_one_transaction_takes(store: Store) -> None:
    many = {f"user:{number}": "reader" for number in range(110)}
    assert await store.create_acl(MODEL, "user:0", many)
    before = await acl_of(store, MODEL)
    assert (dict(before.grants), before.owner) == (many, "user:0")
    _, cursor = await store.changes(None)
    assert await store.grants_of("user:109", Kind.MODEL) == {"churn": "reader"}
    await store.drop_acl(MODEL)
    assert await store.get_acl(MODEL) is None
    assert not await store.grants_of("user:0", Kind.MODEL)
    rows, _ = await store.changes(cursor)
    assert {p for row in rows if row.name == str(MODEL) for p in row.principals} == set(many)


# -- tokens and people --


async def test_a_token_is_read_back_as_written(store: Store) -> None:
    await store.put_token(token())
    assert await store.get_token(token().hash) == token()
    bare = token(2, groups=(), home_group=None, label="")
    await store.put_token(bare)
    assert await store.get_token(bare.hash) == bare


async def test_an_unknown_token_is_none(store: Store) -> None:
    assert await store.get_token("0" * 64) is None
    assert await store.delete_token("nobody") is None


async def test_a_token_id_or_hash_belongs_to_one_token(store: Store) -> None:
    await store.put_token(token(1))
    with pytest.raises(Conflict):
        await store.put_token(token(1, hash="f" * 64))
    with pytest.raises(Conflict):
        await store.put_token(token(1, id="other"))
    await store.put_token(token(1, label="renamed"))
    assert [t.label for t in await store.tokens_of(None)] == ["renamed"]


async def test_tokens_of_a_principal_come_newest_first(store: Store) -> None:
    for number in (2, 1, 3):
        await store.put_token(token(number))
    await store.put_token(token(9, principal="service:nightly"))
    assert [t.id for t in await store.tokens_of("user:alice")] == ["id3", "id2", "id1"]
    assert [t.id for t in await store.tokens_of(None)] == ["id9", "id3", "id2", "id1"]
    assert not await store.tokens_of("user:nobody")


async def test_a_revoked_token_is_gone(store: Store) -> None:
    await store.put_token(token())
    assert await store.delete_token("id1") == token()
    assert await store.get_token(token().hash) is None
    assert not await store.tokens_of(None)
    assert await store.delete_token("id1") is None


async def test_the_last_use_of_a_token_is_remembered(store: Store) -> None:
    await store.put_token(token())
    await store.touch_token(token().hash, 1_800_000_000.5)
    assert await store.get_token(token().hash) == token(last_used=1_800_000_000.5)


async def test_the_last_use_of_a_revoked_token_does_not_bring_it_back(store: Store) -> None:
    await store.touch_token(token().hash, 1_800_000_000.5)
    assert await store.get_token(token().hash) is None
    assert not await store.tokens_of(None)


async def test_people_are_read_back_and_replaced(store: Store) -> None:
    alice = PersonRecord(name="user:alice", groups=("b", "a"), home_group="a", seen=1.5)
    bot = PersonRecord(name="service:ni#ghtly", groups=(), home_group=None, seen=2.0)
    await store.put_person(alice)
    await store.put_person(bot)
    assert await store.get_person("user:alice") == alice
    assert await store.get_person("user:bob") is None
    moved = replace(alice, groups=(), home_group=None, seen=3.0)
    await store.put_person(moved)
    assert {p.name: p for p in await store.people()} == {"user:alice": moved, bot.name: bot}


async def test_a_person_is_created_once(store: Store) -> None:
    first = PersonRecord(name="service:nightly", groups=("a",), home_group="a", seen=1.5)
    assert await store.create_person(first)
    assert not await store.create_person(replace(first, groups=("b",), home_group="b"))
    assert await store.get_person(first.name) == first
    others = [replace(first, name="service:race", seen=float(n)) for n in range(5)]
    made = await asyncio.gather(*(store.create_person(one) for one in others))
    assert sum(made) == 1
    assert await store.get_person("service:race") == others[made.index(True)]


# -- the change feed --


def names(changes: object) -> list[tuple[str, str]]:
    assert isinstance(changes, (list, tuple))
    return [(change.kind, change.name) for change in changes]


async def test_a_cursor_of_now_shows_nothing_old(store: Store) -> None:
    rows, cursor = await store.changes(None)
    assert not rows
    assert isinstance(cursor, str)


async def test_every_write_is_in_the_feed_with_who_is_concerned(stores: Stores) -> None:
    writer, reader = stores(), stores()
    _, cursor = await reader.changes(None)
    seen: set[tuple[str, str, frozenset[str]]] = set()

    async def news() -> set[tuple[str, str, frozenset[str]]]:
        nonlocal cursor
        rows, cursor = await reader.changes(cursor)
        found = {(row.kind, row.name, frozenset(row.principals)) for row in rows}
        new = found - seen
        seen.update(found)
        return new

    alice, bob = "user:alice", "user:bob"
    base = await made(writer)
    assert await news() == {("acl", "experiment:17", frozenset({alice}))}
    base = await writer.set_grant(EXPERIMENT, bob, "reader", expect_version=base.version)
    assert await news() == {("acl", "experiment:17", frozenset({bob}))}
    await writer.drop_acl(EXPERIMENT)
    assert await news() == {("acl", "experiment:17", frozenset({alice, bob}))}
    await made(writer, Resource(Kind.EXPERIMENT, "a:b"))
    assert await news() == {("acl", "experiment:a:b", frozenset({alice}))}
    await writer.put_token(token())
    assert await news() == {("token", token().hash, frozenset())}
    await writer.put_person(PersonRecord(name=bob, groups=(), home_group=None, seen=1.0))
    assert await news() == {("person", bob, frozenset())}


@pytest.mark.parametrize("how", ["remove", "drop", "revoke"])
async def test_what_is_taken_away_is_in_the_feed(stores: Stores, how: str) -> None:
    writer, reader = stores(), stores()
    base = await made(writer, alice="manager", bob="reader")
    await writer.put_token(token())
    _, cursor = await reader.changes(None)
    old = {row.id for row in (await reader.changes(cursor))[0]}
    match how:
        case "remove":
            await writer.remove_grant(EXPERIMENT, "user:bob", expect_version=base.version)
            expected = Change("acl", "experiment:17", ("user:bob",))
        case "drop":
            await writer.drop_acl(EXPERIMENT)
            expected = Change("acl", "experiment:17", ("user:alice", "user:bob"))
        case _:
            await writer.delete_token("id1")
            expected = Change("token", token().hash)
    rows, _ = await reader.changes(cursor)
    new = [row for row in rows if not row.id or row.id not in old]
    assert [replace(row, id="") for row in new] == [expected]


async def test_what_changes_nothing_is_not_in_the_feed(store: Store) -> None:
    base = await made(store)
    await store.put_token(token())
    _, cursor = await store.changes(None)
    before = len((await store.changes(cursor))[0])
    await store.set_grant(EXPERIMENT, "user:alice", "manager", expect_version=base.version)
    await store.create_acl(EXPERIMENT, None, {"user:bob": "reader"})
    await store.touch_token(token().hash, 5.0)
    with pytest.raises(Conflict):
        await store.remove_grant(EXPERIMENT, "user:alice", expect_version=base.version + 7)
    assert len((await store.changes(cursor))[0]) == before


async def test_an_unread_row_is_not_lost_while_the_cursor_is_carried_on(stores: Stores) -> None:
    writer, reader = stores(), stores()
    _, cursor = await reader.changes(None)
    seen: set[str] = set()
    for number in range(12):
        await made(writer, Resource(Kind.EXPERIMENT, str(number)))
        if number % 3 == 0:
            rows, cursor = await reader.changes(cursor)
            seen |= {row.name for row in rows}
    rows, _ = await reader.changes(cursor)
    seen |= {row.name for row in rows}
    assert seen == {f"experiment:{number}" for number in range(12)}


class ShiftedClock(SystemClock):
    def __init__(self, by: float) -> None:
        self.by = by

    def now(self) -> float:
        return super().now() + self.by


@pytest.mark.parametrize("by", [-3.0, 3.0])
async def test_a_writer_with_another_clock_is_not_missed(stores: Stores, by: float) -> None:
    writer, reader = stores(ShiftedClock(by)), stores()
    _, cursor = await reader.changes(None)
    await reader.changes(cursor)
    await made(writer)
    rows, _ = await reader.changes(cursor)
    assert ("acl", "experiment:17") in names(rows)


# -- secrets --


async def test_a_secret_is_the_same_for_all_who_ask(stores: Stores) -> None:
    asked = await asyncio.gather(*(stores().secret("page-token") for _ in range(4)))
    assert len(set(asked)) == 1
    assert len(asked[0]) == 32
    one = stores()
    assert await one.secret("page-token") == asked[0]
    assert await one.secret("other") != asked[0]


# -- life --


async def test_ping_and_close(stores: Stores) -> None:
    store = stores()
    await store.ping()
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.ping()


async def test_what_is_written_is_there_for_the_next_process(stores: Stores) -> None:
    first = stores()
    acl = await made(first)
    await first.close()
    assert await acl_of(stores()) == acl
