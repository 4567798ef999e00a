"""One path, two readings: encodings, empty and dot segments, prefixes, fragments."""

from __future__ import annotations

from tests.attacks.attempt import (
    BAD,
    NOBODY,
    UNKNOWN,
    UNPARSED,
    Attempt,
    Request,
    get,
    post,
    send,
)

A = "/api/2.0/mlflow"
_Q = "experiments/get?experiment_id=@E@"

ROWS = (
    Attempt(
        "path-double-slash-front",
        "Flask answers //api as /api; a table of paths does not know it",
        get(f"/{A}/{_Q}"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "path-encoded-slashes",
        "MLflow's server decodes %2f before it routes",
        get(f"/api%2f2.0%2fmlflow/{_Q}"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "path-encoded-letter",
        "%67et is 'get' to MLflow",
        get("/api/2.0/mlflow/experiments/%67et?experiment_id=@E@"),
        direct="leaks",
        twin={"@E@": "@NO_E@"},
    ),
    Attempt(
        "path-double-slash-inside",
        "MLflow answers with a redirect that tells its internal address",
        get(f"/api/2.0//mlflow/{_Q}"),
        BAD,
    ),
    Attempt(
        "path-dot-segment",
        "a server in between may resolve /./",
        get(f"/api/2.0/./mlflow/{_Q}"),
        BAD,
    ),
    Attempt(
        "path-climbs-out-of-public",
        "what begins with a public path is let in before .. is resolved",
        get(f"/health/..{A}/{_Q}", who=None),
        BAD,
    ),
    Attempt(
        "path-climbs-encoded",
        "the same with %2e%2e",
        get(f"/health/%2e%2e{A}/{_Q}", who=None),
        BAD,
    ),
    Attempt(
        "path-climbs-out-of-static",
        "static files are open to everybody signed in",
        get(f"/static-files/..%2f..{A}/{_Q}"),
        BAD,
    ),
    Attempt(
        "path-climbs-out-of-access",
        "the gateway's own prefix is handled elsewhere",
        get(f"/access/..{A}/{_Q}"),
        UNKNOWN,
    ),
    Attempt(
        "path-fragment-hides-rest",
        "what is behind # is cut by one parser and not by the other",
        get(f"{A}/experiments/get#/../health?experiment_id=@E@"),
        BAD,
    ),
    Attempt(
        "path-fragment-public-first",
        "a check that cuts at # sees a public path",
        get(f"/health#{A}/{_Q}", who=None),
        BAD,
    ),
    Attempt(
        "path-semicolon-parameters",
        ";x is a path parameter to some servers (CVE-2024-1593)",
        get("/api/2.0/mlflow/experiments/get;x=/health?experiment_id=@E@"),
        UNKNOWN,
    ),
    Attempt(
        "path-semicolon-artifact",
        "urlparse takes ;params off the last segment",
        get("/api/2.0/mlflow-artifacts/artifacts/@E@/@R@/artifacts/secret.txt;x"),
        BAD,
    ),
    Attempt(
        "path-trailing-slash",
        "some routers ignore a trailing slash",
        get(f"{A}/experiments/get/?experiment_id=@E@"),
        UNKNOWN,
    ),
    Attempt(
        "path-case",
        "a case-insensitive proxy table and a case-sensitive server disagree",
        get("/API/2.0/MLFLOW/experiments/get?experiment_id=@E@"),
        UNKNOWN,
    ),
    Attempt(
        "path-backslash",
        "some parsers take a backslash for a slash",
        get(f"/api\\2.0\\mlflow\\{_Q}"),
        BAD,
    ),
    Attempt(
        "path-nul",
        "C code stops at NUL",
        get(f"{A}/experiments/get%00?experiment_id=@E@"),
        BAD,
    ),
    Attempt(
        "path-overlong-utf8",
        "%c0%af is a slash to lenient decoders",
        get(f"/api%c0%af2.0/mlflow/{_Q}"),
        BAD,
    ),
    Attempt(
        "path-bad-escape",
        "%zz is kept by one decoder and dropped by the next",
        get("/api/2.0/mlflow/experiments/get%zz?experiment_id=@E@"),
        BAD,
    ),
    Attempt(
        "path-query-holds-public-path",
        "an allow-list that matches the whole target finds /health in the query",
        get(f"{A}/{_Q}&x=/health", who=None),
        NOBODY,
        direct="leaks",
    ),
    Attempt(
        "path-absolute-form",
        "the target is a whole URL: the check reads the path, the server behind the host",
        Request("GET", f"http://@HOST@{A}/{_Q}"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "path-absolute-form-other-host",
        "the target names another host than the Host header",
        Request("GET", f"http://localhost{A}/{_Q}"),
        BAD,
    ),
    Attempt(
        "path-asterisk",
        "OPTIONS * and CONNECT have targets of their own",
        send("OPTIONS", "*"),
        BAD,
    ),
    Attempt(
        "path-connect",
        "CONNECT opens a tunnel on a proxy that is one",
        send("CONNECT", "@MLFLOW@"),
        UNPARSED,
    ),
    Attempt(
        "path-raw-bytes",
        "bytes beyond ASCII are decoded in two ways",
        get("/api/2.0/mlflow/experiments/get\u00e9?experiment_id=@E@"),
        UNPARSED,
    ),
    Attempt(
        "path-old-preview-api",
        "a prefix that older servers had",
        get("/api/2.0/preview/mlflow/experiments/get?experiment_id=@E@"),
        UNKNOWN,
    ),
    Attempt(
        "path-malformed-proto-route",
        "MLflow registers a path without its slash",
        post("/api/2.0mlflow/experiments/search-datasets", {"experiment_ids": ["@E@"]}),
    ),
    Attempt(
        "path-static-prefix",
        "a static prefix that this MLflow does not have",
        get(f"/pfx{A}/{_Q}"),
        UNKNOWN,
    ),
)
