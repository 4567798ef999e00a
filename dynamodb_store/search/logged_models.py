"""Filters and orders of search_logged_models, as MLflow's SQL store understands them."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlflow.entities import LoggedModel, Metric
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.utils.search_logged_model_utils import Comparison, EntityType, parse_filter_string
from mlflow.utils.search_utils import SearchLoggedModelsPaginationToken

from dynamodb_store.search.compare import holds
from dynamodb_store.search.order import by_columns

Test = Callable[[LoggedModel], bool]
Order = Callable[[LoggedModel], Any]
Dataset = dict[str, Any]

_COLUMNS: dict[str, Callable[[LoggedModel], Any]] = {
    "model_id": lambda model: model.model_id,
    "experiment_id": lambda model: int(model.experiment_id),
    "name": lambda model: model.name,
    "artifact_location": lambda model: model.artifact_location,
    "creation_timestamp_ms": lambda model: model.creation_timestamp,
    "last_updated_timestamp_ms": lambda model: model.last_updated_timestamp,
    "status": lambda model: model.status.to_int(),
    "lifecycle_stage": lambda model: "active",  # deleted models are never searched
    "model_type": lambda model: model.model_type,
    "source_run_id": lambda model: model.source_run_id,
    "status_message": lambda model: model.status_message,
}
"""By the names of MLflow's columns, which its parsers translate to."""
_ALIASES = {
    "creation_time": "creation_timestamp_ms",
    "creation_timestamp": "creation_timestamp_ms",
    "last_updated_timestamp": "last_updated_timestamp_ms",
}
_INTEGERS = {"experiment_id", "status"}


@dataclass(frozen=True)
class Filter:
    """``plain`` looks at a model without its metrics, ``measured`` (None: all pass) at metrics."""

    plain: Test
    measured: Test | None


def compile_filter(filter_string: str | None, datasets: Sequence[Dataset] | None) -> Filter:
    """The filter as tests of models. Raises MlflowException for one that has no meaning."""
    on_datasets = _any_of(datasets or ())
    plain: list[Test] = []
    measured: list[Test] = []
    for clause in _parsed(filter_string):
        if clause.entity.type == EntityType.METRIC:
            measured.append(_metric(clause, on_datasets))
        else:
            plain.append(_clause(clause))
    if datasets and not measured:
        measured.append(lambda model: any(map(on_datasets, model.metrics or ())))
    return Filter(
        lambda model: all(test(model) for test in plain),
        (lambda model: all(test(model) for test in measured)) if measured else None,
    )


def compile_order(order_by: Sequence[dict[str, Any]] | None) -> tuple[Order | None, bool]:
    """The order as a sort key (None for the table's own), and whether it looks at metrics."""
    if not order_by:
        return None, False
    columns: list[tuple[Order, bool]] = []
    seen: set[str] = set()
    metrics = False
    for clause in order_by:
        field = clause.get("field_name") or ""
        if "." in field:
            column = _latest(field, clause)
            metrics = True
        else:
            name = _ALIASES.get(field, field)
            seen.add(name)
            if name not in _COLUMNS:
                raise MlflowException.invalid_parameter_value(
                    f"Invalid order by field name: {field}", error_class="ATTRIBUTE_NOT_FOUND"
                )
            column = _COLUMNS[name]
        columns += [(_presence(column), True), (_number(column), clause.get("ascending", True))]
    if "creation_timestamp_ms" not in seen:
        columns.append((_COLUMNS["creation_timestamp_ms"], False))
    columns.append((_COLUMNS["model_id"], True))
    return by_columns(columns), metrics


def check_datasets(datasets: Sequence[Dataset] | None) -> None:
    """Raises MlflowException when one has no name."""
    if datasets and not all(dataset.get("dataset_name") for dataset in datasets):
        raise MlflowException(
            "`dataset_name` in the `datasets` clause must be specified.", INVALID_PARAMETER_VALUE
        )


def read_token(
    token: str | None,
    experiment_ids: Sequence[str],
    filter_string: str | None,
    order_by: Sequence[dict[str, Any]] | None,
) -> tuple[int, str | None]:
    """Offset and sort key of a token of the same search. Raises MlflowException for another's."""
    if not token:
        return 0, None
    try:
        page = SearchLoggedModelsPaginationToken.decode(token)
        after = json.loads(base64.b64decode(token)).get("after")
    except (binascii.Error, UnicodeError, AttributeError):
        raise MlflowException.invalid_parameter_value(f"Invalid page token: {token}") from None
    page.validate(experiment_ids, filter_string, order_by)
    return page.offset, after if isinstance(after, str) else None


def make_token(page: SearchLoggedModelsPaginationToken, after: str | None) -> str:
    """MLflow's token with the sort key to go on after."""
    return base64.b64encode(json.dumps({**asdict(page), "after": after}).encode()).decode()


def _parsed(filter_string: str | None) -> list[Comparison]:
    try:
        parsed: list[Comparison] = parse_filter_string(filter_string)
        return parsed
    except (ValueError, SyntaxError, TypeError) as error:
        raise MlflowException.invalid_parameter_value(
            f"Invalid filter string: {filter_string!r}. {error}"
        ) from None


def _clause(clause: Comparison) -> Test:
    name, comparator, value = clause.entity.key, clause.op, clause.value
    if comparator in ("IN", "NOT IN") and not isinstance(value, (tuple, list)):
        raise MlflowException.invalid_parameter_value(f"{clause.entity} {comparator} needs a list")
    if clause.entity.type == EntityType.PARAM:
        return lambda model: holds(comparator, model.params.get(name), value)
    if clause.entity.type == EntityType.TAG:
        return lambda model: holds(comparator, model.tags.get(name), value)
    if name not in _COLUMNS:
        raise MlflowException.invalid_parameter_value(f"Invalid attribute key: {name!r}")
    column = _COLUMNS[name]
    if name in _INTEGERS:
        value = _as_integers(value)
        return lambda model: holds(comparator, str(column(model)), value)
    return lambda model: holds(comparator, column(model), value)


def _as_integers(value: Any) -> Any:
    """Texts that are compared with integers: "01" is 1, as it is for SQL."""
    if isinstance(value, (tuple, list)):
        return tuple(_as_integers(one) for one in value)
    text = str(value)
    return str(int(text)) if text.strip().lstrip("+-").isdecimal() else text


def _metric(clause: Comparison, on_datasets: Callable[[Metric], bool]) -> Test:
    name, comparator, value = clause.entity.key, clause.op, clause.value
    return lambda model: any(
        metric.key == name and holds(comparator, metric.value, value) and on_datasets(metric)
        for metric in model.metrics or ()
    )


def _any_of(datasets: Sequence[Dataset]) -> Callable[[Metric], bool]:
    """Whether a metric is of one of the datasets; always when there are none.

    A digest that is given as None matches no metric: MLflow's server passes it so when a caller
    gives the name alone, and its SQL store compares it with NULL.
    """

    def matches(metric: Metric) -> bool:
        return not datasets or any(
            metric.dataset_name == dataset["dataset_name"]
            and (
                "dataset_digest" not in dataset
                or metric.dataset_digest == dataset["dataset_digest"]
            )
            for dataset in datasets
        )

    return matches


def _latest(field: str, clause: dict[str, Any]) -> Order:
    """The value of the latest metric of a name, of the dataset if one is given."""
    entity, name = field.split(".", 1)
    if entity != "metrics":
        raise MlflowException.invalid_parameter_value(
            f"Invalid order by field name: {field}. Only metrics are supported."
        )
    dataset, digest = clause.get("dataset_name"), clause.get("dataset_digest")

    def fits(metric: Metric) -> bool:
        return (
            metric.key == name
            and (not dataset or metric.dataset_name == dataset)
            and (not digest or metric.dataset_digest == digest)
        )

    def value_of(model: LoggedModel) -> float | None:
        fitting: Iterable[Metric] = filter(fits, model.metrics or ())
        latest = min(fitting, key=lambda one: (-one.timestamp, -one.step, one.run_id), default=None)
        return None if latest is None else latest.value

    return value_of


def _presence(column: Order) -> Order:
    """Values first, then NaN, then models that have none; whatever the direction."""

    def place(model: LoggedModel) -> int:
        value = column(model)
        if value is None:
            return 2
        return int(isinstance(value, float) and math.isnan(value))

    return place


def _number(column: Order) -> Order:
    def value_of(model: LoggedModel) -> Any:
        value = column(model)
        return 0.0 if isinstance(value, float) and math.isnan(value) else value

    return value_of
