"""Experiments and runs: the plain ways, several identifiers in one call, and stowaways."""

from __future__ import annotations

from tests.attacks.attempt import BAD, DENIED, HIDDEN, NOTHING, Attempt, get, post

A = "/api/2.0/mlflow"
X = "/ajax-api/2.0/mlflow"
_TAG = {"key": "k", "value": "@NOW@"}
_NO_RUN = {"@R@": "@NO_R@"}
_NO_E = {"@E@": "@NO_E@"}

ROWS = (
    Attempt(
        "experiment-get",
        "no check at all",
        get(f"{A}/experiments/get?experiment_id=@E@"),
        direct="leaks",
        twin=_NO_E,
    ),
    Attempt(
        "experiment-get-by-ajax-twin",
        "only /api is covered by the check",
        get(f"{X}/experiments/get?experiment_id=@E@"),
        direct="leaks",
        twin=_NO_E,
    ),
    Attempt(
        "experiment-get-by-name",
        "404 for what is missing, 403 for what is hidden: that tells names",
        get(f"{A}/experiments/get-by-name?experiment_name=@ENAME@"),
        HIDDEN,
        direct="leaks",
        twin={"@ENAME@": "@NO_M@"},
    ),
    Attempt(
        "experiment-nobody-owns",
        "an experiment without an owner is not everybody's",
        get(f"{A}/experiments/get?experiment_id=@EU@"),
        twin={"@EU@": "@NO_E@"},
    ),
    Attempt(
        "experiment-default-write",
        "experiment 0 exists everywhere and takes runs without a choice",
        post(f"{A}/runs/create", {"experiment_id": "0"}),
        direct="changes",
    ),
    Attempt(
        "experiment-create-run-without-id",
        "a run without experiment goes wherever the server likes, or shows SQL",
        post(f"{A}/runs/create", {"run_name": "x"}),
        BAD,
    ),
    Attempt(
        "experiment-create-run-empty-id",
        "the same with an empty id",
        post(f"{A}/runs/create", {"experiment_id": "", "run_name": "x"}),
        BAD,
    ),
    Attempt(
        "experiment-rename",
        "a rename hides it from its owners",
        post(f"{A}/experiments/update", {"experiment_id": "@E@", "new_name": "@NOW@-@MARK@"}),
        direct="changes",
        twin=_NO_E,
    ),
    Attempt(
        "experiment-delete",
        "no check",
        post(f"{A}/experiments/delete", {"experiment_id": "@E@"}),
        twin=_NO_E,
    ),
    Attempt(
        "experiment-restore",
        "what is deleted has lost its protection",
        post(f"{A}/experiments/restore", {"experiment_id": "@ED@"}),
        direct="changes",
        twin={"@ED@": "@NO_E@"},
    ),
    Attempt(
        "experiment-set-tag",
        "tags look harmless",
        post(f"{A}/experiments/set-experiment-tag", {"experiment_id": "@E@", **_TAG}),
        direct="changes",
        twin=_NO_E,
    ),
    Attempt(
        "experiment-delete-as-editor",
        "a group's editor deletes it from under its manager",
        post(f"{A}/experiments/delete", {"experiment_id": "@E@"}, who="bob"),
        sees=True,
    ),
    Attempt(
        "experiment-rename-as-editor",
        "a group's editor renames it",
        post(f"{A}/experiments/update", {"experiment_id": "@E@", "new_name": "x"}, who="bob"),
        sees=True,
    ),
    Attempt(
        "experiment-search-everything",
        "a list shows what a get would refuse",
        post(f"{A}/experiments/search", {"max_results": 1000}),
        NOTHING,
        direct="leaks",
    ),
    Attempt(
        "experiment-search-by-hidden-tag",
        "a filter over hidden rows is an oracle",
        post(f"{A}/experiments/search", {"max_results": 9, "filter": "tags.note = '@SECRET@'"}),
        NOTHING,
        direct="leaks",
        twin={"@SECRET@": "@NO_M@"},
    ),
    Attempt(
        "experiment-search-datasets",
        "names its experiments in a list",
        post(f"{X}/experiments/search-datasets", {"experiment_ids": ["@EC@", "@E@"]}),
        NOTHING,
    ),
    Attempt(
        "run-get",
        "a run is checked by nothing but its id",
        get(f"{A}/runs/get?run_id=@R@"),
        direct="leaks",
        twin=_NO_RUN,
    ),
    Attempt(
        "run-get-by-run_uuid",
        "the deprecated name of the field is not checked (mlflow#8511)",
        get(f"{A}/runs/get?run_uuid=@R@"),
        direct="leaks",
        twin=_NO_RUN,
    ),
    Attempt(
        "run-set-tag",
        "tags look harmless",
        post(f"{A}/runs/set-tag", {"run_id": "@R@", **_TAG}),
        direct="changes",
        twin=_NO_RUN,
    ),
    Attempt(
        "run-update",
        "ends the run of somebody else",
        post(f"{A}/runs/update", {"run_id": "@R@", "status": "FAILED"}),
        direct="changes",
        twin=_NO_RUN,
    ),
    Attempt(
        "run-log-batch",
        "GHSA-3p64 class: one of many ways to write is not covered",
        post(f"{A}/runs/log-batch", {"run_id": "@R@", "tags": [_TAG]}),
        direct="changes",
        twin=_NO_RUN,
    ),
    Attempt(
        "run-log-inputs",
        "GHSA-3p64: log-inputs asked for no right",
        post(
            f"{A}/runs/log-inputs",
            {
                "run_id": "@R@",
                "datasets": [
                    {"dataset": {"name": "d", "digest": "1", "source_type": "x", "source": "y"}}
                ],
            },
        ),
        direct="changes",
        twin=_NO_RUN,
    ),
    Attempt(
        "run-log-inputs-foreign-model",
        "the run is the caller's, the model in the list is not",
        post(f"{A}/runs/log-inputs", {"run_id": "@RC@", "models": [{"model_id": "@L@"}]}),
        direct="changes",
        twin={"@L@": "@NO_L@"},
    ),
    Attempt(
        "run-outputs-foreign-model",
        "the same for outputs",
        post(f"{A}/runs/outputs", {"run_id": "@RC@", "models": [{"model_id": "@L@", "step": "0"}]}),
        direct="changes",
        twin={"@L@": "@NO_L@"},
    ),
    Attempt(
        "run-log-metric-foreign-model",
        "the metric shows up in somebody else's logged model",
        post(
            f"{A}/runs/log-metric",
            {"run_id": "@RC@", "key": "k", "value": 1, "timestamp": 1, "model_id": "@L@"},
        ),
        direct="changes",
        twin={"@L@": "@NO_L@"},
    ),
    Attempt(
        "run-log-batch-foreign-model",
        "one of many metrics names somebody else's model",
        post(
            f"{A}/runs/log-batch",
            {
                "run_id": "@RC@",
                "metrics": [
                    {"key": "a", "value": 1, "timestamp": 1},
                    {"key": "b", "value": 1, "timestamp": 1, "model_id": "@L@"},
                ],
            },
        ),
        direct="changes",
        twin={"@L@": "@NO_L@"},
    ),
    Attempt(
        "run-log-batch-foreign-metric-run",
        "each metric may carry a run id of its own",
        post(
            f"{A}/runs/log-batch",
            {
                "run_id": "@RC@",
                "metrics": [{"key": "a", "value": 1, "timestamp": 1, "run_id": "@R@"}],
            },
        ),
        twin=_NO_RUN,
    ),
    Attempt(
        "run-log-model",
        "writes the run's model history",
        post(f"{A}/runs/log-model", {"run_id": "@R@", "model_json": "{}"}),
        twin=_NO_RUN,
    ),
    Attempt(
        "run-delete",
        "no check",
        post(f"{A}/runs/delete", {"run_id": "@R@"}),
        twin=_NO_RUN,
    ),
    Attempt(
        "run-restore-deleted",
        "what is deleted has lost its protection",
        post(f"{A}/runs/restore", {"run_id": "@RD@"}),
        direct="changes",
        twin={"@RD@": "@NO_R@"},
    ),
    Attempt(
        "run-delete-tag",
        "no check",
        post(f"{A}/runs/delete-tag", {"run_id": "@R@", "key": "note"}),
        twin=_NO_RUN,
    ),
    Attempt(
        "run-promptlab",
        "a raw JSON route outside MLflow's protos",
        post(f"{X}/runs/create-promptlab-run", {"experiment_id": "@E@", "run_name": "x"}),
        twin=_NO_E,
    ),
    Attempt(
        "run-as-reader",
        "a reader writes a metric",
        post(f"{A}/runs/log-metric", {"run_id": "@RX@", "key": "k", "value": 1, "timestamp": 1}),
    ),
    Attempt(
        "run-delete-as-reader",
        "a reader deletes a run",
        post(f"{A}/runs/delete", {"run_id": "@RX@"}),
    ),
    Attempt(
        "runs-search-mixed",
        "one readable experiment in the list opens the others",
        post(f"{A}/runs/search", {"experiment_ids": ["@EC@", "@E@"]}),
        NOTHING,
        direct="leaks",
        twin=_NO_E,
    ),
    Attempt(
        "runs-search-oracle",
        "a filter that matches a hidden run",
        post(
            f"{A}/runs/search",
            {"experiment_ids": ["@EC@", "@E@"], "filter": "params.password = '@SECRET@'"},
        ),
        NOTHING,
        direct="leaks",
        twin={"@SECRET@": "@NO_M@"},
    ),
    Attempt(
        "metric-history",
        "a metric key is the secret",
        get(f"{A}/metrics/get-history?run_id=@R@&metric_key=loss-@SECRET@"),
        direct="leaks",
        twin=_NO_RUN,
    ),
    Attempt(
        "metric-history-bulk",
        "the second of two runs is not checked",
        get(f"{X}/metrics/get-history-bulk?run_id=@RC@&run_id=@R@&metric_key=loss-open@MARK@"),
        twin=_NO_RUN,
    ),
    Attempt(
        "metric-history-bulk-interval",
        "the REST twin of a GraphQL field",
        get(
            f"{A}/metrics/get-history-bulk-interval?run_ids=@RC@&run_ids=@R@"
            "&metric_key=loss-open@MARK@&max_results=5"
        ),
        twin=_NO_RUN,
    ),
    Attempt(
        "create-with-location-of-others",
        "an artifact location of one's choice reads and writes other people's files",
        post(
            f"{A}/experiments/create",
            {
                "name": "trap-@MARK@",
                "artifact_location": "mlflow-artifacts:/@E@/@R@/artifacts",
            },
        ),
        DENIED,
        direct="changes",
    ),
    Attempt(
        "create-with-location-on-server",
        "the same with a folder of the server",
        post(
            f"{A}/experiments/create",
            {"name": "trap2-@MARK@", "artifact_location": "file:///etc"},
        ),
        direct="changes",
    ),
    Attempt(
        "create-with-location-climbing",
        "the same with ..",
        post(
            f"{A}/experiments/create",
            {"name": "trap3-@MARK@", "artifact_location": "mlflow-artifacts:/@EC@/../@E@"},
        ),
        direct="changes",
    ),
    Attempt(
        "create-with-location-camel",
        "the other spelling of the field is not looked at",
        post(
            f"{A}/experiments/create",
            {"name": "trap4-@MARK@", "artifactLocation": "mlflow-artifacts:/@E@"},
        ),
        BAD,
        direct="changes",
    ),
)
