"""The caller's own things, called wrongly: errors must not tell of the server."""

from __future__ import annotations

from tests.attacks.attempt import Attempt, Expect, get, post

A = "/api/2.0/mlflow"
MISSING = Expect(404, by_mlflow=True)
WRONG = Expect(400, "INVALID_PARAMETER_VALUE", by_mlflow=True)
_PATHS = "a missing file's error has the path on the server in it"
_SQL = "the database's error has the statement and its parameters in it"

ROWS = (
    Attempt("error-get-artifact", _PATHS, get("/get-artifact?run_id=@RC@&path=no"), MISSING),
    Attempt(
        "error-artifact",
        _PATHS,
        get("/api/2.0/mlflow-artifacts/artifacts/@EC@/@RC@/artifacts/no.txt"),
        MISSING,
    ),
    Attempt(
        "error-version-artifact",
        _PATHS,
        get("/model-versions/get-artifact?name=@MC@&version=1&path=no"),
        MISSING,
    ),
    Attempt(
        "error-logged-model-file",
        _PATHS,
        get("/ajax-api/2.0/mlflow/logged-models/@LC@/artifacts/files?artifact_file_path=no"),
        MISSING,
    ),
    Attempt(
        "error-trace-artifact",
        _PATHS,
        get(
            "/ajax-api/3.0/mlflow/get-trace-artifact?request_id=@TC@&path=00000000-0000-4000-8000-000000000000"
        ),
        MISSING,
    ),
    Attempt(
        "error-long-tag",
        _SQL,
        post(f"{A}/runs/set-tag", {"run_id": "@RC@", "key": "k" * 300, "value": "v"}),
        WRONG,
    ),
    Attempt(
        "error-taken-name",
        _SQL,
        post(f"{A}/experiments/update", {"experiment_id": "@EC@", "new_name": "@ENAMEX@"}),
        Expect(400, "BAD_REQUEST", by_mlflow=True),
    ),
    Attempt(
        "error-order-by",
        "MLflow's error tells its columns",
        post(f"{A}/runs/search", {"experiment_ids": ["@EC@"], "order_by": ["x; DROP TABLE"]}),
        WRONG,
    ),
)
