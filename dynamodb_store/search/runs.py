"""Filters and orders of search_runs, as MLflow's SQL store understands them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_RUN_NAME
from mlflow.utils.search_utils import SearchUtils

from dynamodb_store.search.compare import holds
from dynamodb_store.search.order import by_columns

Test = Callable[[Run], bool]


def compile_filter(filter_string: str | None) -> Test:
    """The filter as a test of runs. Raises MlflowException for one that has no meaning."""
    tests = [_clause(clause) for clause in SearchUtils.parse_search_filter(filter_string)]
    return lambda run: all(test(run) for test in tests)


def compile_order(order_by: Sequence[str] | None) -> Callable[[Run], Any] | None:
    """The order as a sort key, None for the table's own (newest first). Raises MlflowException."""
    if not order_by:
        return None
    columns: list[tuple[Callable[[Run], Any], bool]] = []
    seen: set[tuple[str, str]] = set()
    for clause in order_by:
        kind, name, ascending = SearchUtils.parse_order_by_for_search_runs(clause)
        name = SearchUtils.translate_key_alias(name)
        column = _order_column(kind, name)
        columns += [(_presence(kind, column), True), (_number(column), ascending)]
        if (kind, name) in seen:
            raise MlflowException(f"`order_by` contains duplicate fields: {order_by}")
        seen.add((kind, name))
    if ("attribute", "start_time") not in seen:
        columns.append((lambda run: run.info.start_time, False))
    columns.append((lambda run: run.info.run_id, True))
    return by_columns(columns)


def _order_column(kind: str, name: str) -> Callable[[Run], Any]:
    if _is_attribute(kind, name, "="):
        return lambda run: getattr(run.info, name)
    if SearchUtils.is_metric(kind, "="):
        return lambda run: run.data.metrics.get(name)
    if SearchUtils.is_tag(kind, "="):
        return lambda run: run.data.tags.get(name)
    if SearchUtils.is_param(kind, "="):
        return lambda run: run.data.params.get(name)
    raise MlflowException.invalid_parameter_value(f"Invalid identifier type '{kind}'")


def _presence(kind: str, column: Callable[[Run], Any]) -> Callable[[Run], int]:
    """Values first, then NaN (of metrics), then runs that have none; whatever the direction."""

    def place(run: Run) -> int:
        value = column(run)
        if value is None:
            return 2
        return int(kind == "metric" and math.isnan(value))

    return place


def _number(column: Callable[[Run], Any]) -> Callable[[Run], Any]:
    """NaN compares as 0, which is how MLflow's SQL store keeps it."""

    def value_of(run: Run) -> Any:
        value = column(run)
        return 0.0 if isinstance(value, float) and math.isnan(value) else value

    return value_of


def _is_attribute(kind: str, name: str, comparator: str) -> bool:
    return bool(
        SearchUtils.is_string_attribute(kind, name, comparator)
        or SearchUtils.is_numeric_attribute(kind, name, comparator)
    )


def _clause(clause: dict[str, Any]) -> Test:
    kind, value = clause["type"], clause["value"]
    comparator: str = clause["comparator"].upper()
    name = SearchUtils.translate_key_alias(clause["key"])
    if _is_attribute(kind, name, comparator):
        return _attribute(kind, name, comparator, value)
    if SearchUtils.is_metric(kind, comparator):
        number = None if value is None else float(value)
        return lambda run: holds(comparator, run.data.metrics.get(name), number)
    if SearchUtils.is_param(kind, comparator):
        return lambda run: holds(comparator, run.data.params.get(name), value)
    if SearchUtils.is_tag(kind, comparator):
        return lambda run: holds(comparator, run.data.tags.get(name), value)
    if SearchUtils.is_dataset(kind, comparator):
        return _dataset(name, comparator, value)
    raise MlflowException.invalid_parameter_value(f"Invalid search expression type '{kind}'")


def _attribute(kind: str, name: str, comparator: str, value: Any) -> Test:
    if name == "run_name":
        return lambda run: holds(comparator, run.data.tags.get(MLFLOW_RUN_NAME), value)
    if SearchUtils.is_numeric_attribute(kind, name, comparator) and isinstance(value, str):
        value = float(value) if "." in value else int(value)
    return lambda run: holds(comparator, getattr(run.info, name), value)


def _dataset(name: str, comparator: str, value: Any) -> Test:
    if name == "context":
        return lambda run: any(
            holds(comparator, tag.value, value)
            for used in run.inputs.dataset_inputs
            for tag in used.tags
            if tag.key == MLFLOW_DATASET_CONTEXT
        )
    return lambda run: any(
        holds(comparator, getattr(used.dataset, name), value) for used in run.inputs.dataset_inputs
    )
