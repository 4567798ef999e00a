"""Access endpoints of MCP servers: each leads to a version, or to an alias resolved when read."""

from __future__ import annotations

import uuid
from typing import Any

from mlflow.entities.mcp_access_endpoint import MCPAccessEndpoint
from mlflow.entities.mcp_server import MCPRemoteTransportType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking import SEARCH_MAX_RESULTS_DEFAULT
from mlflow.store.tracking.mcp_server_registry.abstract_mixin import NOT_SET
from mlflow.store.tracking.mcp_server_registry.sqlalchemy_mixin import (
    _validate_exactly_one,
    _validate_mcp_access_endpoint_url,
)
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys, records
from dynamodb_store.entities.mcp_server import endpoint_of, reachable, target
from dynamodb_store.records import Body
from dynamodb_store.search.mcp_servers import Row, endpoint_filter, endpoint_order
from dynamodb_store.search.page import Token, check_max_results
from dynamodb_store.tracking.mcp.base import McpBase, check_alias, check_version, offset_page


class McpEndpoints(McpBase):
    """See mlflow.store.tracking.mcp_server_registry for what each method promises."""

    def create_mcp_access_endpoint(
        self,
        server_name: str,
        url: str,
        transport_type: MCPRemoteTransportType = MCPRemoteTransportType.STREAMABLE_HTTP,
        server_version: str | None = None,
        server_alias: str | None = None,
        created_by: str | None = None,
    ) -> MCPAccessEndpoint:
        _validate_exactly_one("server_version", server_version, "server_alias", server_alias)
        _validate_mcp_access_endpoint_url(url)
        now = get_current_time_millis()
        endpoint: Body = {
            "id": f"ae-{uuid.uuid4().hex}",
            "url": url,
            "transport": transport_type.value,
            "version": server_version,
            "alias": server_alias,
            "created_by": created_by,
            "updated_by": created_by,
            "created": now,
            "updated": now,
        }

        def change(server: Body) -> None:
            if server_version is not None:
                check_version(server, server_version, "create MCP access endpoint to")
            if server_alias is not None:
                check_alias(server, server_alias)
            server["endpoints"][endpoint["id"]] = endpoint

        return self._mcp_endpoint(self._edit_mcp_server(server_name, change), endpoint)

    def _mcp_endpoint(self, server: Body, endpoint: Body) -> MCPAccessEndpoint:
        """The endpoint when it leads to a version. Raises MlflowException."""
        version = target(server, endpoint)
        if version is None:
            raise _no_endpoint(endpoint["id"])
        contents = self._mcp_contents([(server, version)])
        return endpoint_of(server, endpoint, version, contents)

    def get_mcp_access_endpoint(self, server_name: str, endpoint_id: str) -> MCPAccessEndpoint:
        server = self._mcp_servers([server_name]).get(server_name)
        if server is None or endpoint_id not in server["endpoints"]:
            raise _no_endpoint(endpoint_id)
        return self._mcp_endpoint(server, server["endpoints"][endpoint_id])

    def search_mcp_access_endpoints(
        self,
        server_name: str | None = None,
        server_version: str | None = None,
        server_alias: str | None = None,
        filter_string: str | None = None,
        max_results: int = SEARCH_MAX_RESULTS_DEFAULT,
        order_by: list[str] | None = None,
        page_token: Token | None = None,
    ) -> PagedList[MCPAccessEndpoint]:
        check_max_results(max_results)
        test, order = endpoint_filter(filter_string), endpoint_order(order_by)

        def wanted(row: Row) -> bool:
            _, endpoint, _ = row
            return (
                server_version in (None, endpoint["version"])
                and server_alias in (None, endpoint["alias"])
                and test(row)
            )

        rows = [
            (server, endpoint, version)
            for server in self._mcp_servers_named(server_name)
            for endpoint, version in reachable(server)
        ]
        page = offset_page(sorted(filter(wanted, rows), key=order), max_results, page_token)
        contents = self._mcp_contents((server, version) for server, _, version in page)
        found = [endpoint_of(server, one, version, contents) for server, one, version in page]
        return PagedList(found, page.token)

    def _mcp_servers_named(self, name: str | None) -> list[Body]:
        """One server, if there is such, or all."""
        if name is not None:
            return list(self._mcp_servers([name]).values())
        return [one.body for one in records.listed(self.table, keys.MCP_SERVERS)]

    def update_mcp_access_endpoint(
        self,
        server_name: str,
        endpoint_id: str,
        server_version: Any = NOT_SET,
        server_alias: Any = NOT_SET,
        url: Any = NOT_SET,
        transport_type: Any = NOT_SET,
        last_updated_by: str | None = None,
    ) -> MCPAccessEndpoint:
        version = None if server_version is NOT_SET else server_version
        alias = None if server_alias is NOT_SET else server_alias
        if version is not None and alias is not None:
            raise MlflowException(
                "Cannot set both server_version and server_alias in a single update",
                error_code=INVALID_PARAMETER_VALUE,
            )

        def change(server: Body) -> None:
            endpoint = _endpoint(server, endpoint_id)
            if version is not None:
                check_version(server, version, "update MCP access endpoint to")
                endpoint |= {"version": version, "alias": None}
            if alias is not None:
                check_alias(server, alias)
                endpoint |= {"version": None, "alias": alias}
            if url is not NOT_SET:
                _check_url(url)
                endpoint["url"] = url
            if transport_type is not NOT_SET and transport_type is not None:
                endpoint["transport"] = transport_type.value
            endpoint |= {"updated_by": last_updated_by, "updated": get_current_time_millis()}
            if target(server, endpoint) is None:
                raise MlflowException(
                    f"MCPAccessEndpoint {endpoint_id} leads to a deleted version", BAD_REQUEST
                )

        server = self._edit_mcp_server(server_name, change, lambda: _no_endpoint(endpoint_id))
        return self._mcp_endpoint(server, server["endpoints"][endpoint_id])

    def delete_mcp_access_endpoint(self, server_name: str, endpoint_id: str) -> None:
        def change(server: Body) -> None:
            _endpoint(server, endpoint_id)
            del server["endpoints"][endpoint_id]

        self._edit_mcp_server(server_name, change, lambda: _no_endpoint(endpoint_id))


def _endpoint(server: Body, endpoint_id: str) -> Body:
    found: Body | None = server["endpoints"].get(endpoint_id)
    if found is None:
        raise _no_endpoint(endpoint_id)
    return found


def _check_url(url: str | None) -> None:
    if url is None:
        raise MlflowException(
            "MCP access endpoint url cannot be None", error_code=INVALID_PARAMETER_VALUE
        )
    _validate_mcp_access_endpoint_url(url)


def _no_endpoint(endpoint_id: str) -> MlflowException:
    return MlflowException(
        f"MCPAccessEndpoint {endpoint_id} not found", error_code=RESOURCE_DOES_NOT_EXIST
    )
