"""The issuer itself: its address, accounts and key, and the tokens that it signs."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from aiohttp import web

from gateway.clock import Clock
from gateway.devidp.accounts import Account, Accounts
from gateway.devidp.codes import Codes
from gateway.devidp.signing import SigningKey

CLIENT_ID = "mlgate"
TOKEN_SECONDS = 12 * 3600
REFRESH_SECONDS = 30 * 86_400
_REFRESH_TYPE = "refresh+jwt"


@dataclass(frozen=True, slots=True)
class Issuer:
    """What the handlers share."""

    url: str
    accounts: Accounts
    key: SigningKey
    clock: Clock
    codes: Codes = field(default_factory=Codes)

    def access_token(self, sub: str, client_id: str, groups: tuple[str, ...]) -> str:
        """A signed access token (RFC 9068) for a person or, with ``sub`` the client, a service."""
        claims: dict[str, object] = {
            **self._common(sub, TOKEN_SECONDS),
            "client_id": client_id,
            "groups": list(groups),
        }
        if sub != client_id:
            claims["preferred_username"] = sub
        return self.key.sign(claims, typ="at+jwt")

    def id_token(self, account: Account, nonce: str | None) -> str:
        """A signed ID token (OIDC Core section 2)."""
        claims: dict[str, object] = {
            **self._common(account.name, 3600),
            "groups": list(account.groups),
            "preferred_username": account.name,
            "auth_time": int(self.clock.now()),
        }
        if nonce is not None:
            claims["nonce"] = nonce
        return self.key.sign(claims, typ="JWT")

    def refresh_token(self, account: Account) -> str:
        """Signed, so that it outlives a restart; its type keeps it from being a credential."""
        claims = {**self._common(account.name, REFRESH_SECONDS), "aud": self.url}
        return self.key.sign(claims, typ=_REFRESH_TYPE)

    def refreshed(self, refresh_token: str) -> Account | None:
        """Whose refresh token it is; None when it is none of ours or has expired."""
        claims = self.key.verified(refresh_token, typ=_REFRESH_TYPE, audience=self.url)
        if claims is None or claims["exp"] <= self.clock.now():
            return None
        return next((one for one in self.accounts.people if one.name == claims["sub"]), None)

    def _common(self, sub: str, seconds: int) -> dict[str, object]:
        now = int(self.clock.now())
        return {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": sub,
            "iat": now,
            "exp": now + seconds,
            "jti": secrets.token_hex(16),
        }


ISSUER = web.AppKey("issuer", Issuer)
