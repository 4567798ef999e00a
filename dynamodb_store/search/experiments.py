"""Filters and orders of search_experiments, as MLflow's SQL store understands them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchExperimentsUtils
from mlflow.utils.validation import _parse_experiment_id

from dynamodb_store.search.compare import holds
from dynamodb_store.search.order import by_columns

Test = Callable[[Experiment], bool]
_DEFAULT = ["creation_time DESC", "experiment_id ASC"]


def compile_filter(filter_string: str | None) -> Test:
    """The filter as a test of experiments. Raises MlflowException for one that has no meaning."""
    tests = [
        _clause(clause) for clause in SearchExperimentsUtils.parse_search_filter(filter_string)
    ]
    return lambda experiment: all(test(experiment) for test in tests)


def compile_order(order_by: Sequence[str] | None) -> Callable[[Experiment], Any] | None:
    """The order as a sort key, None for the table's own. Raises MlflowException."""
    if not order_by:
        return None
    columns: list[tuple[str, bool]] = []
    for kind, name, ascending in map(
        SearchExperimentsUtils.parse_order_by_for_search_experiments, order_by
    ):
        if kind != "attribute":
            raise MlflowException.invalid_parameter_value(f"Invalid order_by entity: {kind}")
        columns.append((name, ascending))
    if not any(name == "experiment_id" for name, _ in columns):
        columns.append(("experiment_id", False))
    return by_columns([(_column(name), ascending) for name, ascending in columns])


def _column(name: str) -> Callable[[Experiment], Any]:
    if name == "experiment_id":
        return lambda experiment: int(experiment.experiment_id)
    return lambda experiment: getattr(experiment, name)


def _clause(clause: dict[str, Any]) -> Test:
    kind, name, comparator, value = (
        clause[part] for part in ("type", "key", "comparator", "value")
    )
    if kind == "attribute":
        left, right = _column(name), _attribute_value(name, comparator, value)
        return lambda experiment: holds(comparator, left(experiment), right)
    if kind != "tag":
        raise MlflowException.invalid_parameter_value(f"Invalid token type: {kind}")
    if comparator not in ("IS NULL", "IS NOT NULL", "=", "!=", "LIKE", "ILIKE"):
        raise MlflowException.invalid_parameter_value(f"Invalid comparator for tag: {comparator}")
    return lambda experiment: holds(comparator, experiment.tags.get(name), value)


def _attribute_value(name: str, comparator: str, value: Any) -> Any:
    if name == "experiment_id":
        if comparator not in ("=", "!=", "IN", "NOT IN"):
            raise MlflowException.invalid_parameter_value(
                f"Invalid comparator for experiment_id: {comparator}"
            )
        if isinstance(value, tuple):
            return tuple(_parse_experiment_id(one) for one in value)
        return _parse_experiment_id(value)
    if SearchExperimentsUtils.is_string_attribute("attribute", name, comparator):
        if comparator not in ("=", "!=", "LIKE", "ILIKE"):
            raise MlflowException.invalid_parameter_value(
                f"Invalid comparator for string attribute: {comparator}"
            )
        return value
    if SearchExperimentsUtils.is_numeric_attribute("attribute", name, comparator):
        if comparator not in ("=", "!=", "<", "<=", ">", ">="):
            raise MlflowException.invalid_parameter_value(
                f"Invalid comparator for numeric attribute: {comparator}"
            )
        try:
            if isinstance(value, float):
                raise ValueError
            return int(value)
        except (TypeError, ValueError):
            raise MlflowException.invalid_parameter_value(
                f"Invalid value for numeric attribute '{name}': {value!r}"
            ) from None
    return value
