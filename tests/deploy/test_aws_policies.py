"""The policies in deploy/aws/ allow what the code calls on DynamoDB, and nothing else."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

ROOT = Path(__file__).parents[2]
AWS = ROOT / "deploy" / "aws"

_MODEL = botocore.session.get_session().get_service_model("dynamodb")
OPERATIONS = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): name for name in _MODEL.operation_names
}
"""create_table -> CreateTable, for each operation of DynamoDB."""
NO_OPERATION = {"transact_write_items", "transact_get_items"}
"""Allowed by the permissions of their parts (Amazon DynamoDB, "Using IAM with transactions")."""
IN_TRANSACTIONS = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem",
                   "ConditionCheck": "ConditionCheckItem"}  # fmt: skip
ANNOUNCED = {"dynamodb:ConditionCheckItem"}
"""Not called yet, and about to be."""
WAITERS = {"table_exists": "DescribeTable", "table_not_exists": "DescribeTable"}


ONLY_FOR_A_COMMAND = {"scan_partitions", "is_empty"}
"""Methods of the store's table that import and export call, and no server."""


def used(sources: Iterable[Path]) -> set[str]:
    """The permissions that a piece of the code needs, read from its source."""
    return {
        f"dynamodb:{name}"
        for path in sources
        for node in _nodes(ast.parse(path.read_text("utf-8")))
        for name in _named(node)
    }


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.FunctionDef) or node.name not in ONLY_FOR_A_COMMAND:
        yield node
        for below in ast.iter_child_nodes(node):
            yield from _nodes(below)


def _named(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Tuple) and node.elts and isinstance(node.elts[0], ast.Constant):
        verb = node.elts[0].value
        if isinstance(verb, str) and len(node.elts) == 2 and verb in IN_TRANSACTIONS:
            yield IN_TRANSACTIONS[verb]
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return
    called, on = node.func.attr, ast.unparse(node.func.value)
    first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
    if called in OPERATIONS and on.endswith("client") and called not in NO_OPERATION:
        yield OPERATIONS[called]
    elif (
        called in ("call", "_call", "_pages") and first in OPERATIONS and first not in NO_OPERATION
    ):
        yield OPERATIONS[first]
    elif called == "get_waiter":
        yield WAITERS[str(first)]


def files(folder: str, *, only: str | None = None, without: str | None = None) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    return [p for p in found if p.stem != without and (only is None or p.stem == only)]


def policy(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((AWS / name).read_text("utf-8"))
    return read


def allowed(name: str) -> list[str]:
    found: list[str] = []
    for statement in policy(name)["Statement"]:
        actions = statement["Action"]
        found += [actions] if isinstance(actions, str) else actions
    return found


CASES = {
    "mlflow-store.json": files("dynamodb_store", without="provision"),
    "gateway-acl.json": files("gateway/acl", without="create_table"),
    "make-tables.json": [
        *files("dynamodb_store", only="provision"),
        *files("gateway/acl", only="create_table"),
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_a_policy_allows_exactly_what_the_code_calls(name: str) -> None:
    needed = used(CASES[name])
    assert needed <= set(allowed(name))
    assert set(allowed(name)) - needed <= ANNOUNCED
    assert len(allowed(name)) == len(set(allowed(name)))


def test_each_policy_is_held_against_the_code() -> None:
    # That of import and export is held against their calls in tests/store/test_transfer.py.
    assert {path.name for path in AWS.glob("*.json")} == {*CASES, "import-export.json"}


def test_the_reader_of_the_code_sees_operations() -> None:
    needed = used(CASES["mlflow-store.json"])
    assert {"dynamodb:Query", "dynamodb:BatchGetItem", "dynamodb:PutItem"} <= needed
    assert not needed & {"dynamodb:CreateTable", "dynamodb:Scan"}


@pytest.mark.parametrize("name", CASES)
def test_a_policy_names_tables_only_and_no_wildcard(name: str) -> None:
    for statement in policy(name)["Statement"]:
        assert statement["Effect"] == "Allow"
        named = statement["Resource"]
        for resource in [named] if isinstance(named, str) else named:
            assert re.fullmatch(
                r"arn:aws:dynamodb:REGION:ACCOUNT:table/(MLFLOW|ACL)_TABLE(/index/gsi1)?", resource
            )
        assert not any("*" in action for action in allowed(name))


def test_the_documents_name_these_permissions() -> None:
    store = (ROOT / "docs" / "store.md").read_text("utf-8").split("## Permissions")[1]
    for name in ("mlflow-store.json", "make-tables.json"):
        assert f"deploy/aws/{name}" in store
    assert "deploy/aws/gateway-acl.json" in (ROOT / "docs" / "acl-store.md").read_text("utf-8")
