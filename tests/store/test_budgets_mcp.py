"""The registry of MCP servers: calls to DynamoDB, large contents, two writers at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from mlflow.entities.mcp_server import MCPStatus, MCPTool
from mlflow.exceptions import MlflowException

from dynamodb_store.table import Table
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from tests.fakes.fake_dynamodb import FakeDynamoDb, lose_answers, throttle

A = "com.example/aa"


def payload(version: str) -> dict[str, Any]:
    return {"name": A, "version": version}


def test_calls(dynamo: Any, fake: FakeDynamoDb, calls: Callable[..., int]) -> None:
    assert calls("create_mcp_server", "com.example/bb") == 1
    assert calls("create_mcp_server_version", payload("1.0.0")) == 3
    assert calls("create_mcp_server_version", payload("2.0.0")) == 3
    assert calls("set_mcp_server_alias", A, "x", "1.0.0") == 2
    assert calls("create_mcp_access_endpoint", A, "u", server_alias="x") == 3
    assert calls("get_mcp_server", A) == 2
    assert calls("get_latest_mcp_server_version", A) == 2
    assert calls("get_mcp_server_version_by_alias", A, "x") == 2
    assert calls("update_mcp_server_version", A, "1.0.0", MCPStatus.ACTIVE) == 3
    assert calls("update_mcp_server_version", A, "1.0.0", tools=[]) == 5
    assert calls("search_mcp_servers", "status = 'active'") == 2
    assert calls("search_mcp_server_versions", A) == 2
    assert calls("search_mcp_access_endpoints") == 2
    assert calls("delete_mcp_server_version", A, "2.0.0") == 2
    assert fake.weak_reads == []


def test_contents_of_any_size_go_with_their_server(dynamo: Any, fake: FakeDynamoDb) -> None:
    noise = os.urandom(500_000).hex()
    made = dynamo.create_mcp_server_version(payload("1.0.0"), tools=[MCPTool("t", None, noise)])
    assert dynamo.get_mcp_server_version(A, "1.0.0") == made
    assert fake.largest_item < 400_000
    dynamo.delete_mcp_server(A)
    assert fake.scan(TableName="mlflow")["Count"] == 3  # the default experiment


def test_of_two_writers_nothing_is_lost(dynamo: Any, fake: FakeDynamoDb) -> None:
    other = DynamoDbTrackingStore(Table(FakeDynamoDb(fake._client), dynamo.table.uri), "s3://b/r")

    def meanwhile(call: Callable[[], Any]) -> None:
        done: list[int] = []

        def fault(operation: str, parameters: dict[str, Any]) -> None:
            if operation == "transact_write_items" and not done:
                done.append(1)
                call()

        fake.faults[:] = [fault]

    meanwhile(lambda: other.create_mcp_server_version(payload("1.0.0")))
    dynamo.create_mcp_server_version(payload("2.0.0"))
    assert len(dynamo.search_mcp_server_versions(A)) == 2
    meanwhile(lambda: other.create_mcp_server_version(payload("3.0.0")))
    with pytest.raises(MlflowException) as refused:
        dynamo.create_mcp_server_version(payload("3.0.0"))
    assert refused.value.error_code == "RESOURCE_ALREADY_EXISTS"
    meanwhile(lambda: other.delete_mcp_server_version(A, "1.0.0"))
    with pytest.raises(MlflowException) as refused:
        dynamo.set_mcp_server_alias(A, "x", "1.0.0")
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    assert dynamo.get_mcp_server(A).aliases == {}


def test_lost_answers_and_throttling_write_once(dynamo: Any, fake: FakeDynamoDb) -> None:
    fake.faults[:] = [throttle(3), lose_answers(fake)]
    dynamo.create_mcp_server_version(payload("1.0.0"))
    dynamo.set_mcp_server_tag(A, "k", "v")
    dynamo.create_mcp_access_endpoint(A, "u", server_version="1.0.0")
    fake.faults.clear()
    server = dynamo.get_mcp_server(A)
    assert (server.tags, len(server.access_endpoints)) == ({"k": "v"}, 1)
