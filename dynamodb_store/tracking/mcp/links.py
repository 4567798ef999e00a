"""Which versions of MCP servers a trace has used.

MLflow declares these two methods and no store of its own has them yet, so what they answer is ours
to say: links need a trace and versions that are there; what is deleted later is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlflow.entities.mcp_server_version import MCPServerVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from dynamodb_store import keys
from dynamodb_store.entities.mcp_server import live
from dynamodb_store.errors import ConditionFailed
from dynamodb_store.table import Action
from dynamodb_store.tracking.mcp.base import no_version
from dynamodb_store.tracking.mcp.versions import McpVersions

_SLICE = 99
"""Links that one transaction writes beside the check of the trace."""


class McpLinks(McpVersions):
    """See mlflow.store.tracking.mcp_server_registry for what each method promises."""

    def link_mcp_server_versions_to_trace(
        self, trace_id: str, mcp_servers: list[MCPServerVersion]
    ) -> None:
        wanted = list(dict.fromkeys((one.name, one.version) for one in mcp_servers))
        servers = self._mcp_servers(name for name, _ in wanted)
        for name, version in wanted:
            if name not in servers or live(servers[name], version) is None:
                raise no_version(name, version)
        for at in range(0, len(wanted), _SLICE):
            self._link_mcp_slice(trace_id, wanted[at : at + _SLICE])

    def _link_mcp_slice(self, trace_id: str, some: Sequence[tuple[str, str]]) -> None:
        puts: list[Action] = []
        for name, version in some:
            pk, sk = keys.mcp_link(trace_id, name, version)
            puts.append(("Put", {"Item": {"pk": pk, "sk": sk, "name": name, "version": version}}))
        there = {
            "Key": (keys.trace(trace_id), keys.HEAD),
            "ConditionExpression": "attribute_exists(pk)",
        }
        try:
            self.table.transact([("ConditionCheck", there), *puts])
        except ConditionFailed as failed:
            raise _no_trace(trace_id) from failed

    def get_mcp_server_versions_for_trace(self, trace_id: str) -> list[MCPServerVersion]:
        if self.table.get((keys.trace(trace_id), keys.HEAD)) is None:
            raise _no_trace(trace_id)
        links = list(self.table.query_all(keys.mcp_links(trace_id)))
        pairs = sorted((link["name"], link["version"]) for link in links)
        servers = self._mcp_servers(name for name, _ in pairs)
        linked = [
            (servers[name], found)
            for name, version in pairs
            if name in servers and (found := live(servers[name], version)) is not None
        ]
        return self._mcp_versions(linked)

    def _purge_trace(self, trace_id: str) -> None:
        for link in list(self.table.query_all(keys.mcp_links(trace_id))):
            self.table.batch_write(deletes=[(link["pk"], link["sk"])])
        super()._purge_trace(trace_id)


def _no_trace(trace_id: str) -> MlflowException:
    return MlflowException(f"Trace with ID '{trace_id}' not found.", RESOURCE_DOES_NOT_EXIST)
