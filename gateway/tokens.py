"""API tokens: how one is made, recognised and hashed. Pure; who may make one is decided elsewhere.

``mlg_`` + 43 base62 characters (32 random bytes) + 6 base62 characters of CRC-32: the prefix and
the checksum let a secret scanner recognise one, and a typo is told without asking the store. The
store holds the SHA-256 only; with 256 random bits there is nothing for a slow hash to protect.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import unicodedata
import zlib
from collections.abc import Sequence

from gateway.acl.store import TokenRecord
from gateway.clock import Clock
from gateway.errors import BadRequest
from gateway.settings import Tokens

PREFIX = "mlg_"
MAX_LABEL = 200

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_BYTES = 32
_RANDOM_CHARACTERS = 43
_CHECK_CHARACTERS = 6
_LENGTH = len(PREFIX) + _RANDOM_CHARACTERS + _CHECK_CHARACTERS
_DAY = 86_400.0
_ACCOUNT = re.compile(r"service:[A-Za-z0-9][A-Za-z0-9._@-]{0,127}", re.ASCII)


def is_account_name(principal: str) -> bool:
    """Whether people here can make a service account of this name."""
    return _ACCOUNT.fullmatch(principal) is not None


def new_secret() -> str:
    """A fresh token, as its owner will send it."""
    number = int.from_bytes(secrets.token_bytes(_RANDOM_BYTES), "big")
    body = PREFIX + _base62(number, _RANDOM_CHARACTERS)
    return body + _checksum(body)


def is_well_formed(secret: str) -> bool:
    """Whether the checksum is right: False for typos, cut copies and made-up tokens."""
    if len(secret) != _LENGTH or not secret.startswith(PREFIX):
        return False
    body, check = secret[:-_CHECK_CHARACTERS], secret[-_CHECK_CHARACTERS:]
    if not all(character in _ALPHABET for character in secret[len(PREFIX) :]):
        return False
    # Not secret: CRC-32 is public arithmetic over what the caller sent.
    return check == _checksum(body)


def hash_of(secret: str) -> str:
    """The SHA-256 (hex) under which a token is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def issue(
    principal: str,
    *,
    label: str,
    created_by: str,
    clock: Clock,
    bounds: Tokens,
    days: float | None = None,
    groups: Sequence[str] = (),
    home_group: str | None = None,
) -> tuple[str, TokenRecord]:
    """A new token of ``principal`` (``user:…`` or ``service:…``): the secret and its record.

    ``days`` to live, ``bounds.default_days`` unless given; ``created_by`` is a principal name.
    Raises BadRequest for a label, a life or a principal that cannot be.
    """
    kind, _, bare = principal.partition(":")
    if kind not in ("user", "service") or not bare:
        raise BadRequest("An API token belongs to user:<name> or service:<name>.")
    if len(label) > MAX_LABEL or any(unicodedata.category(c) == "Cc" for c in label):
        raise BadRequest(f"A token's label is one line of at most {MAX_LABEL} characters.")
    life = bounds.default_days if days is None else days
    if not 0 < life <= bounds.max_days:
        raise BadRequest(f"A token lives more than 0 and at most {bounds.max_days} days.")
    secret = new_secret()
    now = clock.now()
    return secret, TokenRecord(
        id=secrets.token_hex(8),
        hash=hash_of(secret),
        principal=principal,
        label=label,
        created=now,
        expires=now + life * _DAY,
        created_by=created_by,
        groups=tuple(groups),
        home_group=home_group,
    )


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("utf-8", "surrogatepass")), _CHECK_CHARACTERS)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))
