"""The gateway's own page token: MLflow's token and an offset, sealed and bound to one query.

The query and the principal are the associated data of an authenticated encryption, so a token
opens only where it was made; a changed filter, another person or a flipped bit all look alike.
Padding keeps the length of a token from telling how many hidden rows were skipped.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import BadRequest

_PREFIX = "mlg1."
_NONCE = 12
_BLOCK = 128
_SHORTEST_KEY = 16
_LONGEST_TOKEN = 8192
_START_AGAIN = (
    "The page_token does not belong to this search; start again without page_token, "
    "and keep filter, order_by and the other fields the same from page to page."
)


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next page starts: ``offset`` rows into MLflow's page behind ``upstream``.

    ``length`` is how many rows that page had. ``readable`` of ``seen`` rows passed so far: that
    sizes the first read of the next page.
    """

    upstream: str = ""
    offset: int = 0
    length: int = 0
    readable: int = 0
    seen: int = 0


class PageTokens:
    """Seals and opens positions. The first key seals; all keys open, so keys can be rotated.

    Keys are secrets of at least 16 bytes, shared by every gateway; ValueError otherwise.
    """

    def __init__(
        self, keys: Sequence[bytes], *, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        if not keys or any(len(key) < _SHORTEST_KEY for key in keys):
            raise ValueError("page tokens need at least one key of at least 16 bytes")
        self._ciphers = tuple(AESGCM(_derive(key)) for key in keys)
        self._random = random

    def seal(self, position: Position, query: bytes) -> str:
        """The token for a position of this query (see ``query_of``)."""
        plain = json.dumps(astuple(position), separators=(",", ":")).encode()
        padded = plain + b" " * (-len(plain) % _BLOCK)
        nonce = self._random(_NONCE)
        sealed = nonce + self._ciphers[0].encrypt(nonce, padded, query)
        return _PREFIX + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, token: str, query: bytes) -> Position:
        """The position in a token; BadRequest if it was not sealed here for this query."""
        sealed = _decode(token)
        for cipher in self._ciphers:
            try:
                plain = cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], query)
            except InvalidTag:
                continue
            return Position(*json.loads(plain))
        raise BadRequest(_START_AGAIN)


def is_page_token(token: str) -> bool:
    """Whether a token looks like ours, not MLflow's (a caller may become an admin midway)."""
    return token.startswith(_PREFIX)


def query_of(plan: str, fields: Mapping[str, object], principal: str) -> bytes:
    """What a token is bound to: who asks, and every field but the page's own two.

    ``max_results`` may change from page to page, as MLflow allows. Absent and empty are one.
    """
    rest = {
        name: value
        for name, value in fields.items()
        if name not in ("page_token", "max_results") and value not in (None, "", [], ())
    }
    return json.dumps([plan, principal, rest], sort_keys=True).encode()


def _decode(token: str) -> bytes:
    if not is_page_token(token) or len(token) > _LONGEST_TOKEN:
        raise BadRequest(_START_AGAIN)
    text = token[len(_PREFIX) :]
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(_START_AGAIN) from error
    if len(sealed) <= _NONCE:
        raise BadRequest(_START_AGAIN)
    return sealed


def _derive(key: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"mlgate page token").derive(key)
