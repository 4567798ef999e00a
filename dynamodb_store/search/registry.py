"""Filters and orders of the registry's searches, as MLflow's SQL store understands them.

A filter is split by what it needs: the names alone (which the lists hold), and the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.utils.search_utils import SearchModelUtils, SearchModelVersionUtils, SearchUtils

from dynamodb_store.entities.model_version import updated_of
from dynamodb_store.records import Body
from dynamodb_store.search.compare import holds
from dynamodb_store.search.order import Column, by_columns

Clause = dict[str, Any]
_TEXT = ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")
_TAG = ("=", "!=", "LIKE", "ILIKE")


@dataclass(frozen=True)
class Found:
    """A version with its model, as searches see it."""

    head: Body
    number: int
    body: Body

    @property
    def name(self) -> str:
        return str(self.head["name"])

    @property
    def updated(self) -> int:
        return updated_of(self.head, self.body)


@dataclass(frozen=True)
class Filter:
    """A filter of either search."""

    clauses: list[Clause]
    prompts: bool
    """Whether it asks for prompts; otherwise prompts are left out, whatever it says of them."""

    @property
    def true_prompts(self) -> bool:
        """Whether only models with the tag of a prompt, as the list of prompts has them, match."""
        return any(map(_is_true_prompt, self.clauses))

    @property
    def answered_by_lists(self) -> bool:
        """Whether the list of models, or that of prompts, has nothing else but the answer."""
        if self.names() is not None or (self.prompts and not self.true_prompts):
            return False
        return all(_is_name(one) or _is_true_prompt(one) for one in self._effective())

    @property
    def takes_all_names(self) -> bool:
        """Whether it says nothing of names."""
        return not any(map(_is_name, self.clauses))

    def names(self) -> list[str] | None:
        """The only names that can be in the answer, when the filter says them."""
        return self.values("name")

    def values(self, key: str) -> list[str] | None:
        """The only values of an attribute that can be in the answer, when the filter says them."""
        for clause in self.clauses:
            if clause["type"] == "attribute" and clause["key"] == key:
                if clause["comparator"] == "=":
                    return [clause["value"]]
                if clause["comparator"] == "IN":
                    return list(dict.fromkeys(clause["value"]))
        return None

    def takes_name(self, name: str) -> bool:
        """Whether models of this name can be in the answer."""
        return all(
            holds(clause["comparator"], name, clause["value"])
            for clause in self.clauses
            if _is_name(clause)
        )

    def takes_model(self, head: Body) -> bool:
        """Whether the model is in the answer of search_registered_models."""
        if not self.prompts and head["tags"].get(IS_PROMPT_TAG_KEY) == "true":
            return False
        return self.takes_name(head["name"]) and self._takes_tags(head["tags"])

    def takes_version(self, found: Found) -> bool:
        """Whether the version is in the answer of search_model_versions."""
        if not self.prompts and found.head["prompts"]:
            return False
        return self._takes_tags(found.body["tags"]) and all(
            holds(clause["comparator"], _COLUMNS[clause["key"]](found), clause["value"])
            for clause in self.clauses
            if clause["type"] == "attribute"
        )

    def _takes_tags(self, tags: dict[str, str]) -> bool:
        return all(
            holds(clause["comparator"], tags.get(clause["key"]), clause["value"])
            for clause in self._effective()
            if clause["type"] == "tag"
        )

    def _effective(self) -> list[Clause]:
        if self.prompts:
            return self.clauses
        return [clause for clause in self.clauses if not _is_about_prompts(clause)]


def model_filter(filter_string: str | None) -> Filter:
    """The filter of search_registered_models. Raises MlflowException."""
    clauses = SearchModelUtils.parse_search_filter(filter_string)
    for clause in clauses:
        if clause["type"] == "attribute":
            if clause["key"] != "name":
                raise MlflowException.invalid_parameter_value(
                    f"Invalid attribute name: {clause['key']}"
                )
            _check(clause, _TEXT, "attribute")
        else:
            _check_tag(clause)
    return Filter(clauses, _asks_for_prompts(clauses))


def version_filter(filter_string: str | None) -> Filter:
    """The filter of search_model_versions. Raises MlflowException."""
    clauses = SearchModelVersionUtils.parse_search_filter(filter_string)
    for clause in clauses:
        if clause["type"] == "attribute":
            _check_version_attribute(clause)
        else:
            _check_tag(clause)
    return Filter(clauses, _asks_for_prompts(clauses))


def _check_version_attribute(clause: Clause) -> None:
    key = clause["key"]
    if key not in SearchModelVersionUtils.VALID_SEARCH_ATTRIBUTE_KEYS:
        raise MlflowException.invalid_parameter_value(f"Invalid attribute name: {key}")
    if key not in SearchModelVersionUtils.NUMERIC_ATTRIBUTES:
        lists = key in ("run_id", "name")
        _check(clause, _TEXT if lists else _TAG, "attribute")
        return
    _check(clause, SearchModelVersionUtils.VALID_NUMERIC_ATTRIBUTE_COMPARATORS, "attribute")
    try:
        if isinstance(clause["value"], float):
            raise ValueError
        clause["value"] = int(clause["value"])
    except (TypeError, ValueError):
        raise MlflowException.invalid_parameter_value(
            f"Invalid value for numeric attribute '{key}': {clause['value']!r}"
        ) from None


def _check_tag(clause: Clause) -> None:
    if clause["type"] != "tag":
        raise MlflowException.invalid_parameter_value(f"Invalid token type: {clause['type']}")
    _check(clause, _TAG, "tag")


def _check(clause: Clause, comparators: Any, kind: str) -> None:
    if clause["comparator"] not in comparators:
        raise MlflowException.invalid_parameter_value(
            f"Invalid comparator for {kind}: {clause['comparator']}"
        )


def _is_name(clause: Clause) -> bool:
    return bool(clause["type"] == "attribute" and clause["key"] == "name")


def _is_about_prompts(clause: Clause) -> bool:
    return bool(clause["type"] == "tag" and clause["key"] == IS_PROMPT_TAG_KEY)


def _is_true_prompt(clause: Clause) -> bool:
    return _is_about_prompts(clause) and (clause["comparator"], clause["value"]) == ("=", "true")


def _asks_for_prompts(clauses: Sequence[Clause]) -> bool:
    for clause in clauses:
        if _is_about_prompts(clause):
            wanted = (clause["comparator"], clause["value"].lower())
            return wanted in (("=", "true"), ("!=", "false"))
    return False


# -- orders --

_COLUMNS: dict[str, Callable[[Found], Any]] = {
    "name": lambda found: found.name,
    "version_number": lambda found: found.number,
    "run_id": lambda found: found.body["run_id"],
    "source_path": lambda found: found.body["source"],
    "creation_timestamp": lambda found: found.body["created"],
    "last_updated_timestamp": lambda found: found.updated,
}
_VERSIONS_DEFAULT = ("last_updated_timestamp DESC", "name ASC", "version_number DESC")


def models_order(order_by: Sequence[str] | None) -> Callable[[Body], Any] | None:
    """The order of models as a sort key, None for the table's own (names). Raises MlflowException.

    Both of MLflow's timestamps mean the time of the last update, as on its SQL store.
    """
    columns: dict[str, tuple[Callable[[Body], Any], bool]] = {}
    for clause in order_by or ():
        token, ascending = SearchUtils.parse_order_by_for_search_registered_models(clause)
        column = "name" if token == "name" else "updated"
        if column in columns:
            raise MlflowException(f"`order_by` contains duplicate fields: {order_by}")
        columns[column] = (lambda head, column=column: head[column], ascending)  # type: ignore[misc]
    if not columns or (next(iter(columns)) == "name" and columns["name"][1]):
        return None  # names are unique: what follows them does not matter
    columns.setdefault("name", (lambda head: head["name"], True))
    return by_columns(list(columns.values()))


def version_columns(order_by: Sequence[str] | None) -> list[tuple[str, bool]]:
    """The order of versions: columns, and whether they ascend. Raises MlflowException."""
    columns: dict[str, bool] = {}
    for clause in order_by or _VERSIONS_DEFAULT:
        _, key, ascending = SearchModelVersionUtils.parse_order_by_for_search_model_versions(clause)
        if key not in SearchModelVersionUtils.VALID_ORDER_BY_ATTRIBUTE_KEYS:
            raise MlflowException.invalid_parameter_value(
                f"Invalid order by key '{key}' specified. Valid keys are "
                f"{SearchModelVersionUtils.VALID_ORDER_BY_ATTRIBUTE_KEYS}"
            )
        if key in columns:
            raise MlflowException(f"`order_by` contains duplicate fields: {order_by}")
        columns[key] = ascending
    columns.setdefault("name", True)
    columns.setdefault("version_number", False)
    return list(columns.items())


def versions_order(columns: Sequence[tuple[str, bool]]) -> Callable[[Found], Any]:
    """A sort key for versions."""
    chosen: list[Column] = [(_COLUMNS[name], ascending) for name, ascending in columns]
    return by_columns(chosen)
