"""Nobody loses what they made, and no name hands over what it once gave."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.model import Kind, Resource
from tests.e2e.relay import Relay
from tests.e2e.world import (
    API,
    get_experiment,
    get_model,
    grants_of,
    in_force,
    in_store,
    name_of,
    new_experiment,
    new_model,
    new_run,
    ok,
    refused,
    share,
    stored_acl,
    until,
)
from tests.stack import Answer, Stack, http

pytestmark = pytest.mark.e2e


def _tags(owner: str, group: str) -> list[dict[str, str]]:
    return [{"key": "mlgate.owner", "value": owner}, {"key": "mlgate.group", "value": group}]


def _rename(stack: Stack, who: str, old: str, new: str) -> Answer:
    body = {"name": old, "new_name": new}
    return stack.call(who, "POST", f"{API}/registered-models/rename", body)


def _delete(stack: Stack, who: str, name: str) -> Answer:
    return stack.call(who, "DELETE", f"{API}/registered-models/delete", {"name": name})


# --- the gateway dies between MLflow's answer and its own write ----------------------------------


def test_an_experiment_without_its_acl_row_is_its_makers_by_the_tags(stack: Stack) -> None:
    """The state after such a crash: MLflow has the experiment and its tags, we have no row."""
    body = {"name": name_of("orphan"), "tags": _tags("user:alice", "data-science")}
    made = ok(stack.direct("POST", f"{API}/experiments/create", body))["experiment_id"]
    assert stored_acl(stack.folder, Kind.EXPERIMENT, made) is None
    refused(get_experiment(stack, "carol", made))
    assert get_experiment(stack, "bob", made).status == 200
    assert grants_of(stack, "alice", "experiment", made) == {
        "user:alice": "manager",
        "group:data-science": "editor",
    }


def test_what_lost_its_row_is_found_in_its_makers_searches(stack: Stack) -> None:
    body = {"name": name_of("orphan"), "tags": _tags("user:alice", "data-science")}
    made = ok(stack.direct("POST", f"{API}/experiments/create", body))["experiment_id"]
    model = {"name": name_of("orphan"), "tags": _tags("user:alice", "data-science")}
    ok(stack.direct("POST", f"{API}/registered-models/create", model))
    for who, sees in (("carol", False), ("bob", True), ("alice", True)):
        search = {"filter": f"name = '{body['name']}'", "max_results": 10}
        found = ok(stack.call(who, "POST", f"{API}/experiments/search", search))
        assert [e["experiment_id"] for e in found.get("experiments", [])] == [made] * sees
        path = f"{API}/registered-models/search?filter=name%3D%27{model['name']}%27"
        models = ok(stack.call(who, "GET", path)).get("registered_models", [])
        assert [m["name"] for m in models] == [model["name"]] * sees


@pytest.mark.parametrize("what", ["experiments", "registered-models"])
def test_killed_between_mlflows_answer_and_the_acl_the_maker_still_owns_it(
    stack: Stack, relay: Relay, gateway_of: Callable[..., Stack], what: str
) -> None:
    here = gateway_of([relay.url])
    name = name_of("killed")
    _killed_during(here, relay, f"{what}/create", {"name": name})

    kind, made = _made_directly(stack, what, name)
    assert stored_acl(here.folder, kind, made) is None

    again = gateway_of([relay.url])
    get = get_experiment if kind is Kind.EXPERIMENT else get_model
    assert get(again, "alice", made).status == 200
    assert get(again, "bob", made).status == 200
    assert get(again, "carol", made).status in (403, 404)
    assert grants_of(again, "alice", kind.value, made)["user:alice"] == "manager"
    ok(share(again, "alice", kind.value, made, "user:carol", "reader"))
    assert get(again, "carol", made).status == 200


def _killed_during(
    here: Stack, relay: Relay, call: str, body: dict[str, str], who: str = "alice"
) -> None:
    """Make a call; kill the gateway once MLflow has answered and before the gateway hears it."""
    relay.hold = call.encode()
    failure: list[BaseException] = []

    def ask() -> None:
        try:
            here.call(who, "POST", f"{API}/{call}", body)
        except (OSError, HTTPException) as error:
            failure.append(error)

    caller = threading.Thread(target=ask)
    caller.start()
    assert relay.held.wait(60), "MLflow has answered; the gateway does not know yet"
    os.killpg(here.gateway.process.pid, signal.SIGKILL)
    here.gateway.process.wait(60)
    relay.release.set()
    caller.join(60)
    assert failure, "the caller got no answer"
    relay.hold = None


def test_killed_in_a_rename_every_grant_is_there_under_the_new_name(
    relay: Relay, gateway_of: Callable[..., Stack]
) -> None:
    here = gateway_of([relay.url])
    old, new = new_model(here, "alice"), name_of("renamed")
    ok(share(here, "alice", "model", old, "user:carol", "editor"))
    before = grants_of(here, "alice", "model", old)
    _killed_during(here, relay, "registered-models/rename", {"name": old, "new_name": new})
    again = gateway_of([relay.url])
    assert grants_of(again, "alice", "model", new) == before
    # The old name is free, whatever was left behind.
    new_model(again, "carol", old)
    assert get_model(again, "alice", old).status == 404


def test_killed_in_a_create_the_name_still_starts_fresh(
    stack: Stack, relay: Relay, gateway_of: Callable[..., Stack]
) -> None:
    here = gateway_of([relay.url])
    model = new_model(here, "alice")
    ok(share(here, "alice", "model", model, "user:bob", "manager"))
    ok(stack.direct("DELETE", f"{API}/registered-models/delete", {"name": model}))
    assert stored_acl(here.folder, Kind.MODEL, model) is not None
    _killed_during(here, relay, "registered-models/create", {"name": model}, "carol")
    again = gateway_of([relay.url])
    assert get_model(again, "bob", model).status == 404
    assert set(grants_of(again, "carol", "model", model)) == {"user:carol", "group:research"}


def _made_directly(stack: Stack, what: str, name: str) -> tuple[Kind, str]:
    if what == "registered-models":
        ok(stack.direct("GET", f"{API}/registered-models/get?name={name}"))
        return Kind.MODEL, name
    found = ok(stack.direct("GET", f"{API}/experiments/get-by-name?experiment_name={name}"))
    return Kind.EXPERIMENT, found["experiment"]["experiment_id"]


def test_a_caller_who_hangs_up_still_owns_what_was_made(
    relay: Relay, gateway_of: Callable[..., Stack]
) -> None:
    here = gateway_of([relay.url])
    name = name_of("hung-up")
    relay.hold = b"registered-models/create"
    address = urlsplit(here.url)
    connection = HTTPConnection(address.hostname or "", address.port or 0)
    headers = {
        "Authorization": f"Bearer {here.tokens['alice']}",
        "Content-Type": "application/json",
    }
    body = f'{{"name": "{name}"}}'
    connection.request("POST", f"{API}/registered-models/create", body, headers)
    assert relay.held.wait(60)
    connection.close()
    relay.release.set()
    acl = until(lambda: stored_acl(here.folder, Kind.MODEL, name))
    assert acl.owner == "user:alice"


# --- names that go, come back and move -----------------------------------------------------------


def test_a_deleted_models_name_starts_fresh(stack: Stack, second: Stack) -> None:
    model = new_model(stack, "alice")
    ok(share(stack, "alice", "model", model, "user:bob", "manager"))
    ok(_delete(stack, "alice", model))
    assert stored_acl(stack.folder, Kind.MODEL, model) is None
    assert get_model(stack, "bob", model).status == 404

    new_model(stack, "carol", model)
    assert grants_of(stack, "carol", "model", model) == {
        "user:carol": "manager",
        "group:research": "reader",
    }
    for who in ("alice", "bob"):
        assert get_model(stack, who, model).status == 404
        in_force(lambda who=who: get_model(second, who, model).status == 404)


def test_a_name_starts_fresh_even_when_dropping_its_grants_was_lost(stack: Stack) -> None:
    """The state after a crash between MLflow's delete and ours: a row of a model that is gone."""
    model = new_model(stack, "alice")
    ok(share(stack, "alice", "model", model, "user:bob", "manager"))
    ok(stack.direct("DELETE", f"{API}/registered-models/delete", {"name": model}))
    assert stored_acl(stack.folder, Kind.MODEL, model) is not None

    new_model(stack, "carol", model)
    assert get_model(stack, "bob", model).status == 404
    assert set(grants_of(stack, "carol", "model", model)) == {"user:carol", "group:research"}


def test_a_name_that_lives_is_not_taken_over_by_creating_it_again(stack: Stack) -> None:
    model = new_model(stack, "alice")
    create = f"{API}/registered-models/create"
    # 403: told that it exists, MLflow's client would go on without it.
    assert "taken" in refused(stack.call("carol", "POST", create, {"name": model}))
    # Who may see it hears what MLflow says; clients that create together rely on it.
    for who in ("alice", "bob", "dave"):
        answer = stack.call(who, "POST", create, {"name": model})
        refused(answer, 400, "RESOURCE_ALREADY_EXISTS")
    assert set(grants_of(stack, "alice", "model", model)) == {"user:alice", "group:data-science"}
    assert get_model(stack, "carol", model).status == 404


def test_two_clients_that_create_one_experiment_together_both_get_it(stack: Stack) -> None:
    import mlflow

    name = name_of("together")
    made = []
    for who in ("alice", "bob"):
        with stack.client_as(who):
            made.append(mlflow.set_experiment(name).experiment_id)
    assert made[0] == made[1]
    create = f"{API}/experiments/create"
    refused(stack.call("bob", "POST", create, {"name": name}), 400, "RESOURCE_ALREADY_EXISTS")
    assert "taken" in refused(stack.call("carol", "POST", create, {"name": name}))
    assert set(grants_of(stack, "alice", "experiment", made[0])) == {
        "user:alice",
        "group:data-science",
    }


def test_renaming_moves_every_grant_and_frees_the_old_name(stack: Stack, second: Stack) -> None:
    old, new = new_model(stack, "alice"), name_of("renamed")
    ok(share(stack, "alice", "model", old, "user:carol", "editor"))
    before = grants_of(stack, "alice", "model", old)
    assert get_model(second, "carol", old).status == 200
    ok(_rename(stack, "alice", old, new))
    assert grants_of(stack, "alice", "model", new) == before
    assert get_model(stack, "carol", new).status == 200
    assert stored_acl(stack.folder, Kind.MODEL, old) is None
    in_force(lambda: get_model(second, "carol", new).status == 200)

    new_model(stack, "carol", old)
    assert get_model(stack, "alice", old).status == 404
    in_force(lambda: get_model(second, "alice", old).status == 404)


def test_a_rename_that_mlflow_refuses_changes_no_grant(stack: Stack) -> None:
    alices, carols = new_model(stack, "alice"), new_model(stack, "carol")
    before = grants_of(stack, "carol", "model", carols)
    # The same answer as for creating a name that is taken by something hidden.
    refused(_rename(stack, "alice", alices, carols))
    other = new_model(stack, "alice")
    refused(_rename(stack, "alice", alices, other), 400, "RESOURCE_ALREADY_EXISTS")
    assert grants_of(stack, "carol", "model", carols) == before
    assert "user:alice" in grants_of(stack, "alice", "model", alices)
    assert get_model(stack, "alice", carols).status == 404


def test_who_takes_the_old_name_during_a_rename_takes_nothing_else(
    stack: Stack, relay: Relay, gateway_of: Callable[..., Stack]
) -> None:
    """MLflow has renamed and the gateway does not know yet: the old name is free for a moment."""
    here, there = gateway_of([relay.url]), gateway_of([stack.mlflow.url])
    old, new = new_model(here, "alice"), name_of("renamed")
    ok(share(here, "alice", "model", old, "user:dave", "reader"))
    before = grants_of(here, "alice", "model", old)
    relay.hold = b"registered-models/rename"
    renaming = threading.Thread(target=_rename, args=(here, "alice", old, new))
    renaming.start()
    assert relay.held.wait(60)
    new_model(there, "carol", old)
    relay.release.set()
    renaming.join(60)
    relay.hold = None
    assert get_model(there, "carol", new).status == 404
    assert grants_of(there, "alice", "model", new) == before
    assert set(grants_of(there, "carol", "model", old)) == {"user:carol", "group:research"}
    assert get_model(there, "alice", old).status == 404


@pytest.mark.parametrize("call", ["create", "delete"])
def test_an_answer_that_comes_late_takes_no_name_back(
    stack: Stack, relay: Relay, gateway_of: Callable[..., Stack], call: str
) -> None:
    """Before the gateway hears that alice's model was made, or deleted, it is carol's name."""
    here, there = gateway_of([relay.url]), gateway_of([stack.mlflow.url])
    name = name_of("late")
    if call == "delete":
        new_model(here, "alice", name)
    relay.hold = f"registered-models/{call}".encode()
    asking = {"create": new_model, "delete": _delete}[call]
    late = threading.Thread(target=asking, args=(here, "alice", name))
    late.start()
    assert relay.held.wait(60)
    if call == "create":
        ok(_delete(there, "alice", name))
    new_model(there, "carol", name)
    ok(share(there, "carol", "model", name, "user:dave", "reader"))
    relay.release.set()
    late.join(60)
    relay.hold = None
    assert get_model(there, "alice", name).status == 404
    assert set(grants_of(there, "carol", "model", name)) == {
        "user:carol", "group:research", "user:dave",
    }  # fmt: skip


def test_renaming_onto_a_name_with_a_stale_row_gives_its_people_nothing(stack: Stack) -> None:
    stale, mine = name_of("stale"), new_model(stack, "alice")

    async def leave(store: Any) -> None:
        grants = {"user:carol": "manager"}
        await store.create_acl(Resource(Kind.MODEL, stale), "user:carol", grants)

    in_store(stack.folder, leave)
    ok(_rename(stack, "alice", mine, stale))
    assert get_model(stack, "carol", stale).status == 404
    assert "user:carol" not in grants_of(stack, "alice", "model", stale)


def test_deleting_and_restoring_an_experiment_keeps_its_grants(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    run = new_run(stack, "alice", experiment)
    ok(share(stack, "alice", "experiment", experiment, "user:carol", "reader"))
    before = grants_of(stack, "alice", "experiment", experiment)
    body = {"experiment_id": experiment}
    ok(stack.call("alice", "POST", f"{API}/experiments/delete", body))
    ok(stack.call("alice", "POST", f"{API}/experiments/restore", body))
    assert grants_of(stack, "alice", "experiment", experiment) == before
    assert stack.call("carol", "GET", f"{API}/runs/get?run_id={run}").status == 200


@pytest.mark.parametrize("key", ["mlgate.owner", "mlgate.group", "mlgate.anything"])
def test_nobody_writes_the_tags_that_ownership_is_rebuilt_from(stack: Stack, key: str) -> None:
    experiment, model = new_experiment(stack, "alice"), new_model(stack, "alice")
    tag = {"key": key, "value": "user:bob"}
    for who in ("alice", "dave"):
        for method, path, body in (
            ("POST", "experiments/set-experiment-tag", {"experiment_id": experiment, **tag}),
            (
                "POST",
                "experiments/delete-experiment-tag",
                {"experiment_id": experiment, "key": key},
            ),
            ("POST", "registered-models/set-tag", {"name": model, **tag}),
            ("DELETE", "registered-models/delete-tag", {"name": model, "key": key}),
            ("POST", "experiments/create", {"name": name_of("x"), "tags": [tag]}),
            ("POST", "registered-models/create", {"name": name_of("x"), "tags": [tag]}),
        ):
            refused(stack.call(who, method, f"{API}/{path}", body))
    stored = ok(http("GET", f"{stack.mlflow.url}{API}/experiments/get?experiment_id={experiment}"))
    tags = {t["key"]: t["value"] for t in stored["experiment"]["tags"]}
    assert (tags["mlgate.owner"], tags["mlgate.group"]) == ("user:alice", "data-science")
