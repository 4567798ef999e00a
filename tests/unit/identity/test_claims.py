"""Who a token stands for: people, services, groups, and nobody who looks like another."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import Unauthenticated
from gateway.idp.claims import ClaimRules, interpret

RULES: dict[str, Any] = {
    "provider": "corp",
    "user_claims": ("email", "preferred_username", "sub"),
    "groups_claim": "groups",
    "admin_users": frozenset({"root@example.com", "nightly"}),
    "admin_groups": frozenset({"mlflow-admins"}),
}


def who(claims: dict[str, Any], **rules: Any) -> Any:
    return interpret(claims, ClaimRules(**{**RULES, **rules})).principal


NAMES = {
    "email": ({"email": "A@x.org", "preferred_username": "a", "sub": "1"}, "user:A@x.org"),
    "email verified": ({"email": "a@x.org", "email_verified": True, "sub": "1"}, "user:a@x.org"),
    "unverified email": ({"email": "a@x.org", "email_verified": False, "sub": "1"}, "user:1"),
    "unverified as text": ({"email": "a@x.org", "email_verified": "false", "sub": "1"}, "user:1"),
    "unverified by another door": (
        {"email": "e@x", "email_verified": False, "preferred_username": "boss@x", "sub": "1"},
        "user:1",
    ),
    "unverified, plain name": (
        {"email": "e@x", "email_verified": False, "preferred_username": "eve", "sub": "1"},
        "user:eve",
    ),
    "username": ({"preferred_username": "a", "sub": "1"}, "user:a"),
    "null email": ({"email": None, "sub": "1"}, "user:1"),
    "empty email": ({"email": "", "sub": "1"}, "user:1"),
    "sub only": ({"sub": "1"}, "user:1"),
    "looks like a service": ({"preferred_username": "service:x", "sub": "1"}, "user:service:x"),
    "user through a client": ({"sub": "1", "client_id": "web", "azp": "web"}, "user:1"),
    "RFC 9068 service": ({"sub": "etl", "client_id": "etl"}, "service:etl"),
    "Okta service": ({"sub": "0oa1", "cid": "0oa1"}, "service:0oa1"),
    "Okta person": ({"sub": "a@x.org", "cid": "0oa1", "uid": "00u"}, "user:a@x.org"),
    "Auth0 service": (
        {"sub": "c1@clients", "azp": "c1", "gty": "client-credentials"}, "service:c1",
    ),
    "Auth0 gty with a person": (
        {"sub": "auth0|9", "azp": "c1", "gty": "client-credentials"}, "user:auth0|9",
    ),
    "Entra service": (
        {"iss": "https://login.microsoftonline.com/t/v2.0", "sub": "o", "azp": "app1",
         "idtyp": "app"}, "service:app1",
    ),
    "Entra service without idtyp": (
        {"iss": "https://sts.windows.net/t/", "sub": "o", "oid": "o", "appid": "app1"},
        "service:app1",
    ),
    "Entra person": (
        {"iss": "https://login.microsoftonline.com/t/v2.0", "sub": "s", "oid": "o", "azp": "app1",
         "scp": "user", "preferred_username": "a@x.org"}, "user:a@x.org",
    ),
    "idtyp of another issuer": ({"iss": "https://x", "sub": "o", "azp": "c", "idtyp": "app"},
                                "user:o"),
    "Keycloak service": (
        {"sub": "u-1", "azp": "etl", "client_id": "etl", "clientHost": "10.0.0.1",
         "preferred_username": "service-account-etl"}, "service:etl",
    ),
    "a person named like a Keycloak service": (
        {"sub": "u-2", "azp": "etl", "preferred_username": "service-account-etl"},
        "user:service-account-etl",
    ),
    "the same with a session": (
        {"sub": "u-2", "azp": "etl", "preferred_username": "service-account-etl",
         "clientHost": "x", "sid": "s"}, "user:service-account-etl",
    ),
    "client ids that disagree": ({"sub": "etl", "client_id": "etl", "azp": "web"}, "user:etl"),
    "Kubernetes": (
        {"sub": "system:serviceaccount:ml:train",
         "kubernetes.io": {"namespace": "ml", "serviceaccount": {"name": "train"}}},
        "service:system:serviceaccount:ml:train",
    ),
}  # fmt: skip


@pytest.mark.parametrize("claims,name", NAMES.values(), ids=NAMES.keys())
def test_name(claims: dict[str, Any], name: str) -> None:
    assert who(claims).name == name


REFUSED = {
    "nobody": ({}, {}),
    "a client without a person is not guessed": ({"client_id": "web"}, {}),
    "no e-mail where only e-mail counts": (
        {"sub": "1", "client_id": "web"}, {"user_claims": ("email",)},
    ),
    "only an unverified e-mail": (
        {"email": "a@x", "email_verified": False}, {"user_claims": ("email",)},
    ),
    "Kubernetes subject of another": (
        {"sub": "system:serviceaccount:ml:admin",
         "kubernetes.io": {"namespace": "ml", "serviceaccount": {"name": "train"}}}, {},
    ),
    "service with a control character": ({"sub": "a\nb", "client_id": "a\nb"}, {}),
    "right-to-left override": ({"sub": "al\u202eice"}, {}),
    "a number": ({"sub": 7}, {}),
}  # fmt: skip


@pytest.mark.parametrize("claims,rules", REFUSED.values(), ids=REFUSED.keys())
def test_refused(claims: dict[str, Any], rules: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        who(claims, **rules)


GROUPS = {
    "list": ("groups", {"groups": ["a", "b"]}, {"a", "b"}),
    "one string is one group": ("groups", {"groups": "a, b c"}, {"a, b c"}),
    "missing": ("groups", {}, set()),
    "nested": ("realm_access.roles", {"realm_access": {"roles": ["a"]}}, {"a"}),
    "a URL is no path": ("https://x.org/g", {"https://x.org/g": ["a"]}, {"a"}),
    "path through a string": ("a.b.c", {"a": "b"}, set()),
    "Keycloak paths": ("groups", {"groups": ["/a", "/a/b"]}, {"a", "a/b"}),
    "odd members": ("groups", {"groups": ["a", 1, None, "", "/", "x\ny", ["b"], " c"]}, {"a"}),
    "an object": ("groups", {"groups": {"a": True}}, set()),
}


@pytest.mark.parametrize("claim,claims,groups", GROUPS.values(), ids=GROUPS.keys())
def test_groups(claim: str, claims: dict[str, Any], groups: set[str]) -> None:
    assert who({"sub": "1", **claims}, groups_claim=claim).groups == groups


OVERAGE = {
    "_claim_names": {"_claim_names": {"groups": "src1"}},
    "hasgroups": {"hasgroups": True},
    "hasgroups as text": {"hasgroups": "true"},
}


@pytest.mark.parametrize("claims", OVERAGE.values(), ids=OVERAGE.keys())
def test_too_many_groups_are_no_groups_and_unknown(claims: dict[str, Any]) -> None:
    claimed = interpret({"sub": "1", **claims}, ClaimRules(**RULES))
    assert claimed.principal.groups == frozenset()
    assert not claimed.groups_known


HOME = {
    "first group": ({"groups": ["b", "a"]}, {}, "b"),
    "not an admin group": ({"groups": ["mlflow-admins", "a"]}, {}, "a"),
    "only an admin group": ({"groups": ["mlflow-admins"]}, {}, None),
    "by claim": ({"groups": ["a", "b"], "team": "/b"}, {"home_group_claim": "team"}, "b"),
    "a claim outside the groups": (
        {"groups": ["a"], "team": "z"}, {"home_group_claim": "team"}, "a",
    ),
    "prefixed": (
        {"groups": ["a", "b"], "team": "b"},
        {"home_group_claim": "team", "groups_prefix": "k:"}, "k:b",
    ),
}  # fmt: skip


@pytest.mark.parametrize("claims,rules,home", HOME.values(), ids=HOME.keys())
def test_home_group(claims: dict[str, Any], rules: dict[str, Any], home: str | None) -> None:
    assert who({"sub": "1", **claims}, **rules).home_group == home


ADMIN = {
    "by name": ({"email": "root@example.com"}, {}, True),
    "name in capitals": ({"email": "Root@example.com"}, {}, False),
    "by group": ({"sub": "1", "groups": ["mlflow-admins"]}, {}, True),
    "group in capitals": ({"sub": "1", "groups": ["MLflow-admins"]}, {}, False),
    "a service of an admin's name": ({"sub": "nightly", "client_id": "nightly"}, {}, False),
    "another issuer's admin group": (
        {"sub": "1", "groups": ["mlflow-admins"]}, {"groups_prefix": "lab:"}, False,
    ),
    "another issuer's root": ({"email": "root@example.com"}, {"user_prefix": "lab:"}, False),
    "nobody special": ({"sub": "1"}, {}, False),
}  # fmt: skip


@pytest.mark.parametrize("claims,rules,admin", ADMIN.values(), ids=ADMIN.keys())
def test_admin(claims: dict[str, Any], rules: dict[str, Any], admin: bool) -> None:
    assert who(claims, **rules).admin is admin
