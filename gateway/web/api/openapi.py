"""The OpenAPI description of the gateway's own endpoints (a test holds it against the rows)."""

from __future__ import annotations

from typing import Any

from gateway import __version__

_PRINCIPAL = {"type": "string", "examples": ["user:alice@example.com", "group:data-science"]}
_ACL = {
    "type": "object",
    "properties": {
        "owner": {"type": ["string", "null"]},
        "grants": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"principal": _PRINCIPAL, "role": {"type": "string"}},
            },
        },
    },
}
_ERROR = {
    "type": "object",
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
}


def _parameter(name: str, where: str, says: str, *, required: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": required,
        "description": says,
        "schema": {"type": "string"},
    }


def _operation(
    says: str,
    *parameters: dict[str, Any],
    body: dict[str, Any] | None = None,
    answer: dict[str, Any] | None = None,
    public: bool = False,
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "summary": says,
        "parameters": list(parameters),
        "responses": {
            "200": {
                "description": "Done.",
                "content": {"application/json": {"schema": answer or {"type": "object"}}},
            },
            "default": {
                "description": "Refused; the message says what to do.",
                "content": {"application/json": {"schema": _ERROR}},
            },
        },
    }
    if body is not None:
        made["requestBody"] = {"content": {"application/json": {"schema": body}}}
    if public:
        made["security"] = []
    return made


_KIND = _parameter("kind", "path", "experiment or model")
_ID = _parameter("id", "path", "experiment id, or model name (percent-encoded)")
_WHO = _parameter("principal", "path", "user:NAME, group:NAME, service:NAME or everyone")
_WHOM = _parameter("principal", "path", "user:NAME")
_ROLE = {"type": "object", "required": ["role"], "properties": {"role": {"type": "string"}}}
_NEW_TOKEN = {
    "type": "object",
    "properties": {
        "principal": _PRINCIPAL,
        "label": {"type": "string"},
        "days": {"type": "number"},
        "group": {"type": "string", "description": "the team of a new service account"},
    },
}
_RESOURCES = {
    "type": "object",
    "properties": {
        "resources": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "kind": {"type": "string"},
                    "id": {"type": "string"},
                    "name": {"type": ["string", "null"]},
                    "owner": {"type": ["string", "null"]},
                    "managers": {"type": "array", "items": _PRINCIPAL},
                    "grants": {"type": "integer"},
                },
            },
        },
        "after": {"type": ["string", "null"]},
    },
}
_AUDIT = {
    "type": "object",
    "properties": {
        "lines": {"type": "array", "items": {"type": "object"}},
        "before": {"type": ["integer", "null"]},
        "full": {"type": "boolean"},
        "bytes": {"type": "integer"},
        "broken": {"type": "integer"},
    },
}
_AUDIT_FIELDS = (
    ("principal", "part of it"),
    ("call", "part of it"),
    ("resource", "kind:id, or the id"),
    ("result", "allow, deny or refuse"),
    ("status", "a number, or a class such as 4xx"),
    ("request_id", "the whole of it"),
    ("reason", "part of the reason or of a detail"),
    ("from", "a time, in UTC"),
    ("until", "a time, in UTC"),
    ("before", "from the answer before"),
)

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "mlgate", "version": __version__},
    "servers": [{"url": "/access"}],
    "components": {
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "basic": {"type": "http", "scheme": "basic"},
            "session": {"type": "apiKey", "in": "cookie", "name": "__Host-mlgate"},
        }
    },
    "security": [{"bearer": []}, {"basic": []}, {"session": []}],
    "paths": {
        "/healthz": {"get": _operation("Live.", public=True)},
        "/readyz": {"get": _operation("Ready, or which part is not.", public=True)},
        "/metrics": {"get": _operation("Prometheus metrics.", public=True)},
        "/openapi.json": {"get": _operation("This document.", public=True)},
        "/api/v1/whoami": {"get": _operation("Who am I.")},
        "/api/v1/can": {
            "get": _operation(
                "Explain a decision.",
                _parameter("principal", "query", "oneself by default", required=False),
                _parameter("call", "query", "a call as in roles.yaml"),
                _parameter("kind", "query", "experiment or model", required=False),
                _parameter("id", "query", "experiment id or model name", required=False),
            )
        },
        "/api/v1/acl/{kind}/{id}": {"get": _operation("Who has access.", _KIND, _ID, answer=_ACL)},
        "/api/v1/acl/{kind}/{id}/{principal}": {
            "put": _operation("Give a role.", _KIND, _ID, _WHO, body=_ROLE, answer=_ACL),
            "delete": _operation("Take the role away.", _KIND, _ID, _WHO, answer=_ACL),
        },
        "/api/v1/resources": {
            "get": _operation(
                "Every experiment or model with its owner (admins).",
                _parameter("kind", "query", "experiment (the default) or model", required=False),
                _parameter("q", "query", "part of the name, or the id", required=False),
                _parameter("after", "query", "from the page before", required=False),
                answer=_RESOURCES,
            )
        },
        "/api/v1/audit": {
            "get": _operation(
                "Search the audit lines of this gateway's file, newest first (admins).",
                *(_parameter(name, "query", says, required=False) for name, says in _AUDIT_FIELDS),
                answer=_AUDIT,
            )
        },
        "/api/v1/session": {"get": _operation("This browser's session, if any.", public=True)},
        "/api/v1/sessions": {
            "get": _operation(
                "List browser sessions.",
                _parameter("principal", "query", "oneself by default", required=False),
            )
        },
        "/api/v1/sessions/{principal}": {
            "delete": _operation("End all browser sessions of a person.", _WHOM)
        },
        "/api/v1/tokens": {
            "get": _operation(
                "List API tokens.",
                _parameter("principal", "query", "a service account", required=False),
            ),
            "post": _operation("Make an API token; shown once.", body=_NEW_TOKEN),
        },
        "/api/v1/tokens/{id}": {
            "delete": _operation("Revoke.", _parameter("id", "path", "the token's id"))
        },
    },
}
