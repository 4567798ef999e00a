"""Assessments: feedback, expectations and issues, inside of their trace's document."""

from __future__ import annotations

from typing import Any

from mlflow.entities.assessment import (
    Assessment,
    Expectation,
    ExpectationValue,
    Feedback,
    FeedbackValue,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, RESOURCE_DOES_NOT_EXIST
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys
from dynamodb_store.documents import Document
from dynamodb_store.entities.assessment import Assessed, assessed, assessment_of, pack, unpack
from dynamodb_store.entities.trace import ASSESSMENTS, TraceView
from dynamodb_store.table import Action
from dynamodb_store.tracking.traces.base import TraceBase


class Assessments(TraceBase):
    """See mlflow.store.tracking.abstract_store for what each method promises."""

    def create_assessment(self, assessment: Assessment) -> Assessment:
        trace_id = str(assessment.trace_id)
        new = assessed(assessment, 0)
        tried: list[bool] = []

        def create(document: Document) -> list[Action] | None:
            old = None
            if new.overrides:
                old = _find(document, new.overrides)
                if old is None:
                    raise _no_assessment(trace_id, new.overrides)
            if (there := _find(document, new.assessment_id)) is not None:
                if tried and there._replace(number=0) == new:
                    return None  # written before, but the answer got lost
                raise MlflowException(
                    f"Failed to create assessment for trace '{trace_id}' "
                    "due to a constraint violation.",
                    INTERNAL_ERROR,
                )
            tried.append(True)
            if old is not None:
                _keep(document, old._replace(valid=False))
            _keep(document, new._replace(number=_next_number(document)))
            return []

        document = self._edit_trace(trace_id, create)
        made = _find(document, assessment.assessment_id)
        assert made is not None
        return assessment_of(made, trace_id)

    def get_assessment(self, trace_id: str, assessment_id: str) -> Assessment:
        found = _find(self._trace(trace_id), assessment_id)
        if found is None:
            raise _no_assessment(trace_id, assessment_id)
        return assessment_of(found, trace_id)

    def update_assessment(
        self,
        trace_id: str,
        assessment_id: str,
        name: str | None = None,
        expectation: Any = None,
        feedback: Any = None,
        rationale: str | None = None,
        metadata: Any = None,
    ) -> Assessment:
        made: list[Assessment] = []

        def update(document: Document) -> list[Action]:
            before = _find(document, assessment_id)
            if before is None:
                raise _no_assessment(trace_id, assessment_id)
            existing = assessment_of(before, trace_id)
            _check_kind(existing, expectation, feedback)
            updated = _updated(existing, name, expectation, feedback, rationale, metadata)
            after = assessed(updated, before.number)
            _keep(document, after._replace(valid=before.valid, overrides=before.overrides))
            made[:] = [updated]
            return []

        self._edit_trace(trace_id, update)
        return made[0]

    def delete_assessment(self, trace_id: str, assessment_id: str) -> None:
        def delete(document: Document) -> list[Action] | None:
            gone = _find(document, assessment_id)
            if gone is None:
                return None
            if gone.overrides and (old := _find(document, gone.overrides)) is not None:
                _keep(document, old._replace(valid=True))
            document.remove(ASSESSMENTS, assessment_id)
            return []

        try:
            self._edit_trace(trace_id, delete)
        except MlflowException as error:  # deleting what is not there is no error
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise

    def _delete_assessments_of_run(self, run_id: str) -> None:
        """As MLflow's SQL store does when a run is deleted."""
        for item in list(self.table.query_all(keys.assessed_by(run_id))):

            def delete(document: Document) -> list[Action] | None:
                gone = [one for one in TraceView(document).assessments if one.source_run == run_id]
                for one in gone:
                    document.remove(ASSESSMENTS, one.assessment_id)
                return [] if gone else None

            try:
                self._edit_trace(item["trace"], delete)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise


def _find(document: Document, assessment_id: str | None) -> Assessed | None:
    if assessment_id is None:
        return None
    value = document.get(ASSESSMENTS, assessment_id)
    return None if value is None else unpack(assessment_id, value)


def _keep(document: Document, one: Assessed) -> None:
    document.set(ASSESSMENTS, one.assessment_id, pack(one))


def _next_number(document: Document) -> int:
    return max((one.number for one in TraceView(document).assessments), default=0) + 1


def _no_assessment(trace_id: str, assessment_id: str) -> MlflowException:
    return MlflowException(
        f"Assessment with ID '{assessment_id}' not found for trace '{trace_id}'",
        RESOURCE_DOES_NOT_EXIST,
    )


def _check_kind(
    existing: Assessment, expectation: ExpectationValue | None, feedback: FeedbackValue | None
) -> None:
    if expectation is not None and feedback is not None:
        raise MlflowException.invalid_parameter_value(
            "Cannot specify both `expectation` and `feedback` parameters."
        )
    if expectation is not None and not isinstance(existing, Expectation):
        raise MlflowException.invalid_parameter_value(
            "Cannot update expectation value on a Feedback assessment."
        )
    if feedback is not None and not isinstance(existing, Feedback):
        raise MlflowException.invalid_parameter_value(
            "Cannot update feedback value on an Expectation assessment."
        )


def _updated(
    existing: Assessment,
    name: str | None,
    expectation: ExpectationValue | None,
    feedback: FeedbackValue | None,
    rationale: str | None,
    metadata: dict[str, str] | None,
) -> Assessment:
    """The assessment with what was given; source and span stay, metadata is merged."""
    merged = {**(existing.metadata or {}), **(metadata or {})} or None
    common: dict[str, Any] = {
        "name": existing.name if name is None else name,
        "source": existing.source,
        "trace_id": existing.trace_id,
        "metadata": merged,
        "span_id": existing.span_id,
        "create_time_ms": existing.create_time_ms,
        "last_update_time_ms": get_current_time_millis(),
    }
    updated: Assessment
    if isinstance(existing, Expectation):
        value = existing.value if expectation is None else expectation.value
        updated = Expectation(value=value, **common)
    else:
        given: Any = feedback or existing
        updated = Feedback(
            value=given.value,
            error=given.error,
            rationale=existing.rationale if rationale is None else rationale,
            **common,
        )
    updated.assessment_id = existing.assessment_id
    updated.valid = existing.valid
    updated.overrides = existing.overrides
    updated.run_id = existing.run_id
    return updated
