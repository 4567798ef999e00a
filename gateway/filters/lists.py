"""Trims answers without pages: rows stay when everything that they name may be read.

Paths are written as in the catalogue: ``scorers[]``, ``result.jobs[]``, ``info.experiment_id``,
``experiment_ids[]``; several ids of one row are separated by commas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def ids_in(answer: Mapping[str, Any], rows: str, ids: str) -> frozenset[str]:
    """Every id that the rows of an answer name: what the driver asks about at once."""
    found = (
        row_ids for row in _rows(answer, rows.split(".")) for row_ids in [_ids(row, ids)] if row_ids
    )
    return frozenset(one for row_ids in found for one in row_ids)


def trim_list(
    answer: Mapping[str, Any], rows: str, ids: str, readable: Callable[[str], bool]
) -> dict[str, Any]:
    """The answer with only those rows whose every named id is readable.

    A row that lacks a named id, or has one that is not a string, is dropped. The given answer
    is not changed.
    """

    def keep(row: object) -> bool:
        named = _ids(row, ids)
        return bool(named) and all(readable(one) for one in named)

    return _trimmed(answer, rows.split("."), keep)


def _trimmed(
    value: Mapping[str, Any], steps: list[str], keep: Callable[[object], bool]
) -> dict[str, Any]:
    step, rest = steps[0], steps[1:]
    name = step.removesuffix("[]")
    made = dict(value)
    if name not in made:
        return made
    inner = made[name]
    if not step.endswith("[]"):
        made[name] = _trimmed(inner, rest, keep) if isinstance(inner, Mapping) else {}
        return made
    rows = inner if isinstance(inner, list) else []
    if rest:
        made[name] = [_trimmed(row, rest, keep) for row in rows if isinstance(row, Mapping)]
    else:
        made[name] = [row for row in rows if keep(row)]
    return made


def _rows(value: object, steps: list[str]) -> Iterator[object]:
    if not steps:
        yield value
    elif isinstance(value, Mapping):
        step = steps[0]
        inner = value.get(step.removesuffix("[]"))
        many = step.endswith("[]")
        for item in (inner if isinstance(inner, list) else []) if many else [inner]:
            yield from _rows(item, steps[1:])


def _ids(row: object, ids: str) -> tuple[str, ...]:
    """The ids of a row; empty when any of the named fields is absent or not a string."""
    found: list[str] = []
    for path in ids.split(","):
        values = list(_rows(row, path.strip().split(".")))
        if not values:
            return ()
        for value in values:
            if not isinstance(value, str) or not value:
                return ()
            found.append(value)
    return tuple(found)
