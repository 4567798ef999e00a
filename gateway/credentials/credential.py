"""The Authorization header as a value, and the shape of an authenticator.

The parser is strict because a header that two parties read differently is a way around: one
header, one scheme, one credential. It raises nothing but Unauthenticated.
Rules: RFC 9110 section 11.6.2, RFC 6750 section 2.1 (Bearer), RFC 7617 (Basic).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, Protocol

from gateway.errors import Unauthenticated
from gateway.model import Principal

MAX_HEADER = 32 * 1024

_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)
_SCHEME_INSIDE = re.compile(r"[\s,](?:bearer|basic)\s", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Credential:
    """What one Authorization header holds. ``token`` is the secret; Basic's ``user`` a claim."""

    scheme: Literal["bearer", "basic"]
    token: str
    user: str | None = None

    def __repr__(self) -> str:
        return f"Credential({self.scheme!r}, '***')"


@dataclass(frozen=True, slots=True)
class Identified:
    """A credential that was verified.

    ``expires``: seconds since the epoch after which it must not be believed; ``token_hash``: of
    an API token, so that a revocation finds it; ``spellings``: user names that agree with it.
    """

    principal: Principal
    expires: float
    spellings: frozenset[str]
    token_hash: str | None = None


class Authenticator(Protocol):
    """One way to sign in."""

    async def authenticate(self, credential: Credential) -> Identified | None:
        """Who calls; None when the credential is not of this kind.

        Raises Unauthenticated when it is of this kind and bad, Unavailable when that cannot be
        found out now.
        """
        ...


def parse_authorization(headers: Sequence[str]) -> Credential | None:
    """The credential of all Authorization headers of a request; None when there is none.

    Raises Unauthenticated for more than one, for unknown schemes and for anything malformed.
    """
    if not headers:
        return None
    if len(headers) > 1:
        _refuse("The request has several Authorization headers; send one.")
    header = headers[0].strip(" \t")
    if len(header) > MAX_HEADER:
        _refuse("The Authorization header is too long.")
    if _SCHEME_INSIDE.search(header):
        _refuse(
            "The Authorization header holds two credentials joined into one (an MLflow header "
            "provider or plugin adds its own); keep only one of them."
        )
    scheme, _, rest = header.partition(" ")
    rest = rest.strip(" \t")
    match scheme.lower():
        case "bearer":
            return _bearer(rest)
        case "basic":
            return _basic(rest)
        case _:
            _refuse("This kind of Authorization is not accepted here; use Bearer or Basic.")


def _bearer(token: str) -> Credential:
    if _TOKEN68.fullmatch(token) is None:
        _refuse("The Bearer token has characters that no token has; copy it again, whole.")
    return Credential("bearer", token)


def _basic(encoded: str) -> Credential:
    try:
        if _TOKEN68.fullmatch(encoded) is None:
            raise ValueError("not token68")
        decoded = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        _refuse("The Basic credential is not base64 of UTF-8 text.")
    user, colon, password = decoded.partition(":")
    if not colon or any(ord(character) < 32 or ord(character) == 127 for character in decoded):
        _refuse("The Basic credential is not of the form user:token.")
    if not password:
        _refuse("The password is empty; put an API token (mlg_…) or a sign-in token there.")
    return Credential("basic", password, user)


def _refuse(message: str) -> NoReturn:
    # "from None": the cause of a decoding error quotes the credential.
    raise Unauthenticated(message, detail="authorization header") from None
