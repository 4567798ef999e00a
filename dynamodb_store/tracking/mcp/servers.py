"""MCP servers: create, read, search, change, delete; their tags and aliases."""

from __future__ import annotations

import uuid
from typing import Any

from mlflow.entities.mcp_server import MCPServer, validate_mcp_server_name
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking import SEARCH_MAX_RESULTS_DEFAULT
from mlflow.store.tracking.mcp_server_registry.abstract_mixin import NOT_SET
from mlflow.store.tracking.mcp_server_registry.sqlalchemy_mixin import (
    SEARCH_MCP_SERVER_MAX_RESULTS_THRESHOLD,
)
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import _strip_mcp_icon_response_fields, _validate_mcp_icon_payloads

from dynamodb_store import keys, records
from dynamodb_store.entities.mcp_server import (
    ACTIVE,
    LATEST,
    drop_endpoints,
    new_server,
    server_of,
)
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.records import Body, Record
from dynamodb_store.search.mcp_servers import server_filter, server_order
from dynamodb_store.search.page import Token, check_max_results
from dynamodb_store.table import Action
from dynamodb_store.tracking.mcp.base import (
    McpBase,
    check_version,
    no_alias,
    no_server,
    offset_page,
)


class McpServers(McpBase):
    """See mlflow.store.tracking.mcp_server_registry for what each method promises."""

    def create_mcp_server(
        self,
        name: str,
        description: str | None = None,
        icons: list[Any] | None = None,
        created_by: str | None = None,
    ) -> MCPServer:
        validate_mcp_server_name(name)
        icons = _strip_mcp_icon_response_fields(icons)
        _validate_mcp_icon_payloads(icons, "icons")
        body = new_server(uuid.uuid4().hex, name, created_by, get_current_time_millis())
        body |= {"description": description, "icons": icons}
        try:
            records.create(self.table, Record(keys.MCP_SERVERS, keys.mcp_server(name), body))
        except ConditionFailed as failed:
            raise MlflowException(
                f"MCP server with name '{name}' already exists", error_code=RESOURCE_ALREADY_EXISTS
            ) from failed
        return server_of(body, {})

    def get_mcp_server(self, name: str) -> MCPServer:
        body = self._mcp_server(name)
        return server_of(body, self._mcp_contents_of([body]))

    def search_mcp_servers(
        self,
        filter_string: str | None = None,
        max_results: int = SEARCH_MAX_RESULTS_DEFAULT,
        order_by: list[str] | None = None,
        page_token: Token | None = None,
    ) -> PagedList[MCPServer]:
        check_max_results(max_results)
        if max_results > SEARCH_MCP_SERVER_MAX_RESULTS_THRESHOLD:
            raise MlflowException(
                f"Invalid value for max_results. It must be at most "
                f"{SEARCH_MCP_SERVER_MAX_RESULTS_THRESHOLD}, but got {max_results}",
                error_code=INVALID_PARAMETER_VALUE,
            )
        test, order = server_filter(filter_string), server_order(order_by)
        found = [one.body for one in records.listed(self.table, keys.MCP_SERVERS)]
        page = offset_page(sorted(filter(test, found), key=order), max_results, page_token)
        contents = self._mcp_contents_of(page)
        return PagedList([server_of(body, contents) for body in page], page.token)

    def update_mcp_server(
        self,
        name: str,
        description: Any = NOT_SET,
        display_name: Any = NOT_SET,
        icons: Any = NOT_SET,
        last_updated_by: str | None = None,
    ) -> MCPServer:
        if icons is not NOT_SET:
            icons = _strip_mcp_icon_response_fields(icons)
            _validate_mcp_icon_payloads(icons, "icons")
        given = {"description": description, "display_name": display_name, "icons": icons}
        new = {field: value for field, value in given.items() if value is not NOT_SET}

        def change(server: Body) -> None:
            now = get_current_time_millis()
            server.update(new, updated_by=last_updated_by, updated=now)

        body = self._edit_mcp_server(name, change)
        return server_of(body, self._mcp_contents_of([body]))

    def delete_mcp_server(self, name: str) -> None:
        gone: list[Body] = []

        def also(record: Record) -> list[Action]:
            gone[:] = [record.body]
            active = [one for one in record.body["versions"].values() if one["status"] == ACTIVE]
            if active:
                raise MlflowException(
                    f"Cannot delete MCP server '{name}' while it still has an active version "
                    f"('{active[0]['version']}'). Delete or deactivate the active version first.",
                    error_code=INVALID_PARAMETER_VALUE,
                )
            return []

        records.delete_found(
            self.table,
            lambda: records.get(self.table, keys.MCP_SERVERS, keys.mcp_server(name)),
            lambda: no_server(name),
            also,
        )
        (body,) = gone
        records.remove_all(self.table, keys.mcp_contents(body["id"]))

    def set_mcp_server_tag(self, name: str, key: str, value: str) -> None:
        self._edit_mcp_server(name, lambda server: server["tags"].update({key: value}))

    def delete_mcp_server_tag(self, name: str, key: str) -> None:
        def missing() -> MlflowException:
            return MlflowException(
                f"Tag '{key}' not found on MCP server '{name}'",
                error_code=RESOURCE_DOES_NOT_EXIST,
            )

        def change(server: Body) -> None:
            if server["tags"].pop(key, missing) is missing:
                raise missing()

        self._edit_mcp_server(name, change, missing)

    def set_mcp_server_alias(self, name: str, alias: str, version: str) -> None:
        if alias == LATEST:
            raise MlflowException(
                "The alias name 'latest' is reserved for automatic resolution",
                error_code=INVALID_PARAMETER_VALUE,
            )

        def change(server: Body) -> None:
            check_version(server, version, f"set alias '{alias}' to")
            server["aliases"][alias] = version

        self._edit_mcp_server(name, change)

    def delete_mcp_server_alias(self, name: str, alias: str) -> None:
        def change(server: Body) -> None:
            if server["aliases"].pop(alias, None) is None:
                raise no_alias(name, alias)
            drop_endpoints(server, aliases=[alias])

        self._edit_mcp_server(name, change, lambda: no_alias(name, alias))
