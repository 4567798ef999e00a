"""Fields that look like identifiers in many requests and decide nothing: field -> why not.

The completeness test accepts them everywhere. A name that is a resource in any request (``name``,
``key``, ``source``, ``path``) is never listed here, but in the ``plain`` of the one row. ``*``
stands for everything below.
"""

from __future__ import annotations

_WHO = "who did it, as the client says; mlgate's grants come from the sign-in"
_FILTER = "chooses rows among what the located ids or the trimming of the answer allow"
_ASSESSMENT = "part of an assessment of the located trace"
_DATA = "text that MLflow stores as it is"
_METRIC = "the name of a metric, parameter or measure of the located resource"
_INPUT = "describes a run's input data; MLflow stores it and opens nothing"

PLAIN: dict[str, str] = {
    "alias": "an alias of the model named beside it",
    "version": "a version of the model, prompt or scorer named beside it",
    "prompt_versions.version": "a version of the prompt named beside it",
    "created_by": _WHO,
    "updated_by": _WHO,
    "completed_by": _WHO,
    "user_id": _WHO,
    "user": "whose review queue of the located experiment",
    "users": "reviewers of the queue, by name; no grant follows from it",
    "new_owner": "owner of the queue, by name; no grant follows from it",
    "filter": _FILTER,
    "filter_string": _FILTER,
    "filter_string1": _FILTER,
    "filter_string2": _FILTER,
    "base_filter": _FILTER,
    "filters": _FILTER,
    "order_by": _FILTER,
    "order_by.field_name": _FILTER,
    "order_by.dataset_name": _FILTER,
    "order_by.dataset_digest": _FILTER,
    "datasets.dataset_name": _FILTER,
    "datasets.dataset_digest": _FILTER,
    "metric_key": _METRIC,
    "metric_name": _METRIC,
    "metrics.key": _METRIC,
    "params.key": _METRIC,
    "dataset_name": _INPUT,
    "dataset_digest": _INPUT,
    "metrics.dataset_name": _INPUT,
    "metrics.dataset_digest": _INPUT,
    "datasets.dataset.name": _INPUT,
    "datasets.dataset.schema": _INPUT,
    "datasets.dataset.source": _INPUT,
    "datasets.dataset.source_type": _INPUT,
    "run_name": "a run's display name; not unique, nothing is found by it",
    "run_link": _DATA,
    "model_json": _DATA,
    "model_type": _DATA,
    "model_input": _DATA,
    "model_output": _DATA,
    "model_parameters": _DATA,
    "model_output_parameters": _DATA,
    "model_route": _DATA,
    "prompt_template": _DATA,
    "prompt_parameters": _DATA,
    "mlflow_version": _DATA,
    "root_causes": _DATA,
    "schema": _DATA,
    "tags": "a JSON object in a string: tags of a dataset, which no grant depends on",
    "records": "a JSON list in a string: the records of the located dataset",
    "deployment_job_id": "a Databricks job; MLflow's own stores keep the text",
    "serialized_scorer": "a scorer as JSON; MLflow validates it before it runs",
    "serialized_scorers": "scorers as JSON; MLflow validates them before they run",
    "scorer_versions": "versions of scorers of the located experiment",
    "assessment.assessment_id": "of the located trace: a new one, or the one in the path",
    "assessment.assessment_name": _ASSESSMENT,
    "assessment.error.stack_trace": _ASSESSMENT,
    "assessment.feedback.error.stack_trace": _ASSESSMENT,
    "assessment.expectation.serialized_value.value": _ASSESSMENT,
    "assessment.issue.issue_name": _ASSESSMENT,
    "assessment.metadata": _ASSESSMENT,
    "assessment.overrides": "an assessment of the same trace; MLflow looks for it there only",
    "assessment.source.source_id": _WHO,
    "assessment.source.source_type": _WHO,
    "assessment.span_id": _ASSESSMENT,
    "trace.spans.*": "MLflow reads trace.trace_info only; spans come by OTLP or as artifacts",
    "trace.trace_info.client_request_id": "the client's own mark on its trace",
    "trace.trace_info.assessments.assessment_name": _ASSESSMENT,
    "trace.trace_info.assessments.error.stack_trace": _ASSESSMENT,
    "trace.trace_info.assessments.feedback.error.stack_trace": _ASSESSMENT,
    "trace.trace_info.assessments.issue.issue_name": _ASSESSMENT,
    "trace.trace_info.assessments.metadata": _ASSESSMENT,
    "trace.trace_info.assessments.overrides": _ASSESSMENT,
    "trace.trace_info.assessments.source.source_id": _WHO,
    "trace.trace_info.assessments.span_id": _ASSESSMENT,
    "trace.trace_info.trace_location.inference_table.full_table_name": (
        "excluded by mlflow_experiment, which is required and of the same oneof"
    ),
    "locations.inference_table.full_table_name": (
        "a location without an experiment is taken out of the request"
    ),
}


def is_plain(field: str) -> str | None:
    """The entry that covers a field, if there is one."""
    if field in PLAIN:
        return field
    for entry in PLAIN:
        if entry.endswith(".*") and field.startswith(entry[:-1]):
            return entry
    return None
