"""What browser sessions need of the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.acl.store import SessionRecord
from gateway.credentials.ports import Directory, Recorder


class SessionStore(Directory, Recorder, Protocol):
    """Reads normally answered from memory, and writes (``gateway.acl.cache.AclCache``).

    Every method may raise Unavailable.
    """

    async def session(self, principal: str, session_hash: str, /) -> SessionRecord | None:
        """A session as cached or stored."""
        ...

    async def newest_session(self, principal: str, session_hash: str, /) -> SessionRecord | None:
        """A session as stored now."""
        ...

    async def sessions_of(self, principal: str, /) -> Sequence[SessionRecord]:
        """The sessions of a principal."""
        ...

    async def put_session(self, session: SessionRecord, /) -> None:
        """Write a new one."""
        ...

    async def replace_session(
        self, session: SessionRecord, /, *, expect_version: int
    ) -> SessionRecord:
        """Write its next version; raises Conflict."""
        ...

    async def touch_session(self, principal: str, session_hash: str, seen: float, /) -> None:
        """Note a use."""
        ...

    async def delete_session(self, principal: str, session_hash: str, /) -> bool:
        """End one."""
        ...

    async def delete_sessions(self, principal: str, /) -> int:
        """End all of a principal."""
        ...
