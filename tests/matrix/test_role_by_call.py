"""Every row of the catalogue with every role: the decision is what roles.yaml says, no more.

Requests are made from the rows themselves, and decided by the same Authorizer that the proxy
asks. Every identifier resolves to the one experiment or model that the role is held on.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml

from gateway.model import Kind, Principal, Reason, Resource
from gateway.roles import RoleMatrix, parse_roles
from gateway.routes.call import Call
from gateway.routes.catalogue import ROUTES
from gateway.routes.route import Named, Ref, RefKind, Route, kind_of
from tests.fakes.parts import NAMES, ROLES, World, make_world

MATRIX: RoleMatrix = parse_roles(ROLES, NAMES)
FILE = yaml.safe_load(ROLES)
WITH_REFS = [row for row in ROUTES if row.refs and row.scope == "resources"]
PLAIN = [row for row in WITH_REFS if not row.narrows]
SERVER = [
    row for row in ROUTES if row.scope == "server" or (not row.refs and row.scope != "public")
]
IDS = {
    RefKind.MODEL: "churn",
    RefKind.MODEL_SOURCE: "mlflow-artifacts:/7/models/m-1",
    RefKind.MODEL_URI: "models:/churn/1",
    RefKind.EXPERIMENT: "7",
    RefKind.EXPERIMENT_NAME: "seven",
    RefKind.ARTIFACT_PATH: "7",
}
RESOURCES = {
    Kind.EXPERIMENT: Resource(Kind.EXPERIMENT, "7"),
    Kind.MODEL: Resource(Kind.MODEL, "churn"),
}


def row_id(row: Route) -> str:
    return f"{row.method} {row.prefixes[0]}{row.path}"


def refs_of(row: Route) -> tuple[Ref, ...]:
    return tuple(ref_of(named, row) for named in row.refs)


def ref_of(named: Named, row: Route) -> Ref:
    return Ref(named.kind, IDS.get(named.kind, "thing"), named.needs or row.call)


def call_of(row: Route) -> Call:
    call = Call(row, "/", {}, {})
    call.refs = refs_of(row)
    return call


def expected(row: Route, role: str) -> bool:
    """Straight from the YAML: extends, removals and all, without the matrix."""
    return all(lists(role, kind_of(ref.kind), ref.call) for ref in refs_of(row))


def lists(role: str, kind: Kind, call: str) -> bool:
    body = FILE["roles"][role]
    entries = body.get(kind.value) or []
    if f"-{call}" in entries:
        return False
    inherited = "extends" in body and lists(body["extends"], kind, call)
    return call in entries or inherited


@pytest.fixture
async def world(tmp_path: Any) -> AsyncIterator[World]:
    made = make_world(tmp_path)
    # Everything that has to be looked up lives in the one experiment.
    for kind in RefKind:
        if kind not in (RefKind.MODEL, RefKind.EXPERIMENT, RefKind.ARTIFACT_PATH):
            made.resolver.learn(kind, IDS.get(kind, "thing"), "7")
    made.resolver._known[RefKind.MODEL_URI, IDS[RefKind.MODEL_URI]] = (RESOURCES[Kind.MODEL],)
    yield made
    await made.store.close()


async def give(world: World, role: str) -> None:
    for resource in RESOURCES.values():
        await world.acls.create_acl(resource, None, {"user:me": role, "user:boss": "manager"})


def test_the_file_has_no_patterns_in_its_roles() -> None:
    """``expected`` reads it without them."""
    entries = [e for role in FILE["roles"].values() for k in Kind for e in role.get(k.value) or []]
    assert not [entry for entry in entries if "*" in entry]


@pytest.mark.parametrize("role", MATRIX.roles)
async def test_every_call_is_decided_as_the_file_says(world: World, role: str) -> None:
    await give(world, role)
    me = Principal("user:me")
    wrong = []
    for row in PLAIN:
        for _ in range(2):  # the second time from memory
            decision = await world.authorizer.decision(call_of(row), me)
            if decision.allowed is not expected(row, role):
                wrong.append(f"{row_id(row)}: {decision.reason}")
    assert wrong == []


@pytest.mark.parametrize("role", MATRIX.roles)
async def test_searches_keep_only_what_the_role_may_search(world: World, role: str) -> None:
    await give(world, role)
    me = Principal("user:me")
    for row in WITH_REFS:
        if row.narrows:
            refs = refs_of(row)
            kept = await world.authorizer.allowed(refs, me)
            assert kept == ({ref.id for ref in refs} if expected(row, role) else set()), row_id(row)


@pytest.mark.parametrize("role", [None, "gone-role"])
@pytest.mark.parametrize("row", WITH_REFS, ids=row_id)
async def test_without_a_grant_nothing_is_allowed(
    world: World, row: Route, role: str | None
) -> None:
    if role is not None:
        await give(world, role)
    stranger = Principal("user:me" if role else "user:stranger", frozenset({"strangers"}))
    if row.narrows:
        assert await world.authorizer.allowed(refs_of(row), stranger) == frozenset()
    else:
        decision = await world.authorizer.decision(call_of(row), stranger)
        assert not decision.allowed


@pytest.mark.parametrize("row", PLAIN, ids=row_id)
async def test_each_identifier_alone_can_deny(world: World, row: Route) -> None:
    """A manager of all but one of the things named is refused."""
    await give(world, "manager")
    other = Resource(Kind.EXPERIMENT, "8"), Resource(Kind.MODEL, "others")
    for resource in other:
        await world.acls.create_acl(resource, None, {"user:boss": "manager"})
    for i, named in enumerate(row.refs):
        call = call_of(row)
        hidden = Ref(RefKind.MODEL, "others", call.refs[i].call)
        if kind_of(named.kind) is Kind.EXPERIMENT:
            hidden = Ref(RefKind.EXPERIMENT, "8", call.refs[i].call)
        call.refs = (*call.refs[:i], hidden, *call.refs[i + 1 :])
        assert not (await world.authorizer.decision(call, Principal("user:me"))).allowed


@pytest.mark.parametrize("row", SERVER, ids=row_id)
async def test_server_calls_are_for_those_the_file_names(world: World, row: Route) -> None:
    somebody, admin = Principal("user:me"), Principal("user:root", admin=True)
    theirs = await world.authorizer.decision(call_of(row), somebody)
    admins = await world.authorizer.decision(call_of(row), admin)
    if row.scope == "refused":
        assert theirs.reason is admins.reason is Reason.REFUSED
        assert not theirs.allowed
        assert not admins.allowed
    else:
        assert theirs.allowed is (row.call in FILE["server"]["everyone"])
        assert admins.allowed


@pytest.mark.parametrize("row", PLAIN, ids=row_id)
async def test_admins_are_allowed_every_call(world: World, row: Route) -> None:
    admin = Principal("user:root", admin=True)
    assert (await world.authorizer.decision(call_of(row), admin)).allowed


def test_nothing_is_for_everyone_that_is_not_in_this_list() -> None:
    """A change of the shipped file that opens something to all shows up here."""
    assert sorted(FILE["server"]["everyone"]) == sorted(
        json.loads(
            """["experiments/create", "registered-models/create", "experiments/search",
            "registered-models/search", "model-versions/search", "scorers/online-configs",
            "graphql", "ui", "ui/static", "ui-telemetry:GET", "ui-telemetry:POST", "version",
            "server-info", "gateway/supported-providers", "gateway/supported-models",
            "gateway/provider-config", "gateway-proxy:GET"]"""
        )
    )
