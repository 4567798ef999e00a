"""The pure decision, against a few lines of brute force."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import ALLOWING, Acl, Decision, Kind, Principal, Reason, Resource
from gateway.rbac import Need, decide, decide_server, explain, may
from gateway.roles import CallNames, RoleMatrix, parse_roles

CALLS = ("get", "set", "drop")
OWN = frozenset({"acl/read", "acl/write"})
NAMES = CallNames(OWN | frozenset(CALLS), OWN | frozenset(CALLS), frozenset({"info", "create"}))


def matrix(roles: dict[str, dict[str, object]], admin: list[str] | None = None) -> RoleMatrix:
    text = {
        "version": 1,
        "roles": {"boss": {"experiment": ["*"], "model": ["*"]}, **roles},
        "server": {"everyone": ["info"], "admin": admin if admin is not None else ["*"]},
        "defaults": {kind.value: {"creator": "boss", "group": "none"} for kind in Kind},
    }
    return parse_roles(json.dumps(text), NAMES)


MATRIX = matrix(
    {
        "reader": {"experiment": ["get"], "model": ["get"]},
        "editor": {"extends": "reader", "experiment": ["set"]},
        "meek": {"extends": "editor", "experiment": ["-get"]},
    }
)
ALLOWED = {
    "boss": {kind: set(CALLS) for kind in Kind},
    "reader": {kind: {"get"} for kind in Kind},
    "editor": {Kind.EXPERIMENT: {"get", "set"}, Kind.MODEL: {"get"}},
    "meek": {Kind.EXPERIMENT: {"set"}, Kind.MODEL: {"get"}},
    "gone": {kind: set() for kind in Kind},
}
KEYS = ("user:me", "group:g", "group:h", "everyone", "user:you", "group:other", "me", "g", "user:g")
ME = Principal("user:me", frozenset({"g", "h"}))
MINE = ("user:me", "group:g", "group:h", "everyone")

acls = st.none() | st.dictionaries(st.sampled_from(KEYS), st.sampled_from(sorted(ALLOWED)))
needs_ = st.lists(
    st.tuples(st.sampled_from(CALLS), st.sampled_from(sorted(Kind)), acls), min_size=1, max_size=3
)


@given(needs_)
@settings(max_examples=300, deadline=None)
def test_every_resource_must_allow_its_call_by_one_of_the_callers_grants(
    raw: list[tuple[str, Kind, dict[str, str] | None]],
) -> None:
    needs, expected = [], []
    for i, (call, kind, grants) in enumerate(raw):
        resource = Resource(kind, str(i))
        needs.append(Need(call, resource, None if grants is None else Acl(resource, None, grants)))
        roles = [role for key, role in (grants or {}).items() if key in MINE]
        expected.append(any(call in ALLOWED[role][kind] for role in roles))
    decision = decide(ME, "row", needs, MATRIX)
    assert [may(ME, need, MATRIX) for need in needs] == expected
    assert decision.allowed is all(expected)
    assert (decision.reason in ALLOWING) is decision.allowed
    if not decision.allowed:
        assert decision.resource == needs[expected.index(False)].resource


def test_nothing_to_decide_on_is_a_denial_even_for_who_has_every_role() -> None:
    assert not decide(ME, "get", (), MATRIX).allowed


def test_the_owner_as_such_may_nothing() -> None:
    acl = Acl(Resource(Kind.MODEL, "m"), "user:me", {})
    assert not may(ME, Need("get", acl.resource, acl), MATRIX)


def test_admins_pass_for_exactly_what_the_file_gives_them() -> None:
    admin = Principal("user:root", admin=True)
    need = Need("get", Resource(Kind.MODEL, "m"), None)
    assert decide(admin, "get", (need,), MATRIX).reason is Reason.ADMIN
    assert not decide(admin, "get", (need,), matrix({}, admin=["info"])).allowed
    assert not decide(ME, "get", (need,), MATRIX).allowed


def test_server_calls() -> None:
    admin = Principal("user:root", admin=True)
    assert decide_server(ME, "info", MATRIX).reason is Reason.SERVER_CALL_FOR_EVERYONE
    for call in ("create", "get", "", "no such call"):
        assert decide_server(ME, call, MATRIX).reason is Reason.ADMIN_ONLY
    assert decide_server(admin, "create", MATRIX).reason is Reason.ADMIN


@pytest.mark.parametrize("reason", sorted(Reason), ids=str)
def test_an_explanation_names_only_what_the_caller_sent(reason: Reason) -> None:
    hidden = (Resource(Kind.EXPERIMENT, "987654"), Resource(Kind.MODEL, "secret-model"))
    decision = Decision(
        reason in ALLOWING, reason, "runs/get", hidden, hidden[0], ("reader",), ("editor",)
    )
    said = explain(ME, decision)
    assert "987654" not in said
    assert "secret-model" not in said
    assert "user:me" in said
    assert "runs/get" in said
