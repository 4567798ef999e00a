"""Browser sessions: whether this one lives, which ones there are, ending all of a person."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from gateway.acl.store import SessionRecord
from gateway.errors import Forbidden
from gateway.model import Principal
from gateway.sessions.live import Sessions
from gateway.web.answer import json_answer
from gateway.web.own import Endpoint, OwnCall


class SessionsApi:
    """Shows and ends sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's rows. The first is open: a page asks it whether somebody is signed in."""
        return (
            Endpoint("GET", "api/v1/session", "session", self.mine, open=True, quiet=True),
            Endpoint("GET", "api/v1/sessions", "sessions/list", self.list),
            Endpoint("DELETE", "api/v1/sessions/{principal}", "sessions/revoke", self.revoke),
        )

    async def mine(self, call: OwnCall) -> web.StreamResponse:
        """This browser's session, without using it: ``{signed_in, principal, …}``."""
        live = await self._sessions.look(call.head.headers.cookie)
        if live is None:
            return json_answer(200, {"signed_in": False})
        return json_answer(
            200,
            {
                "signed_in": True,
                "principal": live.principal.name,
                "groups": sorted(live.principal.groups),
                "admin": live.principal.admin,
                "expires": live.expires,
                "idle_expires": live.idle_expires,
            },
        )

    async def list(self, call: OwnCall) -> web.StreamResponse:
        """The caller's sessions, or (admins) those of ``principal``."""
        found = await self.of(call, call.query.get("principal", call.principal.name))
        return json_answer(200, {"sessions": [_shown(s) for s in found]})

    async def of(self, call: OwnCall, asked: str) -> Sequence[SessionRecord]:
        """The sessions of ``asked``, newest first, if the caller may see them."""
        _may(call.principal, asked)
        return await self._sessions.of(asked)

    def this(self, call: OwnCall) -> str | None:
        """The hash of the session that the call was made with, if it was one."""
        return self._sessions.called(call.head.headers.cookie)

    async def revoke(self, call: OwnCall) -> web.StreamResponse:
        """End all sessions of a person, at once here and within a second everywhere."""
        return json_answer(200, {"revoked": await self.end(call, call.params["principal"])})

    async def end(self, call: OwnCall, asked: str, *, but_this: bool = False) -> int:
        """End all sessions of ``asked``, if the caller may, perhaps but the caller's; how many."""
        _may(call.principal, asked)
        if but_this:
            ended = await self._sessions.end_others(asked, self.this(call))
        else:
            ended = await self._sessions.end_all(asked)
        call.trail.notes.update({"session_of": asked, "sessions": ended})
        return ended


def _may(caller: Principal, asked: str) -> None:
    if asked != caller.name and not caller.admin:
        raise Forbidden(
            f"{caller.name} may see and end only their own sessions; ask an mlgate admin."
        )


def _shown(record: SessionRecord) -> dict[str, object]:
    return {
        "id": record.hash[:12],
        "principal": record.principal,
        "provider": record.provider,
        "created": record.created,
        "last_used": record.seen,
        "expires": record.expires,
    }
