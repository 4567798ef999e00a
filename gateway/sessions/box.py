"""Seals small secrets for a browser or the store to keep: readable by no one, changed by no one.

Authenticated encryption; ``purpose`` is bound in, so that what was sealed for one use opens for
no other. All gateways share the secret, so each opens what another sealed.
"""

from __future__ import annotations

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12
_LONGEST = 16 * 1024


class Box:
    """Seals and opens under a key derived from ``secret`` (32 random bytes)."""

    def __init__(self, secret: bytes, *, info: bytes = b"mlgate session") -> None:
        if len(secret) < 32:
            raise ValueError("a box needs a secret of at least 32 bytes")
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, purpose: bytes) -> bytes:
        """The sealed bytes."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain, purpose)

    def open(self, sealed: bytes, purpose: bytes) -> bytes | None:
        """The plain bytes; None when it was not sealed here for this purpose."""
        if len(sealed) <= _NONCE:
            return None
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], purpose)
        except InvalidTag:
            return None

    def seal_text(self, plain: bytes, purpose: bytes) -> str:
        """The sealed bytes in base64url, fit for a cookie."""
        return base64.urlsafe_b64encode(self.seal(plain, purpose)).rstrip(b"=").decode("ascii")

    def open_text(self, text: str, purpose: bytes) -> bytes | None:
        """The opposite of ``seal_text``; None for anything else."""
        if len(text) > _LONGEST or not text.isascii():
            return None
        try:
            padded = text + "=" * (-len(text) % 4)
            sealed = base64.b64decode(padded, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        return self.open(sealed, purpose)
