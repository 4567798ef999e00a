"""What the gateway writes into a request before it leaves: owner, user, bounds.

Pure. Ownership is born in the same write as the resource, so it cannot get lost between
MLflow's answer and our own ACL row.
"""

from __future__ import annotations

from typing import Any

from gateway.model import Principal
from gateway.ownership import ownership_tags
from gateway.routes.call import Call

MLFLOW_USER_TAG = "mlflow.user"


def stamp(call: Call, principal: Principal, *, user: bool, presigned_seconds: int) -> None:
    """Apply the row's stamps to the call's body, in place.

    ``user``: overwrite who made a new run. ``presigned_seconds`` caps the life of a presigned
    URL, which outlives a revoked grant.
    """
    body = call.body
    if body is None:
        return
    kind = call.route.stamps
    if kind == "owner":
        _set_tags(body, ownership_tags(principal))
    elif kind == "user" and user:
        body["user_id"] = principal.bare_name
        _set_tags(body, {MLFLOW_USER_TAG: principal.bare_name})
    if "expiration" in body or call.route.call.startswith("artifacts/presigned-"):
        body["expiration"] = min(
            int(body.get("expiration") or presigned_seconds), presigned_seconds
        )


def _set_tags(body: dict[str, Any], tags: dict[str, str]) -> None:
    kept = [tag for tag in body.get("tags", []) if tag.get("key") not in tags]
    body["tags"] = kept + [{"key": key, "value": value} for key, value in tags.items()]
