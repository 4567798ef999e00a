"""MCP servers with versions, tags, aliases and access endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import (
    SqlMCPAccessEndpoint,
    SqlMCPServer,
    SqlMCPServerAlias,
    SqlMCPServerTag,
    SqlMCPServerVersion,
    SqlMCPServerVersionTag,
)

from dynamodb_store import keys, records
from dynamodb_store.codec import Item
from dynamodb_store.entities.mcp_server import new_server, semver
from dynamodb_store.records import Body, Record
from dynamodb_store.table import Table
from dynamodb_store.transfer.kind import Child, Kind, default_workspace
from dynamodb_store.transfer.rows import Row, Rows, by, made_id
from dynamodb_store.transfer.sql import Sql

_STAMPS = {
    "created_by": "created_by",
    "updated_by": "last_updated_by",
    "created": "created_at",
    "updated": "last_updated_at",
}
_SERVER = {
    "name": "name",
    "display_name": "display_name",
    "description": "description",
    "icons": "icons",
    **_STAMPS,
}
_VERSION = {"version": "version", "status": "status", "source": "source", **_STAMPS}
_ENDPOINT = {
    "id": "id",
    "url": "url",
    "transport": "transport_type",
    "version": "server_version",
    "alias": "server_alias",
    **_STAMPS,
}
"""Names in the server's record and columns."""
_CONTENT = ("server_json", "tools", "connect_options")
_SEMVER = ("version_major", "version_minor", "version_patch", "version_prerelease_sort_key")


class McpServers(Kind):
    """``mcp_servers``, ``mcp_server_versions``, their tags, aliases, ``mcp_access_endpoints``."""

    name = "MCP servers"
    root = SqlMCPServer.__table__
    key = ("workspace", "name")
    page = 10
    children = (
        Child(SqlMCPServerTag.__table__, ("name",)),
        Child(SqlMCPServerVersion.__table__, ("name",)),
        Child(SqlMCPServerVersionTag.__table__, ("name",)),
        Child(SqlMCPServerAlias.__table__, ("name",)),
        Child(SqlMCPAccessEndpoint.__table__, ("server_name",), "mcp_servers", ("name",)),
    )

    def complete(self, sql: Sql, rows: Rows) -> None:
        """The columns that MLflow derives of a version's number are derived again."""
        for row in rows["mcp_server_versions"]:
            if _is_semver(row["version"]):
                row |= dict(zip(_SEMVER, semver(row["version"]), strict=True))

    def problems(self, rows: Rows) -> Iterator[str]:
        for name in self.tables():
            yield from default_workspace(rows[name], name)
        for row in rows["mcp_server_versions"]:
            if not _is_semver(row["version"]):
                yield f"mcp_server_versions: {row['version']} of {row['name']} is no version number"
        known = {(row["name"], row["version"]) for row in rows["mcp_server_versions"]}
        for row in rows["mcp_server_version_tags"]:
            if (row["name"], row["version"]) not in known:
                yield (
                    f"mcp_server_version_tags: version {row['version']} of {row['name']} "
                    "does not exist"
                )

    def items(self, rows: Rows) -> Iterable[Item]:
        below = {
            name: by(rows[name], "name")
            for name in ("mcp_server_tags", "mcp_server_versions", "mcp_server_aliases")
        }
        below["mcp_access_endpoints"] = by(rows["mcp_access_endpoints"], "server_name")
        tags = by(rows["mcp_server_version_tags"], "name", "version")
        for row in rows["mcp_servers"]:
            its = {name: some.get(row["name"], []) for name, some in below.items()}
            yield from _items(row, its, tags)

    def stored(self, table: Table) -> Iterator[Rows]:
        for record in records.listed(table, keys.MCP_SERVERS):
            yield _rows(table, record.body)


def _items(row: Row, its: Rows, tags: dict[tuple[str, str], list[Row]]) -> Iterator[Item]:
    body = new_server(made_id("mcp", row["name"]), row["name"], None, 0) | _body(row, _SERVER)
    body["tags"] = _tags(its["mcp_server_tags"])
    body["aliases"] = {one["alias"]: one["version"] for one in its["mcp_server_aliases"]}
    body["endpoints"] = {one["id"]: _body(one, _ENDPOINT) for one in its["mcp_access_endpoints"]}
    for one in its["mcp_server_versions"]:
        version = one["version"]
        content = records.content_record(
            keys.mcp_contents(body["id"]),
            partial(keys.mcp_content, version),
            {name: one[name] for name in _CONTENT},
        )
        yield from records.items_of(content)
        body["versions"][version] = {
            **_body(one, _VERSION),
            "tags": _tags(tags.get((row["name"], version), [])),
            "content": content.sk,
        }
    yield from records.items_of(Record(keys.MCP_SERVERS, keys.mcp_server(row["name"]), body))


def _rows(table: Table, body: Body) -> Rows:
    named = {"workspace": "default", "name": body["name"]}
    rows: Rows = {
        "mcp_servers": [{**named, **_row(body, _SERVER)}],
        "mcp_server_tags": _tag_rows(named, body["tags"]),
        "mcp_server_versions": [],
        "mcp_server_version_tags": [],
        "mcp_server_aliases": [
            {**named, "alias": alias, "version": to} for alias, to in body["aliases"].items()
        ],
        "mcp_access_endpoints": [
            {"workspace": "default", "server_name": body["name"], **_row(one, _ENDPOINT)}
            for one in body["endpoints"].values()
        ],
    }
    partition = keys.mcp_contents(body["id"])
    versions = list(body["versions"].values())
    contents = records.get_many(table, [(partition, one["content"]) for one in versions])
    for one, content in zip(versions, contents, strict=True):
        place = {**named, "version": one["version"]}
        rows["mcp_server_versions"].append(
            {
                **named,
                **_row(one, _VERSION),
                **dict(zip(_SEMVER, semver(one["version"]), strict=True)),
                **{name: content.body[name] for name in _CONTENT},
            }
        )
        rows["mcp_server_version_tags"] += _tag_rows(place, one["tags"])
    return rows


def _is_semver(version: str) -> bool:
    try:
        semver(version)
    except MlflowException:
        return False
    return True


def _tags(rows: Iterable[Row]) -> Body:
    return {row["key"]: row["value"] for row in rows}


def _tag_rows(place: Row, tags: Body) -> list[Row]:
    return [{**place, "key": key, "value": value} for key, value in tags.items()]


def _body(row: Row, columns: dict[str, str]) -> Body:
    return {mine: row[theirs] for mine, theirs in columns.items()}


def _row(body: Body, columns: dict[str, str]) -> Row:
    return {theirs: body[mine] for mine, theirs in columns.items()}
