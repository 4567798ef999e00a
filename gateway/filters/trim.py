"""Walks a paged search of MLflow and gives the caller full pages of what the caller may read.

``trim`` is a generator without I/O: it yields ``Fetch`` (make this upstream call, send the
answer) and ``Ask`` (which of these resources may the caller read, send the set), and returns a
``TrimResult``. A driver that gets an error from MLflow closes the generator and passes it on.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import BadRequest
from gateway.filters.page_token import PageTokens, Position, query_of
from gateway.filters.plan import PLANS, Plan
from gateway.model import Resource

Row = Mapping[str, Any]

_LEAST_READ = 100
_CHEAP = 1_000
_MARGIN = 1.2
_MEMORY = 10_000
"""How many rows the observed share of readable rows remembers: it drifts along the list."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Make one upstream call with these request fields; send its answer (a dict)."""

    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Ask:
    """Which of these resources may the caller read? Send a set of ``Resource``."""

    rows: Sequence[tuple[Resource, Row]]


@dataclass(frozen=True, slots=True)
class TrimResult:
    """The answer for the caller, and how many calls to MLflow it took."""

    answer: dict[str, Any]
    upstream_calls: int


Steps = Generator[Fetch | Ask, Any, TrimResult]


def trim(
    plan: str,
    fields: Mapping[str, object],
    *,
    seal: PageTokens,
    principal: str,
    max_calls: int,
) -> Steps:
    """One page of the search ``plan`` for a caller who does not read everything.

    Rows keep MLflow's order. A page is full unless the list ends or ``max_calls`` calls did not
    fill it. An empty page never has a token, and a full one only when a readable row follows (or
    ``max_calls`` calls did not come to one): MLflow's own token would tell that hidden rows match
    the filter, too. Raises BadRequest for bad ``max_results``, for a foreign page token, and when
    ``max_calls`` calls found nothing at all that the caller may read: 400 and not 429, because
    MLflow's clients would repeat a 429 and cost the same again.
    """
    search = _Search(PLANS[plan], fields, seal, principal)
    return (yield from search.run(max_calls))


class _Search:
    """One call of ``trim``: the rows found so far and the place in MLflow's list."""

    def __init__(
        self, plan: Plan, fields: Mapping[str, object], seal: PageTokens, principal: str
    ) -> None:
        self.plan = plan
        self.fields = fields
        self.seal = seal
        self.query = query_of(plan.name, fields, principal)
        self.wanted = plan.page_size(fields)
        token = fields.get("page_token") or ""
        if not isinstance(token, str):
            raise BadRequest("page_token must be a string; start again without page_token.")
        self.at = seal.open(token, self.query) if token else Position()
        self.found: list[Row] = []
        self.least = _LEAST_READ
        """Doubled by every read in which nothing was readable: the share so far may be of a time
        when much was, and the calls are counted."""

    def run(self, max_calls: int) -> Steps:
        calls = 0
        while True:
            if calls >= max_calls:
                return self.stop_early(calls)
            answer = yield Fetch(self.next_fields())
            calls += 1
            rows = self.rows_of(answer)
            following = _text(answer.get("next_page_token"))
            readable = yield from self.ask(rows[self.at.offset :])
            if self.take(rows, readable, following):
                return TrimResult(self.page(self.at), calls)
            if not following:
                return TrimResult(self.page(None), calls)

    def next_fields(self) -> dict[str, object]:
        """The fields of the next upstream call: the caller's, with our size and MLflow's token."""
        fields = {k: v for k, v in self.fields.items() if k != "page_token"}
        fields["max_results"] = self.size()
        if self.at.upstream:
            fields["page_token"] = self.at.upstream
        return fields

    def size(self) -> int:
        """How many rows to read next: as many as should fill the page and show whether there is
        a next one, by the share so far."""
        at = self.at
        missing = self.wanted - len(self.found) + 1
        if at.seen:
            share = (at.readable + 1) / (at.seen + 1)
            missing = max(self.least, math.ceil(missing / share * _MARGIN))
        # Once the page is full, it must not fail for rows too large to hold that are not shown.
        most = self.plan.per_call if len(self.found) < self.wanted else _CHEAP
        size = min(at.offset + missing, most)
        if at.offset and size > _CHEAP:
            # Rows before the offset are read again: finish that page of MLflow and go on behind
            # it, or every page of ours would read a longer one.
            size = at.length
        return min(max(size, at.offset + 1), self.plan.most)

    def rows_of(self, answer: Mapping[str, Any]) -> list[Row]:
        rows = answer.get(self.plan.rows) or []
        return [row for row in rows if isinstance(row, Mapping)]

    def ask(self, rows: Sequence[Row]) -> Generator[Ask, Any, frozenset[Resource]]:
        named = [(r, row) for row in rows if (r := self.plan.resource(row)) is not None]
        if not named:
            return frozenset()
        readable: frozenset[Resource] = yield Ask(named)
        return readable

    def take(self, rows: Sequence[Row], readable: frozenset[Resource], following: str) -> bool:
        """Keep what may be read, up to a full page, and move on; True when another row follows."""
        kept = [
            n for n in range(self.at.offset, len(rows)) if self.plan.resource(rows[n]) in readable
        ]
        self.least = _LEAST_READ if kept else min(2 * self.least, self.plan.per_call)
        missing = self.wanted - len(self.found)
        self.found += [rows[n] for n in kept[:missing]]
        fresh = max(len(rows) - self.at.offset, 0)
        share = _share(self.at, len(kept), fresh)
        if len(kept) > missing:
            # The next page starts at its first readable row, in this very page of MLflow.
            self.at = Position(self.at.upstream, kept[missing], len(rows), *share)
            return True
        self.at = Position(following, 0, 0, *share)
        return False

    def stop_early(self, calls: int) -> TrimResult:
        if not self.found:
            raise BadRequest(
                "Too few of the results are visible to you to find one in this search; "
                "narrow it with a filter (for example on the name).",
                detail=f"{self.plan.name}: no readable row in {calls} upstream calls",
            )
        return TrimResult(self.page(self.at), calls)

    def page(self, at: Position | None) -> dict[str, Any]:
        """The answer as MLflow writes it: an empty list and an absent token are left out."""
        answer: dict[str, Any] = {}
        if self.found:
            answer[self.plan.rows] = self.found
            if at is not None and (at.upstream or at.offset):
                answer["next_page_token"] = self.seal.seal(at, self.query)
        return answer


def _share(before: Position, readable: int, seen: int) -> tuple[int, int]:
    """Readable and seen rows so far; old rows fade, so that the share follows the list."""
    total_readable, total = before.readable + readable, before.seen + seen
    if total > _MEMORY:
        return max(total_readable * _MEMORY // total, 0), _MEMORY
    return total_readable, total


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
