"""The ACL store in one SQLite file: the embedded default, for one machine.

Several gateway processes may use one file at once: WAL, every write in a ``BEGIN IMMEDIATE``
transaction, so feed ids grow in commit order and a cursor is simply the last id seen. All work
of a store runs on one thread of its own, opened on first use (safe to build before a fork).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from gateway.acl import sqlite_rows as rows
from gateway.acl import sqlite_sessions as sessions
from gateway.acl.feed import PERSON, TOKEN, acl_change, session_change
from gateway.acl.sqlite_schema import migrate
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

P = ParamSpec("P")
T = TypeVar("T")

FEED_KEPT_SECONDS = 3600.0
"""A cursor older than this may be answered with ``reset``."""

_PRUNE_EVERY = 64
_LIST_PAGE = 500
_BUSY_SECONDS = 5.0
_FIRST_PAUSE = 0.005


class SqliteStore:
    """``Store`` over a file at ``path``; nothing is opened before the first call."""

    def __init__(self, path: str | Path, clock: Clock | None = None) -> None:
        self._path = Path(path)
        self._clock = clock or SystemClock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="acl-sqlite")
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def get_acl(self, resource: Resource) -> Acl | None:
        return await self._run(rows.read_acl, resource)

    async def create_acl(
        self, resource: Resource, owner: str | None, grants: Mapping[str, str]
    ) -> bool:
        return await self._run(self._create, resource, owner, dict(grants))

    async def set_grant(
        self, resource: Resource, principal: str, role: str, *, expect_version: int
    ) -> Acl:
        return await self._run(self._change_grant, resource, principal, role, expect_version)

    async def remove_grant(self, resource: Resource, principal: str, *, expect_version: int) -> Acl:
        return await self._run(self._change_grant, resource, principal, None, expect_version)

    async def drop_acl(self, resource: Resource) -> None:
        await self._run(self._drop, resource)

    async def grants_of(self, key: str, kind: Kind) -> Mapping[str, str]:
        return await self._run(rows.read_grants, key, kind)

    async def list_acls(self, kind: Kind) -> AsyncIterator[Acl]:
        after: str | None = None
        while page := await self._run(rows.read_acl_page, kind, after, _LIST_PAGE):
            for acl in page:
                yield acl
            after = page[-1].resource.id

    async def acl_page(self, kind: Kind, after: str | None, most: int) -> AclPage:
        found = await self._run(rows.read_acl_page, kind, after, most + 1)
        more = len(found) > most
        return AclPage(tuple(found[:most]), found[most - 1].resource.id if more else None)

    async def put_token(self, token: TokenRecord) -> None:
        await self._run(self._put_token, token)

    async def get_token(self, token_hash: str) -> TokenRecord | None:
        return await self._run(rows.read_token, "hash", token_hash)

    async def tokens_of(self, principal: str | None) -> Sequence[TokenRecord]:
        return await self._run(rows.read_tokens, principal)

    async def delete_token(self, token_id: str) -> TokenRecord | None:
        return await self._run(self._delete_token, token_id)

    async def touch_token(self, token_hash: str, used: float) -> None:
        await self._run(self._touch_token, token_hash, used)

    async def put_person(self, person: PersonRecord) -> None:
        await self._run(self._put_person, person)

    async def create_person(self, person: PersonRecord) -> bool:
        return await self._run(self._create_person, person)

    async def get_person(self, name: str) -> PersonRecord | None:
        return await self._run(rows.read_person, name)

    async def people(self) -> Sequence[PersonRecord]:
        return await self._run(rows.read_people)

    async def put_session(self, session: SessionRecord) -> None:
        await self._run(self._put_session, session)

    async def get_session(self, principal: str, session_hash: str) -> SessionRecord | None:
        return await self._run(sessions.read, principal, session_hash)

    async def replace_session(
        self, session: SessionRecord, *, expect_version: int
    ) -> SessionRecord:
        following = replace(session, version=expect_version + 1)
        await self._run(self._replace_session, following, expect_version)
        return following

    async def touch_session(self, principal: str, session_hash: str, seen: float) -> None:
        await self._run(self._touch_session, principal, session_hash, seen)

    async def sessions_of(self, principal: str) -> Sequence[SessionRecord]:
        return await self._run(sessions.read_all, principal)

    async def delete_session(self, principal: str, session_hash: str) -> bool:
        return bool(await self._run(self._delete_sessions, principal, session_hash))

    async def delete_sessions(self, principal: str) -> int:
        return await self._run(self._delete_sessions, principal, None)

    async def changes(self, cursor: str | None) -> tuple[Sequence[Change], str]:
        return await self._run(rows.read_changes, cursor)

    async def secret(self, name: str) -> bytes:
        return await self._run(self._secret, name)

    async def ping(self) -> None:
        await self._run(lambda db: db.execute("SELECT 1 FROM acl LIMIT 1").fetchone())

    async def close(self) -> None:
        """Close the file; calls after this raise StoreUnavailable."""
        if self._closed:
            return
        self._closed = True

        def close() -> None:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

        await asyncio.get_running_loop().run_in_executor(self._thread, close)
        self._thread.shutdown(wait=False)

    # What follows runs on the store's own thread.

    def _create(
        self, db: sqlite3.Connection, resource: Resource, owner: str | None, grants: dict[str, str]
    ) -> bool:
        with _transaction(db):
            if rows.read_acl(db, resource) is not None:
                return False
            self._insert_acl(db, resource, owner, grants)
        return True

    def _insert_acl(
        self,
        db: sqlite3.Connection,
        resource: Resource,
        owner: str | None,
        grants: Mapping[str, str],
    ) -> None:
        # The feed id is the first version: it is above every version that an earlier ACL of
        # this name reached, because each step of a version took at least one feed id.
        version = self._feed(db, [acl_change(resource, grants)])
        key = (resource.kind.value, resource.id)
        db.execute("INSERT INTO acl (kind, id, owner, version) VALUES (?, ?, ?, ?)",
                   (*key, owner, version))  # fmt: skip
        db.executemany("INSERT INTO grants (kind, id, principal, role) VALUES (?, ?, ?, ?)",
                       [(*key, principal, role) for principal, role in grants.items()])  # fmt: skip

    def _change_grant(
        self,
        db: sqlite3.Connection,
        resource: Resource,
        principal: str,
        role: str | None,
        expect_version: int,
    ) -> Acl:
        key = (resource.kind.value, resource.id)
        with _transaction(db):
            acl = rows.read_acl(db, resource)
            if acl is None or acl.version != expect_version:
                raise Conflict(f"{resource} was changed by somebody else; read it again.")
            if acl.grants.get(principal) == role:
                return acl
            grants = {**acl.grants}
            if role is None:
                del grants[principal]
                db.execute("DELETE FROM grants WHERE kind = ? AND id = ? AND principal = ?",
                           (*key, principal))  # fmt: skip
            else:
                grants[principal] = role
                db.execute(
                    "INSERT OR REPLACE INTO grants (kind, id, principal, role) VALUES (?, ?, ?, ?)",
                    (*key, principal, role),
                )
            db.execute("UPDATE acl SET version = version + 1 WHERE kind = ? AND id = ?", key)
            self._feed(db, [acl_change(resource, [principal])])
        return Acl(resource, acl.owner, grants, acl.version + 1)

    def _drop(self, db: sqlite3.Connection, resource: Resource) -> None:
        with _transaction(db):
            acl = rows.read_acl(db, resource)
            if acl is not None:
                _delete_acl(db, resource)
                self._feed(db, [acl_change(resource, acl.grants)])

    def _put_token(self, db: sqlite3.Connection, token: TokenRecord) -> None:
        with _transaction(db):
            for column, value in (("id", token.id), ("hash", token.hash)):
                known = rows.read_token(db, column, value)
                if known is not None and (known.id, known.hash) != (token.id, token.hash):
                    raise Conflict(f"The token id {token.id} or its hash is taken; make another.")
            db.execute(
                f"INSERT OR REPLACE INTO token ({rows.TOKEN_COLUMNS})"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    token.id, token.hash, token.principal, token.label, token.created,
                    token.expires, token.created_by, json.dumps(token.groups), token.home_group,
                    token.last_used,
                ),
            )  # fmt: skip
            self._feed(db, [Change(TOKEN, token.hash)])

    def _delete_token(self, db: sqlite3.Connection, token_id: str) -> TokenRecord | None:
        with _transaction(db):
            token = rows.read_token(db, "id", token_id)
            if token is not None:
                db.execute("DELETE FROM token WHERE id = ?", (token_id,))
                self._feed(db, [Change(TOKEN, token.hash)])
        return token

    def _touch_token(self, db: sqlite3.Connection, token_hash: str, used: float) -> None:
        with _transaction(db):
            db.execute("UPDATE token SET last_used = ? WHERE hash = ?", (used, token_hash))

    def _put_person(self, db: sqlite3.Connection, person: PersonRecord) -> None:
        with _transaction(db):
            self._insert_person(db, person)

    def _create_person(self, db: sqlite3.Connection, person: PersonRecord) -> bool:
        with _transaction(db):
            if rows.read_person(db, person.name) is not None:
                return False
            self._insert_person(db, person)
        return True

    def _insert_person(self, db: sqlite3.Connection, person: PersonRecord) -> None:
        db.execute(
            f"INSERT OR REPLACE INTO person ({rows.PERSON_COLUMNS}) VALUES (?, ?, ?, ?)",
            (person.name, json.dumps(person.groups), person.home_group, person.seen),
        )
        self._feed(db, [Change(PERSON, person.name)])

    def _put_session(self, db: sqlite3.Connection, session: SessionRecord) -> None:
        with _transaction(db):
            sessions.forget_expired(db, self._clock.now())
            sessions.insert(db, session)
            self._feed(db, [session_change(session.principal, session.hash)])

    def _replace_session(
        self, db: sqlite3.Connection, session: SessionRecord, expect_version: int
    ) -> None:
        with _transaction(db):
            known = sessions.read(db, session.principal, session.hash)
            if known is None or known.version != expect_version:
                raise Conflict("The session was changed or ended elsewhere.")
            sessions.insert(db, session)
            self._feed(db, [session_change(session.principal, session.hash)])

    def _touch_session(
        self, db: sqlite3.Connection, principal: str, session_hash: str, seen: float
    ) -> None:
        with _transaction(db):
            sessions.touch(db, principal, session_hash, seen)

    def _delete_sessions(
        self, db: sqlite3.Connection, principal: str, session_hash: str | None
    ) -> int:
        with _transaction(db):
            gone = sessions.delete(db, principal, session_hash)
            self._feed(db, [session_change(principal, one) for one in gone])
        return len(gone)

    def _secret(self, db: sqlite3.Connection, name: str) -> bytes:
        with _transaction(db):
            fresh = secrets.token_bytes(32)
            db.execute("INSERT OR IGNORE INTO secret (name, value) VALUES (?, ?)", (name, fresh))
            found = db.execute("SELECT value FROM secret WHERE name = ?", (name,)).fetchone()
        return bytes(found[0])

    def _feed(self, db: sqlite3.Connection, changes: Iterable[Change]) -> int:
        """Append feed rows inside the caller's transaction; the id of the last one."""
        now = self._clock.now()
        last = 0
        for change in changes:
            inserted = db.execute(
                "INSERT INTO feed (at, kind, name, principals) VALUES (?, ?, ?, ?)",
                (now, change.kind, change.name, json.dumps(change.principals)),
            )
            last = inserted.lastrowid or 0
            if last % _PRUNE_EVERY == 0:
                db.execute("DELETE FROM feed WHERE at < ?", (now - FEED_KEPT_SECONDS,))
        return last

    async def _run(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        if self._closed:
            raise StoreUnavailable(f"The ACL store {self._path} is closed.")

        def on_thread() -> T:
            try:
                return work(self._connected(), *args, **kwargs)
            except sqlite3.Error as error:
                raise StoreUnavailable(self._explain(error)) from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, on_thread)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
            try:
                _write_ahead(db)
                # FULL: a revocation that was answered must survive a power cut.
                db.execute("PRAGMA synchronous = FULL")
                migrate(db)
            except BaseException:
                db.close()
                raise
            self._connection = db
        return self._connection

    def _explain(self, error: sqlite3.Error) -> str:
        path = self._path
        match getattr(error, "sqlite_errorcode", 0) & 0xFF:
            case sqlite3.SQLITE_CANTOPEN:
                return f"The ACL store {path} cannot be opened: make its folder, writable for us."
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
                return f"The ACL store {path} is read-only: let us write to it and its folder."
            case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                return (
                    f"The ACL store {path} is not a healthy SQLite file: restore it from a backup."
                )
            case sqlite3.SQLITE_FULL:
                return f"The disk of the ACL store {path} is full: make room."
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return f"The ACL store {path} is locked by another process: see who holds it open."
        return f"The ACL store {path} failed: {error}."


def _write_ahead(db: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. Raises sqlite3.OperationalError.

    Two processes that open a new file at once both have to switch; SQLite refuses one of them at
    once instead of letting it wait (it holds a read lock that it would have to upgrade), so the
    waiting is done here. https://www.sqlite.org/c3ref/busy_handler.html
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or pause > _BUSY_SECONDS:
                raise
        time.sleep(pause)
        pause *= 2


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """One write transaction; the write lock is taken at once, so nothing read in it is stale."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _delete_acl(db: sqlite3.Connection, resource: Resource) -> None:
    key = (resource.kind.value, resource.id)
    db.execute("DELETE FROM grants WHERE kind = ? AND id = ?", key)
    db.execute("DELETE FROM acl WHERE kind = ? AND id = ?", key)
