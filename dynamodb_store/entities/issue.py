"""An issue (a problem found in traces) as the body of a record."""

from __future__ import annotations

from mlflow.entities.issue import Issue, IssueSeverity, IssueStatus

from dynamodb_store import keys
from dynamodb_store.records import Body


def place_of(body: Body) -> str:
    """The sort key of an issue: its place in MLflow's order, which its severity decides."""
    return keys.issue_order(rank_of(body), body["created"], body["id"])


def rank_of(body: Body) -> int:
    """How severe it is, from 0; -1 when that is not known."""
    severity = body["severity"]
    return -1 if severity is None else list(IssueSeverity).index(IssueSeverity(severity))


def issue_of(body: Body, trace_count: int | None = None) -> Issue:
    """MLflow's Issue."""
    severity = body["severity"]
    return Issue(
        issue_id=body["id"],
        experiment_id=body["experiment_id"],
        name=body["name"],
        description=body["description"],
        status=IssueStatus(body["status"]),
        severity=None if severity is None else IssueSeverity(severity),
        root_causes=body["root_causes"],
        source_run_id=body["source_run_id"],
        categories=body["categories"],
        created_timestamp=body["created"],
        last_updated_timestamp=body["updated"],
        created_by=body["created_by"],
        trace_count=trace_count,
    )
