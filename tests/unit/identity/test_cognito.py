"""Amazon Cognito: both kinds of token, one principal."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.credentials.chain import Identify
from gateway.errors import Unauthenticated
from gateway.idp.cognito import issuer_of
from tests.fakes.fake_issuer import FakeIssuer


@pytest.fixture
def pool(make_chain: Any, issuer: FakeIssuer) -> Identify:
    return make_chain(
        issuer.settings(type="cognito", name="pool", audience=(), client_id=("app1", "app2"))
    )


def access(issuer: FakeIssuer, **changes: Any) -> str:
    own = {"token_use": "access", "client_id": "app1", "username": "alice", "aud": None}
    return issuer.token(
        **{**own, "email": None, "groups": None, "cognito:groups": ["ds"], **changes}
    )


def identity(issuer: FakeIssuer, **changes: Any) -> str:
    own = {"token_use": "id", "aud": "app2", "cognito:username": "alice", "groups": None}
    return issuer.token(**{**own, "cognito:groups": ["ds"], **changes})


async def test_both_kinds_are_the_same_principal(pool: Identify, issuer: FakeIssuer) -> None:
    by_access = await pool.principal([f"Bearer {access(issuer)}"], None)
    by_identity = await pool.principal([f"Bearer {identity(issuer)}"], None)
    assert by_access == by_identity
    assert (by_access.name, by_access.groups) == ("user:alice", {"ds"})


async def test_client_credentials_are_a_service(pool: Identify, issuer: FakeIssuer) -> None:
    token = access(issuer, username=None, sub="app1", **{"cognito:groups": None})
    assert (await pool.principal([f"Bearer {token}"], None)).name == "service:app1"


REFUSED = {
    "another client": lambda i: access(i, client_id="other"),
    "no client": lambda i: access(i, client_id=None),
    "access token with our aud only": lambda i: access(i, client_id=None, aud="app1"),
    "ID token of another client": lambda i: identity(i, aud="other"),
    "ID token with client_id only": lambda i: identity(i, aud=None, client_id="app1"),
    "ID token with two audiences": lambda i: identity(i, aud=["app1", "other"]),
    "no token_use": lambda i: access(i, token_use=None),
    "refresh": lambda i: access(i, token_use="refresh"),
    "no user name": lambda i: access(i, username=None),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
async def test_refused(make: Any, pool: Identify, issuer: FakeIssuer) -> None:
    with pytest.raises(Unauthenticated):
        await pool.principal([f"Bearer {make(issuer)}"], None)


async def test_accept_narrows_the_kinds(make_chain: Any, issuer: FakeIssuer) -> None:
    chain = make_chain(
        issuer.settings(type="cognito", client_id=("app1", "app2"), audience=(), accept=("access",))
    )
    await chain.principal([f"Bearer {access(issuer)}"], None)
    with pytest.raises(Unauthenticated, match="id tokens are not accepted"):
        await chain.principal([f"Bearer {identity(issuer)}"], None)


async def test_email_can_be_chosen(make_chain: Any, issuer: FakeIssuer) -> None:
    chain = make_chain(
        issuer.settings(
            type="cognito", client_id=("app1", "app2"), audience=(), user_claims=("email",)
        )
    )
    principal = await chain.principal([f"Bearer {identity(issuer)}"], None)
    assert principal.name == "user:alice@example.com"
    with pytest.raises(Unauthenticated, match="none of the claims"):
        await chain.principal([f"Bearer {access(issuer)}"], None)


def test_issuer_of_a_pool() -> None:
    assert issuer_of("us-east-1_AbC") == "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbC"
    assert issuer_of("cn-north-1_A").startswith("https://cognito-idp.cn-north-1.amazonaws.com.cn/")


@pytest.mark.parametrize("pool_id", ["", "x", "us-east-1_", "us-east-1_a/b", "evil.com/_a", "_a"])
def test_a_pool_id_that_is_none(pool_id: str) -> None:
    with pytest.raises(ValueError, match="user pool id"):
        issuer_of(pool_id)
