"""Filters of traces by their spans: one span has to satisfy all clauses.

Names, types and statuses are decided on the summary that a trace carries; contents and attributes
need the spans themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchTraceUtils

from dynamodb_store.entities.spans import SpanRow
from dynamodb_store.entities.trace import TraceView
from dynamodb_store.search.compare import holds

_TOLERANCE_MS = 10_000
"""MLflow's: spans may start so much before the time that their traces are asked for."""

_Clause = Callable[[SpanRow], bool]


class SpanTest:
    """All clauses about spans in one filter; false when there are none."""

    def __init__(self) -> None:
        self._kinds: list[_Clause] = []
        self._contents: list[_Clause] = []
        self._earliest_ms: float | None = None

    def __bool__(self) -> bool:
        return bool(self._kinds or self._contents)

    def not_before(self, timestamp_ms: float) -> None:
        """The filter asks for traces from this time on."""
        earliest = self._earliest_ms
        self._earliest_ms = timestamp_ms if earliest is None else max(earliest, timestamp_ms)

    def add(self, name: str, comparator: str, value: Any) -> None:
        """A clause of MLflow's grammar. Raises MlflowException."""
        if name.startswith("attributes."):
            attribute = SearchTraceUtils._trim_backticks(name.removeprefix("attributes."))
            self._contents.append(_attribute(attribute, comparator, value))
        elif name == "content":
            self._contents.append(lambda row: holds(comparator, row.content, value))
        else:
            self._kinds.append(lambda row: holds(comparator, getattr(row, name), value))

    def possible(self, view: TraceView) -> bool:
        """Whether the trace may have such a span, by what its list entry says."""
        kinds = json.loads(view.head["span_kinds"])
        if kinds is None:
            return True
        return any(self._is_kind(_row(*kind)) for kind in kinds)

    def decided(self, view: TraceView) -> bool:
        """Whether ``possible`` is the whole answer for this trace."""
        return not self._contents and view.head["span_kinds"] != "null"

    def passes(self, rows: Iterable[SpanRow]) -> bool:
        """Whether one of the spans satisfies all clauses."""
        return any(
            self._is_kind(row) and all(clause(row) for clause in self._contents) for row in rows
        )

    def _is_kind(self, row: SpanRow) -> bool:
        earliest = self._earliest_ms
        if earliest is not None and row.start_ns < (earliest - _TOLERANCE_MS) * 1_000_000:
            return False
        return all(clause(row) for clause in self._kinds)


def _row(name: str, kind: str | None, status: str, start_ns: int) -> SpanRow:
    return SpanRow("", None, name, kind, status, start_ns, None, None, None, None, None, None)


def _attribute(name: str, comparator: str, value: Any) -> _Clause:
    """MLflow looks for attributes in the JSON text of the span, and so do we."""
    if not isinstance(value, str):
        raise MlflowException.invalid_parameter_value(
            f"Attributes of spans cannot be compared with a list: {value!r}"
        )
    if comparator == "RLIKE":
        pattern = _pattern(name, value)
        return lambda row: holds("RLIKE", row.content, pattern)
    like = f'%"{name}"{value}%'
    return lambda row: holds(comparator, row.content, like)


def _pattern(name: str, value: str) -> str:
    """The regular expression for a value inside the JSON text: "name": "\\"value\\""."""
    prefix, suffix = '"\\\\".*', ""
    if value.startswith("^"):
        value, prefix = value[1:], '"\\\\"'
    if value.endswith("$"):
        value, suffix = value[:-1], '\\\\"'
    return f'"{name}": {prefix}{value}{suffix}'
