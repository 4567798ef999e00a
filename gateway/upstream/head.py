"""Writes the head of a request to MLflow; the only place that does.

Whatever reaches MLflow's HTTP parser has passed here: method, target and header names are
checked against their grammar, no value holds a control character, and the headers that frame
the message or belong to one hop are written by us and refused from anybody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.errors import BadRequest

_CONTROLS = bytes(c for c in range(32) if c != 0x09) + b"\x7f"
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
_METHOD = re.compile(r"[A-Z]{1,20}")
_TARGET = re.compile(r"/[!-\"$-~]*")
_NAMES_KEPT = 1024
_NEEDS_LENGTH = frozenset({"POST", "PUT", "PATCH"})

_OURS = frozenset(
    {
        b"connection", b"content-length", b"expect", b"host", b"http2-settings", b"keep-alive",
        b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip


def written_by_pool(name: bytes) -> bool:
    """Whether ``name`` frames the message or belongs to one hop (RFC 9110, section 7.6.1).

    Such a header must be left out of what ``HeadWriter`` gets. Underscores count as hyphens,
    because a WSGI server below cannot tell ``Content_Length`` from ``Content-Length``.
    """
    return _folded(name) in _OURS


class HeadWriter:
    """Writes heads for one upstream.

    ``host`` and ``secret`` (header name and value) go into every request. Raises BadRequest
    when they are not valid headers themselves.
    """

    def __init__(self, host: str, secret: tuple[bytes, bytes] | None = None) -> None:
        self._names: dict[bytes, bytes] = {}
        self._secret_name = b""
        self._fixed = b" HTTP/1.1\r\nhost: " + host.encode("ascii") + b"\r\n"
        _check_values(host.encode())
        if secret is not None:
            name, value = secret
            _check_values(value)
            self._fixed += self._checked(name) + value + b"\r\n"
            self._secret_name = _folded(name)
            self._names.clear()

    def build(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[bytes, bytes]],
        content_length: int | None,
        *,
        chunked: bool = False,
    ) -> bytes:
        """The head of one request, blank line included.

        ``target`` is in origin form (RFC 9112, section 3.2.1). The body is ``content_length``
        bytes, or ``chunked``, or absent. Raises BadRequest for anything that is not exactly one
        well-formed head.
        """
        if not _METHOD.fullmatch(method):
            raise BadRequest("The method of this request is not a plain HTTP method.")
        if not _TARGET.fullmatch(target):
            raise BadRequest("The path of this request holds characters that must be %-encoded.")
        parts = [method.encode("ascii"), b" ", target.encode("ascii"), self._fixed]
        values = []
        names = self._names
        for name, value in headers:
            parts += (names.get(name) or self._checked(name), value, b"\r\n")
            values.append(value)
        _check_values(b"".join(values))
        if chunked:
            parts.append(b"transfer-encoding: chunked\r\n\r\n")
        elif content_length is not None:
            parts.append(b"content-length: %d\r\n\r\n" % content_length)
        elif method in _NEEDS_LENGTH:
            parts.append(b"content-length: 0\r\n\r\n")
        else:
            parts.append(b"\r\n")
        return b"".join(parts)

    def _checked(self, name: bytes) -> bytes:
        """``name`` as the start of a header line; good names are remembered, within bounds."""
        if not _TOKEN.fullmatch(name):
            raise BadRequest("A header name of this request is not valid; leave that header out.")
        if written_by_pool(name) or _folded(name) == self._secret_name:
            raise BadRequest(f"The header {name.decode()} may not be sent through the gateway.")
        start = name + b": "
        if len(self._names) < _NAMES_KEPT:
            self._names[name] = start
        return start


def _folded(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")


def _check_values(values: bytes) -> None:
    """Raises BadRequest when ``values`` holds a control character other than a tab."""
    if len(values.translate(None, _CONTROLS)) != len(values):
        raise BadRequest("A header of this request holds a control character; remove it.")
