"""Takes a compact JWT apart, strictly, without believing any of it yet.

Strict so that no two parsers can read one token differently: canonical base64url, exactly three
parts, JSON objects without duplicate names, no extensions. Knows no keys and no issuers.
Rules: RFC 7515 (JWS) section 5.2, RFC 7519 (JWT) section 7.2, RFC 8725 (JWT best practices).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from gateway.errors import Unauthenticated

MAX_TOKEN_BYTES = 16 * 1024

# An explicit allow-list (RFC 8725 section 3.11): a logout or DPoP token is signed by the same
# key and is no credential. Kubernetes sends no typ; RFC 9068 access tokens send at+jwt.
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)
_MAX_NAME = 1024


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A well-formed JWT. Nothing in it may be believed before its signature was checked."""

    compact: str
    algorithm: str
    kid: str | None
    typ: str
    issuer: str
    claims: Mapping[str, Any]


def looks_like_jwt(token: str) -> bool:
    """Whether a bearer token is meant as a JWT: JSON in base64url always begins with ``eyJ``.

    Also true for damaged and for encrypted ones: they are then refused with a clear sentence.
    """
    return token.startswith("eyJ") or token.count(".") in (2, 4)


def parse(token: str) -> UnverifiedToken:
    """The parts of ``token``; raises Unauthenticated when it is not a plain signed JWT."""
    if len(token) > MAX_TOKEN_BYTES:
        _refuse(f"The token is longer than {MAX_TOKEN_BYTES} bytes.", "size")
    if token.count(".") == 4:
        _refuse("Encrypted tokens (JWE) are not accepted; send the signed access token.", "jwe")
    if _COMPACT.fullmatch(token) is None:
        _refuse("The token is not a well-formed JWT; copy it again, whole.", "compact form")
    head, body, signature = token.split(".")
    header = _object(head)
    claims = _object(body)
    if signature:
        _decode(signature)
    algorithm, kid, typ = _check_header(header)
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not 0 < len(issuer) <= _MAX_NAME:
        _refuse("The token does not say who issued it (iss).", "iss")
    return UnverifiedToken(token, algorithm, kid, typ, issuer, claims)


def _check_header(header: Mapping[str, Any]) -> tuple[str, str | None, str]:
    # RFC 7515 section 4.1.11: an extension that is not understood must be refused; we
    # understand none. jku, x5u and jwk are never followed, wherever they point.
    if "crit" in header or "b64" in header or "zip" in header or "enc" in header:
        _refuse("The token's header asks for extensions that are not accepted.", "crit")
    if "cty" in header:
        _refuse("Nested tokens are not accepted.", "cty")
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower() not in _TYPES:
        _refuse("This kind of token is not a credential; send an access token.", "typ")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        _refuse("The token's header names no algorithm.", "alg")
    kid = header.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= _MAX_NAME):
        _refuse("The token's header has an invalid key id.", "kid")
    return algorithm, kid, typ.lower()


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(
            _decode(part).decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError) as problem:
        raise Unauthenticated(
            "The token is not a well-formed JWT; copy it again, whole.", detail=f"json: {problem!r}"
        ) from problem
    if not isinstance(value, dict):
        _refuse("The token is not a well-formed JWT; copy it again, whole.", "not an object")
    return value


def _decode(part: str) -> bytes:
    if len(part) % 4 == 1:
        _refuse("The token is not a well-formed JWT; copy it again, whole.", "base64 length")
    raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    # The unused bits of the last character must be zero, or one token has several spellings.
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode("ascii"):
        _refuse("The token is not a well-formed JWT; copy it again, whole.", "base64 spelling")
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate name")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse(message: str, detail: str) -> NoReturn:
    raise Unauthenticated(message, detail=f"jwt: {detail}")
