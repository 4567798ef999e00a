"""One good token, and one row per thing that may be wrong with a token. Each is a 401."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.credentials.chain import Identify
from gateway.errors import Unauthenticated
from gateway.idp.unverified import parse
from tests.fakes.fake_issuer import FakeIssuer, jwk_of, rsa_key, segment


def now() -> int:
    return int(time.time())


def bearer(token: str) -> list[str]:
    return [f"Bearer {token}"]


def _public_pem(issuer: FakeIssuer) -> bytes:
    return issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _hmac_with_public_key(issuer: FakeIssuer, secret: bytes) -> str:
    head = segment({"alg": "HS256", "typ": "JWT", "kid": issuer.kid})
    signing_input = f"{head}.{segment(issuer.claims())}".encode()
    signature = jwt.get_algorithm_by_name("HS256").sign(signing_input, secret)
    return f"{signing_input.decode()}.{segment(signature)}"


def _unsigned(issuer: FakeIssuer, alg: str) -> str:
    return f"{segment({'alg': alg, 'typ': 'JWT'})}.{segment(issuer.claims())}."


def _tampered(issuer: FakeIssuer) -> str:
    head, _, signature = issuer.token().split(".")
    return f"{head}.{segment(issuer.claims(email='root@example.com'))}.{signature}"


def _respelled(issuer: FakeIssuer) -> str:
    token = issuer.token()
    # 256 signature bytes leave four unused bits in the last character.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


def _raw(issuer: FakeIssuer, body: bytes) -> str:
    return issuer.sign(body)


def _duplicate(issuer: FakeIssuer) -> str:
    body = json.dumps(issuer.claims())
    return _raw(issuer, (body[:-1] + ', "email": "root@example.com"}').encode())


def _with_jwk_header(issuer: FakeIssuer) -> str:
    mine = rsa_key(5)
    return issuer.sign(issuer.claims(), key=mine, jwk=jwk_of(mine), kid="mine")


MUTATIONS: dict[str, Callable[[FakeIssuer], str]] = {
    "alg none": lambda i: _unsigned(i, "none"),
    "alg None in capitals": lambda i: _unsigned(i, "NONE"),
    "alg none with signature": lambda i: _unsigned(i, "none") + "AAAA",
    "no signature": lambda i: i.token().rsplit(".", 1)[0] + ".",
    "signature missing altogether": lambda i: i.token().rsplit(".", 1)[0],
    "HS256 with the public key as PEM": lambda i: _hmac_with_public_key(i, _public_pem(i)),
    "HS256 with the public JWK": lambda i: _hmac_with_public_key(i, json.dumps(i.jwks[0]).encode()),
    "HS256 with the modulus": lambda i: _hmac_with_public_key(
        i, base64.urlsafe_b64decode(i.jwks[0]["n"] + "==")
    ),
    "another RSA algorithm than the key's own": lambda i: i.sign(i.claims(), algorithm="RS512"),
    "PSS with a PKCS1 key": lambda i: i.sign(i.claims(), algorithm="PS256"),
    "ES256 under an RSA kid": lambda i: i.sign(
        i.claims(), key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"
    ),
    "alg says RS512, signed RS256": lambda i: i.sign(i.claims(), alg="RS512", algorithm="RS256"),
    "alg missing": lambda i: i.sign(i.claims(), algorithm="RS256", alg=None),
    "alg not a string": lambda i: i.sign(i.claims(), alg=["RS256"]),
    "another's key under a known kid": lambda i: i.sign(i.claims(), key=rsa_key(5)),
    "unknown kid": lambda i: i.sign(i.claims(), kid="nobody"),
    "kid not a string": lambda i: i.sign(i.claims(), kid=7),
    "empty kid": lambda i: i.sign(i.claims(), kid=""),
    "own key in the header (jwk)": _with_jwk_header,
    "own key by address (jku)": lambda i: i.sign(
        i.claims(), key=rsa_key(5), jku=i.url + "/mine", kid="mine"
    ),
    "wrong iss": lambda i: i.token(iss="https://evil.example.com"),
    "iss with a slash more": lambda i: i.token(iss=i.url + "/"),
    "iss in capitals": lambda i: i.token(iss=i.url.upper()),
    "no iss": lambda i: i.token(iss=None),
    "iss a list": lambda i: i.token(iss=[i.url]),
    "wrong aud": lambda i: i.token(aud="billing"),
    "aud in capitals": lambda i: i.token(aud="MLflow"),
    "aud contains ours": lambda i: i.token(aud="mlflow-test"),
    "no aud": lambda i: i.token(aud=None),
    "empty aud": lambda i: i.token(aud=[]),
    "aud an object": lambda i: i.token(aud={"mlflow": 1}),
    "aud with a non-string": lambda i: i.token(aud=["mlflow", 1]),
    "expired": lambda i: i.token(exp=now() - 120),
    "no exp": lambda i: i.token(exp=None),
    "exp a string": lambda i: i.token(exp=str(now() + 600)),
    "exp true": lambda i: i.token(exp=True),
    "exp out of range": lambda i: i.token(exp=1e300),
    "exp infinite": lambda i: _raw(i, json.dumps(i.claims(exp=float("inf"))).encode()),
    "exp not a number": lambda i: _raw(i, json.dumps(i.claims(exp=float("nan"))).encode()),
    "nbf in the future": lambda i: i.token(nbf=now() + 300),
    "nbf a string": lambda i: i.token(nbf="0"),
    "iat in the far future": lambda i: i.token(iat=now() + 300),
    "tampered payload": _tampered,
    "signature spelled differently": _respelled,
    "padding": lambda i: i.token() + "==",
    "duplicate claim": _duplicate,
    "crit": lambda i: i.sign(i.claims(), crit=["exp"]),
    "crit b64": lambda i: i.sign(i.claims(), crit=["b64"], b64=True),
    "crit empty": lambda i: i.sign(i.claims(), crit=[]),
    "nested (cty)": lambda i: i.sign(i.claims(), cty="JWT"),
    "logout token by typ": lambda i: i.sign(i.claims(), typ="logout+jwt"),
    "logout token by events": lambda i: i.token(events={"x": {}}),
    "DPoP proof": lambda i: i.sign(i.claims(), typ="dpop+jwt"),
    "typ not a string": lambda i: i.sign(i.claims(), typ=1),
    "refresh token of Keycloak": lambda i: i.token(typ="Refresh"),
    "encrypted token": lambda i: i.token() + ".AAAA.AAAA",
    "huge": lambda i: i.token(padding="x" * 17_000),
    "not base64": lambda i: "eyJ!.eyJ!.AA",
    "payload not an object": lambda i: i.sign([1]),
    "payload not JSON": lambda i: _raw(i, b"hello"),
    "payload not UTF-8": lambda i: _raw(i, b'{"iss": "\xff"}'),
    "payload deeply nested": lambda i: _raw(i, b"[" * 5000 + b"]" * 5000),
    "exp a number too long to convert": lambda i: _raw(i, b'{"exp": ' + b"9" * 6000 + b"}"),
    "two tokens in one": lambda i: i.token() + "." + i.token(),
    "no user claim": lambda i: i.token(email=None, sub=None),
    "user not a string": lambda i: i.token(email=["alice@example.com"]),
    "user with a line break": lambda i: i.token(email="alice@example.com\n"),
    "user with a zero-width space": lambda i: i.token(email="ali\u200bce@example.com"),
    "user with a surrogate": lambda i: i.token(email="ali\ud800ce@example.com"),
    "user with outer space": lambda i: i.token(email=" alice@example.com"),
    "user too long": lambda i: i.token(email="a" * 300),
}


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS.keys())
async def test_a_wrong_token_is_refused(
    mutation: Callable[[FakeIssuer], str], chain: Identify, issuer: FakeIssuer
) -> None:
    headers = bearer(mutation(issuer))
    with pytest.raises(Unauthenticated) as refusal:
        await chain.principal(headers, None)
    assert chain.cached(headers[0]) is None
    assert issuer.url not in refusal.value.message
    assert refusal.value.message.endswith(".")


def test_a_token_has_one_spelling(issuer: FakeIssuer) -> None:
    parse(issuer.token())
    with pytest.raises(Unauthenticated):
        parse(_respelled(issuer))


ACCEPTED: dict[str, Callable[[FakeIssuer], str]] = {
    "as issued": lambda i: i.token(),
    "two audiences": lambda i: i.token(aud=["billing", "mlflow"]),
    "no kid, one key": lambda i: i.sign(i.claims(), kid=None),
    "no typ": lambda i: i.sign(i.claims(), typ=None),
    "at+jwt": lambda i: i.sign(i.claims(), typ="at+jwt"),
    "application/at+jwt": lambda i: i.sign(i.claims(), typ="application/at+JWT"),
    "expired within the skew": lambda i: i.token(exp=now() - 5),
    "nbf within the skew": lambda i: i.token(nbf=now() + 5),
    "times with fractions": lambda i: i.token(exp=now() + 600.5, iat=now() - 0.5),
    "no iat": lambda i: i.token(iat=None),
    "jku is ignored": lambda i: i.sign(i.claims(), jku="http://127.0.0.1:1/x"),
}


@pytest.mark.parametrize("make", ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_a_right_token_is_accepted(
    make: Callable[[FakeIssuer], str], chain: Identify, issuer: FakeIssuer
) -> None:
    headers = bearer(make(issuer))
    principal = await chain.principal(headers, None)
    assert principal.name == "user:alice@example.com"
    assert principal.groups == {"data-science"}
    assert principal.home_group == "data-science"
    assert principal.method == "jwt:corp"
    assert not principal.admin
    assert chain.cached(headers[0]) == principal


async def test_elliptic_curve_key_is_accepted(chain: Identify, issuer: FakeIssuer) -> None:
    issuer.use_ec()
    assert (await chain.principal(bearer(issuer.token()), None)).name == "user:alice@example.com"


async def test_key_without_alg_takes_any_of_its_family(chain: Identify, issuer: FakeIssuer) -> None:
    del issuer.jwks[0]["alg"]
    for algorithm in ("RS256", "RS512", "PS384"):
        token = issuer.sign(issuer.claims(), algorithm=algorithm)
        assert (await chain.principal(bearer(token), None)).name == "user:alice@example.com"


def _small() -> dict[str, Any]:
    return jwk_of(rsa.generate_private_key(public_exponent=65537, key_size=1024))


BAD_KEYS: dict[str, Callable[[FakeIssuer], list[Any]]] = {
    "encryption key": lambda i: [{**i.jwks[0], "use": "enc"}],
    "may only sign": lambda i: [{**i.jwks[0], "key_ops": ["sign"]}],
    "key_ops not a list": lambda i: [{**i.jwks[0], "key_ops": "verify"}],
    "alg of another family": lambda i: [{**i.jwks[0], "alg": "HS256"}],
    "alg none": lambda i: [{**i.jwks[0], "alg": "none"}],
    "alg for encryption": lambda i: [{**i.jwks[0], "alg": "RSA-OAEP"}],
    "shared secret": lambda i: [{"kty": "oct", "kid": i.kid, "alg": "HS256", "k": "AAAA"}],
    "private key published": lambda i: [
        {**jwt.algorithms.RSAAlgorithm.to_jwk(i.key, as_dict=True), "kid": i.kid}
    ],
    "the same kid twice": lambda i: [i.jwks[0], {**jwk_of(rsa_key(6)), "kid": i.kid}],
    "damaged modulus": lambda i: [{**i.jwks[0], "n": "!"}],
    "no modulus": lambda i: [{"kty": "RSA", "kid": i.kid, "e": "AQAB"}],
    "kid a number": lambda i: [{**i.jwks[0], "kid": 1}],
}


@pytest.mark.parametrize("keys", BAD_KEYS.values(), ids=BAD_KEYS.keys())
async def test_an_unfit_key_verifies_nothing(
    keys: Callable[[FakeIssuer], list[Any]], chain: Identify, issuer: FakeIssuer
) -> None:
    other = jwk_of(rsa_key(7), kid="other", alg="RS256")
    issuer.jwks = [*keys(issuer), None, "junk", other]
    with pytest.raises(Unauthenticated):
        await chain.principal(bearer(issuer.token()), None)


async def test_a_small_rsa_key_verifies_nothing(chain: Identify, issuer: FakeIssuer) -> None:
    issuer.key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    issuer.publish()
    issuer.jwks.append(jwk_of(rsa_key(7), kid="other"))
    with pytest.raises(Unauthenticated):
        await chain.principal(bearer(issuer.token()), None)


async def test_a_token_without_kid_needs_a_single_key(chain: Identify, issuer: FakeIssuer) -> None:
    token = issuer.sign(issuer.claims(), kid=None)
    issuer.rotate(1, keep_old=True)
    with pytest.raises(Unauthenticated):
        await chain.principal(bearer(token), None)


async def test_algorithms_can_be_narrowed(make_chain: Any, issuer: FakeIssuer) -> None:
    chain = make_chain(issuer.settings(algorithms=("ES256",)))
    with pytest.raises(Unauthenticated):
        await chain.principal(bearer(issuer.token()), None)
    assert issuer.key_fetches == 0


async def test_each_token_goes_to_the_issuer_it_names(make_chain: Any, issuer: FakeIssuer) -> None:
    second = FakeIssuer()
    second.key = rsa_key(3)
    second.publish()
    await second.start()
    try:
        chain = make_chain(issuer.settings(), second.settings(name="lab", user_prefix="lab:"))
        own = await chain.principal(bearer(second.token()), None)
        assert (own.name, own.method) == ("user:lab:alice@example.com", "jwt:lab")
        # Signed by the second issuer, in the first one's name, under the same kid.
        with pytest.raises(Unauthenticated):
            await chain.principal(bearer(issuer.sign(issuer.claims(), key=second.key)), None)
    finally:
        await second.stop()


def test_a_provider_that_would_accept_any_audience_is_not_made(clock: Any) -> None:
    from gateway.idp.oidc import OidcProvider
    from gateway.settings import Admins, IdentityProvider

    with pytest.raises(ValueError, match="set audience"):
        OidcProvider(
            IdentityProvider(type="oidc", name="x", issuer="https://x.example"), Admins(), clock
        )


def test_two_providers_of_one_issuer_are_not_made(make_chain: Any, issuer: FakeIssuer) -> None:
    with pytest.raises(ValueError, match="two identity providers"):
        make_chain(issuer.settings(), issuer.settings(name="again"))
