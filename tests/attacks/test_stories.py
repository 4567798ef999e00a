"""Ways around that take time: grants, names and page tokens that outlive what they were for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stack import Answer, Stack

pytestmark = pytest.mark.e2e
A = "/api/2.0/mlflow"
ACL = "/access/api/v1/acl"


def _done(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return answer.json()


def _model(stack: Stack, who: str, name: str) -> None:
    _done(stack.call(who, "POST", f"{A}/registered-models/create", {"name": name}))


def _reads(stack: Stack, who: str, name: str) -> bool:
    answer = stack.call(who, "GET", f"{A}/registered-models/get?name={name}")
    assert answer.status in (200, 404), answer.body
    return answer.status == 200


def _delete(stack: Stack, who: str, name: str) -> None:
    _done(stack.call(who, "DELETE", f"{A}/registered-models/delete", {"name": name}))


def _share(stack: Stack, kind: str, one: str, principal: str, role: str) -> None:
    _done(stack.call("alice", "PUT", f"{ACL}/{kind}/{one}/{principal}", {"role": role}))


def test_grants_on_a_deleted_model_do_not_come_back_with_its_name(
    stack: Stack, unique: str
) -> None:
    name = f"phoenix-{unique}"
    _model(stack, "alice", name)
    _share(stack, "model", name, "user:carol", "manager")
    assert _reads(stack, "carol", name)
    _delete(stack, "alice", name)
    assert not _reads(stack, "carol", name)
    _model(stack, "alice", name)
    assert not _reads(stack, "carol", name)


def test_who_takes_a_freed_name_owns_it_alone(stack: Stack, unique: str) -> None:
    name = f"freed-{unique}"
    _model(stack, "alice", name)
    _delete(stack, "alice", name)
    _model(stack, "carol", name)
    assert _reads(stack, "carol", name)
    assert not _reads(stack, "alice", name)
    assert not _reads(stack, "bob", name)


def test_a_model_deleted_past_the_gateway_leaves_no_grants(stack: Stack, unique: str) -> None:
    name = f"past-{unique}"
    _model(stack, "alice", name)
    _done(stack.direct("DELETE", f"{A}/registered-models/delete", {"name": name}))
    _model(stack, "carol", name)
    assert not _reads(stack, "alice", name)


def test_a_rename_onto_a_name_deleted_past_the_gateway_takes_nothing_over(
    stack: Stack, unique: str
) -> None:
    old, new = f"old-{unique}", f"new-{unique}"
    _model(stack, "alice", new)
    _done(stack.direct("DELETE", f"{A}/registered-models/delete", {"name": new}))
    _model(stack, "carol", old)
    body = {"name": old, "new_name": new}
    _done(stack.call("carol", "POST", f"{A}/registered-models/rename", body))
    assert _reads(stack, "carol", new)
    assert not _reads(stack, "alice", new)


def test_grants_move_with_a_rename_and_the_old_name_keeps_none(stack: Stack, unique: str) -> None:
    old, new = f"before-{unique}", f"after-{unique}"
    _model(stack, "alice", old)
    _share(stack, "model", old, "user:carol", "reader")
    body = {"name": old, "new_name": new}
    _done(stack.call("alice", "POST", f"{A}/registered-models/rename", body))
    assert _reads(stack, "carol", new)
    _model(stack, "alice", old)
    assert not _reads(stack, "carol", old)


def test_a_failed_rename_onto_a_living_name_gives_nothing(stack: Stack, unique: str) -> None:
    mine, hers = f"mine-{unique}", f"hers-{unique}"
    _model(stack, "alice", hers)
    _model(stack, "carol", mine)
    body = {"name": mine, "new_name": hers}
    assert stack.call("carol", "POST", f"{A}/registered-models/rename", body).status in (400, 403)
    assert not _reads(stack, "carol", hers)
    assert _reads(stack, "alice", hers)
    assert _reads(stack, "carol", mine)


def test_the_name_of_a_deleted_experiment_is_not_a_way_to_own_it(stack: Stack, unique: str) -> None:
    name = f"ashes-{unique}"
    made = _done(stack.call("alice", "POST", f"{A}/experiments/create", {"name": name}))
    body = {"experiment_id": made["experiment_id"]}
    _done(stack.call("alice", "POST", f"{A}/experiments/delete", body))
    assert stack.call("carol", "POST", f"{A}/experiments/create", {"name": name}).status >= 400
    path = f"{A}/experiments/get?experiment_id={made['experiment_id']}"
    assert stack.call("carol", "GET", path).status == 403
    assert stack.call("carol", "POST", f"{A}/experiments/restore", body).status == 403
    _done(stack.call("alice", "POST", f"{A}/experiments/restore", body))


def test_a_page_token_shows_nothing_that_was_taken_away_since(stack: Stack, unique: str) -> None:
    ids = []
    for number in range(3):
        body = {"name": f"pages-{number}-{unique}"}
        made = _done(stack.call("alice", "POST", f"{A}/experiments/create", body))
        ids.append(made["experiment_id"])
        _share(stack, "experiment", ids[-1], "user:carol", "reader")
    search = {"max_results": 1, "filter": f"name LIKE '%{unique}'"}
    first = _done(stack.call("carol", "POST", f"{A}/experiments/search", search))
    assert len(first["experiments"]) == 1
    for one in ids:
        _done(stack.call("alice", "DELETE", f"{ACL}/experiment/{one}/user:carol"))
    search["page_token"] = first["next_page_token"]
    assert _done(stack.call("carol", "POST", f"{A}/experiments/search", search)) == {}


def test_a_revoked_grant_is_gone_at_once_for_things_already_looked_up(
    stack: Stack, unique: str
) -> None:
    body: dict[str, Any] = {"name": f"brief-{unique}"}
    experiment = _done(stack.call("alice", "POST", f"{A}/experiments/create", body))
    experiment = experiment["experiment_id"]
    body = {"experiment_id": experiment}
    run = _done(stack.call("alice", "POST", f"{A}/runs/create", body))["run"]["info"]["run_id"]
    _share(stack, "experiment", experiment, "user:carol", "editor")
    path = f"{A}/runs/get?run_id={run}"
    tag = {"run_id": run, "key": "k", "value": "v"}
    _done(stack.call("carol", "GET", path))
    _done(stack.call("carol", "POST", f"{A}/runs/set-tag", tag))
    _done(stack.call("alice", "DELETE", f"{ACL}/experiment/{experiment}/user:carol"))
    assert stack.call("carol", "GET", path).status == 403
    assert stack.call("carol", "POST", f"{A}/runs/set-tag", tag).status == 403
