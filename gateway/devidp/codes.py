"""Authorization codes: each for one sign-in, one use, one minute (RFC 6749 section 4.1.2)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from gateway.devidp.accounts import Account

CODE_SECONDS = 60.0
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Granted:
    """What a code stands for."""

    account: Account
    redirect_uri: str
    challenge: str
    nonce: str | None
    until: float


@dataclass(slots=True)
class Codes:
    """The codes that wait to be redeemed, in memory."""

    _waiting: dict[str, Granted] = field(default_factory=dict)

    def give(self, granted: Granted) -> str:
        """A fresh code."""
        while len(self._waiting) >= _MOST:
            del self._waiting[next(iter(self._waiting))]
        code = secrets.token_urlsafe(32)
        self._waiting[code] = granted
        return code

    def redeem(self, code: str, redirect_uri: str, verifier: str, now: float) -> Granted | None:
        """What a code stands for, once; None when anything about it is wrong."""
        granted = self._waiting.pop(code, None)
        if granted is None or granted.until < now or granted.redirect_uri != redirect_uri:
            return None
        digest = hashlib.sha256(verifier.encode("utf-8", "surrogatepass")).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
        return granted if hmac.compare_digest(challenge, granted.challenge) else None
