"""Scorers, issues, label schemas, review queues, prompt optimization: all inherit an experiment."""

from __future__ import annotations

from gateway.routes.catalogue.needs import (
    READ_DATASET,
    READ_LABEL_SCHEMA,
    READ_MODEL,
    READ_RUN,
    READ_TRACE,
)
from gateway.routes.catalogue.rows import delete, get, patch, post, put
from gateway.routes.route import (
    AJAX,
    Learns,
    RefKind,
    Route,
    Trims,
    body,
    experiment,
    optional,
    path,
    query,
    ref,
    run,
    trace,
)

_V = "3.0/mlflow"
_S = f"{_V}/scorers"
_I = f"{_V}/issues"
_L = f"{_V}/label-schemas"
_Q = f"{_V}/review-queues"
_P = f"{_V}/prompt-optimization/jobs"

_E_BODY = experiment(body("experiment_id"))
_E_QUERY = experiment(query("experiment_id"))
_TRACES = trace(body("trace_ids[]"), needs=READ_TRACE)
_SCORER = trace(body("serialized_scorer"), needs=READ_TRACE, required=False)
_ISSUE = ref(RefKind.ISSUE, path("issue_id"))
_SCHEMA = RefKind.LABEL_SCHEMA
_QUEUE = RefKind.REVIEW_QUEUE
_QUEUE_BODY = ref(_QUEUE, body("queue_id"))
_QUEUE_QUERY = ref(_QUEUE, query("queue_id"))
_QUEUE_SCHEMAS = ref(_SCHEMA, body("schema_ids[]"), needs=READ_LABEL_SCHEMA, required=False)
_LEARNS_QUEUE = Learns(_QUEUE, "review_queue.queue_id", "review_queue.experiment_id")
_JOB = ref(RefKind.PROMPT_JOB, path("job_id"))

SCORERS: tuple[Route, ...] = (
    post(
        f"{_S}/register",
        "RegisterScorer",
        _E_BODY,
        does="create",
        scorers=(_SCORER,),
        plain=("name",),
    ),
    # With neither MLflow lists the scorers of every experiment.
    get(
        f"{_S}/list",
        "ListScorers",
        optional(_E_QUERY),
        optional(experiment(query("experiment_ids[]"))),
        requires_any=("experiment_id", "experiment_ids"),
    ),
    get(f"{_S}/versions", "ListScorerVersions", _E_QUERY, plain=("name",)),
    get(f"{_S}/get", "GetScorer", _E_QUERY, plain=("name",)),
    delete(f"{_S}/delete", "DeleteScorer", _E_BODY, plain=("name",)),
    # MLflow has no lookup of a scorer id; the answer says whose each row is.
    get(
        f"{_S}/online-configs",
        {"scorer_ids": "string[]"},
        answers=(Trims("list", rows="configs[]", ids="experiment_id"),),
        plain=("scorer_ids",),
    ),
    put(
        f"{_S}/online-config",
        {
            "experiment_id": "string",
            "name": "string",
            "sample_rate": "double",
            "filter_string": "string",
        },
        _E_BODY,
        repeatable=True,
        plain=("name",),
    ),
    post(
        f"{_V}/scorer/invoke",
        {
            "experiment_id": "string",
            "serialized_scorer": "string",
            "scorer_name": "string",
            "scorer_version": "int64",
            "trace_ids": "string[]",
            "log_assessments": "bool",
        },
        _E_BODY,
        _TRACES,
        prefixes=AJAX,
        scorers=(_SCORER,),
        plain=("scorer_name",),  # of the experiment
    ),
    post(
        f"{_V}/genai/evaluate/invoke",
        {
            "experiment_id": "string",
            "trace_ids": "string[]",
            "serialized_scorers": "string[]",
            "scorer_versions": "listvalue",
        },
        _E_BODY,
        _TRACES,
        prefixes=AJAX,
        scorers=(trace(body("serialized_scorers[]"), needs=READ_TRACE, required=False),),
    ),
)

ISSUES: tuple[Route, ...] = (
    post(
        _I,
        "issues.CreateIssue",
        _E_BODY,
        run(body("source_run_id"), needs=READ_RUN, required=False),
        does="create",
        answers=(Learns(RefKind.ISSUE, "issue.issue_id", "issue.experiment_id"),),
        plain=("name",),
    ),
    post(f"{_I}/search", "issues.SearchIssues", _E_BODY, does="read"),
    get(f"{_I}/{{issue_id}}", "issues.GetIssue", _ISSUE, call="issues/{id}:GET"),
    patch(
        f"{_I}/{{issue_id}}",
        "issues.UpdateIssue",
        _ISSUE,
        call="issues/{id}:PATCH",
        repeatable=True,
        plain=("name",),
    ),
    post(
        f"{_I}/invoke",
        {
            "experiment_id": "string",
            "trace_ids": "string[]",
            "categories": "listvalue",
            "provider": "string",
            "model": "string",
            "secret_id": "string",
            "endpoint_name": "string",
        },
        _E_BODY,
        _TRACES,
        prefixes=AJAX,
        admin_fields=("secret_id", "endpoint_name"),  # keys that the server holds
        inner_paths=("model",),  # of the provider: MLflow puts it into the path of a URL
    ),
)

LABEL_SCHEMAS: tuple[Route, ...] = (
    post(
        f"{_L}/create",
        "label_schemas.CreateLabelSchema",
        _E_BODY,
        does="create",
        answers=(Learns(_SCHEMA, "label_schema.schema_id", "label_schema.experiment_id"),),
        plain=("name",),
    ),
    get(f"{_L}/get", "label_schemas.GetLabelSchema", ref(_SCHEMA, query("schema_id"))),
    get(f"{_L}/get-by-name", "label_schemas.GetLabelSchemaByName", _E_QUERY, plain=("name",)),
    get(
        f"{_L}/list",
        "label_schemas.ListLabelSchemas",
        _E_QUERY,
        note="MLflow adds the default schema to an experiment that has none.",
    ),
    patch(
        f"{_L}/update",
        "label_schemas.UpdateLabelSchema",
        ref(_SCHEMA, body("schema_id")),
        repeatable=True,
        plain=("name",),
    ),
    delete(f"{_L}/delete", "label_schemas.DeleteLabelSchema", ref(_SCHEMA, body("schema_id"))),
)

REVIEW_QUEUES: tuple[Route, ...] = (
    post(
        f"{_Q}/create",
        "review_queues.CreateReviewQueue",
        _E_BODY,
        _QUEUE_SCHEMAS,
        does="create",
        answers=(_LEARNS_QUEUE,),
        plain=("name",),
    ),
    post(
        f"{_Q}/get-or-create-user",
        "review_queues.GetOrCreateUserQueue",
        _E_BODY,
        does="create",
        answers=(_LEARNS_QUEUE,),
        repeatable=True,
    ),
    get(f"{_Q}/get", "review_queues.GetReviewQueue", _QUEUE_QUERY),
    get(f"{_Q}/get-by-name", "review_queues.GetReviewQueueByName", _E_QUERY, plain=("name",)),
    get(
        f"{_Q}/list",
        "review_queues.ListReviewQueues",
        _E_QUERY,
        plain=("item_id",),  # filters the queues of the experiment
    ),
    post(
        f"{_Q}/update",
        "review_queues.UpdateReviewQueue",
        _QUEUE_BODY,
        _QUEUE_SCHEMAS,
        repeatable=True,
        plain=("name",),
    ),
    post(f"{_Q}/delete", "review_queues.DeleteReviewQueue", _QUEUE_BODY, does="delete"),
    # MLflow 3.17 knows one item_type, TRACE.
    post(
        f"{_Q}/items/add",
        "review_queues.AddItemsToReviewQueue",
        _QUEUE_BODY,
        trace(body("item_ids[]"), needs=READ_TRACE, required=False),
        repeatable=True,
    ),
    # An item of the queue may name a trace that is gone.
    post(
        f"{_Q}/items/remove",
        "review_queues.RemoveItemsFromReviewQueue",
        _QUEUE_BODY,
        does="delete",
        plain=("item_ids[]",),
    ),
    get(f"{_Q}/items/list", "review_queues.ListReviewQueueItems", _QUEUE_QUERY),
    post(
        f"{_Q}/items/set-status",
        "review_queues.SetReviewQueueItemStatus",
        _QUEUE_BODY,
        repeatable=True,
        plain=("item_id",),
    ),
)

PROMPT_OPTIMIZATION: tuple[Route, ...] = (
    post(
        _P,
        "CreatePromptOptimizationJob",
        _E_BODY,
        ref(RefKind.MODEL_URI, body("source_prompt_uri"), needs=READ_MODEL),
        ref(RefKind.DATASET, body("config.dataset_id"), needs=READ_DATASET, required=False),
        does="create",
        answers=(Learns(RefKind.PROMPT_JOB, "job.job_id", "job.experiment_id"),),
        tag_keys=("tags[].key",),
        # Names the AI gateway endpoint or provider whose key the server spends.
        admin_fields=("config.optimizer_config_json",),
        plain=("config.scorers[]",),  # built-in ones, or of the experiment
    ),
    get(f"{_P}/search", "SearchPromptOptimizationJobs", _E_QUERY),
    post(f"{_P}/search", "SearchPromptOptimizationJobs", _E_BODY, does="read"),
    get(
        f"{_P}/{{job_id}}",
        "GetPromptOptimizationJob",
        _JOB,
        call="prompt-optimization/jobs/{id}:GET",
    ),
    delete(
        f"{_P}/{{job_id}}",
        "DeletePromptOptimizationJob",
        _JOB,
        call="prompt-optimization/jobs/{id}:DELETE",
    ),
    post(f"{_P}/{{job_id}}/cancel", "CancelPromptOptimizationJob", _JOB, repeatable=True),
)

ROWS: tuple[Route, ...] = (
    *SCORERS,
    *ISSUES,
    *LABEL_SCHEMAS,
    *REVIEW_QUEUES,
    *PROMPT_OPTIMIZATION,
)
