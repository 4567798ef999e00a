"""What signing in needs of the store: to look tokens and people up, and to note changes."""

from __future__ import annotations

from typing import Protocol

from gateway.acl.store import PersonRecord, TokenRecord


class Directory(Protocol):
    """Reads, normally answered from memory (``gateway.acl.cache.AclCache``).

    May raise StoreUnavailable or Unavailable.
    """

    async def token(self, token_hash: str, /) -> TokenRecord | None:
        """The API token of this SHA-256 (hex), or None when there is none (any more)."""
        ...

    async def person(self, name: str, /) -> PersonRecord | None:
        """The person or service account as last recorded."""
        ...


class Recorder(Protocol):
    """Writes, never on the hot path; ``AclCache`` and ``Store`` are such."""

    async def put_person(self, person: PersonRecord, /) -> None:
        """Remember a person's groups."""
        ...

    async def create_person(self, person: PersonRecord, /) -> bool:
        """Remember somebody who is not known yet; False (and no change) when they are."""
        ...

    async def touch_token(self, token_hash: str, used: float, /) -> None:
        """Remember when an API token was last used."""
        ...
