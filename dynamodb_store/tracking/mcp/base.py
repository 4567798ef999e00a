"""Reading and changing one MCP server, for the mixins of this family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
)
from mlflow.store.entities.paged_list import PagedList
from mlflow.utils.search_utils import SearchUtils

from dynamodb_store import keys, records
from dynamodb_store.entities.mcp_server import (
    LATEST,
    Contents,
    drop_endpoints,
    latest,
    live,
    needed,
)
from dynamodb_store.records import Body, Record
from dynamodb_store.search.page import Token
from dynamodb_store.table import Action
from dynamodb_store.tracking.base import Base

A = TypeVar("A")
Change = Callable[[Body], None]
"""Changes the body of a server in place; it may be called again after other writers."""


class McpBase(Base):
    """What the mixins of this family share."""

    def _mcp_server(self, name: str) -> Body:
        """The body of a server's record. Raises MlflowException."""
        record = records.get(self.table, keys.MCP_SERVERS, keys.mcp_server(name))
        if record is None:
            raise no_server(name)
        return record.body

    def _mcp_servers(self, names: Iterable[str]) -> dict[str, Body]:
        """Those servers that exist, by name."""
        places = [(keys.MCP_SERVERS, keys.mcp_server(name)) for name in dict.fromkeys(names)]
        return {one.body["name"]: one.body for one in records.get_many(self.table, places)}

    def _edit_mcp_server(
        self, name: str, change: Change, missing: Callable[[], Exception] | None = None
    ) -> Body:
        """Change a server, all of its rules holding; the body as written."""

        def changed(record: Record) -> Sequence[Action]:
            change(record.body)
            return []

        return records.edit(
            self.table,
            keys.MCP_SERVERS,
            keys.mcp_server(name),
            missing or (lambda: no_server(name)),
            changed,
        ).body

    def _mcp_contents(self, wanted: Iterable[tuple[Body, Body]]) -> Contents:
        """The contents of versions, each given with its server, in one round.

        Contents are only removed with their server, after its record.
        """
        places = {(keys.mcp_contents(server["id"]), one["content"]) for server, one in wanted}
        found = records.get_many(self.table, list(places))
        if len(found) < len(places):
            raise MlflowException(
                "An MCP server was deleted while it was read; try again.", TEMPORARILY_UNAVAILABLE
            )
        return {one.sk: one.body for one in found}

    def _mcp_contents_of(self, servers: Iterable[Body]) -> Contents:
        """The contents that MLflow's entities of these servers show."""
        return self._mcp_contents((server, one) for server in servers for one in needed(server))


def live_or_raise(server: Body, version: str) -> Body:
    """The facts of a version that is not deleted. Raises MlflowException."""
    found = live(server, version)
    if found is None:
        raise no_version(server["name"], version)
    return found


def latest_or_raise(server: Body) -> Body:
    """The facts of the latest version. Raises MlflowException."""
    found = latest(server)
    if found is None:
        raise MlflowException(
            f"No resolved latest version found for MCP server '{server['name']}'",
            error_code=RESOURCE_DOES_NOT_EXIST,
        )
    return found


def check_version(server: Body, version: str, what: str) -> None:
    """Raises MlflowException unless something new may point to a version."""
    if version not in server["versions"]:
        raise no_version(server["name"], version)
    if live(server, version) is None:
        raise MlflowException(
            f"Cannot {what} deleted MCP server version '{server['name']}' version '{version}'",
            error_code=INVALID_PARAMETER_VALUE,
        )


def check_alias(server: Body, alias: str) -> None:
    """Raises MlflowException unless an endpoint may point to an alias."""
    if alias == LATEST:
        latest_or_raise(server)
        return
    if alias not in server["aliases"]:
        raise no_alias(server["name"], alias)
    if live(server, server["aliases"][alias]) is None:
        raise MlflowException(
            f"Alias '{alias}' for MCP server '{server['name']}' points to deleted version "
            f"'{server['aliases'][alias]}'",
            error_code=INVALID_PARAMETER_VALUE,
        )


def drop_unresolvable(server: Body) -> None:
    """Endpoints of "latest" go when there is no latest version any more."""
    if latest(server) is None:
        drop_endpoints(server, aliases=[LATEST])


def offset_page(found: Sequence[A], max_results: int, token: Token | None) -> PagedList[A]:
    """A page of rows that are in memory, with MLflow's own token."""
    offset = SearchUtils.parse_start_offset_from_page_token(token)
    end = offset + max_results
    after = SearchUtils.create_page_token(end) if len(found) > end else None
    return PagedList(list(found[offset:end]), after)


def no_server(name: str) -> MlflowException:
    """MLflow's error for a server that does not exist."""
    return MlflowException(f"MCP server '{name}' not found", error_code=RESOURCE_DOES_NOT_EXIST)


def no_version(name: str, version: str) -> MlflowException:
    """MLflow's error for a version that does not exist or is deleted."""
    return MlflowException(
        f"MCP server version '{name}' version '{version}' not found",
        error_code=RESOURCE_DOES_NOT_EXIST,
    )


def no_alias(name: str, alias: str) -> MlflowException:
    """MLflow's error for an alias that does not exist."""
    return MlflowException(
        f"Alias '{alias}' not found for MCP server '{name}'", error_code=RESOURCE_DOES_NOT_EXIST
    )
