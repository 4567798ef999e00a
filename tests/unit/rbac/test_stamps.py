"""What the gateway writes into a request, whatever the client wrote there."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.model import GROUP_TAG, OWNER_TAG, Principal
from gateway.routes.call import Call
from gateway.routes.catalogue import ROUTES
from gateway.routes.route import Route
from gateway.stamps import stamp

ME = Principal("user:me@example.com", frozenset({"g"}), home_group="g")
ROWS = {row.call: row for row in ROUTES}


def stamped(
    call: str, body: dict[str, Any], *, user: bool = True, who: Principal = ME
) -> dict[str, Any]:
    row: Route = ROWS[call]
    made = Call(row, "/", {}, {}, body)
    stamp(made, who, user=user, presigned_seconds=900)
    return made.body or {}


def tags(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(tag["key"], tag["value"]) for tag in body.get("tags", [])]


@pytest.mark.parametrize("call", ["experiments/create", "registered-models/create"])
def test_ownership_is_born_with_the_resource(call: str) -> None:
    forged = [
        {"key": OWNER_TAG, "value": "user:you"},
        {"key": "a", "value": "b"},
        {"key": GROUP_TAG, "value": "x"},
        {"key": OWNER_TAG},
    ]
    body = stamped(call, {"name": "x", "tags": forged})
    assert tags(body) == [("a", "b"), (OWNER_TAG, "user:me@example.com"), (GROUP_TAG, "g")]


def test_without_a_home_group_no_group_is_stamped() -> None:
    lonely = Principal("service:job", frozenset({"g"}))
    assert tags(stamped("experiments/create", {}, who=lonely)) == [(OWNER_TAG, "service:job")]


def test_a_run_says_who_made_it() -> None:
    sent = {"user_id": "root", "tags": [{"key": "mlflow.user", "value": "root"}]}
    body = stamped("runs/create", dict(sent))
    assert body["user_id"] == "me@example.com"
    assert tags(body) == [("mlflow.user", "me@example.com")]
    assert stamped("runs/create", dict(sent), user=False) == sent


@pytest.mark.parametrize(
    ("asked", "given_"), [(None, 900), (0, 900), (60, 60), (900, 900), (10**9, 900)]
)
def test_a_presigned_url_does_not_outlive_its_bound(asked: int | None, given_: int) -> None:
    for call in ("artifacts/presigned-download-url", "artifacts/presigned-upload-url"):
        body = {} if asked is None else {"expiration": asked}
        assert stamped(call, body)["expiration"] == given_


def test_other_calls_are_left_alone() -> None:
    assert stamped("runs/log-batch", {"run_id": "r"}) == {"run_id": "r"}
