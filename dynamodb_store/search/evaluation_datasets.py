"""Filters and orders of search_datasets, as MLflow's SQL store understands them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlflow.entities.evaluation_dataset import EvaluationDataset
from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchEvaluationDatasetsUtils as Utils

from dynamodb_store.search.compare import holds
from dynamodb_store.search.order import by_columns

Test = Callable[[EvaluationDataset], bool]


def compile_filter(filter_string: str | None) -> Test:
    """The filter as a test of datasets. Raises MlflowException for one that has no meaning."""
    clauses = Utils.parse_search_filter(filter_string) if filter_string else []
    tests = [_clause(clause) for clause in clauses]
    return lambda dataset: all(test(dataset) for test in tests)


def compile_order(
    order_by: Sequence[str] | None,
) -> Callable[[EvaluationDataset], Any] | None:
    """The order as a sort key, None for the table's own. Raises MlflowException."""
    if not order_by:
        return None
    columns: list[tuple[Callable[[EvaluationDataset], Any], bool]] = []
    for kind, name, ascending in map(Utils.parse_order_by_for_search_evaluation_datasets, order_by):
        if kind != "attribute":
            raise MlflowException.invalid_parameter_value(f"Invalid order_by entity: {kind}")
        columns.append((_column(name), ascending))
    columns.append((lambda dataset: dataset.dataset_id, False))
    return by_columns(columns)


def _column(name: str) -> Callable[[EvaluationDataset], Any]:
    return lambda dataset: getattr(dataset, name)


def _clause(clause: dict[str, Any]) -> Test:
    kind, name, comparator, value = (
        clause[part] for part in ("type", "key", "comparator", "value")
    )
    if kind == "attribute":
        return _attribute(name, comparator, value)
    if kind != "tag":
        raise MlflowException.invalid_parameter_value(f"Invalid token type: {kind}")
    if comparator not in ("=", "!=", "LIKE", "ILIKE"):
        raise MlflowException.invalid_parameter_value(f"Invalid comparator for tag: {comparator}")
    return lambda dataset: holds(comparator, dataset.tags.get(name), value)


def _attribute(name: str, comparator: str, value: Any) -> Test:
    column = _column(name)
    if (
        Utils.is_string_attribute("attribute", name, comparator)
        and comparator not in ("=", "!=", "LIKE", "ILIKE")
        and not (name == "name" and comparator == "IN")
    ):
        raise MlflowException.invalid_parameter_value(
            f"Invalid comparator for string attribute: {comparator}"
        )
    if name in Utils.NUMERIC_ATTRIBUTES:
        if comparator not in Utils.VALID_NUMERIC_ATTRIBUTE_COMPARATORS:
            raise MlflowException.invalid_parameter_value(
                f"Invalid comparator for numeric attribute: {comparator}"
            )
        try:
            if isinstance(value, float):
                raise ValueError
            value = int(value)
        except (TypeError, ValueError):
            raise MlflowException.invalid_parameter_value(
                f"Invalid value for numeric attribute '{name}': {value!r}"
            ) from None
    return lambda dataset: holds(comparator, column(dataset), value)
