"""An RS256 issuer on loopback, so that mlgate and Envoy verify the very same token.

A fresh key for each run; the JWKS is served to mlgate and given to Envoy inline.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

AUDIENCE = "mlflow"
OWNER = "bench@example.com"
STRANGER = "eve@example.com"
ADMIN = "admin@example.com"
_KEY_ID = "bench-1"
_LIFE_SECONDS = 6 * 3600


class Issuer:
    """Signs tokens and answers discovery and JWKS from a thread; ``close`` ends it."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        self.jwks = json.dumps({"keys": [{**public, "kid": _KEY_ID, "alg": "RS256", "use": "sig"}]})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def token(self, person: str) -> str:
        """A valid token of ``person`` (an email address), like a real issuer's in size."""
        return self._sign(person, self._key)

    def forged_token(self, person: str) -> str:
        """The same claims and key id, signed by a key that nobody trusts."""
        return self._sign(person, rsa.generate_private_key(public_exponent=65537, key_size=2048))

    def _sign(self, person: str, key: rsa.RSAPrivateKey) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": [AUDIENCE],
            "sub": "7f1f3a52-0f0c-4c5e-9c55-2f5f0d2a9a11",
            "email": person,
            "groups": ["data-science"] if person == OWNER else [],
            "iat": now,
            "nbf": now - 5,
            "exp": now + _LIFE_SECONDS,
        }
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": _KEY_ID})

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def _handler(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/jwks":
                body = issuer.jwks
            elif self.path == "/.well-known/openid-configuration":
                body = json.dumps(_discovery(issuer.url))
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    return Handler


def _discovery(url: str) -> dict[str, object]:
    return {
        "issuer": url,
        "jwks_uri": f"{url}/jwks",
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }
