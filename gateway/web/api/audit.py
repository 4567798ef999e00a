"""Searching this gateway's audit lines, for admins; also as a file for a spreadsheet."""

from __future__ import annotations

from aiohttp import web

from gateway.audit.search import MOST_BYTES, BadFilter, Filters, Found, filters_from
from gateway.audit.table import COLUMNS, event_row, row
from gateway.audit.trail_file import STREAMS, NotAFile, TrailFile
from gateway.errors import BadRequest, Forbidden, NotFound, Unavailable
from gateway.model import Principal
from gateway.settings import Audit
from gateway.web.answer import Whole, json_answer
from gateway.web.own import Endpoint, OwnCall

PER_SEARCH = 50
FILE_LINES = 10_000
FILE_BYTES = 2 * MOST_BYTES
"""What one CSV file holds at most, and from how much of the audit file."""


class AuditApi:
    """Answers about the file that ``audit.to`` names."""

    def __init__(self, audit: Audit) -> None:
        self.to = audit.to
        self._file = None if audit.to in STREAMS else TrailFile(audit.to)

    @property
    def searchable(self) -> bool:
        """Whether lines go to a file at all."""
        return self._file is not None

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's rows."""
        return (
            Endpoint("GET", "api/v1/audit", "audit/search", self.lines),
            Endpoint("GET", "audit.csv", "audit/export", self.table),
        )

    async def lines(self, call: OwnCall) -> web.StreamResponse:
        """``{lines, before, full, bytes, broken}``, newest first."""
        check_admin(call.principal)
        found = await self.found(call)
        return json_answer(
            200,
            {
                "lines": list(found.events),
                "before": found.before,
                "full": found.full,
                "bytes": found.bytes,
                "broken": found.broken,
            },
        )

    async def table(self, call: OwnCall) -> web.StreamResponse:
        """The same as CSV; a last line says when there is more than fits one file."""
        check_admin(call.principal)
        found = await self.found(call, most=FILE_LINES, most_bytes=FILE_BYTES)
        parts = [row(COLUMNS), *map(event_row, found.events)]
        if found.before is not None:
            bound = f"{FILE_LINES} lines" if found.full else f"{FILE_BYTES >> 20} MB looked through"
            said = f"not complete: {bound}; the rest is in audit.csv with before={found.before}"
            parts.append(row([said]))
        name = "audit.csv" if found.before is None else "audit-part.csv"
        headers = [
            (b"content-type", b"text/csv; charset=utf-8; header=present"),
            (b"content-disposition", f'attachment; filename="{name}"'.encode("ascii")),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        return Whole(200, headers, "".join(parts).encode("utf-8"))

    async def found(
        self, call: OwnCall, *, most: int = PER_SEARCH, most_bytes: int = MOST_BYTES
    ) -> Found:
        """What the call's query asks for. Raises BadRequest, NotFound, Unavailable."""
        if self._file is None:
            raise NotFound(f"{self.elsewhere()} Set audit.to to a file to search them here.")
        filters, before = asked(call)
        try:
            return await self._file.search(filters, before, most=most, most_bytes=most_bytes)
        except NotAFile:
            raise NotFound("What audit.to names is no plain file; it cannot be searched.") from None
        except OSError as problem:
            said = f"The audit file cannot be read: {problem.strerror}."
            raise Unavailable(said, detail=str(problem)) from problem

    def elsewhere(self) -> str:
        """Where lines go that are in no file, as a sentence."""
        if self.to == "off":
            return "Audit lines are off on this gateway."
        return f"Audit lines go to {self.to} of this gateway."


def asked(call: OwnCall) -> tuple[Filters, int | None]:
    """The filters of a query, and the offset to look before. Raises BadRequest."""
    before = call.query.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) < 19):
        raise BadRequest("This list cannot go on from there; start it again.")
    try:
        return filters_from(call.query), int(before) if before else None
    except BadFilter as problem:
        raise BadRequest(str(problem)) from None


def check_admin(principal: Principal) -> None:
    """Raises Forbidden."""
    if not principal.admin:
        raise Forbidden("The audit lines are for admins; ask an mlgate admin.")
