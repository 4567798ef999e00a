"""Signing in and out in a browser: ``/access/login``, ``/access/callback``, ``/access/logout``.

What comes back from the provider is believed only for the attempt that this very browser began
(``sessions/attempt.py``). Every sign-in makes a new session and ends the browser's former one, so
nobody can plant a session and wait for it to become somebody else's.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from gateway.clock import Clock
from gateway.errors import BadRequest, Forbidden
from gateway.idp.sign_in import SignIn
from gateway.sessions import attempt as attempts
from gateway.sessions.attempt import MAX_SECONDS, Attempt
from gateway.sessions.box import Box
from gateway.sessions.cookies import CookieNames, value_of
from gateway.sessions.going_back import local_target
from gateway.sessions.live import Sessions
from gateway.settings import Settings
from gateway.web.answer import json_answer
from gateway.web.head import accepts_json
from gateway.web.own import Endpoint, OwnCall
from gateway.web.pages import page, see_other

_MOST_ATTEMPTS = 8
"""Sign-ins that one browser may have open; beyond that the others are forgotten."""
_NOT_OURS = (
    "This sign-in was not begun in this browser, was finished already, or took longer than ten "
    "minutes. Start again."
)


def login_address(target: str) -> str:
    """Where a person signs in to come back to ``target``."""
    return f"/access/login?{urlencode({'next': target})}"


class SignInPages:
    """The endpoints of signing in and out."""

    def __init__(
        self,
        settings: Settings,
        sign_ins: Mapping[str, SignIn],
        sessions: Sessions,
        names: CookieNames,
        box: Box,
        clock: Clock,
    ) -> None:
        self._public_url = settings.public_url
        self._session_seconds = settings.session.max_seconds
        self._sign_ins = sign_ins
        self._sessions = sessions
        self._names = names
        self._box = box
        self._clock = clock

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's rows; open, because whoever comes here is not signed in yet."""
        return (
            Endpoint("GET", "login", "login", self.choose, open=True, quiet=True),
            Endpoint("GET", "login/start", "login/start", self.start, open=True),
            Endpoint("GET", "callback", "login/finish", self.finish, open=True),
            Endpoint("GET", "logout", "logout/ask", self.ask, open=True, quiet=True),
            Endpoint("POST", "logout", "logout", self.leave, open=True, form=True),
        )

    async def choose(self, call: OwnCall) -> web.StreamResponse:
        """The page on the way to the provider, or to choose one. Its script keeps the part of the
        address behind '#'."""
        target = local_target(call.query.get("next", "/"))
        if not self._sign_ins:
            raise Forbidden(
                "Signing in with a browser is not set up here (no identity provider has a "
                "client_id); use a token, or ask an mlgate admin."
            )
        if self._elsewhere(call):
            # Cookies and the provider's way back belong to the public name; 'here' ends a loop
            # where a proxy in between changes the name.
            query = urlencode({"next": target, "here": "1"})
            return see_other(f"{self._public_url}/access/login?{query}")
        if "again" not in call.query and await self._sessions.look(call.head.headers.cookie):
            return see_other(target)
        providers = [
            {
                "name": name,
                "href": "/access/login/start?" + urlencode({"provider": name, "next": target}),
            }
            for name in self._sign_ins
        ]
        return page("sign_in.html", providers=providers)

    async def start(self, call: OwnCall) -> web.StreamResponse:
        """Begin an attempt and go to the provider."""
        target = local_target(call.query.get("next", "/"))
        sign_in = self._sign_ins.get(call.query.get("provider", ""))
        if sign_in is None:
            raise BadRequest("There is no such identity provider; start again.")
        attempt = attempts.begin(sign_in.name, target, self._clock.now())
        location = await sign_in.authorization_url(
            state=attempt.state, nonce=attempt.nonce, challenge=attempt.challenge
        )
        headers = []
        others = self._names.attempts(call.head.headers.cookie)
        if len(others) >= _MOST_ATTEMPTS:
            headers = [self._names.gone(self._names.attempt(other)) for other in others]
        name = self._names.attempt(attempt.id)
        sealed = attempts.seal(attempt, self._box)
        headers.append(self._names.made(name, sealed, seconds=MAX_SECONDS))
        return see_other(location, headers)

    async def finish(self, call: OwnCall) -> web.StreamResponse:
        """The provider sends the person back: check everything, begin the session."""
        query, cookie = call.query, call.head.headers.cookie
        attempt = self._attempt(query.get("state", ""), cookie)
        sign_in = self._sign_ins.get(attempt.provider)
        if sign_in is None:
            raise BadRequest(_NOT_OURS)
        call.trail.notes["provider"] = sign_in.name
        await sign_in.check_answer_issuer(query.get("iss"))
        if "error" in query:
            raise Forbidden(
                f"The sign-in service did not sign you in ({query['error'][:60]}). Start again, or "
                "ask whoever runs it whether you may use MLflow.",
                detail=f"sign-in {sign_in.name}: {query.get('error_description', '')[:300]!r}",
            )
        if not query.get("code"):
            raise BadRequest("The sign-in service sent no code; start again.")
        signed_in = await sign_in.redeem(
            query["code"], verifier=attempt.verifier, nonce=attempt.nonce
        )
        call.trail.principal = signed_in.claimed.principal
        await self._sessions.end(cookie)
        session = await self._sessions.begin(signed_in, sign_in.name)
        return see_other(
            attempt.target,
            [
                self._names.made(self._names.session, session, seconds=self._session_seconds),
                self._names.gone(self._names.attempt(attempt.id)),
            ],
        )

    async def ask(self, call: OwnCall) -> web.StreamResponse:
        """Where one signs out by a click, and where the provider sends back to afterwards."""
        live = await self._sessions.look(call.head.headers.cookie)
        if live is None:
            return page("sign_out.html", name=None)
        place = await self._sign_ins[live.provider].logout_url(None)
        parts = urlsplit(place or "")
        # The answer to the form goes on to the provider, and browsers check the whole way.
        origins = [f"{parts.scheme}://{parts.netloc}"] if place else []
        return page("sign_out.html", name=live.principal.bare_name, form_action=origins)

    async def leave(self, call: OwnCall) -> web.StreamResponse:
        """End the session, here, on every gateway, and at the provider."""
        if not call.head.headers.same_origin:
            raise Forbidden("Sign out from a page of this server.")
        ended = await self._sessions.end(call.head.headers.cookie)
        place = None
        if ended is not None:
            call.trail.notes.update({"session_of": ended.principal, "provider": ended.provider})
            sign_in = self._sign_ins.get(ended.provider)
            place = await sign_in.logout_url(ended.id_token) if sign_in is not None else None
        gone = [self._names.gone(self._names.session)]
        place = place or "/access/logout"
        if accepts_json(call.head):
            return json_answer(200, {"next": place}, gone)
        return see_other(place, gone)

    def _attempt(self, state: str, cookie: str | None) -> Attempt:
        attempt_id = attempts.id_of(state)
        if attempt_id is None:
            raise BadRequest(_NOT_OURS)
        sealed = value_of(cookie, self._names.attempt(attempt_id))
        attempt = attempts.opened(sealed or "", state, self._clock.now(), self._box)
        if attempt is None:
            raise BadRequest(_NOT_OURS)
        return attempt

    def _elsewhere(self, call: OwnCall) -> bool:
        public = urlsplit(self._public_url).netloc.lower()
        return "here" not in call.query and call.head.headers.host.lower() != public
