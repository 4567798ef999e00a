"""Who may give, change or take away which grant."""

from __future__ import annotations

import json

import pytest

from gateway.errors import BadRequest, Forbidden, GatewayError
from gateway.model import Acl, Kind, Principal, Resource
from gateway.roles import CallNames, RoleMatrix, parse_roles
from gateway.sharing import check_change, check_grant_key

CALLS = frozenset({"acl/read", "acl/write", "get", "set", "drop"})
NAMES = CallNames(CALLS, CALLS, frozenset())
RESOURCE = Resource(Kind.EXPERIMENT, "7")


def matrix(**roles: list[str]) -> RoleMatrix:
    boss = next(iter(roles))
    text = {
        "version": 1,
        "roles": {name: {"experiment": calls, "model": calls} for name, calls in roles.items()},
        "server": {},
        "defaults": {kind.value: {"creator": boss, "group": "none"} for kind in Kind},
    }
    return parse_roles(json.dumps(text), NAMES)


MATRIX = matrix(
    manager=["acl/read", "acl/write", "get", "set"],
    sharer=["acl/read", "acl/write", "get"],
    reader=["get"],
    other=["set"],
)
WITHOUT_MANAGER = matrix(boss=["*"], sharer=["acl/write", "get"], reader=["get"])


ME = Principal("user:me")


def change(
    grants: dict[str, str],
    key: str,
    role: str | None,
    *,
    caller: Principal = ME,
    of: RoleMatrix = MATRIX,
) -> type[GatewayError] | None:
    try:
        check_change(Acl(RESOURCE, None, grants), caller, key, role, of)
    except GatewayError as error:
        return type(error)
    return None


ME_MANAGER = {"user:me": "manager"}
ME_SHARER = {"user:me": "sharer", "user:boss": "manager"}
RULES = {
    "a manager gives a role": (ME_MANAGER, "user:x", "reader", None),
    "a manager makes a manager": (ME_MANAGER, "user:x", "manager", None),
    "a manager takes a role": ({**ME_MANAGER, "user:x": "reader"}, "user:x", None, None),
    "nobody to take it from": (ME_MANAGER, "user:x", None, None),
    "a role that does not exist": (ME_MANAGER, "user:x", "emperor", BadRequest),
    "the empty role": (ME_MANAGER, "user:x", "", BadRequest),
    "the last manager goes": (ME_MANAGER, "user:me", None, BadRequest),
    "the last manager steps down": (ME_MANAGER, "user:me", "reader", BadRequest),
    "the last manager becomes a sharer": (ME_MANAGER, "user:me", "sharer", None),
    "one of two managers goes": ({**ME_MANAGER, "group:g": "manager"}, "user:me", None, None),
    "a sharer gives below": (ME_SHARER, "user:x", "reader", None),
    "a sharer gives their own": (ME_SHARER, "user:x", "sharer", None),
    "a sharer gives above": (ME_SHARER, "user:x", "manager", Forbidden),
    "a sharer gives beside": (ME_SHARER, "user:x", "other", Forbidden),
    "a sharer lifts themselves": (ME_SHARER, "user:me", "manager", Forbidden),
    "a sharer takes from above": (ME_SHARER, "user:boss", None, Forbidden),
    "a sharer lowers the one above": (ME_SHARER, "user:boss", "reader", Forbidden),
    "a sharer goes": (ME_SHARER, "user:me", None, None),
    "a role that is gone may be taken": ({**ME_SHARER, "user:x": "old"}, "user:x", None, None),
    "a role that is gone may change": ({**ME_SHARER, "user:x": "old"}, "user:x", "reader", None),
    "nobody gives without a role here": ({"user:boss": "manager"}, "user:x", "reader", Forbidden),
}  # fmt: skip


@pytest.mark.parametrize(("grants", "key", "role", "error"), RULES.values(), ids=RULES)
def test_the_rules_of_sharing(
    grants: dict[str, str], key: str, role: str | None, error: type[GatewayError] | None
) -> None:
    assert change(grants, key, role) is error


def test_a_manager_role_that_is_gone_lifts_nobody() -> None:
    stale = {"user:me": "sharer", "group:old": "manager", "user:boss": "boss"}
    me = Principal("user:me", frozenset({"old"}))
    assert change(stale, "user:me", "boss", caller=me, of=WITHOUT_MANAGER) is Forbidden
    assert change(stale, "user:x", "reader", caller=me, of=WITHOUT_MANAGER) is None


def test_an_admin_gives_any_role_but_leaves_a_manager() -> None:
    admin = Principal("user:root", admin=True)
    assert change({}, "user:x", "manager", caller=admin) is None
    assert change(ME_MANAGER, "user:me", "other", caller=admin) is BadRequest
    assert change(ME_MANAGER, "user:x", "emperor", caller=admin) is BadRequest


@pytest.mark.parametrize(
    "key", ["user:a", "user:a@b.c", "service:x", "group:a b", "everyone", "user:a:b", "user:é"]
)
def test_a_grant_key_is_spelled_in_full(key: str) -> None:
    assert check_grant_key(key) == key


@pytest.mark.parametrize(
    "key",
    ["", ":", "user:", "user: a", "user:a ", "User:a", "USER:a", "a", "admin:a", "Everyone",
     "everyone:", "user:a\n", "user:a\x00b", "user:\x7f", " user:a", "user:" + "a" * 512],
    ids=ascii,
)  # fmt: skip
def test_anything_else_is_no_grant_key(key: str) -> None:
    with pytest.raises(BadRequest):
        check_grant_key(key)
