"""One comparison of MLflow's search grammar, with the meaning that it has on MLflow's SQL store."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchUtils


def holds(comparator: str, left: Any, right: Any) -> bool:
    """Whether ``left comparator right``; None (SQL's NULL) satisfies nothing but IS NULL."""
    if comparator == "IS NULL":
        return left is None
    if comparator == "IS NOT NULL":
        return left is not None
    if left is None:
        return False
    match comparator:
        case "LIKE":
            return _like(right, False).fullmatch(left) is not None
        case "ILIKE":
            return _like(right, True).fullmatch(left) is not None
        case "RLIKE":
            return _regex(right).search(left) is not None
    try:
        return bool(SearchUtils.get_comparison_func(comparator)(left, right))
    except KeyError:
        raise MlflowException.invalid_parameter_value(f"Invalid comparator: {comparator}") from None


@lru_cache(256)
def _like(pattern: str, fold: bool) -> re.Pattern[str]:
    escaped = re.escape(pattern).replace("%", ".*").replace("_", ".")
    return re.compile(escaped, re.DOTALL | (re.IGNORECASE if fold else 0))


@lru_cache(256)
def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise MlflowException.invalid_parameter_value(
            f"Invalid regular expression {pattern!r}: {error}"
        ) from None
