"""A browser's session cookie, as one more credential."""

from __future__ import annotations

from gateway.credentials.credential import Identified
from gateway.idp.claims import spellings_of
from gateway.sessions.live import Sessions


class SessionCookie:
    """Authenticates requests by their Cookie header; see ``CookieAuthenticator``."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def authenticate(self, cookie: str) -> Identified | None:
        """Who calls; None when there is no session of ours (any more). Raises Unavailable."""
        live = await self._sessions.use(cookie)
        if live is None:
            return None
        name = live.principal.name
        return Identified(live.principal, min(live.expires, live.idle_expires), spellings_of(name))
