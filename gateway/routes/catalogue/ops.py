"""Everything else: the UI, health, GraphQL, webhooks, workspaces, jobs, MCP servers, and what is
never forwarded."""

from __future__ import annotations

from gateway.routes.catalogue.rows import delete, get, patch, post, refused
from gateway.routes.route import AJAX, BARE, Route

_WEBHOOKS = "2.0/mlflow/webhooks"
_WEBHOOK = f"{_WEBHOOKS}/{{webhook_id}}"
_WORKSPACES = "3.0/mlflow/workspaces"
_WORKSPACE = f"{_WORKSPACES}/{{workspace_name}}"

UI: tuple[Route, ...] = (
    get("/", None, scope="server", call="ui"),
    get("/static-files/{path:path}", None, scope="server", call="ui/static"),
    get("/build/{filename:path}", None, scope="server", call="ui/static"),
    get("/health", None, scope="public"),
    get("/version", None, scope="server"),
    get("3.0/mlflow/server-info", None, scope="server"),
    get("3.0/mlflow/ui-telemetry", None, scope="server", prefixes=AJAX, call="ui-telemetry:GET"),
    post(
        "3.0/mlflow/ui-telemetry",
        None,
        scope="server",
        prefixes=AJAX,
        body="free",
        call="ui-telemetry:POST",
    ),
    post("/graphql", None, does="read", body="graphql"),
    refused("GET", "/graphql", "MLflow executes the body of a GET; send a POST.", prefixes=BARE),
)

WEBHOOKS: tuple[Route, ...] = (
    get(_WEBHOOKS, "ListWebhooks", scope="server", call="webhooks:GET"),
    post(_WEBHOOKS, "CreateWebhook", scope="server", call="webhooks:POST"),
    get(_WEBHOOK, "GetWebhook", scope="server", call="webhooks/{id}:GET"),
    patch(_WEBHOOK, "UpdateWebhook", scope="server", call="webhooks/{id}:PATCH"),
    delete(_WEBHOOK, "DeleteWebhook", scope="server", call="webhooks/{id}:DELETE"),
    post(f"{_WEBHOOK}/test", "TestWebhook", scope="server"),
)

WORKSPACES: tuple[Route, ...] = (
    get(_WORKSPACES, "ListWorkspaces", scope="server", call="workspaces:GET"),
    post(_WORKSPACES, "CreateWorkspace", scope="server", call="workspaces:POST"),
    get(_WORKSPACE, "GetWorkspace", scope="server", call="workspaces/{id}:GET"),
    patch(_WORKSPACE, "UpdateWorkspace", scope="server", call="workspaces/{id}:PATCH"),
    delete(
        _WORKSPACE,
        "DeleteWorkspace",
        scope="server",
        call="workspaces/{id}:DELETE",
        query=("mode",),
    ),
)

_JOBS = "3.0/jobs"

JOBS: tuple[Route, ...] = (
    # MLflow's path has the slash at the end.
    post(f"{_JOBS}/", None, scope="server", prefixes=AJAX, body="free", call="jobs"),
    post(f"{_JOBS}/search", None, scope="server", prefixes=AJAX, body="free", does="read"),
    get(f"{_JOBS}/{{job_id}}", None, scope="server", prefixes=AJAX),
    patch(f"{_JOBS}/cancel/{{job_id}}", None, scope="server", prefixes=AJAX),
    get("3.0/mlflow/jobs/{job_id}", None, scope="server", prefixes=AJAX),
    patch("3.0/mlflow/jobs/cancel/{job_id}", None, scope="server", prefixes=AJAX),
    post("3.0/mlflow/demo/generate", None, scope="server", prefixes=AJAX, body="free"),
    post("3.0/mlflow/demo/delete", None, scope="server", prefixes=AJAX, body="free"),
)

# A server's name is <namespace>/<slug>, and the slug is none of aliases, endpoints, tags, versions
# (validate_mcp_server_name in mlflow/entities/mcp_server.py): two segments, no ambiguity.
_MCP = "3.0/mlflow/mcp-servers"
_SERVER = f"{_MCP}/{{namespace}}/{{slug}}"
_CALL = "mcp-servers/{id}"
_VERSION = f"{_SERVER}/versions/{{version:path}}"
_ALIAS = f"{_SERVER}/aliases/{{alias:path}}"
_ENDPOINT = f"{_SERVER}/endpoints/{{endpoint_id}}"
_SEARCH = {
    "filter_string": "string",
    "max_results": "int32",
    "order_by": "string[]",
    "page_token": "string",
}
_SEARCH_ENDPOINTS = {**_SEARCH, "server_version": "string", "server_alias": "string"}


def _mcp(method: str, path: str, call: str, fields: dict[str, str] | None = None) -> Route:
    if method == "GET":
        return get(path, fields, scope="server", call=call)
    if method == "DELETE":
        return delete(path, None, scope="server", call=call)
    word = post if method == "POST" else patch
    return word(path, None, scope="server", body="free", call=call)


MCP_SERVERS: tuple[Route, ...] = (
    _mcp("GET", _MCP, "mcp-servers:GET", _SEARCH),
    _mcp("POST", _MCP, "mcp-servers:POST"),
    _mcp("GET", f"{_MCP}/endpoints", "mcp-servers/endpoints", _SEARCH_ENDPOINTS),
    _mcp("GET", _SERVER, f"{_CALL}:GET"),
    _mcp("PATCH", _SERVER, f"{_CALL}:PATCH"),
    _mcp("DELETE", _SERVER, f"{_CALL}:DELETE"),
    _mcp("GET", f"{_SERVER}/versions", f"{_CALL}/versions:GET", _SEARCH),
    _mcp("POST", f"{_SERVER}/versions", f"{_CALL}/versions:POST"),
    _mcp("GET", _VERSION, f"{_CALL}/versions/{{version}}:GET"),
    _mcp("PATCH", _VERSION, f"{_CALL}/versions/{{version}}:PATCH"),
    _mcp("DELETE", _VERSION, f"{_CALL}/versions/{{version}}:DELETE"),
    _mcp("POST", f"{_SERVER}/versions/{{version}}/tags", f"{_CALL}/versions/{{version}}/tags"),
    _mcp(
        "DELETE",
        f"{_SERVER}/versions/{{version}}/tags/{{key:path}}",
        f"{_CALL}/versions/{{version}}/tags/{{key}}",
    ),
    _mcp("GET", f"{_SERVER}/endpoints", f"{_CALL}/endpoints:GET", _SEARCH_ENDPOINTS),
    _mcp("POST", f"{_SERVER}/endpoints", f"{_CALL}/endpoints:POST"),
    _mcp("GET", _ENDPOINT, f"{_CALL}/endpoints/{{endpoint_id}}:GET"),
    _mcp("PATCH", _ENDPOINT, f"{_CALL}/endpoints/{{endpoint_id}}:PATCH"),
    _mcp("DELETE", _ENDPOINT, f"{_CALL}/endpoints/{{endpoint_id}}:DELETE"),
    _mcp("POST", f"{_SERVER}/tags", f"{_CALL}/tags"),
    _mcp("DELETE", f"{_SERVER}/tags/{{key:path}}", f"{_CALL}/tags/{{key}}"),
    _mcp("POST", f"{_SERVER}/aliases", f"{_CALL}/aliases"),
    _mcp("GET", _ALIAS, f"{_CALL}/aliases/{{alias}}:GET"),
    _mcp("DELETE", _ALIAS, f"{_CALL}/aliases/{{alias}}:DELETE"),
)

_ASSISTANT = "/3.0/mlflow/assistant"
_AGENT = "It runs a coding agent with a shell on the MLflow host."

REFUSED: tuple[Route, ...] = (
    *(
        refused(method, f"{_ASSISTANT}/{rest}", _AGENT, prefixes=AJAX)
        for method, rest in (
            ("POST", "message"),
            ("PATCH", "sessions/{session_id}"),
            ("GET", "sessions/{session_id}/stream"),
            ("POST", "sessions/{session_id}/permission"),
            ("POST", "sessions/{session_id}/tool-result"),
            ("GET", "providers"),
            ("GET", "providers/{provider}/health"),
            ("GET", "providers/{provider}/models"),
            ("GET", "config"),
            ("PUT", "config"),
            ("POST", "skills/install"),
        )
    ),
    refused("GET", "/2.0/mlflow/unified-traces", "Databricks only; MLflow answers 404."),
    refused("GET", "/2.0/mlflow/get-online-trace-details", "Databricks only; MLflow answers 404."),
)

ROWS: tuple[Route, ...] = (*UI, *WEBHOOKS, *WORKSPACES, *JOBS, *MCP_SERVERS, *REFUSED)
