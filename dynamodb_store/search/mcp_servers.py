"""Filters and orders of the MCP registry's searches, as MLflow's SQL store understands them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import (
    SearchMCPAccessEndpointUtils,
    SearchMCPServerUtils,
    SearchMCPServerVersionUtils,
    SearchUtils,
)

from dynamodb_store.entities.mcp_server import latest, reachable, semver
from dynamodb_store.records import Body
from dynamodb_store.search.compare import holds
from dynamodb_store.search.order import by_columns

Row = tuple[Body, Body, Body]
"""Of an endpoint: the server, the endpoint, the version that it leads to."""
Test = Callable[[Any], bool]
Getters = dict[str, Callable[[Any], Any]]

_COMPARATORS = frozenset({"=", "!=", ">", ">=", "<", "<=", "LIKE", "ILIKE", "IN", "NOT IN"})
_SEMVER = frozenset({"=", "!=", "<", "<=", ">", ">="})


def _status(server: Body) -> str | None:
    newest = latest(server)
    return None if newest is None else newest["status"]


_SERVER: Getters = {
    "name": lambda server: server["name"],
    "display_name": lambda server: server["display_name"],
    "status": _status,
    "created_at": lambda server: server["created"],
    "last_updated_at": lambda server: server["updated"],
}
_ENDPOINT: Getters = {
    "id": lambda row: row[1]["id"],
    "server_name": lambda row: row[0]["name"],
    "transport_type": lambda row: row[1]["transport"],
    "status": lambda row: row[2]["status"],
    "created_at": lambda row: row[1]["created"],
    "last_updated_at": lambda row: row[1]["updated"],
}


def _versions(name: str) -> Getters:
    return {
        "name": lambda version: name,
        "version": lambda version: version["version"],
        "status": lambda version: version["status"],
        "created_at": lambda version: version["created"],
        "last_updated_at": lambda version: version["updated"],
    }


def server_filter(filter_string: str | None) -> Test:
    """A test of servers. Raises MlflowException for a filter that has no meaning."""

    def test_of(clause: dict[str, Any]) -> Test:
        if clause["type"] == "tag":
            comparator, key, value = _checked(clause)
            return lambda server: holds(comparator, server["tags"].get(key), value)
        if clause["type"] == "attribute" and clause["key"] == "has_access_endpoints":
            return _has_endpoints(clause)
        return _attribute(clause, _SERVER)

    return _all(SearchMCPServerUtils, filter_string, test_of)


def version_filter(name: str, filter_string: str | None) -> Test:
    """A test of versions of the server ``name``."""

    def test_of(clause: dict[str, Any]) -> Test:
        if clause["type"] == "attribute" and clause["key"] == "version":
            return _semver(clause)
        return _attribute(clause, _versions(name))

    return _all(SearchMCPServerVersionUtils, filter_string, test_of)


def endpoint_filter(filter_string: str | None) -> Test:
    """A test of endpoints, each a ``Row``."""
    return _all(
        SearchMCPAccessEndpointUtils, filter_string, lambda clause: _attribute(clause, _ENDPOINT)
    )


def _all(utils: Any, filter_string: str | None, test_of: Callable[[dict[str, Any]], Test]) -> Test:
    clauses = utils.parse_search_filter(filter_string) if filter_string else []
    tests = [test_of(clause) for clause in clauses]
    return lambda row: all(test(row) for test in tests)


def _checked(clause: dict[str, Any]) -> tuple[str, str, Any]:
    kind, key, comparator = clause["type"], clause["key"], clause["comparator"]
    if comparator not in _COMPARATORS:
        raise MlflowException.invalid_parameter_value(
            f"Invalid comparator '{comparator}' for {kind} '{key}'."
        )
    return comparator, key, clause["value"]


def _attribute(clause: dict[str, Any], getters: Getters) -> Test:
    if clause["type"] != "attribute":
        raise MlflowException.invalid_parameter_value(f"Invalid filter type '{clause['type']}'.")
    comparator, key, value = _checked(clause)
    get = getters[key]
    if comparator in ("LIKE", "ILIKE") and not isinstance(value, str):
        value, number = str(value), get  # SQL compares the number's text
        return lambda row: holds(comparator, str(number(row)), value)
    return lambda row: holds(comparator, get(row), value)


def _has_endpoints(clause: dict[str, Any]) -> Test:
    comparator, _, value = _checked(clause)
    if comparator != "=" or value.lower() not in ("true", "false"):
        raise MlflowException.invalid_parameter_value(
            "has_access_endpoints only supports '= true' or '= false'"
        )
    wanted = value.lower() == "true"
    return lambda server: any(True for _ in reachable(server)) == wanted


def _semver(clause: dict[str, Any]) -> Test:
    comparator, _, value = _checked(clause)
    if comparator not in _SEMVER:
        raise MlflowException.invalid_parameter_value(
            "version only supports semantic comparators '=', '!=', '<', '<=', '>', and '>='"
        )
    if comparator in ("=", "!="):
        return lambda version: holds(comparator, version["version"], value)
    bound = semver(value)
    return lambda version: holds(comparator, semver(version["version"]), bound)


def server_order(order_by: Sequence[str] | None) -> Callable[[Body], Any]:
    """A sort key of servers; by name at last."""
    columns = _order(order_by, ("name", "created_at", "last_updated_at"))
    return by_columns([(_SERVER[key], up) for key, up in _then(columns, "name")])


def version_order(order_by: Sequence[str] | None) -> Callable[[Body], Any]:
    """A sort key of versions; by creation and by the version's text at last."""
    columns = _order(order_by, ("version", "created_at", "last_updated_at"))
    getters = _versions("") | {"semver": lambda version: semver(version["version"])}
    given = [("semver" if key == "version" else key, up) for key, up in columns]
    given = _then(given, "created_at")
    if ("version", True) not in columns and ("version", False) not in columns:
        given.append(("version", True))
    return by_columns([(getters[key], up) for key, up in given])


def endpoint_order(order_by: Sequence[str] | None) -> Callable[[Row], Any]:
    """A sort key of endpoints; by id at last."""
    columns = _order(order_by, ("id", "server_name", "created_at", "last_updated_at"))
    return by_columns([(_ENDPOINT[key], up) for key, up in _then(columns, "id")])


def _order(order_by: Sequence[str] | None, valid: Sequence[str]) -> list[tuple[str, bool]]:
    columns: dict[str, bool] = {}
    for clause in order_by or ():
        name, ascending = SearchUtils._parse_order_by_string(clause)
        key = name.strip()
        if key not in valid:
            raise MlflowException.invalid_parameter_value(
                f"Invalid order_by key '{key}'. Valid keys: {sorted(valid)}"
            )
        if key in columns:
            raise MlflowException.invalid_parameter_value(f"Duplicate order_by field: '{key}'")
        columns[key] = ascending
    return list(columns.items())


def _then(columns: list[tuple[str, bool]], key: str) -> list[tuple[str, bool]]:
    return columns if any(name == key for name, _ in columns) else [*columns, (key, True)]
