"""The audit event: what one request did, collected as it passes the stages.

``schema/v1.yaml`` describes the fields; docs/audit.md is asserted against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.model import Decision, Principal, Reason

VERSION = 1
_REASONS = {reason: reason.value for reason in Reason}
"""Plain text: orjson takes ten times as long over an enum."""


@dataclass(slots=True)
class Trail:
    """What is known of one request so far. ``started`` is monotonic, ``time`` wall seconds."""

    request_id: str
    time: float
    started: float
    method: str = ""
    path: str = ""
    peer: str = ""
    call: str | None = None
    does: str = ""
    principal: Principal | None = None
    decision: Decision | None = None
    status: int = 0
    error: str | None = None
    detail: str = ""
    upstream_calls: int = 0
    notes: dict[str, Any] = field(default_factory=dict)


def event_of(trail: Trail, milliseconds: float) -> dict[str, Any]:
    """The event as a JSON object. The query, bodies and credentials are never part of it."""
    decision = trail.decision
    principal = trail.principal
    event: dict[str, Any] = {
        "v": VERSION,
        "time": trail.time,
        "request_id": trail.request_id,
        "principal": principal.name if principal is not None else None,
        "signed_in_by": principal.method if principal is not None else None,
        "call": trail.call,
        "method": trail.method,
        "path": trail.path,
        "resources": [f"{kind}:{one}" for kind, one in decision.resources] if decision else [],
        "result": result_of(trail),
        "reason": _REASONS[decision.reason] if decision is not None else trail.error,
        "status": trail.status,
        "ms": round(milliseconds, 2),
        "peer": trail.peer,
    }
    if trail.notes:
        event.update(trail.notes)
    return event


def result_of(trail: Trail) -> str:
    """``allow``, ``deny`` (a decision or a missing credential) or ``refuse`` (a bad request).

    The gateway's own endpoints (tokens, whoami) answer without a decision on a resource. A page
    that sends somebody to sign in first (303) has refused what was asked for.
    """
    if trail.decision is not None:
        return "allow" if trail.decision.allowed else "deny"
    if trail.error is None and 200 <= trail.status < 400:
        return "allow"
    return "deny" if trail.status in (303, 401, 403) else "refuse"
