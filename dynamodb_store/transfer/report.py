"""What a transfer tells the person who waits for it, and what both transfers have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from mlflow.exceptions import MlflowException

from dynamodb_store.table import Table
from dynamodb_store.transfer.families import KINDS
from dynamodb_store.transfer.rows import Tally
from dynamodb_store.transfer.sql import Sql

Say = Callable[[str], None]
"""Told what is being done and how far it is; called often."""

_MOST_PROBLEMS = 50


class Refused(MlflowException):
    """Nothing was written; ``problems`` is the list of why."""

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        super().__init__(what)
        self.problems = list(problems[:_MOST_PROBLEMS])


@dataclass
class Outcome:
    """Rows of each table on both sides after the transfer."""

    source: Tally
    target: Tally
    wrote: bool
    notes: list[str] = field(default_factory=list)

    @property
    def differences(self) -> list[str]:
        """Empty when both sides agree."""
        return list(self.source.differences(self.target))

    def lines(self) -> Iterator[str]:
        """The counts, a line for each table that has rows."""
        for table in sorted({*self.source.counts, *self.target.counts}):
            here, there = self.source.counts.get(table, 0), self.target.counts.get(table, 0)
            if here or there:
                yield f"{table:32} {here:>12} {there:>12}"


def tally_of_sql(sql: Sql, say: Say) -> tuple[Tally, list[str]]:
    """All carried rows of the database, and what of them the table cannot hold."""
    tally = Tally()
    problems: dict[str, None] = {}
    for kind in KINDS:
        count = 0
        for rows, _ in kind.pages(sql):
            counted = kind.counted(rows)
            tally.add(counted)
            count += len(counted.get(kind.root.name, ()))
            problems |= dict.fromkeys(kind.problems(rows))
            say(f"reading {kind.name} of {sql.name}: {count}")
    for table in sorted(tally.counts.keys() | {name for kind in KINDS for name in kind.tables()}):
        there, here = sql.count(table), tally.counts.get(table, 0)
        if there != here:
            problems[f"{table}: {there - here} rows belong to nothing that is carried"] = None
    return tally, list(problems)


def tally_of_table(table: Table, say: Say) -> Tally:
    """All rows that the items of the table stand for."""
    tally = Tally()
    for kind in KINDS:
        count = 0
        for rows in kind.stored(table):
            counted = kind.counted(rows)
            tally.add(counted)
            count += len(counted.get(kind.root.name, ()))
            say(f"reading {kind.name} of {table.uri}: {count}")
    return tally
