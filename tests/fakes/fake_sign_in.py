"""A FakeIssuer that browsers can sign in with, whose every misbehaviour is a switch."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from tests.fakes.fake_issuer import FakeIssuer

CLIENT = "mlgate-web"


@dataclass
class FakeSignIn:
    """Signs ``who`` in at once, without a page. ``groups``: what the person is in now."""

    issuer: FakeIssuer
    now: Callable[[], float] = time.time
    who: str = "alice@example.com"
    groups: list[str] = field(default_factory=lambda: ["data-science"])
    id_token: Callable[[dict[str, Any]], str] | None = None
    """Makes the ID token out of the right claims, wrongly."""
    answer: dict[str, Any] = field(default_factory=dict)
    """Added to the token endpoint's answer; None removes."""
    refuse: str | None = None
    """An error for every use of the token endpoint."""
    down: bool = False
    rotate: bool = True
    refreshes: int = 0
    forms: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    claims_at: str = "id_token"
    """Or ``userinfo``: the ID token has the sub only."""
    userinfo_sub: str | None = None
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _refresh_tokens: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.issuer.more_routes = [
            web.post("/token", self._token),
            web.get("/userinfo", self._userinfo),
        ]

    def publish(self) -> None:
        """Tell of the browser's endpoints; once the issuer has its address."""
        self.issuer.discovery_changes.update(
            {
                "authorization_endpoint": self.issuer.url + "/authorize",
                "token_endpoint": self.issuer.url + "/token",
                "userinfo_endpoint": self.issuer.url + "/userinfo",
                "end_session_endpoint": self.issuer.url + "/logout",
                "authorization_response_iss_parameter_supported": True,
            }
        )

    def authorize(self, location: str) -> dict[str, str]:
        """The query of the callback that a browser would follow from ``location``."""
        query = {k: v[0] for k, v in parse_qs(urlsplit(location).query).items()}
        code = secrets.token_urlsafe(8)
        self._codes[code] = query
        return {"code": code, "state": query["state"], "iss": self.issuer.url}

    def claims(self, nonce: str | None) -> dict[str, Any]:
        now = int(self.now())
        base: dict[str, Any] = {"aud": CLIENT, "nonce": nonce, "sub": f"id-{self.who}"}
        base |= {"iat": now, "exp": now + 600}
        if self.claims_at == "userinfo":
            return self.issuer.claims(**base, email=None, groups=None)
        return self.issuer.claims(**base, email=self.who, groups=self.groups)

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        self.authorizations.append(request.headers.get("Authorization"))
        if self.down:
            return web.Response(status=503)
        if self.refuse:
            return web.json_response({"error": self.refuse}, status=400)
        nonce: str | None = None
        if form["grant_type"] == "authorization_code":
            asked = self._codes.pop(form["code"], None)
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if (
                asked is None
                or asked["code_challenge"] != challenge
                or asked["redirect_uri"] != form["redirect_uri"]
            ):
                return web.json_response({"error": "invalid_grant"}, status=400)
            nonce = asked["nonce"]
        else:
            self.refreshes += 1
            if form["refresh_token"] not in self._refresh_tokens:
                return web.json_response({"error": "invalid_grant"}, status=400)
        refresh_token = form.get("refresh_token") or secrets.token_urlsafe(8)
        if self.rotate:
            self._refresh_tokens.discard(refresh_token)
            refresh_token = secrets.token_urlsafe(8)
        self._refresh_tokens.add(refresh_token)
        claims = self.claims(nonce)
        made = self.id_token(claims) if self.id_token else self.issuer.sign(claims)
        answer = {
            "access_token": "opaque",
            "token_type": "Bearer",
            "id_token": made,
            "refresh_token": refresh_token,
            **self.answer,
        }
        return web.json_response({k: v for k, v in answer.items() if v is not None})

    async def _userinfo(self, request: web.Request) -> web.Response:
        sub = self.userinfo_sub or f"id-{self.who}"
        return web.json_response({"sub": sub, "email": self.who, "groups": self.groups})
