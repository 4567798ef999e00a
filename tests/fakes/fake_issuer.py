"""FakeIssuer: a real OpenID Connect issuer on loopback, whose every misbehaviour is a switch."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.settings import IdentityProvider

_RSA_KEYS: list[rsa.RSAPrivateKey] = []


def rsa_key(number: int) -> rsa.RSAPrivateKey:
    """The process's RSA key of that number; made once, because making one takes a while."""
    while len(_RSA_KEYS) <= number:
        _RSA_KEYS.append(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    return _RSA_KEYS[number]


def jwk_of(key: Any, **members: Any) -> dict[str, Any]:
    """The public JWK of a private key, with further members."""
    algorithm: Any = (
        jwt.algorithms.RSAAlgorithm
        if isinstance(key, rsa.RSAPrivateKey)
        else jwt.algorithms.ECAlgorithm
    )
    jwk = algorithm.to_jwk(key.public_key(), as_dict=True)
    jwk.pop("key_ops", None)
    return {**jwk, **members}


def segment(value: Any) -> str:
    """A JSON value (or bytes) as one part of a compact JWT."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class FakeIssuer:
    """Serves discovery and keys, signs tokens, counts what it is asked."""

    def __init__(self, port: int = 0) -> None:
        """``port``: where to listen; 0: wherever is room the first time."""
        self.url = ""
        self.key: Any = rsa_key(0)
        self.kid = "k0"
        self.algorithm = "RS256"
        self.jwks: list[dict[str, Any]] = []
        self.publish()
        self.discovery_changes: dict[str, Any] = {}
        self.down = False
        self.redirect = False
        self.gate: asyncio.Event | None = None
        """While set and not fired, the keys are not answered."""
        self.key_fetches = 0
        self.discoveries = 0
        self.authorizations: list[str | None] = []
        self.more_routes: list[web.RouteDef] = []
        self._runner: web.AppRunner | None = None
        self._port = port

    def publish(self, **members: Any) -> None:
        """Make the current key the only published one."""
        self.jwks = [jwk_of(self.key, kid=self.kid, use="sig", alg=self.algorithm, **members)]

    def rotate(self, number: int, *, keep_old: bool = False) -> None:
        """Sign with another RSA key from now on and publish it."""
        old = self.jwks
        self.key, self.kid, self.algorithm = rsa_key(number), f"k{number}", "RS256"
        self.publish()
        if keep_old:
            self.jwks = [*old, *self.jwks]

    def use_ec(self) -> None:
        """Sign with a P-256 key."""
        self.key, self.kid, self.algorithm = ec.generate_private_key(ec.SECP256R1()), "e0", "ES256"
        self.publish()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of alice's access token; a change to None removes a claim."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": "mlflow",
            "sub": "id-alice",
            "email": "alice@example.com",
            "groups": ["data-science"],
            "iat": now,
            "exp": now + 600,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def sign(
        self, claims: Any, *, key: Any = None, algorithm: str | None = None, **header: Any
    ) -> str:
        """Any claims, signed; header members of None are left out."""
        algorithm = algorithm or self.algorithm
        members = {"kid": self.kid, "typ": "JWT", "alg": algorithm, **header}
        head = segment({name: value for name, value in members.items() if value is not None})
        signing_input = f"{head}.{segment(claims)}".encode()
        signer = jwt.get_algorithm_by_name(algorithm)
        signature = signer.sign(signing_input, self.key if key is None else key)
        return f"{signing_input.decode()}.{segment(signature)}"

    def token(self, **changes: Any) -> str:
        """A token for alice, with changed claims."""
        return self.sign(self.claims(**changes))

    def settings(self, **changes: Any) -> IdentityProvider:
        """Settings that trust this issuer."""
        values: dict[str, Any] = {
            "type": "oidc",
            "name": "corp",
            "issuer": self.url,
            "audience": ("mlflow",),
            **changes,
        }
        return IdentityProvider(**values)

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/jwks", self._keys)
        app.router.add_routes(self.more_routes)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _discovery(self, request: web.Request) -> web.Response:
        self.discoveries += 1
        self.authorizations.append(request.headers.get("Authorization"))
        if self.down:
            return web.Response(status=500)
        if self.redirect:
            return web.Response(status=302, headers={"Location": self.url + "/jwks"})
        document = {"issuer": self.url, "jwks_uri": self.url + "/jwks", **self.discovery_changes}
        return web.json_response(document)

    async def _keys(self, request: web.Request) -> web.Response:
        self.key_fetches += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            return web.Response(status=500)
        return web.json_response({"keys": self.jwks})
