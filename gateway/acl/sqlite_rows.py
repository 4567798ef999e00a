"""Reading the SQLite store: rows to records, and the feed since a cursor.

Every function takes the open connection and runs on the store's own thread.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from gateway.acl.feed import RESET
from gateway.acl.store import Change, PersonRecord, TokenRecord
from gateway.model import Acl, Kind, Resource

TOKEN_COLUMNS = (
    "id, hash, principal, label, created, expires, created_by, groups, home_group, last_used"
)
PERSON_COLUMNS = "name, groups, home_group, seen"


def read_acl(db: sqlite3.Connection, resource: Resource) -> Acl | None:
    """The ACL of a resource. One statement, so that it is one snapshot."""
    rows = db.execute(
        "SELECT owner, version, principal, role FROM acl"
        " LEFT JOIN grants ON grants.kind = acl.kind AND grants.id = acl.id"
        " WHERE acl.kind = ? AND acl.id = ?",
        (resource.kind.value, resource.id),
    ).fetchall()
    if not rows:
        return None
    owner, version = rows[0][:2]
    grants = {principal: role for _, _, principal, role in rows if principal is not None}
    return Acl(resource, owner, grants, version)


def read_acl_page(db: sqlite3.Connection, kind: Kind, after: str | None, most: int) -> list[Acl]:
    """Up to ``most`` ACLs with ids after ``after``, by id."""
    where, values = ("", ()) if after is None else (" AND id > ?", (after,))
    ids = db.execute(
        f"SELECT id FROM acl WHERE kind = ?{where} ORDER BY id LIMIT ?",
        (kind.value, *values, most),
    ).fetchall()
    found = (read_acl(db, Resource(kind, resource_id)) for (resource_id,) in ids)
    return [acl for acl in found if acl is not None]


def read_grants(db: sqlite3.Connection, key: str, kind: Kind) -> dict[str, str]:
    """Resource id -> role of one grant key."""
    rows = db.execute("SELECT id, role FROM grants WHERE principal = ? AND kind = ?",
                      (key, kind.value))  # fmt: skip
    return dict(rows.fetchall())


def read_token(db: sqlite3.Connection, column: str, value: str) -> TokenRecord | None:
    """The token whose ``hash`` or ``id`` is ``value``."""
    row = db.execute(f"SELECT {TOKEN_COLUMNS} FROM token WHERE {column} = ?", (value,)).fetchone()
    return _token(row) if row else None


def read_tokens(db: sqlite3.Connection, principal: str | None) -> list[TokenRecord]:
    """The tokens of a principal (None: all), newest first."""
    where, values = ("", ()) if principal is None else (" WHERE principal = ?", (principal,))
    rows = db.execute(
        f"SELECT {TOKEN_COLUMNS} FROM token{where} ORDER BY created DESC, id DESC", values
    )
    return [_token(row) for row in rows]


def read_person(db: sqlite3.Connection, name: str) -> PersonRecord | None:
    """A person by principal name."""
    row = db.execute(f"SELECT {PERSON_COLUMNS} FROM person WHERE name = ?", (name,)).fetchone()
    return _person(row) if row else None


def read_people(db: sqlite3.Connection) -> list[PersonRecord]:
    """Everybody, by name."""
    return [_person(r) for r in db.execute(f"SELECT {PERSON_COLUMNS} FROM person ORDER BY name")]


def read_changes(db: sqlite3.Connection, cursor: str | None) -> tuple[Sequence[Change], str]:
    """Feed rows after ``cursor`` and the next cursor.

    ``reset`` when rows after the cursor were pruned, or when the file never reached the cursor
    (it was replaced by a backup).
    """
    db.execute("BEGIN")  # one snapshot for the three reads
    try:
        (newest,) = db.execute(
            "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'feed'), 0)"
        ).fetchone()
        if cursor is None:
            return [], str(newest)
        since = int(cursor)
        if since == newest:
            return [], cursor
        (oldest,) = db.execute("SELECT coalesce(min(id), ? + 1) FROM feed", (newest,)).fetchone()
        if since > newest or oldest > since + 1:
            return [Change(RESET, "")], str(newest)
        rows = db.execute(
            "SELECT kind, name, principals FROM feed WHERE id > ? ORDER BY id", (since,)
        ).fetchall()
        return [Change(k, name, tuple(json.loads(p))) for k, name, p in rows], str(newest)
    finally:
        db.execute("COMMIT")


def _token(row: Sequence[Any]) -> TokenRecord:
    token_id, token_hash, principal, label, created, expires, by, groups, home, used = row
    return TokenRecord(
        id=token_id,
        hash=token_hash,
        principal=principal,
        label=label,
        created=created,
        expires=expires,
        created_by=by,
        groups=tuple(json.loads(groups)),
        home_group=home,
        last_used=used,
    )


def _person(row: Sequence[Any]) -> PersonRecord:
    name, groups, home_group, seen = row
    return PersonRecord(
        name=name, groups=tuple(json.loads(groups)), home_group=home_group, seen=seen
    )
