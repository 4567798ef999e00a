"""Rows of MLflow's SQL tables as plain values, the form in which both sides are compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

Row = dict[str, Any]
Rows = dict[str, list[Row]]
"""Rows by the name of their SQL table, parents before children."""

_MODULUS = 2**64


def first(rows: Rows, table: str) -> list[Row]:
    """The rows of a table; none when it is not there."""
    return rows.get(table, [])


def by(rows: Iterable[Row], *columns: str) -> dict[Any, list[Row]]:
    """Rows grouped by one column, or by a tuple of several."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        key = row[columns[0]] if len(columns) == 1 else tuple(row[name] for name in columns)
        groups.setdefault(key, []).append(row)
    return groups


def made_id(*parts: object) -> str:
    """For ids that no call of MLflow shows, and that the table therefore does not keep."""
    text = json.dumps([str(part) for part in parts])
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass
class Tally:
    """How many rows there are of each table, and the sum of their hashes, whatever their order."""

    counts: dict[str, int] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)

    def add(self, rows: Mapping[str, Iterable[Row]]) -> None:
        """Count rows."""
        for table, some in rows.items():
            for row in some:
                self.counts[table] = self.counts.get(table, 0) + 1
                self.sums[table] = (self.sums.get(table, 0) + _hash(row)) % _MODULUS

    def differences(self, other: Tally) -> Iterator[str]:
        """A sentence for each table in which this side and the other do not agree."""
        for table in sorted({*self.counts, *other.counts}):
            here, there = self.counts.get(table, 0), other.counts.get(table, 0)
            if here != there:
                yield f"{table}: {here} rows here, {there} there"
            elif self.sums.get(table) != other.sums.get(table):
                yield f"{table}: {here} rows on both sides, and not the same ones"


def _hash(row: Row) -> int:
    values = [(name, _plain(row[name])) for name in sorted(row)]
    text = json.dumps(values, separators=(",", ":"), sort_keys=True)
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _plain(value: Any) -> Any:
    match value:
        case bool():
            return int(value)
        case float():
            return (value + 0.0).hex()
        case bytes() | memoryview():
            return bytes(value).hex()
        case int() | str() | None | dict() | list():
            return value
    return str(value)
