"""``/access/sessions``: where I am signed in, and (admins) where a person is; ending it."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from gateway.errors import BadRequest, GatewayError
from gateway.web.api.sessions import SessionsApi
from gateway.web.console.shell import Pages, console_page, moment, spelled
from gateway.web.own import Endpoint, OwnCall
from gateway.web.pages import see_other


class SessionPages:
    """Shows the sessions of one person, so that whoever ends them sees what they end."""

    def __init__(self, sessions: SessionsApi) -> None:
        self._sessions = sessions

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's rows."""
        return (
            Endpoint("GET", "sessions", "sessions/list", self.show),
            Endpoint("POST", "sessions", "sessions/revoke", self.change, form=True),
        )

    async def show(self, call: OwnCall) -> web.StreamResponse:
        """The page; ``of``: a person instead of oneself, for admins."""
        return await self._page(call, call.query.get("of") or call.principal.name)

    async def change(self, call: OwnCall) -> web.StreamResponse:
        """End all sessions of a person, or one's own others; then back to the page."""
        of, do = call.body.get("of"), call.body.get("do")
        if not isinstance(of, str) or set(call.body) != {"of", "do"} or do not in ("all", "others"):
            raise BadRequest("The form is not the one of this page; load the page again.")
        try:
            if do == "others" and of != call.principal.name:
                raise BadRequest("The form is not the one of this page; load the page again.")
            await self._sessions.end(call, of, but_this=do == "others")
        except GatewayError as refused:
            return await self._page(call, of, refused)
        return see_other(f"/access/sessions?of={quote(of, safe='')}&done=1")

    async def _page(
        self, call: OwnCall, of: str, refused: GatewayError | None = None
    ) -> web.StreamResponse:
        this = self._sessions.this(call)
        found = await self._sessions.of(call, of)
        rows = [
            {
                "provider": one.provider,
                "created": moment(one.created),
                "used": moment(one.seen),
                "expires": moment(one.expires),
                "this": one.hash == this,
            }
            for one in found
        ]
        return console_page(
            call,
            "sessions.html",
            here="sessions",
            refused=refused,
            of=of,
            mine=of == call.principal.name,
            name=spelled(of),
            others=sum(not row["this"] for row in rows),
            pages=Pages(rows, call.query, "/access/sessions"),
            done="done" in call.query,
        )
