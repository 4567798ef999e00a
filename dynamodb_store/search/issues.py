"""Filters of search_issues, as MLflow's SQL store understands them."""

from __future__ import annotations

from collections.abc import Callable

from mlflow.utils.search_utils import SearchIssuesUtils

from dynamodb_store.records import Body
from dynamodb_store.search.compare import holds


def compile_filter(filter_string: str | None) -> Callable[[Body], bool] | None:
    """The filter as a test of issues, None for none. Raises MlflowException."""
    if not filter_string:
        return None
    clauses = SearchIssuesUtils.parse_search_filter(filter_string)
    return lambda body: all(
        holds(clause["comparator"], body[clause["key"]], clause["value"]) for clause in clauses
    )
