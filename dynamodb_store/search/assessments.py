"""Filters of traces by feedback and expectations.

A session-wide assessment covers all traces of its session, so these tests need the sessions that
such an assessment is about; they are found before the traces are read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from dynamodb_store.entities.assessment import Assessed
from dynamodb_store.entities.trace import SESSION, TraceView
from dynamodb_store.search.compare import holds

_ORDERED = ("<", "<=", ">", ">=")


@dataclass
class AssessmentTest:
    """One clause; ``sessions`` are those that a matching session-wide assessment covers."""

    kind: str
    name: str
    comparator: str
    value: Any
    sessions: set[str] = field(default_factory=set)

    def passes(self, view: TraceView) -> bool:
        """Whether the trace, or its session, has such an assessment (or has none)."""
        session = view.text(SESSION)
        found = any(self._matches(one) for one in view.assessments) or session in self.sessions
        return not found if self.comparator == "IS NULL" else found

    def cover(self, view: TraceView) -> None:
        """Note the session of a trace that has a matching session-wide assessment."""
        session = view.text(SESSION)
        if session is not None and any(
            one.session_wide and self._matches(one) for one in view.assessments
        ):
            self.sessions.add(session)

    def _matches(self, one: Assessed) -> bool:
        if not (one.kind == self.kind and one.name == self.name and one.valid):
            return False
        if self.comparator in ("IS NULL", "IS NOT NULL"):
            return True
        if self.comparator in _ORDERED:
            number, numeric = one.aggregate
            return numeric and holds(self.comparator, number, self.value)
        if self.comparator in ("=", "!="):
            # Values are JSON texts: 5 and true are as typed, texts have quotes.
            equal = one.value in (self.value, json.dumps(self.value))
            return equal == (self.comparator == "=")
        return holds(self.comparator, one.value, self.value)


def assessment_test(kind: str, name: str, comparator: str, value: Any) -> AssessmentTest:
    """The test of a parsed clause."""
    return AssessmentTest(kind, name, comparator, value)
