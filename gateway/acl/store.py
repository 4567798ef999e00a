"""The port to everything the gateway remembers: ACLs, API tokens, people, browser sessions, and
the change feed.

Adapters (``sqlite.py``, ``dynamodb.py``) pass one contract suite. They hold no policy. They
raise ``StoreUnavailable`` when the store cannot be reached and ``Conflict`` when somebody else
changed the same ACL first; nothing else that a caller should handle.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.model import Acl, Kind, Resource


class StoreUnavailable(Exception):
    """The store did not answer in time, or refused us."""


class Conflict(Exception):
    """The ACL is no longer at the version that the change was based on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """An API token as stored: never the secret, only its SHA-256 (hex).

    ``id`` is public; times are seconds since the epoch. ``groups`` are those at creation; a
    person's newer groups come from the PersonRecord.
    """

    id: str
    hash: str
    principal: str
    label: str
    created: float
    expires: float
    created_by: str
    groups: tuple[str, ...] = ()
    home_group: str | None = None
    last_used: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRecord:
    """A principal as last seen with a verified credential of an identity provider.

    For a service account, ``groups`` holds the one group whose team owns it.
    """

    name: str
    groups: tuple[str, ...]
    home_group: str | None
    seen: float

    @property
    def teamless(self) -> bool:
        """Whether this is an identity provider's own service, which no team here manages."""
        return self.name.startswith("service:") and not self.groups


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """A browser session as stored. ``hash`` is the SHA-256 (hex) of what the cookie holds.

    ``groups`` are those of the last time that the provider was asked (``refreshed``); ``seen`` is
    the last use (coarse); ``expires`` the absolute end. ``tokens`` are the provider's own, sealed
    under the cookie's secret, so that whoever reads the store can use none of them.
    ``busy_until`` is set while one gateway asks the provider, so that no other does: a provider
    takes the second use of one refresh token for theft. Times are seconds since the epoch.
    """

    hash: str
    principal: str
    provider: str
    groups: tuple[str, ...]
    home_group: str | None
    created: float
    expires: float
    refreshed: float
    seen: float
    tokens: bytes = b""
    busy_until: float = 0.0
    version: int = 1


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the change feed: ``kind`` is ``acl``, ``token``, ``person`` or ``session``.

    For ``acl``, ``name`` is ``str(resource)`` and ``principals`` lists the grant keys whose
    view of the resource may have changed (for the inverted index); for ``token`` the token's
    hash; for ``person`` the principal name; for ``session`` its hash, with its principal as the
    one of ``principals``. A ``reset`` row (no name) says that the feed does
    not reach back to the cursor: anything may have changed.

    ``id`` tells rows apart where the feed shows one several times; empty where it never does.
    """

    kind: str
    name: str
    principals: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True, slots=True)
class AclPage:
    """Some ACLs of a kind, in the store's own order, and where the next page begins (None: this
    was the last one). A page may be short, even empty, and not be the last."""

    acls: tuple[Acl, ...]
    after: str | None


class Store(Protocol):
    """What the gateway needs of its store.

    Reads are strongly consistent, except that ``grants_of`` and ``tokens_of`` may lag where
    they come from an index (DynamoDB). The version of an ACL that is dropped and made again
    starts above every version that the dropped one had, so an old ``expect_version`` never fits.
    """

    async def get_acl(self, resource: Resource) -> Acl | None:
        """The ACL of a resource, or None when it has none."""
        ...

    async def create_acl(
        self, resource: Resource, owner: str | None, grants: Mapping[str, str]
    ) -> bool:
        """Write a first ACL; False (and no change) when there already is one."""
        ...

    async def set_grant(
        self, resource: Resource, principal: str, role: str, *, expect_version: int
    ) -> Acl:
        """Give ``principal`` (a grant key) one role, replacing its earlier one; the new ACL."""
        ...

    async def remove_grant(self, resource: Resource, principal: str, *, expect_version: int) -> Acl:
        """Take away the grant of ``principal``; the new ACL (unchanged if it had none)."""
        ...

    async def drop_acl(self, resource: Resource) -> None:
        """Remove the ACL with all its grants; no error when there is none."""
        ...

    async def grants_of(self, key: str, kind: Kind) -> Mapping[str, str]:
        """Resource id -> role for one grant key (``user:…``, ``group:…``, ``everyone``)."""
        ...

    def list_acls(self, kind: Kind) -> AsyncIterator[Acl]:
        """Every ACL of a kind, for reconcile and for admins; in no order."""
        ...

    async def acl_page(self, kind: Kind, after: str | None, most: int) -> AclPage:
        """At most ``most`` ACLs of a kind after the end of another page (None: from the start),
        for a bounded cost, however many there are. ``after`` may name something that is for no
        reader's eyes (any key of the store), so it leaves the gateway sealed only."""
        ...

    async def put_token(self, token: TokenRecord) -> None:
        """Write a token; Conflict when its ``id`` or ``hash`` belongs to another token."""
        ...

    async def get_token(self, token_hash: str) -> TokenRecord | None: ...
    async def tokens_of(self, principal: str | None) -> Sequence[TokenRecord]:
        """The tokens of a principal, newest first; None: of everyone."""
        ...

    async def delete_token(self, token_id: str) -> TokenRecord | None:
        """Revoke; the removed record, or None when there was none."""
        ...

    async def touch_token(self, token_hash: str, used: float) -> None:
        """Remember the last use (coarse; not in the change feed)."""
        ...

    async def put_person(self, person: PersonRecord) -> None: ...
    async def create_person(self, person: PersonRecord) -> bool:
        """Write a first record of this name; False (and no change) when there already is one."""
        ...

    async def get_person(self, name: str) -> PersonRecord | None: ...
    async def people(self) -> Sequence[PersonRecord]: ...

    async def put_session(self, session: SessionRecord) -> None:
        """Write a new session."""
        ...

    async def get_session(self, principal: str, session_hash: str) -> SessionRecord | None: ...
    async def replace_session(
        self, session: SessionRecord, *, expect_version: int
    ) -> SessionRecord:
        """Write a session anew with the next version; Conflict when it is at another version
        or gone, so that a session that was ended never comes back."""
        ...

    async def touch_session(self, principal: str, session_hash: str, seen: float) -> None:
        """Remember the last use (coarse; not in the change feed)."""
        ...

    async def sessions_of(self, principal: str) -> Sequence[SessionRecord]:
        """The sessions of a principal, expired ones perhaps included, in no order."""
        ...

    async def delete_session(self, principal: str, session_hash: str) -> bool:
        """End a session; False when there was none."""
        ...

    async def delete_sessions(self, principal: str) -> int:
        """End all sessions of a principal; how many there were."""
        ...

    async def changes(self, cursor: str | None) -> tuple[Sequence[Change], str]:
        """Feed rows since ``cursor`` (None: from now on) and the next cursor.

        Rows may be seen twice; a row is never missed (adapters overlap for clock skew and
        replication lag)."""
        ...

    async def secret(self, name: str) -> bytes:
        """32 random bytes, made by whoever asks first and the same for every gateway."""
        ...

    async def ping(self) -> None:
        """Raise StoreUnavailable when the store does not answer."""
        ...

    async def close(self) -> None: ...
