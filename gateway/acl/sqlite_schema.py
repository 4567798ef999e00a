"""The tables of the SQLite store and how an older file becomes a current one.

``PRAGMA user_version`` counts the steps of ``MIGRATIONS`` a file has had. A file of a newer
mlgate is refused rather than guessed at.
"""

from __future__ import annotations

import sqlite3

from gateway.acl.store import StoreUnavailable

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE acl (
            kind TEXT NOT NULL, id TEXT NOT NULL, owner TEXT, version INTEGER NOT NULL,
            PRIMARY KEY (kind, id)
        ) WITHOUT ROWID""",
        """CREATE TABLE grants (
            kind TEXT NOT NULL, id TEXT NOT NULL, principal TEXT NOT NULL, role TEXT NOT NULL,
            PRIMARY KEY (kind, id, principal)
        ) WITHOUT ROWID""",
        "CREATE INDEX grants_of ON grants (principal, kind, id, role)",
        """CREATE TABLE token (
            hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, principal TEXT NOT NULL,
            label TEXT NOT NULL, created REAL NOT NULL, expires REAL NOT NULL,
            created_by TEXT NOT NULL, groups TEXT NOT NULL, home_group TEXT, last_used REAL
        ) WITHOUT ROWID""",
        "CREATE INDEX tokens_of ON token (principal, created)",
        """CREATE TABLE person (
            name TEXT PRIMARY KEY, groups TEXT NOT NULL, home_group TEXT, seen REAL NOT NULL
        ) WITHOUT ROWID""",
        # AUTOINCREMENT: ids are never used twice, even after the newest rows were pruned.
        """CREATE TABLE feed (
            id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL,
            kind TEXT NOT NULL, name TEXT NOT NULL, principals TEXT NOT NULL
        )""",
        "CREATE INDEX feed_at ON feed (at)",
    ),
    ("CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",),
    (
        """CREATE TABLE session (
            principal TEXT NOT NULL, hash TEXT NOT NULL, provider TEXT NOT NULL,
            groups TEXT NOT NULL, home_group TEXT, created REAL NOT NULL, expires REAL NOT NULL,
            refreshed REAL NOT NULL, seen REAL NOT NULL, tokens BLOB NOT NULL,
            busy_until REAL NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (principal, hash)
        ) WITHOUT ROWID""",
        "CREATE INDEX session_expires ON session (expires)",
    ),
)


def migrate(db: sqlite3.Connection) -> None:
    """Bring an open file to the current schema; several processes may try at once.

    Raises StoreUnavailable when a newer mlgate has written the file, sqlite3.Error otherwise.
    """
    if _version(db) == len(MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        done = _version(db)
        if done > len(MIGRATIONS):
            raise StoreUnavailable(
                "The ACL store was written by a newer mlgate; upgrade this one, or restore the "
                "backup from before the upgrade."
            )
        for statements in MIGRATIONS[done:]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
