"""Who a verified token stands for: claims in, Principal out. Pure, and the only such rule.

A person is ``user:<first user claim present>``, spelled exactly as the issuer spells it. A
service is ``service:<client id>``, and only when claims that the issuer alone controls say that
no person stands behind the token (see ``_service``); a token without any user claim is refused
rather than taken for a service, so nobody becomes a service by having no e-mail address.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from gateway.errors import Unauthenticated
from gateway.model import Principal

MAX_NAME = 256

# Control, format (bidirectional and zero-width), surrogate, private, unassigned characters and
# line separators: invisible, so two names that look alike could differ.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_ENTRA = ("https://login.microsoftonline.", "https://sts.windows.net/")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRules:
    """What the settings say about one issuer's claims."""

    provider: str
    user_claims: tuple[str, ...]
    groups_claim: str
    home_group_claim: str | None = None
    user_prefix: str = ""
    groups_prefix: str = ""
    admin_users: frozenset[str] = frozenset()
    admin_groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A principal as a token claims it.

    ``spellings`` are the user names a person may type beside this token in HTTP Basic;
    ``groups_known`` is False when the issuer left the groups out because there are too many.
    """

    principal: Principal
    spellings: frozenset[str]
    groups_known: bool


def interpret(claims: Mapping[str, Any], rules: ClaimRules) -> Claimed:
    """The principal of verified ``claims``; raises Unauthenticated when they name nobody."""
    service = _service(claims)
    if service is not None:
        bare, kind = service, "service"
    else:
        bare, kind = _user(claims, rules), "user"
    name = f"{kind}:{rules.user_prefix}{bare}"
    known = not _overage(claims, rules.groups_claim)
    groups = _groups(claims, rules) if known else ()
    return Claimed(
        principal_of(
            name,
            groups,
            home=_home(claims, rules, groups),
            admin_users=rules.admin_users,
            admin_groups=rules.admin_groups,
            method=f"jwt:{rules.provider}",
        ),
        spellings_of(name) | _other_spellings(claims),
        known,
    )


def principal_of(
    name: str,
    groups: tuple[str, ...],
    *,
    home: str | None,
    admin_users: frozenset[str],
    admin_groups: frozenset[str],
    method: str,
) -> Principal:
    """The Principal with its admin right and home group decided, for every way to sign in.

    Admin by name is for people only: a service account called like an admin is none. The home
    group is ``home`` if the principal is in it, else its first group that is no admin group.
    """
    kind, _, bare = name.partition(":")
    admin = (kind == "user" and bare in admin_users) or not admin_groups.isdisjoint(groups)
    if home is None or home not in groups:
        home = next((group for group in groups if group not in admin_groups), None)
    return Principal(name, frozenset(groups), home, admin, method)


def spellings_of(name: str) -> frozenset[str]:
    """The spellings of a principal by its name alone: whole, without prefix, before the '@'."""
    bare = name.partition(":")[2]
    return frozenset({name, bare, bare.partition("@")[0]})


def claim_at(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of that very name, else the one at the dotted path; None when absent.

    The name goes first because Auth0's and others' claim names are URLs, with dots in them.
    """
    if path in claims:
        return claims[path]
    value: Any = claims
    for step in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def is_clean(name: str) -> bool:
    """Whether a name is fit for an ACL: not empty, not long, nothing invisible, no outer space."""
    return (
        0 < len(name) <= MAX_NAME
        and name == name.strip()
        and not any(unicodedata.category(character) in _HIDDEN for character in name)
    )


def _user(claims: Mapping[str, Any], rules: ClaimRules) -> str:
    unverified_email = False
    for path in rules.user_claims:
        value = claim_at(claims, path)
        if value is None or value == "":
            continue
        if not isinstance(value, str) or not is_clean(value):
            _refuse(f"The token's claim {path!r} is not a usable user name.", f"claim {path}")
        if path == "email" and _denied(claims.get("email_verified")):
            unverified_email = True
            continue
        # An address that the issuer has not verified must not come in as a chosen user name.
        if unverified_email and "@" in value:
            continue
        return value
    _refuse(
        "The token has none of the claims that name a user here "
        f"({', '.join(rules.user_claims)}); ask for a token with one of them.",
        "no user claim",
    )


def _denied(email_verified: Any) -> bool:
    return email_verified is False or (
        isinstance(email_verified, str) and email_verified.lower() == "false"
    )


def _service(claims: Mapping[str, Any]) -> str | None:
    """The client id of a token that no person stands behind, else None.

    Each rule rests on claims that issuers set themselves and people cannot edit:
    Kubernetes service accounts (the ``kubernetes.io`` object), Auth0 (``gty``), Entra ID
    (``idtyp``; ``oid`` equal to ``sub`` without ``scp``), Keycloak (``clientHost`` or
    ``clientAddress`` with its service account user), and RFC 9068 section 2.2 as Okta, Cognito
    and others follow it: ``sub`` is the client itself.
    """
    sub = claims.get("sub")
    if not isinstance(sub, str) or not sub:
        return None
    name = _kubernetes(claims, sub)
    if name is None:
        client = _client_id(claims)
        name = client if client is not None and _speaks_for_itself(claims, sub, client) else None
    if name is not None and not is_clean(name):
        _refuse("The token's client id is not a usable name.", "client id")
    return name


def _kubernetes(claims: Mapping[str, Any], sub: str) -> str | None:
    own = claims.get("kubernetes.io")
    account = own.get("serviceaccount") if isinstance(own, Mapping) else None
    if not isinstance(own, Mapping) or not isinstance(account, Mapping):
        return None
    expected = f"system:serviceaccount:{own.get('namespace')}:{account.get('name')}"
    if sub != expected:
        _refuse("The token's service account and subject disagree.", "kubernetes sub")
    return sub


def _client_id(claims: Mapping[str, Any]) -> str | None:
    """The one client id that the token names, whatever the claim is called; None if not one."""
    named = {
        value
        for claim in ("client_id", "azp", "cid", "appid", "clientId")
        if isinstance(value := claims.get(claim), str) and value
    }
    return named.pop() if len(named) == 1 else None


def _speaks_for_itself(claims: Mapping[str, Any], sub: str, client: str) -> bool:
    if sub == client:
        return True
    if claims.get("gty") == "client-credentials":
        return sub == f"{client}@clients"
    issuer = claims.get("iss")
    if isinstance(issuer, str) and issuer.startswith(_ENTRA):
        kind = claims.get("idtyp")
        return kind == "app" or (kind is None and claims.get("oid") == sub and "scp" not in claims)
    return (
        ("clientHost" in claims or "clientAddress" in claims)
        and claims.get("preferred_username") == f"service-account-{client}".lower()
        and "sid" not in claims
    )


def _groups(claims: Mapping[str, Any], rules: ClaimRules) -> tuple[str, ...]:
    value = claim_at(claims, rules.groups_claim)
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list):
        return ()
    names = (_group(name, rules) for name in listed)
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _group(name: Any, rules: ClaimRules) -> str | None:
    if not isinstance(name, str):
        return None
    # Keycloak writes top-level groups as paths: /data-science.
    bare = name.removeprefix("/")
    return rules.groups_prefix + bare if is_clean(bare) else None


def _home(claims: Mapping[str, Any], rules: ClaimRules, groups: tuple[str, ...]) -> str | None:
    if rules.home_group_claim is None:
        return None
    home = _group(claim_at(claims, rules.home_group_claim), rules)
    return home if home in groups else None


def _overage(claims: Mapping[str, Any], groups_claim: str) -> bool:
    """Whether Entra ID left the groups out because the person is in too many of them.

    https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
    """
    if groups_claim in claims:
        return False
    elsewhere = claims.get("_claim_names")
    named = isinstance(elsewhere, Mapping) and groups_claim in elsewhere
    return named or claims.get("hasgroups") in (True, "true")


def _other_spellings(claims: Mapping[str, Any]) -> frozenset[str]:
    names = (claims.get(c) for c in ("preferred_username", "sub", "email", "username"))
    return frozenset(name for name in names if isinstance(name, str))


def _refuse(message: str, detail: str) -> NoReturn:
    raise Unauthenticated(message, detail=f"claims: {detail}")
