"""API tokens of people and service accounts, made and revoked over HTTP."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.e2e.world import (
    OWN,
    get_experiment,
    in_force,
    name_of,
    new_experiment,
    ok,
    refused,
    share,
)
from tests.stack import Answer, Stack, http

pytestmark = pytest.mark.e2e


def _whoami(stack: Stack, token: str) -> Answer:
    return http("GET", f"{stack.url}{OWN}/whoami", token=token)


def _create(stack: Stack, who: str, **fields: Any) -> dict[str, Any]:
    return dict(ok(stack.call(who, "POST", f"{OWN}/tokens", fields)))


def test_a_token_works_until_it_is_revoked_on_both_gateways(stack: Stack, second: Stack) -> None:
    made = _create(stack, "alice", label="laptop", days=1)
    assert made["token"].startswith("mlg_")
    assert made["expires"] - made["created"] == pytest.approx(86_400, abs=2)
    for gateway in (stack, second):
        assert ok(_whoami(gateway, made["token"]))["principal"] == "user:alice"

    ok(stack.call("alice", "DELETE", f"{OWN}/tokens/{made['id']}"))
    refused(_whoami(stack, made["token"]), 401, "UNAUTHENTICATED")
    in_force(lambda: _whoami(second, made["token"]).status == 401)


def test_the_secret_is_shown_once_and_nobody_else_sees_the_token(stack: Stack) -> None:
    made = _create(stack, "alice", label="notebook")
    listed = ok(stack.call("alice", "GET", f"{OWN}/tokens"))["tokens"]
    (row,) = [row for row in listed if row["id"] == made["id"]]
    assert row["label"] == "notebook"
    assert "token" not in row
    assert made["token"] not in str(listed)
    bobs = ok(stack.call("bob", "GET", f"{OWN}/tokens"))["tokens"]
    assert made["id"] not in {row["id"] for row in bobs}
    refused(stack.call("bob", "GET", f"{OWN}/tokens?principal=user:alice"))
    refused(
        stack.call("bob", "DELETE", f"{OWN}/tokens/{made['id']}"), 404, "RESOURCE_DOES_NOT_EXIST"
    )
    assert _whoami(stack, made["token"]).status == 200


def test_a_token_of_somebody_else_cannot_be_made(stack: Stack) -> None:
    refused(stack.call("bob", "POST", f"{OWN}/tokens", {"principal": "user:alice"}))
    refused(stack.call("dave", "POST", f"{OWN}/tokens", {"principal": "user:alice"}))


def test_a_service_account_works_for_its_group(stack: Stack) -> None:
    service = f"service:{name_of('nightly')}"
    made = _create(stack, "alice", principal=service, group="data-science")
    who = ok(_whoami(stack, made["token"]))
    assert (who["principal"], who["groups"], who["admin"]) == (service, ["data-science"], False)

    robot = Stack(stack.folder, stack.mlflow, stack.gateway, {"robot": made["token"]})
    experiment = new_experiment(robot, "robot")
    assert get_experiment(stack, "bob", experiment).status == 200
    refused(get_experiment(stack, "carol", experiment))
    ok(share(robot, "robot", "experiment", experiment, "user:carol", "reader"))
    assert get_experiment(stack, "carol", experiment).status == 200

    # The group manages its service account; others do not.
    refused(stack.call("carol", "POST", f"{OWN}/tokens", {"principal": service}))
    refused(stack.call("carol", "GET", f"{OWN}/tokens?principal={service}"))
    listed = ok(stack.call("bob", "GET", f"{OWN}/tokens?principal={service}"))["tokens"]
    assert [row["id"] for row in listed] == [made["id"]]
    ok(stack.call("bob", "DELETE", f"{OWN}/tokens/{made['id']}"))
    refused(_whoami(stack, made["token"]), 401, "UNAUTHENTICATED")


def test_a_new_service_account_cannot_be_taken_over_where_it_is_not_known_yet(
    stack: Stack, second: Stack
) -> None:
    """The other gateway remembers that there is no such account until it hears of it."""
    for number in range(5):
        service = f"service:{name_of(f'quick-{number}')}"
        refused(second.call("carol", "GET", f"{OWN}/tokens?principal={service}"))
        mine = _create(stack, "alice", principal=service, group="data-science")
        body = {"principal": service, "group": "research"}
        taken = second.call("carol", "POST", f"{OWN}/tokens", body)
        assert taken.status in (400, 403), taken.body
        assert ok(_whoami(second, mine["token"]))["groups"] == ["data-science"]
        refused(second.call("carol", "POST", f"{OWN}/tokens", body))


def test_a_service_account_of_another_group_cannot_be_made(stack: Stack) -> None:
    body = {"principal": f"service:{name_of('x')}", "group": "research"}
    refused(stack.call("alice", "POST", f"{OWN}/tokens", body))
    for bad in ("service:", "service:a b", "group:research", "alice"):
        answer = stack.call("alice", "POST", f"{OWN}/tokens", {"principal": bad})
        assert answer.status in (400, 403), bad


def test_bad_token_requests_say_what_to_do(stack: Stack) -> None:
    for body, says in (
        ({"days": "x"}, "must be a number"),
        ({"days": 100_000}, "365"),
        ({"colour": 1}, "Unknown field"),
        ({"label": 5}, "must be a string"),
    ):
        answer = stack.call("alice", "POST", f"{OWN}/tokens", body)
        assert says in refused(answer, 400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("user", ["alice", "token", ""])
def test_a_token_is_a_password_too(stack: Stack, user: str) -> None:
    pair = base64.b64encode(f"{user}:{stack.tokens['alice']}".encode()).decode()
    answer = http("GET", f"{stack.url}{OWN}/whoami", headers={"Authorization": f"Basic {pair}"})
    assert ok(answer)["principal"] == "user:alice"


def test_what_is_no_token_is_refused(stack: Stack) -> None:
    token = stack.tokens["alice"]
    for wrong in (token[:-1], token + "x", token.upper(), "mlg_", "mlg_" + "a" * 40, ""):
        refused(_whoami(stack, wrong), 401, "UNAUTHENTICATED")
