"""Browser sessions in the SQLite store: rows to records and back.

Every function takes the open connection and runs on the store's own thread; those that write are
called inside a transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from gateway.acl.store import SessionRecord

_COLUMNS = (
    "principal, hash, provider, groups, home_group, created, expires, refreshed, seen, tokens,"
    " busy_until, version"
)


def read(db: sqlite3.Connection, principal: str, session_hash: str) -> SessionRecord | None:
    """One session."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM session WHERE principal = ? AND hash = ?",
        (principal, session_hash),
    ).fetchone()
    return _session(row) if row else None


def read_all(db: sqlite3.Connection, principal: str) -> list[SessionRecord]:
    """The sessions of a principal."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM session WHERE principal = ?", (principal,))
    return [_session(row) for row in rows]


def insert(db: sqlite3.Connection, session: SessionRecord) -> None:
    """Write a session, in place of an earlier state of it."""
    db.execute(
        f"INSERT OR REPLACE INTO session ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            session.principal, session.hash, session.provider, json.dumps(session.groups),
            session.home_group, session.created, session.expires, session.refreshed, session.seen,
            session.tokens, session.busy_until, session.version,
        ),
    )  # fmt: skip


def touch(db: sqlite3.Connection, principal: str, session_hash: str, seen: float) -> None:
    """Note the last use; of several gateways' notes the latest stays."""
    db.execute(
        "UPDATE session SET seen = max(seen, ?) WHERE principal = ? AND hash = ?",
        (seen, principal, session_hash),
    )


def delete(db: sqlite3.Connection, principal: str, session_hash: str | None) -> list[str]:
    """Delete one session (None: all) of a principal; the hashes of what is gone."""
    found = [one.hash for one in read_all(db, principal) if session_hash in (None, one.hash)]
    for one in found:
        db.execute("DELETE FROM session WHERE principal = ? AND hash = ?", (principal, one))
    return found


def forget_expired(db: sqlite3.Connection, now: float) -> None:
    """Drop what has ended by itself."""
    db.execute("DELETE FROM session WHERE expires < ?", (now,))


def _session(row: Sequence[Any]) -> SessionRecord:
    (principal, session_hash, provider, groups, home_group, created, expires, refreshed, seen,
     tokens, busy_until, version) = row  # fmt: skip
    return SessionRecord(
        hash=session_hash,
        principal=principal,
        provider=provider,
        groups=tuple(json.loads(groups)),
        home_group=home_group,
        created=created,
        expires=expires,
        refreshed=refreshed,
        seen=seen,
        tokens=bytes(tokens),
        busy_until=busy_until,
        version=version,
    )
