"""The public keys of an issuer, each pinned to the algorithms it may verify.

A token's header chooses among what a key allows and can add nothing to it: an RSA key never
verifies HS256 or none (RFC 8725 section 3.1). Pure: bytes in, keys out.
Rules: RFC 7517 (JWK), RFC 7518 (JWA), NIST SP 800-131A for the smallest RSA key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MAX_KEYS = 500
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_EC = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",)}
_OKP = {"Ed25519": ("EdDSA",)}

_jws = jwt.PyJWS()


class BadKeys(Exception):
    """A JWKS document that cannot be used; its text says why, for the log."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public key with the algorithms it may verify, by name."""

    kid: str | None
    by_algorithm: Mapping[str, jwt.PyJWK]

    def verifies(self, compact: str, algorithm: str) -> bool:
        """Whether this key signed the compact JWT with ``algorithm``."""
        key = self.by_algorithm.get(algorithm)
        if key is None:
            return False
        try:
            _jws.decode_complete(compact, key, algorithms=[algorithm])
        except jwt.PyJWTError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class KeySet:
    """All usable keys of an issuer at one moment."""

    keys: tuple[VerificationKey, ...]

    def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        """The one key that fits, or None when none or several do.

        With a ``kid`` only a key of that id fits; without, any key for the algorithm does.
        """
        fitting = [
            key
            for key in self.keys
            if algorithm in key.by_algorithm and (kid is None or key.kid == kid)
        ]
        return fitting[0] if len(fitting) == 1 else None

    def has(self, kid: str | None) -> bool:
        """Whether fetching again is pointless: the id is known, or the token names none."""
        return kid is None or any(key.kid == kid for key in self.keys)


def parse_jwks(document: bytes, algorithms: Iterable[str]) -> KeySet:
    """The usable keys of a JWKS document; raises BadKeys when there is none.

    Keys for other purposes, of other types, too weak or damaged are left out, as RFC 7517
    section 5 asks, so that one odd key does not lock everybody out.
    """
    try:
        parsed = json.loads(document)
        listed = parsed["keys"]
    except (ValueError, RecursionError, TypeError, KeyError) as problem:
        raise BadKeys("the answer is not a JWKS document") from problem
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise BadKeys(f"the JWKS document does not hold a list of at most {MAX_KEYS} keys")
    allowed = frozenset(algorithms)
    keys = tuple(key for jwk in listed if (key := _usable(jwk, allowed)) is not None)
    if not keys:
        raise BadKeys("the JWKS document holds no signing key that may be used")
    return KeySet(keys)


def _usable(jwk: Any, allowed: frozenset[str]) -> VerificationKey | None:
    if not isinstance(jwk, dict) or "d" in jwk or "k" in jwk:
        return None  # A published private or shared key protects nothing.
    if jwk.get("use", "sig") != "sig":
        return None
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        return None
    try:
        by_algorithm = {name: jwt.PyJWK(jwk, name) for name in _pinned(jwk) if name in allowed}
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if not by_algorithm or not all(_strong(key.key) for key in by_algorithm.values()):
        return None
    return VerificationKey(kid, by_algorithm)


def _pinned(jwk: Mapping[str, Any]) -> tuple[str, ...]:
    kty, crv = jwk.get("kty"), jwk.get("crv")
    if kty == "RSA":
        possible: tuple[str, ...] = _RSA
    elif kty == "EC" and isinstance(crv, str):
        possible = _EC.get(crv, ())
    elif kty == "OKP" and isinstance(crv, str):
        possible = _OKP.get(crv, ())
    else:
        possible = ()
    own = jwk.get("alg")
    return possible if own is None else tuple(name for name in possible if name == own)


def _strong(key: object) -> bool:
    return not isinstance(key, RSAPublicKey) or MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS
