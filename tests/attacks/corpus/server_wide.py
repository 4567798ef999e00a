"""What belongs to the server or to its admins, and lists over everything."""

from __future__ import annotations

from tests.attacks.attempt import BAD, NOTHING, UNKNOWN, Attempt, Expect, get, post, send

A = "/api/2.0/mlflow"
X2 = "/ajax-api/2.0/mlflow"
V3 = "/api/3.0/mlflow"
X3 = "/ajax-api/3.0/mlflow"
_G = f"{V3}/gateway"
_ASSISTANT = f"{X3}/assistant"
BAD_BY_MLFLOW = Expect(400, "INVALID_PARAMETER_VALUE", by_mlflow=True)
_AGENT = "it runs a coding agent with a shell on the server"

ROWS = (
    Attempt("assistant-config-read", _AGENT, get(f"{_ASSISTANT}/config")),
    Attempt(
        "assistant-config-write",
        _AGENT,
        send("PUT", f"{_ASSISTANT}/config", {"providers": {}}, X_Forwarded_For="127.0.0.1"),
    ),
    Attempt("assistant-message", _AGENT, post(f"{_ASSISTANT}/message", {"message": "id"})),
    Attempt("assistant-skills", _AGENT, post(f"{_ASSISTANT}/skills/install", {"type": "global"})),
    Attempt(
        "assistant-by-api",
        "the twin of the path",
        get("/api/3.0/mlflow/assistant/config"),
        UNKNOWN,
    ),
    Attempt(
        "assistant-as-admin",
        "nobody may, not even an admin",
        get(f"{_ASSISTANT}/config", None, "dave"),
        sees=True,
    ),
    Attempt(
        "job-submit",
        "CVE-2026-0545: any job, with any experiment in its parameters",
        post(
            "/ajax-api/3.0/jobs/",
            {"job_name": "invoke_scorer", "params": {"experiment_id": "@E@"}},
        ),
    ),
    Attempt(
        "job-submit-without-slash",
        "the other spelling of the path",
        post("/ajax-api/3.0/jobs", {"job_name": "invoke_scorer", "params": {}}),
        UNKNOWN,
    ),
    Attempt("job-search", "others' parameters and results", post("/ajax-api/3.0/jobs/search", {})),
    Attempt("job-get", "by its id", get("/ajax-api/3.0/jobs/@NO_ID@")),
    Attempt("job-get-twin", "the Flask twin", get(f"{X3}/jobs/@NO_ID@")),
    Attempt("job-cancel", "by its id", send("PATCH", f"{X3}/jobs/cancel/@NO_ID@")),
    Attempt("webhook-list", "URLs and secrets of integrations", get(f"{A}/webhooks")),
    Attempt(
        "webhook-create",
        "CVE-2026-2393: the server calls an address of the caller's choice",
        post(
            f"{A}/webhooks",
            {
                "name": "x",
                "url": "https://169.254.169.254/latest",
                "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
            },
        ),
    ),
    Attempt("webhook-test", "calls it at once", post(f"{A}/webhooks/@NO_ID@/test", {})),
    Attempt(
        "secret-list",
        "the provider keys that the server holds",
        get(f"{_G}/secrets/list"),
        direct="leaks",
    ),
    Attempt(
        "secret-get",
        "by its id",
        get(f"{_G}/secrets/get?secret_id=@KEY@"),
        direct="leaks",
        twin={"@KEY@": "@NO_ID@"},
    ),
    Attempt(
        "secret-config",
        "tells that the default passphrase is in use",
        get(f"{X3}/gateway/secrets/config"),
    ),
    Attempt(
        "secret-update",
        "replaces the key",
        post(f"{_G}/secrets/update", {"secret_id": "@KEY@", "secret_value": {"api_key": "x"}}),
        direct="changes",
    ),
    Attempt(
        "secret-delete",
        "by its id",
        send("DELETE", f"{_G}/secrets/delete", {"secret_id": "@KEY@"}),
    ),
    Attempt(
        "endpoint-create",
        "an endpoint that spends the key, logging into another's experiment",
        post(f"{_G}/endpoints/create", {"name": "x", "experiment_id": "@E@"}),
    ),
    Attempt("endpoint-list", "all endpoints", get(f"{_G}/endpoints/list")),
    Attempt("gateway-models", "lists endpoints as well", get("/gateway/mlflow/v1/models")),
    Attempt(
        "gateway-invoke",
        "spends the key",
        post("/gateway/mlflow/v1/chat/completions", {"model": "x", "messages": []}),
    ),
    Attempt(
        "gateway-invoke-compact",
        "the one that MLflow's own list omits",
        post("/gateway/openai/v1/responses/compact", {"model": "x", "input": "x"}),
    ),
    Attempt(
        "gateway-invoke-as-agent",
        "this User-Agent makes MLflow pass the caller's credential on",
        post(
            "/gateway/anthropic/v1/messages",
            {"model": "x", "messages": []},
            User_Agent="claude-cli/1.0",
        ),
    ),
    Attempt(
        "gateway-proxy",
        "GHSA-wxj7: calls an address of the caller's choice",
        get(f"{X2}/gateway-proxy?gateway_path=gateway/x/invocations"),
        BAD,
    ),
    Attempt(
        "gateway-proxy-list",
        "the one path that is forwarded, with a body for MLflow to send along",
        get(f"{X2}/gateway-proxy?gateway_path=api/2.0/endpoints/&json_data=x"),
        NOTHING,
    ),
    Attempt(
        "gateway-proxy-no-path",
        "what MLflow makes of it without one is its own affair",
        get(f"{X2}/gateway-proxy"),
        BAD,
    ),
    Attempt(
        "gateway-proxy-two-paths",
        "one is read, the other is called",
        get(f"{X2}/gateway-proxy?gateway_path=api/2.0/endpoints/&gateway_path=../x"),
        BAD,
    ),
    Attempt(
        "gateway-proxy-longer-path",
        "begins like the one that is forwarded",
        get(f"{X2}/gateway-proxy?gateway_path=api/2.0/endpoints/%2e%2e/x"),
        BAD,
    ),
    Attempt(
        "gateway-proxy-slashes",
        "MLflow strips them before it looks and calls the path with them",
        get(f"{X2}/gateway-proxy?gateway_path=//evil.example/api/2.0/endpoints"),
        BAD,
    ),
    Attempt(
        "gateway-proxy-leading-slash",
        "MLflow takes it for the same path and calls another address",
        get(f"{X2}/gateway-proxy?gateway_path=/api/2.0/endpoints"),
        BAD,
    ),
    Attempt(
        "gateway-proxy-post",
        "the same as a POST",
        post(f"{X2}/gateway-proxy", {"gateway_path": "../../x", "json_data": {}}),
    ),
    Attempt("workspace-list", "other tenants", get(f"{V3}/workspaces")),
    Attempt(
        "workspace-delete",
        "with its mode in the query",
        send("DELETE", f"{V3}/workspaces/default?mode=CASCADE"),
    ),
    Attempt("demo-generate", "makes a shared experiment", post(f"{X3}/demo/generate", {})),
    Attempt("demo-delete", "deletes it", post(f"{X3}/demo/delete", {})),
    Attempt("mcp-list", "servers of agents", get(f"{V3}/mcp-servers")),
    Attempt("mcp-create", "adds one", post(f"{V3}/mcp-servers", {"name": "a/b"})),
    Attempt(
        "mcp-name-encoded",
        "%2f in the name is a slash to MLflow",
        get(f"{V3}/mcp-servers/a%2fb"),
        BAD,
    ),
    Attempt("users-api", "MLflow's own accounts", get(f"{A}/users/get?username=admin"), UNKNOWN),
    Attempt(
        "users-admin",
        "GHSA-4qq5: makes oneself an admin",
        send("PATCH", f"{A}/users/update-admin", {"username": "carol", "is_admin": True}),
        UNKNOWN,
    ),
    Attempt(
        "unified-traces",
        "a route of Databricks that some server may serve",
        get(f"{A}/unified-traces?experiment_ids=@E@"),
    ),
    Attempt(
        "online-trace-details",
        "another one",
        get(f"{A}/get-online-trace-details?trace_id=@T@"),
    ),
    Attempt("metrics-of-flask", "a Prometheus exporter", get("/metrics"), UNKNOWN),
    Attempt("docs-of-fastapi", "FastAPI's own pages", get("/openapi.json"), UNKNOWN),
    # --- lists and their page tokens ----------------------------------------------------------
    Attempt(
        "page-token-of-another",
        "a page token carries the view of the one it was made for",
        post(f"{A}/experiments/search", {"max_results": 1, "page_token": "@PAGE@"}),
        BAD,
    ),
    Attempt(
        "page-token-raw",
        "MLflow's own token skips rows without a look",
        post(f"{A}/experiments/search", {"max_results": 1, "page_token": "@RAW_PAGE@"}),
        BAD,
    ),
    Attempt(
        "page-token-tampered",
        "a changed byte",
        post(f"{A}/experiments/search", {"max_results": 1, "page_token": "@PAGE@A"}),
        BAD,
    ),
    Attempt(
        "page-token-in-model-search",
        "a token of another search",
        get(f"{A}/registered-models/search?max_results=1&page_token=@PAGE@"),
        BAD,
    ),
    Attempt(
        "page-token-raw-in-runs",
        "runs/search passes it on: the experiments stay narrowed",
        post(
            f"{A}/runs/search",
            {"experiment_ids": ["@E@", "@EU@"], "max_results": 1, "page_token": "@RAW_PAGE@"},
        ),
        NOTHING,
    ),
    Attempt(
        "search-order-by-hidden",
        "the order of hidden rows",
        post(
            f"{A}/experiments/search",
            {"max_results": 100, "order_by": ["name DESC"], "view_type": "ALL"},
        ),
        NOTHING,
        direct="leaks",
    ),
    Attempt(
        "search-prompts",
        "prompts are models with a tag",
        get(
            f"{A}/registered-models/search?filter=tag.%60mlflow.prompt.is_prompt%60%20%3D%20%27true%27"
        ),
        NOTHING,
        direct="leaks",
    ),
    Attempt(
        "search-deleted",
        "what is deleted has lost its protection",
        post(f"{A}/experiments/search", {"max_results": 100, "view_type": "DELETED_ONLY"}),
        NOTHING,
    ),
    Attempt(
        "search-versions-of-shared-run",
        "a run that the caller may read, a model made from it that is hidden",
        get(f"{A}/model-versions/search?filter=run_id%3D%27@RX@%27"),
        NOTHING,
        direct="leaks",
    ),
    Attempt(
        "search-bad-filter",
        "MLflow's error tells its columns",
        post(f"{A}/experiments/search", {"max_results": 5, "filter": "nonsense ' OR 1=1"}),
        BAD_BY_MLFLOW,
    ),
)
