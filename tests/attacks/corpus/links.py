"""Traces, logged models, datasets, reviews: what points from the caller's things to others'."""

from __future__ import annotations

from tests.attacks.attempt import BAD, DENIED, NOTHING, Attempt, get, new_trace, post, send

A = "/api/2.0/mlflow"
V3 = "/api/3.0/mlflow"
X3 = "/ajax-api/3.0/mlflow"
_TAG = {"key": "k", "value": "@NOW@"}
_NO_E = {"@E@": "@NO_E@"}
_NO_T = {"@T@": "@NO_T@"}
_NO_L = {"@L@": "@NO_L@"}
_NO_D = {"@D@": "@NO_D@"}
_SOURCE = {"source_type": "HUMAN", "source_id": "carol"}
_VERDICT = {"assessment_name": "v", "source": _SOURCE, "feedback": {"value": True}}


TRACES = (
    Attempt(
        "trace-get",
        "CVE-2025-15381: traces had no check",
        get(f"{V3}/traces/@T@"),
        direct="leaks",
        twin=_NO_T,
    ),
    Attempt("trace-info-v2", "the older API", get(f"{A}/traces/@T@/info"), twin=_NO_T),
    Attempt(
        "trace-get-by-query",
        "one more way to the same trace",
        get(f"{V3}/traces/get?trace_id=@T@"),
        twin=_NO_T,
    ),
    Attempt(
        "trace-batch-get",
        "one id of several is checked",
        get(f"{V3}/traces/batchGet?trace_ids=@TC@&trace_ids=@T@"),
        twin=_NO_T,
    ),
    Attempt(
        "trace-batch-get-infos",
        "the same as a POST",
        post(f"{V3}/traces/batchGetInfos", {"trace_ids": ["@TC@", "@T@"]}),
        direct="leaks",
        twin=_NO_T,
    ),
    Attempt(
        "trace-batch-get-infos-own-experiment",
        "the caller's experiment is named, the traces are others'",
        post(f"{V3}/traces/batchGetInfos", {"trace_ids": ["@T@"], "experiment_ids": ["@EC@"]}),
        twin=_NO_T,
    ),
    Attempt(
        "trace-search-v3",
        "the experiments are nested three deep",
        post(
            f"{V3}/traces/search",
            {
                "locations": [
                    {
                        "type": "MLFLOW_EXPERIMENT",
                        "mlflow_experiment": {"experiment_id": "@E@"},
                    }
                ]
            },
        ),
        NOTHING,
        direct="leaks",
        twin=_NO_E,
    ),
    Attempt(
        "trace-search-v2-mixed",
        "the second experiment is not checked",
        get(f"{A}/traces?experiment_ids=@EC@&experiment_ids=@E@"),
        NOTHING,
        direct="leaks",
    ),
    Attempt(
        "trace-move",
        "writing a known trace id again moves the trace to the writer's experiment",
        post(f"{V3}/traces", new_trace("@T@")),
        DENIED,
        direct="changes",
    ),
    Attempt(
        "trace-overwrite-in-place",
        "the same without moving it",
        post(f"{V3}/traces", new_trace("@T@", "@E@")),
        direct="changes",
    ),
    Attempt(
        "trace-create-in-foreign",
        "the experiment is nested",
        post(f"{V3}/traces", new_trace("@NO_T@", "@E@")),
        direct="changes",
        twin=_NO_E,
    ),
    Attempt(
        "trace-create-v2",
        "the older API",
        post(f"{A}/traces", {"experiment_id": "@E@", "timestamp_ms": 1}),
        twin=_NO_E,
    ),
    Attempt(
        "trace-create-with-foreign-assessment-trace",
        "an assessment inside names another trace",
        post(
            f"{V3}/traces",
            new_trace("tr-@NEW_HEX@", assessments=[{**_VERDICT, "trace_id": "@T@"}]),
        ),
        DENIED,
    ),
    Attempt(
        "trace-create-with-foreign-assessment",
        "an assessment inside takes the id of somebody else's and is merged over it",
        post(
            f"{V3}/traces",
            new_trace("tr-@NEW_HEX@", assessments=[{**_VERDICT, "assessment_id": "@AS@"}]),
        ),
    ),
    Attempt(
        "trace-create-with-foreign-override",
        "an assessment that overrides another's: deleting it makes the other valid again",
        post(
            f"{V3}/traces",
            new_trace("tr-@NEW_HEX@", assessments=[{**_VERDICT, "overrides": "@AS@"}]),
        ),
    ),
    Attempt(
        "trace-create-with-location-tag",
        "the tag says where MLflow reads the spans",
        post(
            f"{V3}/traces",
            new_trace(
                "tr-@NEW_HEX@",
                tags={"mlflow.artifactLocation": "mlflow-artifacts:/@E@/@R@/artifacts"},
            ),
        ),
    ),
    Attempt(
        "trace-end",
        "ends somebody else's trace",
        send("PATCH", f"{A}/traces/@T@", {"status": "ERROR", "timestamp_ms": 5}),
        twin=_NO_T,
    ),
    Attempt(
        "trace-set-tag",
        "tags look harmless",
        send("PATCH", f"{V3}/traces/@T@/tags", _TAG),
        direct="changes",
        twin=_NO_T,
    ),
    Attempt(
        "trace-set-tag-v2",
        "the older API",
        send("PATCH", f"{A}/traces/@T@/tags", _TAG),
        direct="changes",
        twin=_NO_T,
    ),
    Attempt(
        "trace-location-tag",
        "one's own trace is pointed at somebody else's spans",
        send(
            "PATCH",
            f"{V3}/traces/@TC@/tags",
            {
                "key": "mlflow.artifactLocation",
                "value": "mlflow-artifacts:/@E@/traces/@T@/artifacts",
            },
        ),
        direct="leaks",
        then=(
            (
                get("/ajax-api/3.0/mlflow/get-trace-artifact?request_id=@TC@"),
                NOTHING,
            ),
        ),
    ),
    Attempt(
        "trace-location-tag-server-folder",
        "or at a folder of the server, by the older API",
        send(
            "PATCH",
            f"{A}/traces/@TC@/tags",
            {"key": "mlflow.artifactLocation", "value": "/etc"},
        ),
    ),
    Attempt(
        "trace-archive-tag",
        "deleting an archived trace deletes the file that its tag names, too",
        send(
            "PATCH",
            f"{V3}/traces/@TC@/tags",
            {
                "key": "mlflow.trace.archiveLocation",
                "value": "mlflow-artifacts:/@E@/traces/@T@/artifacts",
            },
        ),
    ),
    Attempt(
        "trace-spans-location-tag",
        "one's own trace says that its spans are in an archive",
        send(
            "PATCH",
            f"{A}/traces/@TC@/tags",
            {"key": "mlflow.trace.spansLocation", "value": "ARCHIVE_REPO"},
        ),
    ),
    Attempt(
        "trace-create-archived",
        "or is made so",
        post(
            f"{V3}/traces",
            new_trace(
                "tr-@NEW_HEX@",
                tags={
                    "mlflow.trace.spansLocation": "ARCHIVE_REPO",
                    "mlflow.trace.archiveLocation": "mlflow-artifacts:/@E@/traces/@T@/artifacts",
                },
            ),
        ),
    ),
    Attempt(
        "trace-location-tag-deleted",
        "a trace without its location falls back to something else",
        send("DELETE", f"{V3}/traces/@TC@/tags", {"key": "mlflow.artifactLocation"}),
        direct="changes",
    ),
    Attempt(
        "trace-delete",
        "by experiment",
        post(f"{V3}/traces/delete-traces", {"experiment_id": "@E@", "request_ids": ["@T@"]}),
        twin=_NO_E,
    ),
    Attempt(
        "trace-delete-as-editor",
        "an editor deletes what cannot be restored",
        post(
            f"{A}/traces/delete-traces",
            {"experiment_id": "@E@", "request_ids": ["@T@"]},
            who="bob",
        ),
        sees=True,
    ),
    Attempt(
        "trace-delete-through-own-experiment",
        "the experiment is the caller's, the ids are not",
        post(f"{V3}/traces/delete-traces", {"experiment_id": "@EC@", "request_ids": ["@T@"]}),
        NOTHING,
    ),
    Attempt(
        "trace-link-to-run",
        "the run is the caller's, the trace is not",
        post(f"{A}/traces/link-to-run", {"run_id": "@RC@", "trace_ids": ["@T@"]}),
        direct="changes",
        twin=_NO_T,
    ),
    Attempt(
        "trace-link-to-foreign-run",
        "the trace is the caller's, the run is not",
        post(
            f"{A}/traces/link-to-run",
            {"run_uuid": "@RC@", "runId": "@R@", "trace_ids": ["@TC@"]},
        ),
        BAD,
        direct="changes",
    ),
    Attempt(
        "trace-oracle-behind-lacking-role",
        "a reader is told of the lacking role only when the other thing exists",
        post(f"{A}/traces/link-to-run", {"run_id": "@RX@", "trace_ids": ["@T@"]}),
        twin=_NO_T,
    ),
    Attempt(
        "trace-link-prompts",
        "a prompt of others in the caller's trace",
        post(
            f"{A}/traces/link-prompts",
            {"trace_id": "@TC@", "prompt_versions": [{"name": "@P@", "version": "1"}]},
        ),
        twin={"@P@": "@NO_M@"},
    ),
    Attempt(
        "trace-metrics",
        "a count is a leak as well",
        post(
            f"{V3}/traces/metrics",
            {
                "experiment_ids": ["@EC@", "@E@"],
                "view_type": "TRACES",
                "metric_name": "trace_count",
                "aggregations": [{"aggregation_type": "COUNT"}],
            },
        ),
        twin=_NO_E,
    ),
    Attempt(
        "trace-correlation",
        "an aggregate with a filter is an oracle",
        post(
            f"{V3}/traces/calculate-filter-correlation",
            {
                "experiment_ids": ["@E@"],
                "filter_string1": "tags.note = '@SECRET@'",
                "filter_string2": "status = 'OK'",
            },
        ),
        twin=_NO_E,
    ),
    Attempt(
        "assessment-create",
        "CVE-2025-15381: assessments had no check",
        post(f"{V3}/traces/@T@/assessments", {"assessment": _VERDICT}),
        direct="changes",
        twin=_NO_T,
    ),
    Attempt(
        "assessment-create-body-trace",
        "the body names the caller's trace, the path another",
        post(f"{V3}/traces/@T@/assessments", {"assessment": {**_VERDICT, "trace_id": "@TC@"}}),
        direct="changes",
        twin=_NO_T,
    ),
    Attempt(
        "assessment-get",
        "by its id",
        get(f"{V3}/traces/@T@/assessments/@AS@"),
        direct="leaks",
        twin=_NO_T,
    ),
    Attempt(
        "assessment-update",
        "changes somebody's verdict",
        send(
            "PATCH",
            f"{V3}/traces/@T@/assessments/@AS@",
            {"assessment": {"feedback": {"value": "@NOW@"}}, "update_mask": "feedback"},
        ),
        direct="changes",
        twin=_NO_T,
    ),
    Attempt(
        "assessment-delete-through-own-trace",
        "the trace is the caller's, the assessment is not",
        send("DELETE", f"{V3}/traces/@TC@/assessments/@AS@"),
        NOTHING,
    ),
)

LOGGED_MODELS = (
    Attempt(
        "logged-model-get",
        "by its id",
        get(f"{A}/logged-models/@L@"),
        direct="leaks",
        twin=_NO_L,
    ),
    Attempt(
        "logged-model-search",
        "the second experiment is not checked",
        post(f"{A}/logged-models/search", {"experiment_ids": ["@EC@", "@E@"]}),
        NOTHING,
        direct="leaks",
    ),
    Attempt(
        "logged-model-create-in-foreign",
        "a model in somebody else's experiment",
        post(f"{A}/logged-models", {"experiment_id": "@E@", "name": "x"}),
        direct="changes",
        twin=_NO_E,
    ),
    Attempt(
        "logged-model-foreign-source-run",
        "the experiment is the caller's, the run is not",
        post(
            f"{A}/logged-models",
            {"experiment_id": "@EC@", "name": "x", "source_run_id": "@R@"},
        ),
        direct="changes",
        twin={"@R@": "@NO_R@"},
    ),
    Attempt(
        "logged-model-finalize",
        "marks a model as failed",
        send(
            "PATCH",
            f"{A}/logged-models/@L@",
            {"model_id": "@L@", "status": "LOGGED_MODEL_UPLOAD_FAILED"},
        ),
        direct="changes",
        twin=_NO_L,
    ),
    Attempt(
        "logged-model-set-tags",
        "tags look harmless",
        send("PATCH", f"{A}/logged-models/@L@/tags", {"tags": [_TAG]}),
        direct="changes",
        twin=_NO_L,
    ),
    Attempt(
        "logged-model-params",
        "parameters can be added once only: whoever is first",
        post(f"{A}/logged-models/@L@/params", {"model_id": "@L@", "params": [_TAG]}),
        direct="changes",
        twin=_NO_L,
    ),
    Attempt(
        "logged-model-delete",
        "no check",
        send("DELETE", f"{A}/logged-models/@L@"),
        twin=_NO_L,
    ),
)

DATASETS = (
    Attempt(
        "dataset-search-all",
        "no experiment means all of them",
        post(f"{V3}/datasets/search", {}),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "dataset-search-all-get",
        "the same as a GET with a filter only",
        get(f"{V3}/datasets/search?max_results=50"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "dataset-search-foreign",
        "one readable experiment in the list opens the others",
        post(f"{V3}/datasets/search", {"experiment_ids": ["@E@"]}),
        NOTHING,
        direct="leaks",
        twin=_NO_E,
    ),
    Attempt("dataset-get", "by its id", get(f"{V3}/datasets/@D@"), direct="leaks", twin=_NO_D),
    Attempt(
        "dataset-records",
        "the records are the data",
        get(f"{V3}/datasets/@D@/records"),
        direct="leaks",
        twin=_NO_D,
    ),
    Attempt(
        "dataset-shared-records",
        "linked to the caller's experiment too: one of two is not enough",
        get(f"{V3}/datasets/@DBOTH@/records"),
        direct="leaks",
        twin={"@DBOTH@": "@NO_D@"},
    ),
    Attempt(
        "dataset-shared-write",
        "editing one experiment must not change the other's data",
        post(
            f"{V3}/datasets/@DBOTH@/records",
            {"records": '[{"inputs": {"q": "@NOW@"}}]'},
        ),
        direct="changes",
    ),
    Attempt(
        "dataset-experiment-ids",
        "tells which experiments there are",
        get(f"{V3}/datasets/@DBOTH@/experiment-ids"),
        twin={"@DBOTH@": "@NO_D@"},
    ),
    Attempt(
        "dataset-create-in-foreign",
        "one of the experiments is not the caller's",
        post(f"{V3}/datasets/create", {"name": "@NOW@", "experiment_ids": ["@EC@", "@E@"]}),
        direct="changes",
        twin=_NO_E,
    ),
    Attempt(
        "dataset-create-nowhere",
        "a dataset without experiments belongs to nobody",
        post(f"{V3}/datasets/create", {"name": "@NOW@", "experiment_ids": []}),
        BAD,
        direct="changes",
    ),
    Attempt(
        "dataset-link-to-own",
        "linking another's dataset to one's own experiment opens it",
        post(f"{V3}/datasets/@D@/add-experiments", {"experiment_ids": ["@EC@"]}),
        direct="changes",
        twin=_NO_D,
    ),
    Attempt(
        "dataset-link-into-foreign",
        "puts one's own dataset into another's experiment",
        post(f"{V3}/datasets/@DC@/add-experiments", {"experiment_ids": ["@E@"]}),
        direct="changes",
        twin=_NO_E,
    ),
    Attempt(
        "dataset-set-tags",
        "tags look harmless",
        send("PATCH", f"{V3}/datasets/@D@/tags", {"tags": '{"k": "@NOW@"}'}),
        direct="changes",
        twin=_NO_D,
    ),
    Attempt("dataset-delete", "no check", send("DELETE", f"{V3}/datasets/@D@"), twin=_NO_D),
    Attempt(
        "dataset-delete-shared",
        "deletes it from the other experiment as well",
        send("DELETE", f"{V3}/datasets/@DBOTH@"),
    ),
)

REVIEWS = (
    Attempt(
        "scorer-list-all",
        "no experiment means all of them",
        get(f"{V3}/scorers/list"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "scorer-list-foreign",
        "by experiment",
        get(f"{V3}/scorers/list?experiment_id=@E@"),
        direct="leaks",
        twin=_NO_E,
    ),
    Attempt(
        "scorer-list-both-fields",
        "experiment_id is the caller's, experiment_ids is not",
        get(f"{V3}/scorers/list?experiment_id=@EC@&experiment_ids=@E@"),
        twin=_NO_E,
    ),
    Attempt(
        "scorer-get",
        "a serialized scorer may hold prompts",
        get(f"{V3}/scorers/get?experiment_id=@E@&name=judge"),
        direct="leaks",
        twin=_NO_E,
    ),
    Attempt(
        "scorer-register",
        "a new version of somebody's scorer runs on the server",
        post(
            f"{V3}/scorers/register",
            {"experiment_id": "@E@", "name": "judge", "serialized_scorer": "{}"},
        ),
        twin=_NO_E,
    ),
    Attempt(
        "scorer-delete",
        "no check",
        send("DELETE", f"{V3}/scorers/delete", {"experiment_id": "@E@", "name": "judge"}),
        twin=_NO_E,
    ),
    Attempt(
        "scorer-invoke-foreign-traces",
        "the experiment is the caller's, the traces are not",
        post(
            f"{X3}/scorer/invoke",
            {"experiment_id": "@EC@", "trace_ids": ["@T@"], "serialized_scorer": "{}"},
        ),
        twin=_NO_T,
    ),
    Attempt(
        "scorer-online-config",
        "GHSA-m97m: turned on without a check",
        send(
            "PUT",
            f"{V3}/scorers/online-config",
            {"experiment_id": "@E@", "name": "judge", "sample_rate": 1.0},
        ),
        twin=_NO_E,
    ),
    Attempt(
        "evaluate-invoke-foreign-traces",
        "the same for a whole evaluation",
        post(
            f"{X3}/genai/evaluate/invoke",
            {"experiment_id": "@EC@", "trace_ids": ["@T@"], "serialized_scorers": []},
        ),
        twin=_NO_T,
    ),
    Attempt(
        "issue-invoke-with-server-secret",
        "spends a key that the server holds",
        post(
            f"{X3}/issues/invoke",
            {"experiment_id": "@EC@", "trace_ids": ["@TC@"], "secret_id": "@KEY@"},
        ),
    ),
    Attempt(
        "issue-get",
        "by its id",
        get(f"{V3}/issues/@I@"),
        direct="leaks",
        twin={"@I@": "@NO_ID@"},
    ),
    Attempt(
        "issue-update",
        "closes somebody's issue",
        send("PATCH", f"{V3}/issues/@I@", {"issue_id": "@I@", "description": "@NOW@"}),
        direct="changes",
    ),
    Attempt(
        "issue-search-oracle",
        "the filter names a hidden run",
        post(
            f"{V3}/issues/search",
            {"experiment_id": "@E@", "filter_string": "source_run_id = '@R@'"},
        ),
        direct="leaks",
        twin=_NO_E,
    ),
    Attempt(
        "issue-create-foreign-run",
        "the experiment is the caller's, the run is not",
        post(
            f"{V3}/issues",
            {
                "experiment_id": "@EC@",
                "name": "x",
                "description": "x",
                "status": "pending",
                "source_run_id": "@R@",
            },
        ),
        direct="changes",
        twin={"@R@": "@NO_R@"},
    ),
    Attempt(
        "label-schema-get",
        "by its id",
        get(f"{V3}/label-schemas/get?schema_id=@LS@"),
        direct="leaks",
        twin={"@LS@": "@NO_ID@"},
    ),
    Attempt(
        "label-schema-list-writes",
        "this GET writes a default row into the experiment",
        get(f"{V3}/label-schemas/list?experiment_id=@EU@"),
        direct="changes",
        twin={"@EU@": "@NO_E@"},
    ),
    Attempt(
        "label-schema-delete",
        "by its id",
        send("DELETE", f"{V3}/label-schemas/delete", {"schema_id": "@LS@"}),
        twin={"@LS@": "@NO_ID@"},
    ),
    Attempt(
        "review-queue-get",
        "by its id",
        get(f"{V3}/review-queues/get?queue_id=@Q@"),
        direct="leaks",
        twin={"@Q@": "@NO_ID@"},
    ),
    Attempt(
        "review-queue-foreign-trace",
        "puts somebody else's trace into one's own queue, where reviewers read it",
        post(
            f"{V3}/review-queues/items/add",
            {"queue_id": "@QC@", "item_type": "TRACE", "item_ids": ["@T@"]},
        ),
        twin=_NO_T,
    ),
    Attempt(
        "review-queue-foreign-schema",
        "uses somebody else's label schema",
        post(
            f"{V3}/review-queues/create",
            {
                "experiment_id": "@EC@",
                "name": "@NOW@",
                "queue_type": "CUSTOM",
                "schema_ids": ["@LS@"],
            },
        ),
        twin={"@LS@": "@NO_ID@"},
    ),
    Attempt(
        "review-queue-update",
        "makes oneself a reviewer",
        post(f"{V3}/review-queues/update", {"queue_id": "@Q@", "users": ["carol"]}),
        twin={"@Q@": "@NO_ID@"},
    ),
    Attempt(
        "review-queue-delete",
        "by its id",
        post(f"{V3}/review-queues/delete", {"queue_id": "@Q@"}),
        twin={"@Q@": "@NO_ID@"},
    ),
    Attempt(
        "prompt-job-foreign-prompt",
        "optimizes somebody else's prompt into the caller's experiment",
        post(
            f"{V3}/prompt-optimization/jobs",
            {"experiment_id": "@EC@", "source_prompt_uri": "prompts:/@P@/1"},
        ),
        twin={"@P@": "@NO_M@"},
    ),
    Attempt(
        "prompt-job-foreign-dataset",
        "trains on somebody else's data",
        post(
            f"{V3}/prompt-optimization/jobs",
            {
                "experiment_id": "@EC@",
                "source_prompt_uri": "models:/@MC@/1",
                "config": {"dataset_id": "@D@"},
            },
        ),
        twin=_NO_D,
    ),
    Attempt(
        "prompt-job-server-key",
        "names the endpoint whose key the server spends",
        post(
            f"{V3}/prompt-optimization/jobs",
            {
                "experiment_id": "@EC@",
                "source_prompt_uri": "models:/@MC@/1",
                "config": {"optimizer_config_json": '{"reflection_model": "gateway:/x"}'},
            },
        ),
        DENIED,
    ),
    Attempt(
        "prompt-job-search",
        "by experiment",
        get(f"{V3}/prompt-optimization/jobs/search?experiment_id=@E@"),
        twin=_NO_E,
    ),
)

ROWS = (*TRACES, *LOGGED_MODELS, *DATASETS, *REVIEWS)
