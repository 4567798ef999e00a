"""A paged search of MLflow in memory, and a driver for ``gateway.filters.trim``."""

from __future__ import annotations

import itertools
from typing import Any

from gateway.filters.trim import Ask, Fetch, Steps, TrimResult
from gateway.model import Kind, Resource

_STYLES = ("offset", "cursor")


class FakePagedSearch:
    """Rows in order behind opaque page tokens.

    ``offset`` tokens count rows, as MLflow's SQL stores do; ``cursor`` tokens name the last row
    given, as key-value stores do. ``most`` refuses what MLflow would refuse.
    """

    def __init__(self, rows_key: str, rows: list[dict[str, Any]], most: int, style: str) -> None:
        assert style in _STYLES
        self.rows_key = rows_key
        self.rows = rows
        self.most = most
        self.style = style
        self.sizes: list[int] = []
        self._tokens: dict[str, Any] = {}
        self._numbers = itertools.count()

    def answer(self, fields: dict[str, Any]) -> dict[str, Any]:
        size = fields["max_results"]
        assert 1 <= size <= self.most
        self.sizes.append(size)
        start = self._start(fields.get("page_token"))
        page = self.rows[start : start + size]
        answer: dict[str, Any] = {self.rows_key: page} if page else {}
        if start + size < len(self.rows):
            token = f"opaque-{next(self._numbers)}"
            self._tokens[token] = start + size if self.style == "offset" else page[-1]["at"]
            answer["next_page_token"] = token
        return answer

    def _start(self, token: str | None) -> int:
        if token is None:
            return 0
        place = self._tokens[token]
        if self.style == "offset":
            return place
        return next((n for n, row in enumerate(self.rows) if row["at"] > place), len(self.rows))


def drive(steps: Steps, mlflow: FakePagedSearch, kind: Kind, readable: set[str]) -> TrimResult:
    """Run a trim to its end against a fake MLflow."""
    send: Any = None
    while True:
        try:
            step = steps.send(send)
        except StopIteration as stop:
            return stop.value
        if isinstance(step, Fetch):
            send = mlflow.answer(dict(step.fields))
        else:
            assert isinstance(step, Ask)
            send = frozenset(r for r, _ in step.rows if r.kind is kind and r.id in readable)
            assert all(isinstance(r, Resource) for r, _ in step.rows)
