"""Audit lines as CSV (RFC 4180) for a spreadsheet. Pure.

A spreadsheet takes a cell that begins with ``=`` and the like for a formula, also one that
somebody else wrote into a path: such cells get an apostrophe in front (OWASP, "CSV Injection").
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from gateway.audit.search import Event, details

COLUMNS = (
    "time", "request_id", "principal", "signed_in_by", "call", "method", "path", "resources",
    "result", "reason", "status", "ms", "peer", "details",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_QUOTED = frozenset('",\r\n')


def cell(text: str) -> str:
    """One cell: harmless, and quoted where it must be."""
    if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA):
        text = "'" + text
    if _QUOTED.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def row(texts: Iterable[str]) -> str:
    """One line of the file."""
    return ",".join(map(cell, texts)) + "\r\n"


def event_row(event: Event) -> str:
    """An audit line as one line of the file."""
    at = datetime.fromtimestamp(event["time"], UTC).isoformat(timespec="milliseconds")
    special = {
        "time": at.replace("+00:00", "Z"),
        "resources": " ".join(event["resources"]),
        "details": " ".join(f"{name}={value}" for name, value in details(event)),
    }
    return row(special.get(name) or _text(event.get(name)) for name in COLUMNS)


def _text(value: object) -> str:
    return "" if value is None else str(value)
