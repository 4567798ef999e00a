"""Versions of MCP servers: create, read, resolve, search, change, delete softly; their tags."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from mlflow.entities.mcp_server import MCPStatus, MCPTool, validate_mcp_server_name
from mlflow.entities.mcp_server_version import ConnectOptionSettings, MCPServerVersion
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
    _strip_server_json_icon_response_fields,
    _strip_tool_icon_response_fields,
    _validate_server_json_icon_fields,
    _validate_status_transition,
    _validate_tool_icons,
)
from mlflow.utils.semver_utils import parse_semver
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import _validate_mcp_initial_status

from dynamodb_store import keys, records
from dynamodb_store.entities.mcp_server import (
    DELETED,
    LATEST,
    drop_endpoints,
    live_versions,
    new_server,
    version_of,
)
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.records import Body, Record
from dynamodb_store.search.mcp_servers import version_filter, version_order
from dynamodb_store.search.page import Token, check_max_results
from dynamodb_store.tracking.mcp.base import (
    McpBase,
    drop_unresolvable,
    latest_or_raise,
    live_or_raise,
    no_alias,
    no_version,
    offset_page,
)

Options = dict[str, ConnectOptionSettings]


class McpVersions(McpBase):
    """See mlflow.store.tracking.mcp_server_registry for what each method promises."""

    def create_mcp_server_version(
        self,
        server_json: dict[str, Any],
        source: str | None = None,
        status: MCPStatus | None = None,
        tools: Any = NOT_SET,
        created_by: str | None = None,
        connect_options: Options | None = None,
    ) -> MCPServerVersion:
        server_json = _checked_server_json(server_json)
        status = status or MCPStatus.DRAFT
        _validate_mcp_initial_status(status)
        content = {
            "server_json": server_json,
            "tools": _tools(None if tools is NOT_SET else tools),
            "connect_options": _options(connect_options),
        }
        now = get_current_time_millis()
        facts = {
            "version": server_json["version"],
            "status": status.value,
            "source": source,
            "created_by": created_by,
            "updated_by": created_by,
            "created": now,
            "updated": now,
            "tags": {},
        }
        return self._add_mcp_version(server_json["name"], facts, content)

    def _add_mcp_version(self, name: str, facts: Body, content: Body) -> MCPServerVersion:
        """Add a version to a server, which is made when there is none."""
        for _ in self.table.attempts():
            record = records.get(self.table, keys.MCP_SERVERS, keys.mcp_server(name))
            if record is None:
                server = new_server(uuid.uuid4().hex, name, facts["created_by"], facts["created"])
                record = Record(keys.MCP_SERVERS, keys.mcp_server(name), server)
            if facts["version"] in record.body["versions"]:
                raise MlflowException(
                    f"MCP server version '{name}' version '{facts['version']}' already exists",
                    error_code=RESOURCE_ALREADY_EXISTS,
                )
            place = self._put_mcp_content(record.body, facts["version"], content)
            record.body["versions"][facts["version"]] = {**facts, "content": place}
            try:
                (records.save if record.revision else records.create)(self.table, record)
            except ConditionFailed:
                continue  # another writer was faster
            version = record.body["versions"][facts["version"]]
            return version_of(record.body, version, {place: content})
        raise AssertionError  # attempts() never ends by itself

    def _put_mcp_content(self, server: Body, version: str, content: Body) -> str:
        return records.put_content(
            self.table,
            keys.mcp_contents(server["id"]),
            partial(keys.mcp_content, version),
            content,
        )

    def get_mcp_server_version(self, name: str, version: str) -> MCPServerVersion:
        server = self._mcp_server_of_version(name, version)
        return self._mcp_version(server, live_or_raise(server, version))

    def _mcp_server_of_version(self, name: str, version: str) -> Body:
        found = self._mcp_servers([name])
        if not found:
            raise no_version(name, version)
        return found[name]

    def _mcp_version(self, server: Body, version: Body) -> MCPServerVersion:
        return version_of(server, version, self._mcp_contents([(server, version)]))

    def get_mcp_server_version_by_alias(self, name: str, alias: str) -> MCPServerVersion:
        if alias == LATEST:
            return self.get_latest_mcp_server_version(name)
        server = self._mcp_servers([name]).get(name)
        if server is None or alias not in server["aliases"]:
            raise no_alias(name, alias)
        return self._mcp_version(server, live_or_raise(server, server["aliases"][alias]))

    def get_latest_mcp_server_version(self, name: str) -> MCPServerVersion:
        server = self._mcp_server(name)
        return self._mcp_version(server, latest_or_raise(server))

    def search_mcp_server_versions(
        self,
        name: str,
        filter_string: str | None = None,
        max_results: int = SEARCH_MAX_RESULTS_DEFAULT,
        order_by: list[str] | None = None,
        page_token: Token | None = None,
    ) -> PagedList[MCPServerVersion]:
        check_max_results(max_results)
        test, order = version_filter(name, filter_string), version_order(order_by)
        server = self._mcp_servers([name]).get(name)
        found = [] if server is None else sorted(filter(test, live_versions(server)), key=order)
        page = offset_page(found, max_results, page_token)
        return PagedList(self._mcp_versions([(server, one) for one in page]), page.token)

    def _mcp_versions(self, pairs: Sequence[tuple[Any, Body]]) -> list[MCPServerVersion]:
        """Versions, each given with its server."""
        contents = self._mcp_contents(pairs)
        return [version_of(server, version, contents) for server, version in pairs]

    def update_mcp_server_version(
        self,
        name: str,
        version: str,
        status: Any = NOT_SET,
        tools: Any = NOT_SET,
        last_updated_by: str | None = None,
        connect_options: Any = NOT_SET,
    ) -> MCPServerVersion:
        new: Body = {}
        if tools is not NOT_SET:
            new["tools"] = _tools(tools)
        if connect_options is not NOT_SET:
            new["connect_options"] = _options(connect_options)

        def change(server: Body) -> None:
            facts = live_or_raise(server, version)
            if status is None:
                raise MlflowException.invalid_parameter_value(
                    "status cannot be null; omit the field to leave it unchanged"
                )
            if status is not NOT_SET:
                _validate_status_transition(MCPStatus(facts["status"]), status)
                facts["status"] = status.value
                drop_unresolvable(server)
            if new:
                content = self._mcp_contents([(server, facts)])[facts["content"]] | new
                facts["content"] = self._put_mcp_content(server, version, content)
            facts |= {"updated_by": last_updated_by, "updated": get_current_time_millis()}

        server = self._edit_mcp_server(name, change, lambda: no_version(name, version))
        return self._mcp_version(server, server["versions"][version])

    def delete_mcp_server_version(self, name: str, version: str) -> None:
        def change(server: Body) -> None:
            facts = server["versions"].get(version)
            if facts is None:
                raise no_version(name, version)
            _validate_status_transition(MCPStatus(facts["status"]), MCPStatus.DELETED)
            aliases = [alias for alias, one in server["aliases"].items() if one == version]
            drop_endpoints(server, version=version, aliases=aliases)
            for alias in aliases:
                del server["aliases"][alias]
            facts |= {"status": DELETED, "updated": get_current_time_millis()}
            drop_unresolvable(server)

        self._edit_mcp_server(name, change, lambda: no_version(name, version))

    def set_mcp_server_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        def change(server: Body) -> None:
            live_or_raise(server, version)["tags"][key] = value

        self._edit_mcp_server(name, change, lambda: no_version(name, version))

    def delete_mcp_server_version_tag(self, name: str, version: str, key: str) -> None:
        def change(server: Body) -> None:
            tags = live_or_raise(server, version)["tags"]
            if key not in tags:
                raise MlflowException(
                    f"Tag '{key}' not found on MCP server version '{name}' version '{version}'",
                    error_code=RESOURCE_DOES_NOT_EXIST,
                )
            del tags[key]

        self._edit_mcp_server(name, change, lambda: no_version(name, version))


def _checked_server_json(server_json: dict[str, Any]) -> dict[str, Any]:
    name, version = server_json.get("name"), server_json.get("version")
    if not name or not version:
        raise MlflowException(
            "server_json must contain 'name' and 'version' keys",
            error_code=INVALID_PARAMETER_VALUE,
        )
    validate_mcp_server_name(name)
    cleaned: dict[str, Any] = _strip_server_json_icon_response_fields(server_json)
    _validate_server_json_icon_fields(cleaned)
    parse_semver(version, param_name="server_json.version")
    return cleaned


def _tools(tools: list[MCPTool] | None) -> list[Body] | None:
    tools = _strip_tool_icon_response_fields(tools)
    _validate_tool_icons(tools)
    return None if tools is None else [tool.to_dict() for tool in tools]


def _options(options: Options | None) -> Body | None:
    return None if options is None else {key: asdict(one) for key, one in options.items()}
