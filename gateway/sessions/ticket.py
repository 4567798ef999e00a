"""What a session cookie holds, and what only it can open: the provider's tokens in the store.

The cookie is sealed, so a made-up one costs no question to the store. The store knows the secret
in it as a hash only; the provider's tokens are sealed under the secret itself, so a reader of the
store can neither take over a session nor use a refresh token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import asdict, dataclass

from gateway.sessions.box import Box

_SECRET_BYTES = 32
_COOKIE = b"session cookie"
_TOKENS = b"provider tokens"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Whose session, and the secret that proves it."""

    principal: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Ticket({self.principal!r}, '***')"

    @property
    def hash(self) -> str:
        """What the store calls the session."""
        return hashlib.sha256(self.secret).hexdigest()


@dataclass(frozen=True, slots=True)
class ProviderTokens:
    """What the provider gave at sign-in or at the last refresh."""

    sub: str
    id_token: str | None = None
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"ProviderTokens({self.sub!r}, '***')"


def new_ticket(principal: str) -> Ticket:
    """A ticket for a session that begins now."""
    return Ticket(principal, secrets.token_bytes(_SECRET_BYTES))


def seal_ticket(ticket: Ticket, box: Box) -> str:
    """The cookie's value."""
    secret = base64.b64encode(ticket.secret).decode("ascii")
    return box.seal_text(json.dumps([ticket.principal, secret]).encode(), _COOKIE)


def open_ticket(value: str, box: Box) -> Ticket | None:
    """The ticket of a cookie's value; None when it was not sealed by a gateway of ours."""
    plain = box.open_text(value, _COOKIE)
    if plain is None:
        return None
    principal, secret = json.loads(plain)
    return Ticket(principal, base64.b64decode(secret))


def seal_tokens(tokens: ProviderTokens, ticket: Ticket) -> bytes:
    """The provider's tokens as the store keeps them."""
    return Box(ticket.secret, info=_TOKENS).seal(json.dumps(asdict(tokens)).encode(), _TOKENS)


def open_tokens(sealed: bytes, ticket: Ticket) -> ProviderTokens | None:
    """The provider's tokens of a session; None when the ticket is another's."""
    plain = Box(ticket.secret, info=_TOKENS).open(sealed, _TOKENS)
    return None if plain is None else ProviderTokens(**json.loads(plain))
