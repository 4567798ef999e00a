"""What a row of the corpus is: one request that should not work, and what must come back.

A row is data. ``@NAME@`` in it stands for a thing of the world (see ``victims.py``): ``@R@`` is
the run of another group, ``@RC@`` the caller's own.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

_PLACE = re.compile(rb"@([A-Z][A-Z0-9_]*)@")
Json = Any
CALLER = "carol"
BOMB = gzip.compress(b"\0" * (200 * 1024 * 1024), 9)
"""200 MB of nothing in 200 KB."""


@dataclass(frozen=True)
class Request:
    """One request as it goes over the wire. ``raw`` replaces everything else.

    ``who`` signs in with that person's API token; None: no credential is added.
    """

    method: str = "GET"
    target: str = "/"
    body: Json = None
    headers: tuple[tuple[str, str], ...] = ()
    who: str | None = CALLER
    raw: bytes | None = None
    encoding: str = "utf-8"

    def wire(self, world: Mapping[str, str], tokens: Mapping[str, str]) -> bytes:
        """The bytes to send; an empty ``tokens`` leaves credentials out."""
        known = {**world, **{f"TOKEN_{name.upper()}": t for name, t in tokens.items()}}
        if CALLER in tokens:
            basic = f"alice:{tokens[CALLER]}".encode()
            known["BASIC_AS_ALICE"] = base64.b64encode(basic).decode()
        if self.raw is not None:
            return fill(self.raw, known)
        content, kind = _content(self.body)
        content = BOMB if content == b"@BOMB@" else fill(content, known)
        if self.encoding != "utf-8":
            content = content.decode("utf-8").encode(self.encoding)
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        names = {name.lower() for name, _ in self.headers}
        if "host" not in names:
            lines.append("Host: @HOST@")
        if self.who is not None and tokens and "authorization" not in names:
            lines.append(f"Authorization: Bearer {tokens[self.who]}")
        if kind and "content-type" not in names:
            lines.append(f"Content-Type: {kind}")
        framed = names & {"content-length", "transfer-encoding"}
        if (content or self.method in ("POST", "PUT", "PATCH")) and not framed:
            lines.append(f"Content-Length: {len(content)}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append("Connection: close")
        return fill("\r\n".join(lines).encode("utf-8"), known) + b"\r\n\r\n" + content

    def swapped(self, swaps: Mapping[str, str]) -> Request:
        """The same request about something else: ``{"@R@": "@NO_RUN@"}``."""

        def swap(text: str) -> str:
            for old, new in swaps.items():
                text = text.replace(old, new)
            return text

        body = self.body
        if isinstance(body, str):
            body = swap(body)
        elif body is not None and not isinstance(body, bytes):
            body = json.loads(swap(json.dumps(body)))
        headers = tuple((name, swap(value)) for name, value in self.headers)
        return replace(self, target=swap(self.target), body=body, headers=headers)


def _content(body: Json) -> tuple[bytes, str]:
    if body is None:
        return b"", ""
    if isinstance(body, bytes):
        return body, ""
    if isinstance(body, str):
        return body.encode("utf-8"), "application/json"
    return json.dumps(body).encode("utf-8"), "application/json"


def fill(text: bytes, known: Mapping[str, str]) -> bytes:
    """Put the world's identifiers in; an unknown place is a mistake in the row."""
    return _PLACE.sub(lambda found: known[found[1].decode()].encode("utf-8"), text)


@dataclass(frozen=True)
class Expect:
    """The answer that a row wants: its status and MLflow error code ('' for a 200)."""

    status: int
    code: str = ""
    by_mlflow: bool = False
    """MLflow may say it; every other refusal must be the gateway's own."""
    which: int = -1
    """The answer that is meant, when the bytes hold several requests."""


DENIED = Expect(403, "PERMISSION_DENIED")
HIDDEN = Expect(404, "RESOURCE_DOES_NOT_EXIST")
BAD = Expect(400, "INVALID_PARAMETER_VALUE")
UNKNOWN = Expect(404, "ENDPOINT_NOT_FOUND")
NOBODY = Expect(401, "UNAUTHENTICATED")
NOTHING = Expect(200)
"""Answered, with nothing of the victims in it."""
UNPARSED = BAD
"""The refusal of bytes that are not HTTP."""


@dataclass(frozen=True)
class Attempt:
    """One way around. ``why`` says why it works on a proxy that is less careful.

    ``direct``: what the same request does to a bare MLflow (the self-check sends it there):
    it ``leaks`` a secret or ``changes`` the data. ``twin``: the same request about something
    that does not exist must get the same answer, byte for byte. ``own``: the request is allowed
    and may change what the caller owns. ``sees``: the caller may read the victims. ``hole``: it
    works today; the reason why.
    """

    id: str
    why: str
    request: Request
    expect: Expect = DENIED
    direct: Literal["", "leaks", "changes"] = ""
    twin: Mapping[str, str] = field(default_factory=dict)
    own: bool = False
    sees: bool = False
    then: tuple[tuple[Request, Expect], ...] = ()
    hole: str = ""

    @property
    def steps(self) -> tuple[tuple[Request, Expect], ...]:
        """Every request of the attempt with the answer it wants."""
        return ((self.request, self.expect), *self.then)


def get(target: str, body: Json = None, who: str | None = CALLER, **headers: str) -> Request:
    """A GET."""
    return Request("GET", target, body, _named(headers), who)


def post(
    target: str,
    body: Json = None,
    who: str | None = CALLER,
    encoding: str = "utf-8",
    **headers: str,
) -> Request:
    """A POST; objects are sent as JSON, text as written with a JSON type, bytes bare."""
    return Request("POST", target, body, _named(headers), who, encoding=encoding)


def send(
    method: str, target: str, body: Json = None, who: str | None = CALLER, **headers: str
) -> Request:
    """Any method."""
    return Request(method, target, body, _named(headers), who)


def _named(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", "-"), value) for name, value in headers.items())


def new_trace(trace: str, experiment: str = "@EC@", **more: Any) -> dict[str, Any]:
    """The body that logs a trace; ``more`` are further fields of its info."""
    info: dict[str, Any] = {
        "trace_id": trace,
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": experiment},
        },
        "request_preview": "@NOW@",
        "request_time": "2026-01-02T00:00:00Z",
        "state": "OK",
        **more,
    }
    return {"trace": {"trace_info": info}}
