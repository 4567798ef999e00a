"""An MCP server as one record: its versions, aliases, tags and access endpoints, small facts all.

What a version contains (server.json, tools, options) may be large. It lies beside the record under
the hash of its content and never changes; the record says which content is a version's. So one
conditional write changes anything about a server, and rules that span versions, aliases and
endpoints hold at each moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlflow.entities.mcp_access_endpoint import MCPAccessEndpoint
from mlflow.entities.mcp_server import MCPRemoteTransportType, MCPServer, MCPStatus, MCPTool
from mlflow.entities.mcp_server_version import ConnectOptionSettings, MCPServerVersion
from mlflow.store.tracking.dbmodels.models import _resolve_mcp_server_icons
from mlflow.utils.semver_utils import encode_prerelease_sort_key, parse_semver

from dynamodb_store.records import Body

ACTIVE, DELETED = MCPStatus.ACTIVE.value, MCPStatus.DELETED.value
LATEST = "latest"
"""The alias that MLflow resolves by itself."""

Contents = Mapping[str, Body]
"""Contents of versions by their sort keys."""


def new_server(server_id: str, name: str, created_by: str | None, now: int) -> Body:
    """The body of a server without versions."""
    return {
        "id": server_id,
        "name": name,
        "display_name": None,
        "description": None,
        "icons": None,
        "created_by": created_by,
        "updated_by": created_by,
        "created": now,
        "updated": now,
        "tags": {},
        "aliases": {},
        "versions": {},
        "endpoints": {},
    }


def semver(version: str) -> tuple[int, int, int, str]:
    """What orders versions by SemVer."""
    parsed = parse_semver(version)
    key: str = encode_prerelease_sort_key(parsed)
    return (parsed.major, parsed.minor, parsed.patch, key)


def live(server: Body, version: str | None) -> Body | None:
    """The facts of a version that is there and not deleted."""
    found: Body | None = server["versions"].get(version)
    return None if found is None or found["status"] == DELETED else found


def live_versions(server: Body) -> list[Body]:
    """The facts of all versions that are not deleted."""
    return [one for one in server["versions"].values() if one["status"] != DELETED]


def latest(server: Body) -> Body | None:
    """The highest active version, or the highest of the others."""
    return max(
        live_versions(server),
        key=lambda one: (
            one["status"] == ACTIVE,
            *semver(one["version"]),
            one["created"],
            one["version"],
        ),
        default=None,
    )


def target(server: Body, endpoint: Body) -> Body | None:
    """The version that an endpoint leads to now."""
    if endpoint["version"] is not None:
        return live(server, endpoint["version"])
    if endpoint["alias"] == LATEST:
        return latest(server)
    return live(server, server["aliases"].get(endpoint["alias"]))


def reachable(server: Body) -> Iterator[tuple[Body, Body]]:
    """The endpoints that lead to a version, by id, each with that version."""
    for _, endpoint in sorted(server["endpoints"].items()):
        if (version := target(server, endpoint)) is not None:
            yield endpoint, version


def needed(server: Body) -> Iterator[Body]:
    """The versions whose contents ``server_of`` shows."""
    if (newest := latest(server)) is not None:
        yield newest
    for _, version in reachable(server):
        yield version


def drop_endpoints(server: Body, *, version: str | None = None, aliases: Iterable[str]) -> None:
    """Remove the endpoints of a version or of aliases."""
    gone = set(aliases)
    server["endpoints"] = {
        name: endpoint
        for name, endpoint in server["endpoints"].items()
        if endpoint["alias"] not in gone and (version is None or endpoint["version"] != version)
    }


def server_of(server: Body, contents: Contents) -> MCPServer:
    """MLflow's MCPServer; description and icons come from the latest version when not set."""
    newest = latest(server)
    parent: Body = {} if newest is None else contents[newest["content"]]["server_json"]
    description = server["description"]
    return MCPServer(
        name=server["name"],
        display_name=server["display_name"],
        description=parent.get("description") if description is None else description,
        icons=_resolve_mcp_server_icons(server["icons"], parent.get("icons")),
        status=None if newest is None else MCPStatus(newest["status"]),
        tags=dict(server["tags"]),
        aliases=dict(server["aliases"]),
        access_endpoints=[
            endpoint_of(server, endpoint, version, contents)
            for endpoint, version in reachable(server)
        ],
        latest_version=None if newest is None else newest["version"],
        **_stamps(server),
    )


def version_of(server: Body, version: Body, contents: Contents) -> MCPServerVersion:
    """MLflow's MCPServerVersion."""
    content = contents[version["content"]]
    tools = content["tools"]
    return MCPServerVersion(
        name=server["name"],
        version=version["version"],
        server_json=content["server_json"],
        status=MCPStatus(version["status"]),
        tools=None if tools is None else [MCPTool.from_dict(tool) for tool in tools],
        aliases=sorted(
            alias for alias, name in server["aliases"].items() if name == version["version"]
        ),
        tags=dict(version["tags"]),
        connect_options={
            name: ConnectOptionSettings(**option)
            for name, option in (content["connect_options"] or {}).items()
        },
        source=version["source"],
        **_stamps(version),
    )


def endpoint_of(
    server: Body, endpoint: Body, version: Body, contents: Contents
) -> MCPAccessEndpoint:
    """MLflow's MCPAccessEndpoint with the version that it leads to."""
    return MCPAccessEndpoint(
        id=endpoint["id"],
        server_name=server["name"],
        url=endpoint["url"],
        transport_type=MCPRemoteTransportType(endpoint["transport"]),
        server_version=endpoint["version"],
        server_alias=endpoint["alias"],
        resolved_version=version_of(server, version, contents),
        **_stamps(endpoint),
    )


def _stamps(facts: Body) -> dict[str, Any]:
    return {
        "created_by": facts["created_by"],
        "last_updated_by": facts["updated_by"],
        "creation_timestamp": facts["created"],
        "last_updated_timestamp": facts["updated"],
    }
