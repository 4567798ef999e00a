"""The mixins of the registry of MCP servers in one."""

from __future__ import annotations

from dynamodb_store.tracking.mcp.endpoints import McpEndpoints
from dynamodb_store.tracking.mcp.links import McpLinks
from dynamodb_store.tracking.mcp.servers import McpServers


class McpRegistry(McpServers, McpEndpoints, McpLinks):
    """Servers, their versions and access endpoints, links of traces to versions."""
