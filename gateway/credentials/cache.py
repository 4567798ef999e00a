"""Verified credentials, remembered for a short while so that most requests verify nothing.

Keyed by a keyed hash of the header value, never the value itself. An entry is believed until
the credential expires (wall clock) or has been here for its time to live (monotonic clock),
whichever is first, and a change of an API token or a person drops it at once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.credentials.credential import Identified
from gateway.model import Principal


@dataclass(frozen=True, slots=True)
class _Entry:
    principal: Principal
    expires: float
    stale: float
    token_hash: str | None


class PrincipalCache:
    """A bounded LRU from credential to Principal, for one process."""

    def __init__(self, size: int, clock: Clock) -> None:
        self._size = size
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._by_token: dict[str, set[bytes]] = {}
        self._by_owner: dict[str, set[bytes]] = {}
        self.changes = 0
        """Grows with every change that was told of; see ``put``."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, authorization: str) -> Principal | None:
        """The principal of a header value verified lately, else None."""
        key = self._key(authorization)
        entry = self._entries.get(key)
        if entry is None:
            return None
        clock = self._clock
        if clock.now() >= entry.expires or clock.monotonic() >= entry.stale:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.principal

    def put(
        self, authorization: str, identified: Identified, seconds: float, *, changes: int
    ) -> None:
        """Remember a verified header value for at most ``seconds``.

        ``changes`` is the count before the verification began: an API token looked up before a
        change that was told of meanwhile, perhaps its own revocation, is not remembered.
        """
        if identified.token_hash is not None and changes != self.changes:
            return
        key = self._key(authorization)
        self._drop(key)
        self._entries[key] = _Entry(
            identified.principal,
            identified.expires,
            self._clock.monotonic() + seconds,
            identified.token_hash,
        )
        if identified.token_hash is not None:
            self._by_token.setdefault(identified.token_hash, set()).add(key)
            self._by_owner.setdefault(identified.principal.name, set()).add(key)
        while len(self._entries) > self._size:
            self._drop(next(iter(self._entries)))

    def forget_token(self, token_hash: str) -> None:
        """Drop what an API token (by its SHA-256) signed in."""
        self.changes += 1
        for key in tuple(self._by_token.get(token_hash, ())):
            self._drop(key)

    def forget_person(self, name: str) -> None:
        """Drop what API tokens of a principal signed in, since its groups changed.

        JWTs stay: their groups are their own, not the record's.
        """
        self.changes += 1
        for key in tuple(self._by_owner.get(name, ())):
            self._drop(key)

    def clear(self) -> None:
        """Drop everything."""
        self.changes += 1
        self._entries.clear()
        self._by_token.clear()
        self._by_owner.clear()

    def _key(self, authorization: str) -> bytes:
        # surrogatepass: injective for any str, so no two header values share a key.
        raw = authorization.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(raw, digest_size=32, key=self._secret).digest()

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is None or entry.token_hash is None:
            return
        for index, name in (
            (self._by_token, entry.token_hash),
            (self._by_owner, entry.principal.name),
        ):
            keys = index[name]
            keys.discard(key)
            if not keys:
                del index[name]
