"""Traces, their tags and assessments, and spans by OTLP."""

from __future__ import annotations

from gateway.routes.catalogue.needs import READ_MODEL, READ_TRACE
from gateway.routes.catalogue.rows import delete, get, patch, post
from gateway.routes.route import (
    AJAX,
    Learns,
    RefKind,
    Route,
    body,
    experiment,
    header,
    model,
    narrow,
    optional,
    path,
    query,
    ref,
    run,
    trace,
)

_2 = "2.0/mlflow/traces"
_3 = "3.0/mlflow/traces"
_ASSESSMENTS = f"{_3}/{{trace_id}}/assessments"
_ASSESSMENT = f"{_ASSESSMENTS}/{{assessment_id}}"

LOCATION_TAGS = (
    "mlflow.artifactLocation",
    "mlflow.trace.archiveLocation",
    "mlflow.trace.spansLocation",
    "mlflow.trace.archivalFailure",
)
"""Where MLflow looks for a trace's data (``IMMUTABLE_TAGS`` in mlflow/utils/mlflow_tags.py, which
only its client enforces in full): who writes them reads any artifact or server file."""

AI_GATEWAY_KEYS = ("mlflow.gateway.endpointId", "mlflow.auth.username", "mlflow.auth.userId")
"""What MLflow's AI gateway writes about itself into a trace: it adds up what an endpoint spent from
every trace that says so, in whatever experiment, and refuses calls over the budget."""
_NOT_BY_CLIENTS = (*LOCATION_TAGS, *AI_GATEWAY_KEYS)

_INFO = "trace.trace_info"
_LOCATION = f"{_INFO}.trace_location.mlflow_experiment.experiment_id"
_TRACE = trace(path("trace_id"))
_REQUEST = trace(path("request_id"))
_BODY_TRACE = optional(trace(body("assessment.trace_id")))  # MLflow overwrites it by the path's
_OLD_TAGS = ("tags[].key", "request_metadata[].key")

ROWS: tuple[Route, ...] = (
    post(
        _2,
        "StartTrace",
        experiment(body("experiment_id")),
        call="traces:POST",
        does="create",
        answers=(Learns(RefKind.TRACE, "trace_info.request_id", "trace_info.experiment_id"),),
        tag_keys=_OLD_TAGS,
        forbidden_tags=_NOT_BY_CLIENTS,
    ),
    post(
        _3,
        "StartTraceV3",
        experiment(body(_LOCATION)),
        # MLflow moves a trace that exists to the experiment named here.
        ref(RefKind.NEW_TRACE, body(f"{_INFO}.trace_id"), required=False),
        ref(RefKind.NEW_TRACE, body(f"{_INFO}.assessments[].trace_id"), required=False),
        call="traces:POST",
        does="create",
        answers=(Learns(RefKind.TRACE, f"{_INFO}.trace_id", _LOCATION),),
        tag_keys=(f"{_INFO}.tags[]", f"{_INFO}.trace_metadata[]"),
        forbidden_tags=_NOT_BY_CLIENTS,
        # MLflow's SQL store merges by this id alone: it would take over another trace's
        # assessment. And it never checks here whose assessment is overridden, but deleting the
        # new one marks that one valid again. Its clients send neither here.
        admin_fields=(
            f"{_INFO}.assessments[].assessment_id",
            f"{_INFO}.assessments[].overrides",
        ),
    ),
    get(_2, "SearchTraces", narrow(experiment(query("experiment_ids[]"))), call="traces:GET"),
    post(
        f"{_3}/search",
        "SearchTracesV3",
        # A location without an experiment (an inference table) goes out of the list.
        narrow(experiment(body("locations[].mlflow_experiment.experiment_id"))),
        does="read",
    ),
    patch(
        f"{_2}/{{request_id}}",
        "EndTrace",
        _REQUEST,
        call="traces/{id}:PATCH",
        tag_keys=_OLD_TAGS,
        forbidden_tags=_NOT_BY_CLIENTS,
    ),
    get(f"{_2}/{{request_id}}/info", "GetTraceInfo", _REQUEST),
    get(f"{_3}/{{trace_id}}", "GetTraceInfoV3", _TRACE, call="traces/{id}:GET"),
    get(f"{_3}/get", "GetTrace", trace(query("trace_id"))),
    get(
        f"{_3}/batchGet",
        "BatchGetTraces",
        trace(query("trace_ids[]")),
        optional(experiment(query("experiment_ids[]"))),
    ),
    post(
        f"{_3}/batchGetInfos",
        "BatchGetTraceInfos",
        trace(body("trace_ids[]")),
        optional(experiment(body("experiment_ids[]"))),
        does="read",
    ),
    get(
        "2.0/mlflow/get-trace-artifact",
        {"request_id": "string", "path": "string"},
        trace(query("request_id")),
        prefixes=AJAX,
        inner_paths=("path",),
    ),
    get(
        "3.0/mlflow/get-trace-artifact",
        {"request_id": "string", "path": "string"},
        trace(query("request_id")),
        prefixes=AJAX,
        inner_paths=("path",),
    ),
    patch(
        f"{_2}/{{request_id}}/tags",
        "SetTraceTag",
        _REQUEST,
        call="traces/{id}/tags:PATCH",
        tag_keys=("key",),
        forbidden_tags=LOCATION_TAGS,
        repeatable=True,
    ),
    patch(
        f"{_3}/{{trace_id}}/tags",
        "SetTraceTagV3",
        _TRACE,
        call="traces/{id}/tags:PATCH",
        tag_keys=("key",),
        forbidden_tags=LOCATION_TAGS,
        repeatable=True,
    ),
    delete(
        f"{_2}/{{request_id}}/tags",
        "DeleteTraceTag",
        _REQUEST,
        call="traces/{id}/tags:DELETE",
        tag_keys=("key",),
        forbidden_tags=LOCATION_TAGS,
    ),
    delete(
        f"{_3}/{{trace_id}}/tags",
        "DeleteTraceTagV3",
        _TRACE,
        call="traces/{id}/tags:DELETE",
        tag_keys=("key",),
        forbidden_tags=LOCATION_TAGS,
    ),
    # Ids of traces outside the experiment delete nothing.
    post(
        f"{_2}/delete-traces",
        "DeleteTraces",
        experiment(body("experiment_id")),
        does="delete",
        plain=("request_ids[]",),
    ),
    post(
        f"{_3}/delete-traces",
        "DeleteTracesV3",
        experiment(body("experiment_id")),
        does="delete",
        plain=("request_ids[]",),
    ),
    post(
        f"{_2}/link-to-run",
        "LinkTracesToRun",
        run(body("run_id")),
        trace(body("trace_ids[]"), needs=READ_TRACE, required=False),
        repeatable=True,
    ),
    post(
        f"{_2}/link-prompts",
        "LinkPromptsToTrace",
        trace(body("trace_id")),
        model(body("prompt_versions[].name"), needs=READ_MODEL, required=False),
        repeatable=True,
    ),
    # Aggregates: an experiment that is left out would change the answer silently.
    post(f"{_3}/metrics", "QueryTraceMetrics", experiment(body("experiment_ids[]")), does="read"),
    post(
        f"{_3}/calculate-filter-correlation",
        "CalculateTraceFilterCorrelation",
        experiment(body("experiment_ids[]")),
        does="read",
    ),
    post(_ASSESSMENTS, "CreateAssessment", _TRACE, _BODY_TRACE, does="create"),
    get(
        _ASSESSMENT,
        "GetAssessmentRequest",
        _TRACE,
        call="traces/{id}/assessments/{assessment_id}:GET",
        plain=("assessment_id",),  # of this trace
    ),
    patch(
        _ASSESSMENT,
        "UpdateAssessment",
        _TRACE,
        _BODY_TRACE,
        call="traces/{id}/assessments/{assessment_id}:PATCH",
        repeatable=True,
        plain=("assessment_id",),  # of this trace
    ),
    delete(
        _ASSESSMENT,
        "DeleteAssessment",
        _TRACE,
        call="traces/{id}/assessments/{assessment_id}:DELETE",
        plain=("assessment_id",),  # of this trace
    ),
    post(
        "/v1/traces",
        None,
        experiment(header("x-mlflow-experiment-id")),
        optional(run(header("x-mlflow-run-id"))),
        body="otlp",
        forbidden_tags=LOCATION_TAGS,
        note="Trace ids and mlflow.traceTag.* attributes are in the spans.",
    ),
)
