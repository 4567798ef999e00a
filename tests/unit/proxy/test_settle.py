"""Who owns what after creates, renames and deletes, crashes and races included."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.model import GROUP_TAG, OWNER_TAG, Acl, Kind, Principal, Resource
from gateway.ownership import ownership_tags
from gateway.routes.call import Call
from tests.fakes.parts import World, person

ALICE = person("alice", "data-science")
BOB = person("bob", "research")
CREATE = "/api/2.0/mlflow/registered-models/create"
RENAME = "/api/2.0/mlflow/registered-models/rename"
DELETE = "/api/2.0/mlflow/registered-models/delete"
EXPERIMENT = "/api/2.0/mlflow/experiments/create"


def model(name: str) -> Resource:
    return Resource(Kind.MODEL, name)


class Making:
    """One create or rename, taken apart so that others can come in between."""

    def __init__(
        self, world: World, who: Principal, target: str, body: dict[str, Any], method: str = "POST"
    ) -> None:
        self.world, self.who = world, who
        self.call: Call = world.call(method, target, body)
        self.moved: Acl | None = None

    async def before(self) -> None:
        self.moved = await self.world.settler.before(self.call)

    async def after(self, status: int = 200, answer: Any = None) -> None:
        body = json.dumps(answer or {}).encode()
        await self.world.settler.after(self.call, self.who, status, body, self.moved)


def renaming(world: World, who: Principal, old: str, new: str) -> Making:
    return Making(world, who, RENAME, {"name": old, "new_name": new})


def creating(world: World, who: Principal, name: str) -> Making:
    return Making(world, who, CREATE, {"name": name})


async def grants(world: World, name: str) -> dict[str, str] | None:
    acl = await world.store.get_acl(model(name))
    return None if acl is None else dict(acl.grants)


async def test_a_created_model_belongs_to_who_made_it(world: World) -> None:
    one = creating(world, ALICE, "churn")
    await one.before()
    await one.after()
    assert await grants(world, "churn") == {
        "user:alice": "manager",
        "group:data-science": "reader",
    }


async def test_a_created_experiment_is_named_by_the_answer(world: World) -> None:
    one = Making(world, ALICE, EXPERIMENT, {"name": "x"})
    await one.before()
    await one.after(200, {"experiment_id": "42"})
    acl = await world.store.get_acl(Resource(Kind.EXPERIMENT, "42"))
    assert acl is not None
    assert acl.owner == "user:alice"
    assert dict(acl.grants) == {"user:alice": "manager", "group:data-science": "editor"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503])
async def test_a_create_that_failed_gives_nobody_anything(world: World, status: int) -> None:
    one = creating(world, ALICE, "churn")
    await one.before()
    await one.after(status)
    assert await grants(world, "churn") is None


async def test_a_failed_create_of_a_taken_name_changes_nothing(world: World) -> None:
    await world.acls.create_acl(model("churn"), "user:bob", {"user:bob": "manager"})
    world.mlflow.models["churn"] = {}
    one = creating(world, ALICE, "churn")
    await one.before()
    await one.after(400)
    assert await grants(world, "churn") == {"user:bob": "manager"}


async def test_the_stale_grants_of_a_name_go_before_it_is_made_again(world: World) -> None:
    await world.acls.create_acl(model("churn"), "user:bob", {"user:bob": "manager"})
    one = creating(world, ALICE, "churn")
    await one.before()
    assert await grants(world, "churn") is None
    await one.after()
    assert "user:bob" not in (await grants(world, "churn") or {})


async def test_an_experiment_id_used_again_carries_no_old_grants(world: World) -> None:
    old = Resource(Kind.EXPERIMENT, "42")
    await world.acls.create_acl(old, "user:bob", {"user:bob": "manager"})
    one = Making(world, ALICE, EXPERIMENT, {"name": "x"})
    await one.before()
    await one.after(200, {"experiment_id": "42"})
    acl = await world.store.get_acl(old)
    assert acl is not None
    assert acl.owner == "user:alice"
    assert "user:bob" not in acl.grants


async def test_ownership_rebuilt_meanwhile_is_kept(world: World) -> None:
    one = creating(world, ALICE, "churn")
    await one.before()
    world.mlflow.models["churn"] = ownership_tags(ALICE)
    rebuilt = await world.ownership.acl(model("churn"))
    await one.after()
    assert await world.store.get_acl(model("churn")) == rebuilt


async def test_a_rename_at_the_same_time_cannot_take_over_a_new_model(world: World) -> None:
    await world.acls.create_acl(model("bobs"), "user:bob", {"user:bob": "manager"})
    world.mlflow.models["bobs"] = {}
    made, renamed = creating(world, ALICE, "churn"), renaming(world, BOB, "bobs", "churn")
    await made.before()
    await renamed.before()
    world.mlflow.models["churn"] = ownership_tags(ALICE)
    await made.after()
    await renamed.after(400)
    assert "user:bob" not in (await grants(world, "churn") or {})
    assert "user:alice" in (await grants(world, "churn") or {})


async def test_a_rename_that_loses_the_race_leaves_no_grants(world: World) -> None:
    await world.acls.create_acl(model("a"), "user:alice", {"user:alice": "manager"})
    await world.acls.create_acl(model("b"), "user:bob", {"user:bob": "manager"})
    world.mlflow.models.update({"a": {}, "b": {}})
    first, second = renaming(world, ALICE, "a", "new"), renaming(world, BOB, "b", "new")
    await first.before()
    await second.before()
    world.mlflow.models["new"] = world.mlflow.models.pop("a")
    await second.after(400)
    await first.after(200)
    assert await grants(world, "new") == {"user:alice": "manager"}
    assert await grants(world, "b") == {"user:bob": "manager"}
    assert await grants(world, "a") is None


async def test_a_rename_moves_all_grants(world: World) -> None:
    everyone = {"user:alice": "manager", "group:x": "reader", "everyone": "reader"}
    await world.acls.create_acl(model("a"), "user:alice", everyone)
    world.mlflow.models["a"] = {}
    one = renaming(world, ALICE, "a", "b")
    await one.before()
    assert await grants(world, "a") == await grants(world, "b") == everyone  # a crash loses nothing
    world.mlflow.models["b"] = world.mlflow.models.pop("a")
    await one.after()
    assert await grants(world, "a") is None
    assert await grants(world, "b") == everyone


@pytest.mark.parametrize("made", [False, True], ids=["asks for it", "has it"])
async def test_whoever_takes_the_old_name_meanwhile_gets_and_spoils_nothing(
    world: World, made: bool
) -> None:
    """Bob made the model once; it is Alice's now, and the tags still say Bob."""
    await world.acls.create_acl(model("a"), "user:bob", {"user:alice": "manager"})
    world.mlflow.models["a"] = ownership_tags(BOB)
    renamed, taken = renaming(world, ALICE, "a", "b"), creating(world, BOB, "a")
    await renamed.before()
    world.mlflow.models["b"] = world.mlflow.models.pop("a")
    await taken.before()
    if made:
        world.mlflow.models["a"] = ownership_tags(BOB)
        await taken.after()
    await renamed.after()
    assert await grants(world, "b") == {"user:alice": "manager"}
    if not made:
        world.mlflow.models["a"] = ownership_tags(BOB)
        await taken.after()
    assert await grants(world, "a") == {"user:bob": "manager", "group:research": "reader"}


async def test_what_changed_during_a_rename_is_moved_too(world: World) -> None:
    shared = {"user:alice": "manager", "user:bob": "editor"}
    await world.acls.create_acl(model("a"), "user:alice", shared)
    world.mlflow.models["a"] = {}
    one = renaming(world, ALICE, "a", "b")
    await one.before()
    acl = await world.store.get_acl(model("a"))
    assert acl is not None
    await world.acls.remove_grant(model("a"), "user:bob", expect_version=acl.version)
    world.mlflow.models["b"] = world.mlflow.models.pop("a")
    await one.after()
    assert await grants(world, "a") is None
    assert await grants(world, "b") == {"user:alice": "manager"}


async def test_a_rename_to_another_case_leaves_no_grants_under_the_old_one(world: World) -> None:
    world.mlflow.loose = True
    await world.acls.create_acl(model("churn"), "user:alice", {"user:alice": "manager"})
    world.mlflow.models["churn"] = {}
    one = renaming(world, ALICE, "churn", "Churn")
    await one.before()
    world.mlflow.models["Churn"] = world.mlflow.models.pop("churn")
    await one.after()
    assert await grants(world, "churn") is None
    assert await grants(world, "Churn") == {"user:alice": "manager"}


async def test_a_refused_rename_leaves_everything_as_it_was(world: World) -> None:
    await world.acls.create_acl(model("a"), "user:alice", {"user:alice": "manager"})
    await world.acls.create_acl(model("b"), "user:bob", {"user:bob": "manager"})
    world.mlflow.models.update({"a": {}, "b": {}})
    one = renaming(world, ALICE, "a", "b")
    await one.before()
    await one.after(400)
    assert await grants(world, "a") == {"user:alice": "manager"}
    assert await grants(world, "b") == {"user:bob": "manager"}


async def test_a_rename_that_mlflow_refused_for_another_reason_plants_nothing(
    world: World,
) -> None:
    await world.acls.create_acl(model("a"), "user:alice", {"user:alice": "manager"})
    world.mlflow.models["a"] = {}
    one = renaming(world, ALICE, "a", "new")
    await one.before()
    await one.after(400)
    assert await grants(world, "new") is None


async def test_a_database_that_ignores_case_lends_nobody_another_spelling(world: World) -> None:
    """Between MLflow's refusal and ours, ``Churn`` would have been read with Bob's grants."""
    world.mlflow.loose = True
    world.mlflow.models.update({"churn": ownership_tags(ALICE), "bobs": {}})
    await world.acls.create_acl(model("bobs"), "user:bob", {"user:bob": "manager"})
    one = renaming(world, BOB, "bobs", "Churn")
    await one.before()
    assert await grants(world, "Churn") is None
    assert await world.ownership.acl(model("Churn")) is None


async def test_a_name_taken_before_a_delete_is_heard_of_keeps_its_new_grants(world: World) -> None:
    await world.acls.create_acl(model("a"), "user:alice", {"user:alice": "manager"})
    world.mlflow.models["a"] = ownership_tags(ALICE)
    deleting = Making(world, ALICE, DELETE, {"name": "a"}, "DELETE")
    await deleting.before()
    del world.mlflow.models["a"]
    taken = creating(world, BOB, "a")
    await taken.before()
    world.mlflow.models["a"] = ownership_tags(BOB)
    await taken.after()
    mine = {"user:bob": "manager", "group:research": "reader"}
    await deleting.after()
    assert await grants(world, "a") == mine


async def test_an_answer_that_is_late_takes_no_name_back(world: World) -> None:
    """Alice's model was deleted and Bob made his of that name before her answer was heard."""
    late, taken = creating(world, ALICE, "a"), creating(world, BOB, "a")
    await late.before()
    await taken.before()
    world.mlflow.models["a"] = ownership_tags(BOB)
    await taken.after()
    await late.after()
    assert await grants(world, "a") == {"user:bob": "manager", "group:research": "reader"}


async def test_a_deleted_model_takes_its_grants_along(world: World) -> None:
    await world.acls.create_acl(model("a"), "user:alice", {"user:alice": "manager"})
    call = world.call("DELETE", DELETE, {"name": "a"})
    await world.settler.after(call, ALICE, 404, b"{}")
    assert await grants(world, "a") is not None
    await world.settler.after(call, ALICE, 200, b"{}")
    assert await grants(world, "a") is None


NO_NAMES = {
    "none": {},
    "empty": {"name": ""},
    "blank in front": {"name": " a"},
    "blank behind": {"name": "a "},
    "control character": {"name": "a\n"},
    "NUL": {"name": "a\x00"},
}


@pytest.mark.parametrize("sent", NO_NAMES.values(), ids=NO_NAMES)
async def test_a_name_that_no_later_request_could_use_is_refused(
    world: World, sent: dict[str, str]
) -> None:
    with pytest.raises(BadRequest):
        await world.settler.before(world.call("POST", CREATE, sent))
    new = {"name": "a", "new_name": sent["name"]} if "name" in sent else {"name": "a"}
    with pytest.raises(BadRequest):
        await world.settler.before(world.call("POST", RENAME, new))


async def test_renaming_to_the_same_name_is_refused(world: World) -> None:
    with pytest.raises(BadRequest):
        await renaming(world, ALICE, "a", "a").before()


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"{}", b'{"experiment_id": 7}'])
async def test_an_answer_without_an_id_is_not_an_error_of_the_call(
    world: World, body: bytes
) -> None:
    call = world.call("POST", EXPERIMENT, {"name": "x"})
    await world.settler.after(call, ALICE, 200, body)
    assert [acl async for acl in world.store.list_acls(Kind.EXPERIMENT)] == []


async def test_a_new_run_is_learnt_from_the_answer(world: World) -> None:
    call = world.call("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "7"})
    answer = {"run": {"info": {"run_id": "r1", "experiment_id": "7"}}}
    await world.settler.after(call, ALICE, 200, json.dumps(answer).encode())
    got = world.call("GET", "/api/2.0/mlflow/runs/get?run_id=r1")
    assert world.resolver.peek(got.refs[0]) == (Resource(Kind.EXPERIMENT, "7"),)
    assert world.mlflow.asked == []


async def test_lost_grants_are_rebuilt_from_the_tags(world: World) -> None:
    world.mlflow.experiments["7"] = {OWNER_TAG: "user:alice", GROUP_TAG: "data-science"}
    acl = await world.ownership.acl(Resource(Kind.EXPERIMENT, "7"))
    assert acl is not None
    assert dict(acl.grants) == {"user:alice": "manager", "group:data-science": "editor"}
    assert await world.store.get_acl(Resource(Kind.EXPERIMENT, "7")) == acl
