"""The issuer's key, kept in the data folder so that tokens survive a restart."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.devidp.files import read_or_create

ALGORITHM = "RS256"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An RSA key with its public half as a JWK, named by its thumbprint (RFC 7638)."""

    private: rsa.RSAPrivateKey
    public_jwk: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> SigningKey:
        """The key kept in ``folder``, made on first use.

        Raises OSError, and ValueError when the file is damaged.
        """
        path = folder / "signing-key.pem"
        pem = read_or_create(path, _new_pem)
        try:
            private = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as problem:
            raise ValueError(f"{path} is damaged; delete it to get a new key") from problem
        if not isinstance(private, rsa.RSAPrivateKey):
            raise ValueError(f"{path} holds no RSA key; delete it to get a new key")
        public = jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        members = {name: public[name] for name in ("e", "kty", "n")}
        canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
        digest = hashlib.sha256(canonical).digest()
        kid = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return cls(private, {**members, "use": "sig", "alg": ALGORITHM, "kid": kid})

    def sign(self, claims: Mapping[str, Any], *, typ: str) -> str:
        """``claims`` as a signed compact JWT of header type ``typ``."""
        headers = {"kid": self.public_jwk["kid"], "typ": typ}
        return jwt.encode(dict(claims), self.private, algorithm=ALGORITHM, headers=headers)

    def verified(self, token: str, *, typ: str, audience: str) -> Mapping[str, Any] | None:
        """The claims of a token that this key signed for that use; its times are not checked."""
        try:
            if jwt.get_unverified_header(token).get("typ") != typ:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                self.private.public_key(),
                algorithms=[ALGORITHM],
                audience=audience,
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            return None
        return claims


def _new_pem() -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
