"""Decisions with real ACLs: remembered for as long as nothing changed, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.acl.sqlite import SqliteStore
from gateway.authorize import refusal
from gateway.errors import BadRequest, Unavailable
from gateway.model import GROUP_TAG, OWNER_TAG, Kind, Principal, Reason, Resource
from gateway.roles import parse_roles
from gateway.routes.route import Ref, RefKind
from tests.fakes.parts import NAMES, ROLES, World, person

SEVEN = Resource(Kind.EXPERIMENT, "7")
EIGHT = Resource(Kind.EXPERIMENT, "8")
ME = person("me", "team")
RUN = "/api/2.0/mlflow/runs/get?run_id=r1"
TRACE = {
    "trace": {
        "trace_info": {
            "trace_id": "tr-1",
            "trace_location": {
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": "7"},
            },
        }
    }
}


async def decided(world: World, target: str = RUN, who: Principal = ME) -> Reason:
    """Three times: from the store, made from memory, remembered."""
    call = world.call("GET", target)
    reasons = [(await world.authorizer.decision(call, who)).reason for _ in range(3)]
    assert len(set(reasons)) == 1
    return reasons[0]


async def test_the_steady_state_reads_neither_store_nor_mlflow(world: World) -> None:
    await world.acls.create_acl(SEVEN, None, {"group:team": "reader"})
    world.mlflow.runs["r1"] = "7"
    targets = (RUN, "/api/2.0/mlflow/experiments/get?experiment_id=7")
    for target in targets:
        assert await decided(world, target) is Reason.ROLE_ALLOWS
    reads, asked = world.acls.reads.records, len(world.mlflow.asked)
    for _ in range(100):
        for target in targets:
            call = world.call("GET", target)
            decision = world.authorizer.known_decision(call, ME)
            assert decision is not None
            assert decision.allowed
    assert world.acls.reads.records == reads
    assert len(world.mlflow.asked) == asked == 1


async def test_a_remembered_decision_is_the_same_object(world: World) -> None:
    await world.acls.create_acl(SEVEN, None, {"user:me": "reader"})
    world.mlflow.runs["r1"] = "7"
    await decided(world)
    call = world.call("GET", RUN)
    first = world.authorizer.known_decision(call, ME)
    assert first is world.authorizer.known_decision(call, ME)


async def test_a_revocation_is_in_force_at_once(world: World) -> None:
    await world.acls.create_acl(SEVEN, None, {"user:me": "reader", "user:b": "manager"})
    world.mlflow.runs["r1"] = "7"
    for _ in range(2):
        assert await decided(world) is Reason.ROLE_ALLOWS
    await world.acls.remove_grant(SEVEN, "user:me", expect_version=1)
    assert await decided(world) is Reason.NO_GRANT
    await world.acls.set_grant(SEVEN, "user:me", "reader", expect_version=2)
    assert await decided(world) is Reason.ROLE_ALLOWS


async def test_a_revocation_elsewhere_is_in_force_with_the_next_feed_read(world: World) -> None:
    await world.acls.create_acl(SEVEN, None, {"user:me": "reader"})
    world.mlflow.runs["r1"] = "7"
    assert await decided(world) is Reason.ROLE_ALLOWS
    elsewhere = SqliteStore(world.store._path, world.clock)
    await elsewhere.remove_grant(SEVEN, "user:me", expect_version=1)
    await elsewhere.close()
    await world.acls.poll_once()
    assert await decided(world) is Reason.NO_GRANT


async def test_another_matrix_decides_anew(world: World) -> None:
    await world.acls.create_acl(SEVEN, None, {"user:me": "reader"})
    world.mlflow.runs["r1"] = "7"
    assert await decided(world) is Reason.ROLE_ALLOWS
    line = "      - runs/get\n"
    assert line in ROLES
    stricter = ROLES.replace(line, "", 1).replace(
        "      - runs/create\n", "      - runs/create\n      - runs/get\n", 1
    )
    world.matrix = parse_roles(stricter, NAMES)
    assert await decided(world) is Reason.ROLE_LACKS_CALL


@pytest.mark.parametrize("change", ["groups", "admin"])
async def test_another_principal_of_the_same_name_decides_anew(world: World, change: str) -> None:
    await world.acls.create_acl(SEVEN, None, {"group:team": "reader"})
    world.mlflow.runs["r1"] = "7"
    before = person("me", "team") if change == "groups" else person("me", admin=True)
    assert await decided(world, who=before) in (Reason.ROLE_ALLOWS, Reason.ADMIN)
    assert await decided(world, who=person("me")) is Reason.NO_GRANT


async def test_two_callers_never_share_a_decision(world: World) -> None:
    await world.acls.create_acl(SEVEN, None, {"user:me": "reader"})
    world.mlflow.runs["r1"] = "7"
    for _ in range(2):
        assert await decided(world) is Reason.ROLE_ALLOWS
        assert await decided(world, who=person("you")) is Reason.NO_GRANT


async def test_a_lost_acl_is_rebuilt_and_decided_by(world: World) -> None:
    world.mlflow.experiments["7"] = {OWNER_TAG: "user:other", GROUP_TAG: "team"}
    world.mlflow.runs["r1"] = "7"
    assert await decided(world) is Reason.ROLE_ALLOWS
    assert await decided(world, who=person("stranger")) is Reason.NO_GRANT
    acl = await world.store.get_acl(SEVEN)
    assert acl is not None
    assert acl.owner == "user:other"


@pytest.mark.parametrize(
    "owner", ["", "me", "group:team", "everyone", "admin:me", "user:", "service:"]
)
async def test_a_tag_that_names_no_owner_gives_nobody_anything(world: World, owner: str) -> None:
    world.mlflow.experiments["7"] = {OWNER_TAG: owner, GROUP_TAG: "team"}
    world.mlflow.runs["r1"] = "7"
    assert await decided(world) is Reason.NO_GRANT
    assert await world.store.get_acl(SEVEN) is None


async def test_that_nobody_owns_it_is_believed_for_a_moment_only(world: World) -> None:
    world.mlflow.experiments["7"] = {}
    world.mlflow.runs["r1"] = "7"
    assert await decided(world) is Reason.NO_GRANT
    asked = len(world.mlflow.asked)
    assert await decided(world) is Reason.NO_GRANT
    assert len(world.mlflow.asked) == asked
    world.mlflow.experiments["7"] = {OWNER_TAG: "user:me"}
    world.clock.advance(16)
    await world.acls.poll_once()
    assert await decided(world) is Reason.ROLE_ALLOWS


Target = tuple[str, str, object]
HIDDEN: dict[str, tuple[Target, Target]] = {
    "run": (("GET", RUN, None), ("GET", "/api/2.0/mlflow/runs/get?run_id=r2", None)),
    "experiment": (
        ("GET", "/api/2.0/mlflow/experiments/get?experiment_id=7", None),
        ("GET", "/api/2.0/mlflow/experiments/get?experiment_id=9", None),
    ),
    "model": (
        ("GET", "/api/2.0/mlflow/registered-models/get?name=taken", None),
        ("GET", "/api/2.0/mlflow/registered-models/get?name=free", None),
    ),
    "trace": (
        ("GET", "/api/3.0/mlflow/traces/tr-9", None),
        ("GET", "/api/3.0/mlflow/traces/tr-0", None),
    ),
}


@pytest.mark.parametrize("what", HIDDEN)
async def test_hidden_and_absent_look_the_same(world: World, what: str) -> None:
    await world.acls.create_acl(SEVEN, None, {"user:other": "manager"})
    await world.acls.create_acl(Resource(Kind.MODEL, "taken"), None, {"user:other": "manager"})
    world.mlflow.runs["r1"] = "7"
    world.mlflow.traces["tr-9"] = "7"
    said = []
    for method, target, body in HIDDEN[what]:
        call = world.call(method, target, body)
        decision = await world.authorizer.decision(call, ME)
        assert not decision.allowed
        error = refusal(call, ME, decision)
        said.append((type(error), error.message))
    assert said[0] == said[1]


async def test_an_admin_hears_from_mlflow_what_is_absent(world: World) -> None:
    assert await decided(world, who=person("root", admin=True)) is Reason.ADMIN


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_when_mlflow_cannot_say_nobody_passes(world: World, status: int) -> None:
    world.mlflow.status = status
    with pytest.raises(Unavailable):
        await decided(world)


async def test_a_trace_is_not_moved_to_another_experiment(world: World) -> None:
    for resource in (SEVEN, EIGHT):
        await world.acls.create_acl(resource, None, {"user:me": "editor"})
    call = world.call("POST", "/api/3.0/mlflow/traces", TRACE)
    assert (await world.authorizer.decision(call, ME)).allowed
    world.mlflow.traces["tr-1"] = "8"
    with pytest.raises(BadRequest, match="already used"):
        await world.authorizer.decision(call, ME)
    with pytest.raises(BadRequest):
        await world.authorizer.decision(call, person("root", admin=True))


async def test_writing_a_trace_again_where_it_is_is_allowed(world: World) -> None:
    await world.acls.create_acl(SEVEN, None, {"user:me": "editor"})
    world.mlflow.traces["tr-1"] = "7"
    call = world.call("POST", "/api/3.0/mlflow/traces", TRACE)
    for _ in range(2):
        assert (await world.authorizer.decision(call, ME)).allowed


async def test_a_search_is_narrowed_to_what_may_be_read(world: World) -> None:
    await world.acls.create_acl(SEVEN, None, {"user:me": "reader"})
    await world.acls.create_acl(EIGHT, None, {"user:other": "reader"})
    refs = [Ref(RefKind.EXPERIMENT, one, "runs/search") for one in ("7", "8", "9")]
    assert await world.authorizer.allowed(refs, ME) == {"7"}


async def test_lists_show_what_may_be_got(world: World) -> None:
    await world.acls.create_acl(SEVEN, None, {"everyone": "reader"})
    await world.acls.create_acl(EIGHT, None, {"user:me": "role-that-is-gone"})
    test: Callable[[str], bool] = await world.authorizer.readable(ME, Kind.EXPERIMENT)
    assert [one for one in ("7", "8", "9") if test(one)] == ["7"]
    everything = await world.authorizer.readable(person("root", admin=True), Kind.EXPERIMENT)
    assert everything("9")


async def test_nobody_is_asked_twice_at_once(world: World) -> None:
    await world.acls.create_acl(SEVEN, None, {"user:me": "reader"})
    world.mlflow.runs["r1"] = "7"
    await asyncio.gather(*(decided(world) for _ in range(20)))
    assert len(world.mlflow.asked) == 1


async def test_what_is_remembered_of_identifiers_is_bounded(world: World) -> None:
    for i in range(500):
        world.resolver.learn(RefKind.RUN, f"r{i}", "7")
    assert len(world.resolver._known) <= 100
