"""Assessments of traces as JSON texts inside of the trace's document.

Value, error and metadata stay the JSON texts that MLflow's SQL store has in its columns, because
its searches look into those texts. Long ones are compressed.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, NamedTuple

from mlflow.entities import Expectation, Feedback
from mlflow.entities.assessment import Assessment, IssueReference
from mlflow.entities.assessment_error import AssessmentError
from mlflow.entities.assessment_source import AssessmentSource
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.utils.trace_analytics import assessment_aggregate
from mlflow.tracing.constant import AssessmentMetadataKey, TraceMetadataKey
from mlflow.tracing.utils import generate_assessment_id
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import schema

_PLAIN_BYTES = 4096
_SESSION_WIDE = f'"{TraceMetadataKey.TRACE_SESSION}":'


class Assessed(NamedTuple):
    """One assessment as it is kept; ``number`` is its place among those of its trace."""

    assessment_id: str
    number: int
    kind: str
    name: str
    value: str
    error: str | None
    created: int
    updated: int
    source_type: str
    source_id: str | None
    run_id: str | None
    span_id: str | None
    rationale: str | None
    overrides: str | None
    valid: bool
    metadata: str | None

    @property
    def session_wide(self) -> bool:
        """Whether it is about the whole session of its trace."""
        return self.metadata is not None and _SESSION_WIDE in self.metadata

    @property
    def source_run(self) -> str | None:
        """The run that made it: when that is deleted, so is the assessment."""
        if self.metadata is None or AssessmentMetadataKey.SOURCE_RUN_ID not in self.metadata:
            return None
        run_id = json.loads(self.metadata).get(AssessmentMetadataKey.SOURCE_RUN_ID)
        return run_id if isinstance(run_id, str) else None

    @property
    def aggregate(self) -> tuple[float | None, bool]:
        """Its value for averages, and whether the value is a finite number."""
        number, numeric = assessment_aggregate(json.loads(self.value))
        return number, numeric


def assessed(assessment: Assessment, number: int) -> Assessed:
    """A new assessment as it is kept; gives it an id when it has none. Raises MlflowException."""
    if assessment.assessment_id is None:
        assessment.assessment_id = generate_assessment_id()
    now = get_current_time_millis()
    kind, value, error = _value(assessment)
    return Assessed(
        assessment_id=assessment.assessment_id,
        number=number,
        kind=kind,
        name=assessment.name,
        value=json.dumps(value),
        error=error,
        created=assessment.create_time_ms or now,
        updated=assessment.last_update_time_ms or now,
        source_type=assessment.source.source_type,
        source_id=assessment.source.source_id,
        run_id=assessment.run_id,
        span_id=assessment.span_id,
        rationale=assessment.rationale,
        overrides=assessment.overrides,
        valid=True,
        metadata=json.dumps(assessment.metadata) if assessment.metadata else None,
    )


def _value(assessment: Assessment) -> tuple[str, Any, str | None]:
    if assessment.feedback is not None:
        error = assessment.feedback.error
        text = json.dumps(error.to_dictionary()) if error else None
        return "feedback", assessment.feedback.value, text
    if assessment.expectation is not None:
        return "expectation", assessment.expectation.value, None
    if assessment.issue is not None:
        return "issue", assessment.issue.to_dictionary(), None
    raise MlflowException.invalid_parameter_value(
        "Assessment must have either feedback, expectation, or issue value"
    )


def pack(one: Assessed) -> str | bytes:
    """As a value of the trace's document. Raises MlflowException when it is too large."""
    text = json.dumps(one[1:])
    if len(text) <= _PLAIN_BYTES:
        return text
    packed = zlib.compress(text.encode("utf-8", "surrogatepass"))
    if len(packed) > schema.LONGEST_VALUE:
        raise MlflowException.invalid_parameter_value(
            f"The assessment '{one.name}' is too large: compressed it may have "
            f"{schema.LONGEST_VALUE // 1024} KB."
        )
    return packed


def unpack(assessment_id: str, value: str | bytes) -> Assessed:
    """The assessment that ``pack`` wrote."""
    if isinstance(value, bytes):
        value = zlib.decompress(value).decode("utf-8", "surrogatepass")
    return Assessed(assessment_id, *json.loads(value))


def assessment_of(one: Assessed, trace_id: str) -> Assessment:
    """MLflow's Feedback, Expectation or IssueReference."""
    value = json.loads(one.value)
    common: dict[str, Any] = {
        "source": AssessmentSource(source_type=one.source_type, source_id=one.source_id),
        "trace_id": trace_id,
        "metadata": None if one.metadata is None else json.loads(one.metadata),
        "span_id": one.span_id,
        "create_time_ms": one.created,
        "last_update_time_ms": one.updated,
    }
    made: Assessment
    if one.kind == "feedback":
        error = one.error and AssessmentError.from_dictionary(json.loads(one.error))
        made = Feedback(name=one.name, value=value, error=error, rationale=one.rationale, **common)
    elif one.kind == "expectation":
        made = Expectation(name=one.name, value=value, **common)
    else:
        made = IssueReference(
            issue_id=one.name,
            issue_name=value.get("issue_name"),
            run_id=one.run_id,
            rationale=one.rationale,
            **common,
        )
    made.overrides = one.overrides
    made.valid = one.valid
    made.run_id = one.run_id
    made.assessment_id = one.assessment_id
    return made
