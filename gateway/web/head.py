"""The head of a request as the gateway trusts it: limits, smuggling checks, header hygiene.

Only listed headers go on to MLflow. Everything else a client sends (hop-by-hop headers,
``X-Forwarded-*``, identity headers in any spelling, cookies, credentials) stays here, so there
is no list of bad names to keep complete.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gateway.errors import BadRequest

RawHeaders = Sequence[tuple[bytes, bytes]]

FORWARDED = frozenset(
    {
        b"accept", b"accept-language", b"if-match", b"if-modified-since", b"if-none-match",
        b"if-range", b"if-unmodified-since", b"range", b"traceparent", b"tracestate",
        b"user-agent",
    }
)  # fmt: skip
"""Request headers that MLflow may see as they are. ``content-type`` is checked first; OTLP's own
headers are written from what was read of them."""

FORM = "application/x-www-form-urlencoded"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
_ONCE = frozenset(
    {b"content-type", b"content-encoding", b"content-length", b"host", b"origin", b"range"}
)
_WORKSPACE = b"x-mlflow-workspace"
_AUTHORIZATION = frozenset({b"Authorization", b"authorization"})
_REMEMBERED = 1024
_REMEMBERED_BYTES = 2048


@dataclass(slots=True)
class Headers:
    """What the stages need of a request's headers, credentials apart; text is Latin-1."""

    forward: list[tuple[bytes, bytes]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    """Those under an unusual spelling of the name."""
    cookie: str | None = None
    content_type: str = ""
    content_encoding: str = ""
    content_length: int | None = None
    chunked: bool = False
    has_body: bool = False
    request_id: str | None = None
    forwarded_for: str = ""
    expects_continue: bool = False
    host: str = ""
    origin: str | None = None
    fetch_site: str | None = None
    """``Sec-Fetch-Site`` (W3C Fetch Metadata): where the browser says that the request is from."""
    same_origin: bool = False
    """A browser proves that the page which sends this is ours: what a session cookie alone
    cannot prove, since the browser adds it to everybody's requests."""
    cross_site: bool = False
    """A browser says that the page which sends this is not ours. The gateway takes ``Origin``
    away before MLflow could check it, so it has to refuse such writes itself."""
    mlflow: dict[str, list[str]] = field(default_factory=dict)
    """``x-mlflow-*`` headers, lower case, all values: OTLP names its experiment there."""
    size: int = 0


class Head:
    """Method, target, headers and credentials of one request."""

    __slots__ = ("authorizations", "headers", "method", "target")

    def __init__(
        self, method: str, target: str, headers: Headers, authorizations: Sequence[str]
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.authorizations = authorizations


class HeadReader:
    """Reads heads. What it found in a set of headers (without credentials) is remembered,
    bounded, because a client sends the same ones with every request."""

    def __init__(self, limit: int, public_url: str = "") -> None:
        """``limit``: bytes of target and headers together; ``public_url``: our own origin."""
        self._limit = limit
        parts = urlsplit(public_url.lower())
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._known: dict[tuple[tuple[bytes, bytes], ...], Headers] = {}

    def read(self, method: str, target: str, raw: RawHeaders) -> Head:
        """Read and check the head of a request.

        Raises BadRequest for what two servers could frame or read differently (RFC 9112 §6.3,
        §11.2): both framing headers, a doubled Host or Content-Type, a transfer coding other
        than chunked, a workspace header.
        """
        rest = tuple([pair for pair in raw if pair[0] not in _AUTHORIZATION])
        authorizations: Sequence[str] = ()
        if len(rest) != len(raw):
            authorizations = [v.decode("latin-1") for n, v in raw if n in _AUTHORIZATION]
        headers = self._known.get(rest)
        if headers is None:
            headers = _read(rest)
            headers.cross_site = headers.fetch_site == "cross-site" or self._foreign(headers)
            headers.same_origin = self._ours(headers)
            self._remember(rest, headers)
        if headers.authorizations:
            authorizations = [*authorizations, *headers.authorizations]
        size = headers.size + len(target) + sum(map(len, authorizations))
        if size > self._limit:
            raise BadRequest("The headers of this request are too large.")
        return Head(method, target, headers, authorizations)

    def _foreign(self, headers: Headers) -> bool:
        """Whether ``Origin`` (RFC 6454 §7) is neither our public one nor the Host asked for."""
        if headers.origin is None:
            return False
        origin = headers.origin.lower()
        return origin != self._origin and origin.partition("://")[2] != headers.host.lower()

    def _ours(self, headers: Headers) -> bool:
        if headers.fetch_site is None:
            return headers.origin is not None and headers.origin.lower() == self._origin
        return headers.fetch_site == "same-origin" and not self._foreign(headers)

    def _remember(self, key: tuple[tuple[bytes, bytes], ...], headers: Headers) -> None:
        secret = headers.authorizations or headers.cookie is not None
        if secret or headers.request_id is not None or headers.size > _REMEMBERED_BYTES:
            return
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[key] = headers


def _read(raw: RawHeaders) -> Headers:
    headers = Headers()
    seen: set[bytes] = set()
    for name, value in raw:
        headers.size += len(name) + len(value)
        lower = name.lower()
        if lower in FORWARDED:
            headers.forward.append((lower, value))
        else:
            _other(headers, lower, value)
        if lower in _ONCE:
            if lower in seen:
                raise BadRequest(f"The header {lower.decode()} is given twice; send it once.")
            seen.add(lower)
    if b"host" not in seen:
        raise BadRequest("The request has no Host header.")
    if headers.chunked and headers.content_length is not None:
        raise BadRequest("Send either Content-Length or Transfer-Encoding, not both.")
    headers.has_body = headers.chunked or bool(headers.content_length)
    return headers


def _other(headers: Headers, name: bytes, value: bytes) -> None:
    plain = name.replace(b"_", b"-")
    if plain == _WORKSPACE:
        if value.strip():
            raise BadRequest(
                "This gateway does not serve MLflow workspaces; unset MLFLOW_WORKSPACE "
                "(header X-MLFLOW-WORKSPACE)."
            )
    elif plain in (b"transfer-encoding", b"content-length") and name != plain:
        raise BadRequest("A header that frames the body is misspelt with an underscore.")
    elif name in _KEPT:
        text = value.decode("latin-1")
        attribute = _KEPT[name]
        if name == b"cookie" and headers.cookie is not None:
            text = f"{headers.cookie}; {text}"
        # RFC 9110 §5.6.3; strip() alone takes more away: \xa0__Host-x, which any sibling domain may
        # set, would be read as __Host-x, which none may.
        setattr(headers, attribute, text.strip(" \t"))
    elif name == b"authorization":
        headers.authorizations.append(value.decode("latin-1"))
    elif name in (b"content-length", b"transfer-encoding", b"expect"):
        _framing(headers, name, value)
    elif name == b"sec-fetch-site":
        site = value.strip().lower().decode("latin-1")
        headers.fetch_site = site if headers.fetch_site is None else "cross-site"
    elif name == b"x-request-id":
        if _REQUEST_ID.fullmatch(value):
            headers.request_id = value.decode("ascii")
    elif name.startswith(b"x-mlflow-"):
        headers.mlflow.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))


_KEPT: Mapping[bytes, str] = {
    b"cookie": "cookie",
    b"content-type": "content_type",
    b"content-encoding": "content_encoding",
    b"x-forwarded-for": "forwarded_for",
    b"host": "host",
    b"origin": "origin",
}


def _framing(headers: Headers, name: bytes, value: bytes) -> None:
    if name == b"content-length":
        if not value.isdigit() or len(value) > 18:
            raise BadRequest("Content-Length must be a decimal number.")
        headers.content_length = int(value)
    elif name == b"transfer-encoding":
        if value.strip().lower() != b"chunked" or headers.chunked:
            raise BadRequest("The only transfer coding that this gateway takes is 'chunked'.")
        headers.chunked = True
    else:
        if value.strip().lower() != b"100-continue":
            raise BadRequest("The only expectation that this gateway meets is '100-continue'.")
        headers.expects_continue = True


def wants_html(head: Head) -> bool:
    """Whether a person's browser navigates here (and should see a page, not JSON): it follows a
    link or sends a form."""
    kind = head.headers.content_type.partition(";")[0].strip().lower()
    if head.method != "GET" and (head.method, kind) != ("POST", FORM):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in head.headers.forward)


def accepts_json(head: Head) -> bool:
    """Whether a script asks, that wants JSON and no page."""
    return any(
        name == b"accept" and b"application/json" in value for name, value in head.headers.forward
    )
