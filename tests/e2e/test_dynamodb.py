"""The whole gateway on Amazon's DynamoDB Local: two gateways, one table, the real client."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.dynamodb_local import DynamoDbLocal
from tests.dynamodb_local import dynamodb_local
from tests.e2e.world import in_force, mlgate, ok, refused, share, unshare
from tests.stack import Stack, make_tokens, start_gateway

__all__ = ["dynamodb_local"]

pytestmark = [pytest.mark.e2e, pytest.mark.heavy]

SECONDS = 2.0
"""A gateway answers from memory while DynamoDB Local, a Java program, warms up."""


@dataclass(frozen=True)
class Pair:
    """Two gateways on one table."""

    first: Stack
    other: Stack


@pytest.fixture
def pair(
    stack: Stack,
    dynamodb_local: DynamoDbLocal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Pair]:
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    url = dynamodb_local.store_url(f"mlgate-{uuid.uuid4().hex}")
    made = mlgate("acl", "create-table", url, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    tokens = make_tokens(url)
    store = f"store: {url}\n"
    gateways = [start_gateway(tmp_path, [stack.mlflow.url], more=store, **keys) for _ in range(2)]
    try:
        for gateway in gateways:
            gateway.wait_for("/access/readyz")
        first, other = (Stack(tmp_path, stack.mlflow, gateway, tokens) for gateway in gateways)
        yield Pair(first, other)
    finally:
        for gateway in gateways:
            gateway.stop()


def test_ownership_sharing_and_revocation_work_on_dynamodb(pair: Pair, unique: str) -> None:
    with pair.first.client_as("alice") as mlflow:
        experiment = mlflow.create_experiment(f"dynamo-{unique}")
        run = mlflow.MlflowClient().create_run(experiment).info.run_id
    path = f"/api/2.0/mlflow/runs/get?run_id={run}"
    ok(pair.other.call("bob", "GET", path))
    refused(pair.other.call("carol", "GET", path))

    def found() -> list[str]:
        """What carol's search finds; the MLflow is shared with other tests' experiments."""
        search = (
            f"/api/2.0/mlflow/experiments/search?max_results=9&filter=name%3D%27dynamo-{unique}%27"
        )
        seen = ok(pair.other.call("carol", "GET", search)).get("experiments", [])
        return [one["experiment_id"] for one in seen]

    assert found() == []
    ok(share(pair.first, "alice", "experiment", experiment, "group:research", "reader"))
    in_force(lambda: pair.other.call("carol", "GET", path).status == 200, SECONDS)
    # The run may be readable earlier: an ACL that is not in memory is read as it is now, while what
    # a search shows follows the feed.
    in_force(lambda: found() == [experiment], SECONDS)
    ok(unshare(pair.other, "alice", "experiment", experiment, "group:research"))
    in_force(lambda: pair.first.call("carol", "GET", path).status == 403, SECONDS)


def test_a_revoked_token_is_refused_by_both_gateways(pair: Pair) -> None:
    made = ok(pair.first.call("alice", "POST", "/access/api/v1/tokens", {"label": "job"}))
    headers = {"Authorization": f"Bearer {made['token']}"}
    ok(pair.other.call(None, "GET", "/access/api/v1/whoami", headers=headers))
    ok(pair.first.call("alice", "DELETE", f"/access/api/v1/tokens/{made['id']}"))
    for gateway in (pair.first, pair.other):
        in_force(
            lambda gateway=gateway: (
                gateway.call(None, "GET", "/access/api/v1/whoami", headers=headers).status == 401
            ),
            SECONDS,
        )
