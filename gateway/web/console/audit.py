"""``/access/audit``: searching this gateway's audit lines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from aiohttp import web

from gateway.audit.search import MOST_BYTES, RESULTS, Event, details
from gateway.errors import GatewayError
from gateway.web.api.audit import FILE_BYTES, FILE_LINES, AuditApi, check_admin
from gateway.web.console.shell import console_page, spelled
from gateway.web.own import Endpoint, OwnCall

_FIELDS = (
    "principal", "call", "resource", "result", "status", "request_id", "reason", "from", "until",
)  # fmt: skip


class AuditPages:
    """The page of the audit search; it changes nothing."""

    def __init__(self, audit: AuditApi) -> None:
        self._audit = audit

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's row."""
        return (Endpoint("GET", "audit", "console/audit", self.show),)

    async def show(self, call: OwnCall) -> web.StreamResponse:
        """The newest lines that fit the filters, and the way to older ones."""
        check_admin(call.principal)
        found, refused = None, None
        if self._audit.searchable:
            try:
                found = await self._audit.found(call)
            except GatewayError as error:
                refused = error
        fields = {name: call.query.get(name, "").strip() for name in _FIELDS}
        return console_page(
            call,
            "audit.html",
            here="audit",
            refused=refused,
            searchable=self._audit.searchable,
            elsewhere=self._audit.elsewhere(),
            file=self._audit.to,
            asked=fields,
            results=RESULTS,
            later="before" in call.query,
            found=found,
            rows=[_row(event) for event in found.events] if found is not None else [],
            oldest=_second(found.oldest) if found is not None else None,
            newest=_address("/access/audit", fields),
            older=_address("/access/audit", {**fields, "before": str(found.before)})
            if found is not None and found.before is not None
            else None,
            csv=_address("/access/audit.csv", fields),
            most=MOST_BYTES >> 20,
            csv_lines=FILE_LINES,
            csv_most=FILE_BYTES >> 20,
        )


def _row(event: Event) -> dict[str, object]:
    return {
        **event,
        "at": _second(event["time"]),
        "who": spelled(event["principal"]) if event["principal"] else "nobody signed in",
        "more": list(details(event)),
    }


def _second(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _address(path: str, fields: Mapping[str, str]) -> str:
    query = urlencode({name: value for name, value in fields.items() if value})
    return f"{path}?{query}" if query else path
