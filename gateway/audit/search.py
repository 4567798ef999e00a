"""Which audit lines a search means, and finding them from the end of a file. Pure.

The lines of several processes are in the order in which requests ended, while ``time`` is when
they began. So a search may stop at ``since`` only where a request's end is before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from gateway.audit.event import VERSION
from gateway.audit.lines import BLOCK, Read, backwards

Event = Mapping[str, Any]

RESULTS = ("allow", "deny", "refuse")
MOST_BYTES = 16 * 1024 * 1024
"""What one search reads at most."""

_CLOCKS_DIFFER = 60.0
_LAST_TIME = 253402300799.0
"""The end of the year 9999; later ones are not dates."""
_STATUS = re.compile(r"[1-5](?:[0-9]{2}|xx)", re.ASCII)
_LONGEST = 512
_TEXTS = ("request_id", "method", "path", "result", "peer")
_MAYBE_TEXTS = ("principal", "signed_in_by", "call", "reason")
_SHOWN = frozenset({"v", "time", "resources", "status", "ms", *_TEXTS, *_MAYBE_TEXTS})


class BadFilter(ValueError):
    """A filter that means nothing; the text says what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What to look for; empty fields let everything through.

    ``principal``, ``call`` and ``reason`` are parts of the text in any case; ``resource`` is
    ``kind:id`` or an id of either kind; ``status`` a number or a class such as ``4xx``; ``since``
    and ``until`` seconds since 1970.
    """

    principal: str = ""
    call: str = ""
    resource: str = ""
    result: str = ""
    status: str = ""
    request_id: str = ""
    reason: str = ""
    since: float | None = None
    until: float | None = None

    def match(self, event: Event) -> bool:
        """Whether a line is meant."""
        return (
            (not self.request_id or event["request_id"] == self.request_id)
            and (not self.result or event["result"] == self.result)
            and (not self.status or _has_status(event["status"], self.status))
            and (self.since is None or event["time"] >= self.since)
            and (self.until is None or event["time"] <= self.until)
            and (not self.principal or _within(self.principal, event["principal"]))
            and (not self.call or _within(self.call, event["call"]))
            and (not self.resource or _is_about(event["resources"], self.resource))
            and (not self.reason or _gives_reason(event, self.reason))
        )

    def ends_at(self, event: Event) -> bool:
        """Whether this line and all before it are of requests that ended before ``since``."""
        if self.since is None:
            return False
        ended: float = event["time"] + event["ms"] / 1000
        return ended < self.since - _CLOCKS_DIFFER


def filters_from(query: Mapping[str, str]) -> Filters:
    """The filters of a form's fields; the fields are named as in ``Filters``, but for ``from``.

    Raises BadFilter.
    """
    texts = {
        one.name: query.get(one.name, "").strip()[:_LONGEST]
        for one in fields(Filters)
        if one.name not in ("since", "until")
    }
    texts["status"] = texts["status"].lower()
    if texts["result"] and texts["result"] not in RESULTS:
        raise BadFilter(f"A result is one of {', '.join(RESULTS)}.")
    if texts["status"] and _STATUS.fullmatch(texts["status"]) is None:
        raise BadFilter("A status is a number such as 403, or a class such as 4xx.")
    since, until = _moment(query.get("from", "")), _moment(query.get("until", ""), end=True)
    return Filters(**texts, since=since, until=until)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, newest first, and where the next one goes on."""

    events: tuple[Event, ...]
    before: int | None
    """The offset to look before; None: nothing older is left to look at."""
    full: bool
    """As many as asked for were found; otherwise the bound of bytes was reached, or the end."""
    bytes: int
    broken: int
    """Lines that are no audit lines."""
    oldest: float | None
    """The time of the last line that was looked at."""


def search(
    read: Read,
    end: int,
    filters: Filters,
    *,
    most: int,
    most_bytes: int = MOST_BYTES,
    block: int = BLOCK,
) -> Found:
    """The newest ``most`` lines before offset ``end`` that are meant, if they are among the last
    ``most_bytes``."""
    floor = max(0, end - most_bytes)
    found: list[Event] = []
    before, broken, oldest = end, 0, None
    done = False
    for line in backwards(read, end, floor, block=block):
        before = line.start
        event = parse(line.text) if line.text is not None else None
        if event is None:
            broken += line.text != b""
            continue
        if done := filters.ends_at(event):
            break
        oldest = event["time"]
        if filters.match(event):
            found.append(event)
            if len(found) == most:
                break
    else:
        done = floor == 0
    more = before > 0 and not done
    return Found(
        tuple(found), before if more else None, len(found) == most, end - before, broken, oldest
    )


def parse(text: bytes) -> Event | None:
    """The audit line of a text; None when it is none of this version."""
    try:
        event = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(event, dict) or event.get("v") != VERSION:
        return None
    fits = (
        _is_number(event.get("time"), _LAST_TIME)
        and _is_number(event.get("ms"), _LAST_TIME)
        and _is_number(event.get("status"), 999)
        and all(isinstance(event.get(name), str) for name in _TEXTS)
        and all(isinstance(event.get(name, 0), str | None) for name in _MAYBE_TEXTS)
        and isinstance(event.get("resources"), list)
        and all(isinstance(one, str) for one in event["resources"])
    )
    return event if fits else None


def details(event: Event) -> Iterator[tuple[str, str]]:
    """What only some lines have, such as ``grant_to``."""
    return ((name, str(value)) for name, value in event.items() if name not in _SHOWN)


def _is_number(value: object, most: float) -> bool:
    return type(value) in (int, float) and 0 <= value <= most  # type: ignore[operator]


def _within(part: str, text: str | None) -> bool:
    return text is not None and part.casefold() in text.casefold()


def _has_status(status: int, wanted: str) -> bool:
    return str(status) == wanted or (wanted.endswith("xx") and str(status // 100) == wanted[0])


def _is_about(resources: list[str], wanted: str) -> bool:
    return any(one == wanted or one.partition(":")[2] == wanted for one in resources)


def _gives_reason(event: Event, part: str) -> bool:
    return _within(part, event["reason"]) or any(_within(part, text) for _, text in details(event))


def _moment(text: str, *, end: bool = False) -> float | None:
    """A time as people and browsers write it, in UTC unless it says otherwise. ``end``: of a day
    without a time, its end."""
    text = text.strip()
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        if end and len(text) == len("2026-11-25"):
            at += timedelta(days=1)
        return at.timestamp()
    except (ValueError, OverflowError) as problem:
        raise BadFilter("A time is written 2026-11-25T14:30 or 2026-11-25, in UTC.") from problem
