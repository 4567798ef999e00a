"""One attempt to sign in: what must come back unchanged, kept by the browser, sealed.

Each attempt has a cookie of its own, so several tabs can sign in at once, and any gateway can
finish what another began. The state names the attempt and proves that the answer belongs to it
(RFC 6749 section 10.12); the nonce ties the ID token to it (OIDC Core 3.1.2.1), the verifier the
code (RFC 7636).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import asdict, dataclass

from gateway.sessions.box import Box

MAX_SECONDS = 600.0
"""How long a person may take at the provider's page."""

_SKEW_SECONDS = 60.0
"""Another gateway, whose clock is ahead, may have begun it."""

_ID = re.compile(r"[0-9a-f]{16}")
_PURPOSE = b"sign-in attempt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """``provider`` is the name in the settings, ``target`` where the person wants to go."""

    id: str
    secret: str
    nonce: str
    verifier: str
    provider: str
    target: str
    began: float

    @property
    def state(self) -> str:
        """What goes to the provider and must come back."""
        return f"{self.id}.{self.secret}"

    @property
    def challenge(self) -> str:
        """The S256 code challenge (RFC 7636 section 4.2)."""
        digest = hashlib.sha256(self.verifier.encode("ascii")).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def begin(provider: str, target: str, now: float) -> Attempt:
    """A fresh attempt."""
    return Attempt(
        id=secrets.token_hex(8),
        secret=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        provider=provider,
        target=target,
        began=now,
    )


def id_of(state: str) -> str | None:
    """The attempt that a state names, unproven."""
    attempt_id = state.partition(".")[0]
    return attempt_id if _ID.fullmatch(attempt_id) else None


def seal(attempt: Attempt, box: Box) -> str:
    """The cookie's value."""
    return box.seal_text(json.dumps(asdict(attempt)).encode(), _PURPOSE)


def opened(sealed: str, state: str, now: float, box: Box) -> Attempt | None:
    """The attempt that ``state`` belongs to; None if it is another's, forged or too old."""
    plain = box.open_text(sealed, _PURPOSE)
    if plain is None:
        return None
    attempt = Attempt(**json.loads(plain))
    if not hmac.compare_digest(attempt.state.encode(), state.encode("utf-8", "surrogatepass")):
        return None
    return attempt if -_SKEW_SECONDS <= now - attempt.began <= MAX_SECONDS else None
