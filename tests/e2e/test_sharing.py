"""Sharing by HTTP, and its effect on the real client, here and on a second gateway."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import RestException

from gateway.web.api.openapi import DOCUMENT
from tests.e2e.world import (
    API,
    OWN,
    acl_path,
    get_experiment,
    get_model,
    grants_of,
    in_force,
    name_of,
    new_experiment,
    new_model,
    new_run,
    ok,
    refused,
    share,
    unshare,
    until,
)
from tests.stack import Stack, http

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]


def test_whoami_says_who_calls_and_how_they_signed_in(stack: Stack) -> None:
    assert ok(stack.call("alice", "GET", f"{OWN}/whoami")) == {
        "principal": "user:alice",
        "groups": ["data-science"],
        "admin": False,
        "method": "api-token",
    }
    assert ok(stack.call("dave", "GET", f"{OWN}/whoami"))["admin"] is True
    refused(stack.call(None, "GET", f"{OWN}/whoami"), 401, "UNAUTHENTICATED")


def test_new_things_belong_to_their_maker_and_reach_the_group(stack: Stack) -> None:
    experiment, model = new_experiment(stack, "alice"), new_model(stack, "alice")
    shown = ok(stack.call("alice", "GET", acl_path("experiment", experiment)))
    assert shown["owner"] == "user:alice"
    assert grants_of(stack, "alice", "experiment", experiment) == {
        "user:alice": "manager",
        "group:data-science": "editor",
    }
    assert grants_of(stack, "bob", "model", model) == {
        "user:alice": "manager",
        "group:data-science": "reader",
    }


def test_a_grant_and_a_revocation_reach_the_client_on_both_gateways(
    stack: Stack, second: Stack
) -> None:
    experiment = new_experiment(stack, "alice")
    for gateway in (stack, second):
        refused(get_experiment(gateway, "carol", experiment))

    ok(share(stack, "alice", "experiment", experiment, "user:carol", "reader"))
    in_force(lambda: get_experiment(second, "carol", experiment).status == 200)
    with stack.client_as("carol"):
        assert MlflowClient().get_experiment(experiment).experiment_id == experiment
    with second.client_as("carol"):
        client = MlflowClient()
        assert client.search_runs([experiment]) == []
        with pytest.raises(RestException, match="editor"):
            client.create_run(experiment)

    ok(unshare(stack, "alice", "experiment", experiment, "user:carol"))
    refused(get_experiment(stack, "carol", experiment))
    in_force(lambda: get_experiment(second, "carol", experiment).status == 403)
    assert experiment not in _found(second, "carol")


def _found(stack: Stack, who: str) -> set[str]:
    answer = ok(stack.call(who, "POST", f"{API}/experiments/search", {"max_results": 1000}))
    return {row["experiment_id"] for row in answer.get("experiments", [])}


def test_a_revoked_run_reader_loses_the_run_too(stack: Stack, second: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    run = new_run(stack, "alice", experiment)
    ok(share(stack, "alice", "experiment", experiment, "group:research", "reader"))
    path = f"{API}/runs/get?run_id={run}"
    until(lambda: second.call("carol", "GET", path).status == 200)
    ok(unshare(stack, "alice", "experiment", experiment, "group:research"))
    refused(stack.call("carol", "GET", path))
    in_force(lambda: second.call("carol", "GET", path).status == 403)


def test_everyone_means_whoever_is_signed_in(stack: Stack) -> None:
    model = new_model(stack, "alice")
    ok(share(stack, "alice", "model", model, "everyone", "reader"))
    assert get_model(stack, "carol", model).status == 200
    refused(get_model(stack, None, model), 401, "UNAUTHENTICATED")


def test_several_grants_add_up(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    ok(share(stack, "alice", "experiment", experiment, "group:research", "editor"))
    ok(share(stack, "alice", "experiment", experiment, "user:carol", "reader"))
    assert new_run(stack, "carol", experiment)


def test_the_last_manager_stays(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    said = refused(
        unshare(stack, "alice", "experiment", experiment, "user:alice"),
        400,
        "INVALID_PARAMETER_VALUE",
    )
    assert "last one who can manage" in said
    refused(
        share(stack, "alice", "experiment", experiment, "user:alice", "reader"),
        400,
        "INVALID_PARAMETER_VALUE",
    )
    ok(share(stack, "alice", "experiment", experiment, "user:bob", "manager"))
    ok(unshare(stack, "bob", "experiment", experiment, "user:alice"))
    # What alice still has comes from her group.
    refused(share(stack, "alice", "experiment", experiment, "user:carol", "reader"))


def test_an_editor_may_not_share_and_hears_which_role_would_do(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    for key, role in (("user:carol", "reader"), ("user:bob", "manager")):
        said = refused(share(stack, "bob", "experiment", experiment, key, role))
        assert "manager" in said
    assert "user:carol" not in grants_of(stack, "alice", "experiment", experiment)


def test_a_stranger_learns_nothing_from_the_sharing_api(stack: Stack) -> None:
    experiment, model = new_experiment(stack, "alice"), new_model(stack, "alice")
    for kind, here, nowhere in (
        ("experiment", experiment, "99999999"),
        ("model", model, name_of("x")),
    ):
        for method, key in (("GET", None), ("DELETE", "user:alice"), ("PUT", "user:carol")):
            body = {"role": "manager"} if method == "PUT" else None
            found = refused(stack.call("carol", method, acl_path(kind, here, key), body))
            absent = refused(stack.call("carol", method, acl_path(kind, nowhere, key), body))
            assert found.partition(" (request ")[0] == absent.partition(" (request ")[0]


def test_bad_sharing_requests_say_what_to_do(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    for path, body, says in (
        (acl_path("experiment", experiment, "user:carol"), {"role": "king"}, "roles are"),
        (acl_path("experiment", experiment, "user:carol"), {}, "Send"),
        (acl_path("experiment", experiment, "carol"), {"role": "reader"}, "not a principal"),
        (acl_path("runs", experiment, "user:carol"), {"role": "reader"}, "'experiment' or"),
    ):
        answer = stack.call("alice", "PUT", path, body)
        assert says in refused(answer, 400, "INVALID_PARAMETER_VALUE")
    answer = stack.call(
        "dave", "PUT", acl_path("model", name_of("x"), "user:a"), {"role": "reader"}
    )
    refused(answer, 404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize(
    "odd", ["a b", "ü-%41", "50% of", "q?x=1&y#z", "dots.and-dashes_", "plus+plus", "quote'd"]
)
def test_models_with_odd_names_are_shared_percent_encoded(stack: Stack, odd: str) -> None:
    model = new_model(stack, "alice", f"{odd} {name_of('odd')}")
    assert get_model(stack, "carol", model).status == 404
    ok(share(stack, "alice", "model", model, "user:carol", "reader"))
    assert grants_of(stack, "alice", "model", model)["user:carol"] == "reader"
    found = ok(get_model(stack, "carol", model))
    assert found["registered_model"]["name"] == model
    ok(unshare(stack, "alice", "model", model, "user:carol"))
    assert get_model(stack, "carol", model).status == 404


def test_a_principal_with_odd_characters_is_one_principal(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    key = "group:Team A/B & ü@x"
    ok(share(stack, "alice", "experiment", experiment, key, "reader"))
    assert grants_of(stack, "alice", "experiment", experiment)[key] == "reader"
    ok(unshare(stack, "alice", "experiment", experiment, key))
    assert key not in grants_of(stack, "alice", "experiment", experiment)


def test_can_explains_a_decision_to_oneself_and_to_admins(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")

    def can(who: str, call: str, principal: str | None = None) -> dict[str, object]:
        about = f"&principal={quote(principal, safe='')}" if principal else ""
        path = f"{OWN}/can?call={quote(call, safe='')}&kind=experiment&id={experiment}{about}"
        return dict(ok(stack.call(who, "GET", path)))

    mine = can("alice", "experiments/delete")
    assert (mine["allowed"], mine["reason"], mine["roles"]) == (
        True,
        "role_allows",
        ["manager", "editor"],
    )
    bobs = can("dave", "experiments/delete", "user:bob")
    assert (bobs["allowed"], bobs["reason"]) == (False, "role_lacks_call")
    assert bobs["would_allow"] == ["manager"]
    carols = can("carol", "runs/get")
    assert (carols["allowed"], carols["reason"], carols["owner"]) == (False, "no_grant", None)
    path = f"{OWN}/can?call=runs/get&kind=experiment&id={experiment}&principal=user:alice"
    refused(stack.call("carol", "GET", path))


def test_the_decision_and_its_explanation_agree(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    for who in ("alice", "bob", "carol", "dave"):
        path = f"{OWN}/can?call=experiments/delete&kind=experiment&id={experiment}"
        explained = ok(stack.call(who, "GET", path))["allowed"]
        body = {"experiment_id": experiment}
        happened = stack.call(who, "POST", f"{API}/experiments/delete", body).status == 200
        assert explained == happened, who
        if happened:
            ok(stack.call("dave", "POST", f"{API}/experiments/restore", body))


def test_openapi_describes_exactly_what_is_served(stack: Stack) -> None:
    document = ok(stack.call(None, "GET", "/access/openapi.json"))
    assert document == DOCUMENT
    for path, operations in document["paths"].items():
        filled = path.format(kind="experiment", id="0", principal="user:x")
        for method in ("get", "put", "post", "delete"):
            served = http(method.upper(), f"{stack.url}/access{filled}", json_body={})
            if method not in operations:
                assert served.status == 404, (method, path)
                continue
            public = operations[method].get("security") == []
            assert served.status == (200 if public else 401), (method, path)
    refused(stack.call("dave", "GET", "/access/api/v1/nothing"), 404, "ENDPOINT_NOT_FOUND")
