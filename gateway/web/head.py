"""The head of a request as the gateway trusts it: limits, smuggling checks, header hygiene.

Only listed headers go on to MLflow. Everything else a client sends (hop-by-hop headers,
``X-Forwarded-*``, identity headers in any spelling, cookies, credentials) stays here, so there
is no list of bad names to keep complete.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.errors import BadRequest

RawHeaders = Sequence[tuple[bytes, bytes]]

FORWARDED = frozenset(
    {
        b"accept", b"accept-language", b"if-match", b"if-modified-since", b"if-none-match",
        b"if-range", b"if-unmodified-since", b"range", b"traceparent", b"tracestate",
        b"user-agent",
    }
)  # fmt: skip
"""Request headers that MLflow may see. ``accept-encoding`` goes only where nobody reads the
answer; ``content-type`` is checked first; OTLP's own headers are written from the parsed refs."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
_ONCE = frozenset({b"content-type", b"content-encoding", b"content-length", b"host", b"range"})
_WORKSPACE = b"x-mlflow-workspace"


@dataclass(slots=True)
class Head:
    """What the stages need of a request's head; header values are Latin-1 text."""

    method: str
    target: str
    forward: list[tuple[bytes, bytes]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    cookie: str | None = None
    content_type: str = ""
    content_encoding: str = ""
    content_length: int | None = None
    chunked: bool = False
    accept_encoding: bytes = b""
    request_id: str | None = None
    forwarded_for: str = ""
    expects_continue: bool = False
    origin: str = ""
    mlflow: dict[str, list[str]] = field(default_factory=dict)
    """``x-mlflow-*`` headers, lower case, all values: OTLP names its experiment there."""

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return self.chunked or bool(self.content_length)


def read_head(method: str, target: str, raw: RawHeaders, limit: int) -> Head:
    """Read and check the head of a request.

    Raises BadRequest for what two servers could frame or read differently (RFC 9112 §6.3,
    §11.2): both framing headers, a doubled Host or Content-Type, a transfer coding other than
    chunked, a workspace header.
    """
    head = Head(method, target)
    forward = head.forward
    seen: set[bytes] = set()
    size = len(target)
    for name, value in raw:
        size += len(name) + len(value)
        lower = name.lower()
        if lower in FORWARDED:
            forward.append((lower, value))
        elif lower == b"authorization":
            head.authorizations.append(value.decode("latin-1"))
            continue
        else:
            _other(head, lower, value)
        if lower in _ONCE:
            if lower in seen:
                raise BadRequest(f"The header {lower.decode()} is given twice; send it once.")
            seen.add(lower)
    if size > limit:
        raise BadRequest("The headers of this request are too large.")
    if b"host" not in seen:
        raise BadRequest("The request has no Host header.")
    if head.chunked and head.content_length is not None:
        raise BadRequest("Send either Content-Length or Transfer-Encoding, not both.")
    return head


def _other(head: Head, name: bytes, value: bytes) -> None:
    plain = name.replace(b"_", b"-")
    if plain == _WORKSPACE:
        if value.strip():
            raise BadRequest(
                "This gateway does not serve MLflow workspaces; unset MLFLOW_WORKSPACE "
                "(header X-MLFLOW-WORKSPACE)."
            )
    elif plain in (b"transfer-encoding", b"content-length") and name != plain:
        raise BadRequest("A header that frames the body is misspelt with an underscore.")
    elif name == b"cookie":
        text = value.decode("latin-1")
        head.cookie = text if head.cookie is None else f"{head.cookie}; {text}"
    elif name == b"content-type":
        head.content_type = value.decode("latin-1").strip()
    elif name == b"content-encoding":
        head.content_encoding = value.decode("latin-1").strip().lower()
    elif name == b"content-length":
        if not value.isdigit() or len(value) > 18:
            raise BadRequest("Content-Length must be a decimal number.")
        head.content_length = int(value)
    elif name == b"transfer-encoding":
        if value.strip().lower() != b"chunked" or head.chunked:
            raise BadRequest("The only transfer coding that this gateway takes is 'chunked'.")
        head.chunked = True
    elif name == b"accept-encoding":
        head.accept_encoding = value
    elif name == b"expect":
        if value.strip().lower() != b"100-continue":
            raise BadRequest("The only expectation that this gateway meets is '100-continue'.")
        head.expects_continue = True
    elif name == b"x-request-id":
        if _REQUEST_ID.fullmatch(value):
            head.request_id = value.decode("ascii")
    elif name == b"x-forwarded-for":
        head.forwarded_for = value.decode("latin-1")
    elif name == b"origin":
        head.origin = value.decode("latin-1")
    elif name.startswith(b"x-mlflow-"):
        head.mlflow.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))


def wants_html(head: Head) -> bool:
    """Whether a person's browser navigates here (and should see a page, not JSON)."""
    if head.method != "GET":
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in head.forward)
