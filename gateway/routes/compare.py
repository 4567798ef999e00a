"""Tells how an admin's own MLflow differs from the catalogue. Pure: requests go out elsewhere.

MLflow publishes no list of its routes (its FastAPI app has OpenAPI switched off), so it is
probed, without running anything that changes something:

- Flask answers ``OPTIONS`` itself: 204 or 200 with ``Allow`` for a path that it knows, 404 for
  one that it does not. That covers every path that Flask serves, with its methods.
- A path that only FastAPI has answers ``OPTIONS`` with Flask's 404. One harmless request per
  FastAPI router (a lookup of nothing, a POST that lacks what is required) tells whether the
  router is there: its own errors are JSON, Flask's 404 is HTML.

A path that only a newer MLflow has cannot be found; the version says that there may be some,
and the gateway refuses them anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gateway.routes.catalogue import ROUTES
from gateway.routes.route import Route
from gateway.routes.schema import MLFLOW_VERSION

Live = tuple[str, str]
"""An HTTP method and a path template, as MLflow (``<id>``) or FastAPI (``{id}``) spells it."""

UNKNOWN_PATH = "/api/2.0/mlflow/mlgate-probe"
"""No MLflow has it: whoever answers it with anything but 404 cannot be probed."""

_AUTOMATIC = frozenset({"HEAD", "OPTIONS"})
_HOLE = re.compile(r"\{(\w+)(?::path)?\}|<(?:(path):)?(\w+)>")
_SAMPLE = "mlgate-probe"


@dataclass(frozen=True, slots=True)
class Probe:
    """One request to send to MLflow, without body, query or extra headers."""

    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a probe: the status and two headers."""

    status: int
    allow: str | None = None
    content_type: str | None = None


_ROUTERS = (
    # (a router's paths, the method and the path of its probe, why it is harmless)
    ("/v1/traces", "POST", "/v1/traces"),  # 422: the experiment header is missing
    ("/gateway/", "GET", "/gateway/mlflow/v1/models"),  # lists
    ("/ajax-api/3.0/jobs/", "GET", f"/ajax-api/3.0/jobs/{_SAMPLE}"),  # no such job
    ("/ajax-api/3.0/mlflow/assistant/", "GET", "/ajax-api/3.0/mlflow/assistant/config"),  # reads
    *(
        (f"{api}/3.0/mlflow/mcp-servers", "GET", f"{api}/3.0/mlflow/mcp-servers/{_SAMPLE}/x")
        for api in ("/api", "/ajax-api")  # no such server
    ),
)
"""The routers of FastAPI whose paths Flask does not have."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The differences between an MLflow and the catalogue.

    ``unknown`` are live routes without a row: the gateway refuses them. ``gone`` are rows that
    the MLflow does not serve. ``version`` is set when it is not the one the catalogue is of.
    ``doubt`` says why nothing could be learnt, if so.
    """

    version: str | None = None
    unknown: tuple[Live, ...] = ()
    gone: tuple[Live, ...] = ()
    doubt: str | None = None

    @property
    def same(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.version or self.unknown or self.gone or self.doubt)

    def lines(self) -> list[str]:
        """One sentence per difference, for a person."""
        said = []
        if self.version:
            said.append(
                f"MLflow {self.version} is running; the catalogue was checked against "
                f"{MLFLOW_VERSION}. Endpoints that only {self.version} has are refused."
            )
        if self.doubt:
            said.append(self.doubt)
        said += [f"not in the catalogue, so refused: {m} {p}" for m, p in self.unknown]
        said += [f"not served by this MLflow: {m} {p}" for m, p in self.gone]
        return said


def catalogue_routes(routes: Iterable[Route] = ROUTES, static_prefix: str = "") -> list[Live]:
    """(method, template) of every row, each prefix on its own."""
    return [
        (route.method, static_prefix + prefix + route.path)
        for route in routes
        for prefix in route.prefixes
    ]


def probes(routes: Iterable[Route] = ROUTES, static_prefix: str = "") -> list[Probe]:
    """The requests that show which paths of the catalogue an MLflow serves, each path once.

    The first two are controls: a path that must be there and one that must not.
    """
    paths = {_concrete(path): path for _, path in catalogue_routes(routes) if not _router(path)}
    del paths["/health"]
    options = ["/health", UNKNOWN_PATH, *paths]
    return [
        *(Probe("OPTIONS", static_prefix + path) for path in options),
        *(Probe(method, static_prefix + path) for _, method, path in _ROUTERS),
    ]


def learn(
    answers: Mapping[Probe, Answer],
    version: str | None = None,
    routes: Iterable[Route] = ROUTES,
    static_prefix: str = "",
) -> Difference:
    """The differences from the answers to ``probes``.

    ``version`` is the text of ``GET /version``. A path without an answer counts as served: a
    lost probe must not look like a missing endpoint.
    """
    rows = catalogue_routes(routes)
    options = {
        probe.path.removeprefix(static_prefix): answer
        for probe, answer in answers.items()
        if probe.method == "OPTIONS"
    }
    health, control = options.pop("/health", None), options.pop(UNKNOWN_PATH, None)
    if health is None or _absent(health) or control is None or not _absent(control):
        return Difference(
            _other_version(version),
            doubt=(
                "The server does not answer OPTIONS as MLflow does (is something in front of it, "
                "or a static prefix missing?); its routes were not compared."
            ),
        )
    missing = [
        paths
        for paths, method, path in _ROUTERS
        if (answer := answers.get(Probe(method, static_prefix + path))) is not None
        and _from_flask(answer)
    ]
    gone = [
        (method, path)
        for method, path in rows
        if (_router(path) in missing if _router(path) else _lacks(options, method, path))
    ]
    patterns = [(method, _pattern(path)) for method, path in rows]
    unknown = [
        (method, path)
        for path, answer in options.items()
        for method in _allowed(answer) - _AUTOMATIC
        if not any(m == method and p.fullmatch(path) for m, p in patterns)
    ]
    return Difference(_other_version(version), tuple(sorted(unknown)), tuple(gone))


def compare(
    live: Iterable[Live], version: str | None = None, routes: Iterable[Route] = ROUTES
) -> Difference:
    """The differences from a full list of live routes (Flask's ``url_map`` and FastAPI's).

    HEAD and OPTIONS, which Flask adds by itself, are left out. Placeholders are compared by
    their place, not by their name.
    """
    rows = catalogue_routes(routes)
    wanted = sorted({pair for pair in live if pair[0] not in _AUTOMATIC})
    row_shapes = {(method, _shape(path)) for method, path in rows}
    live_shapes = {(method, _shape(path)) for method, path in wanted}
    # What has no twin of the same shape may still be spelt differently on the two sides (an MCP
    # server's name, a suffix behind a placeholder): then one side's example fits the other.
    odd_live = [pair for pair in wanted if (pair[0], _shape(pair[1])) not in row_shapes]
    odd_rows = [pair for pair in rows if (pair[0], _shape(pair[1])) not in live_shapes]
    unknown = [pair for pair in odd_live if not any(_fits(pair, row) for row in odd_rows)]
    gone = [row for row in odd_rows if not any(_fits(pair, row) for pair in odd_live)]
    return Difference(_other_version(version), tuple(unknown), tuple(gone))


def from_openapi(document: Mapping[str, Any]) -> list[Live]:
    """(method, template) of an OpenAPI document's ``paths`` (it has FastAPI's routes only)."""
    return [
        (method.upper(), path)
        for path, item in document.get("paths", {}).items()
        for method in item
        if method in ("get", "put", "post", "delete", "patch")
    ]


def _router(path: str) -> str | None:
    """The FastAPI router that alone serves a path."""
    return next((paths for paths, _, _ in _ROUTERS if path.startswith(paths)), None)


def _absent(answer: Answer) -> bool:
    # Anything but a 404 (a 401 of an app in front, a 5xx) says nothing about the path.
    return answer.status == 404


def _from_flask(answer: Answer) -> bool:
    # FastAPI's "no such job" is a 404 as well, but in JSON.
    return answer.status == 404 and (answer.content_type or "").startswith("text/html")


def _allowed(answer: Answer) -> frozenset[str]:
    if answer.status not in (200, 204):
        return frozenset()
    return frozenset(m.strip().upper() for m in (answer.allow or "").split(",") if m.strip())


def _lacks(options: Mapping[str, Answer], method: str, path: str) -> bool:
    answer = options.get(_concrete(path))
    if answer is None:
        return False
    allowed = _allowed(answer)
    return _absent(answer) or bool(allowed and method not in allowed)


def _other_version(version: str | None) -> str | None:
    found = version.strip() if version else None
    return found if found and found != MLFLOW_VERSION else None


def _shape(template: str) -> str:
    """A template with nameless placeholders: ``/a/{id}/{rest:path}`` -> ``/a/{}/{*}``."""
    return _HOLE.sub(lambda hole: "{*}" if _many(hole) else "{}", template)


def _many(hole: re.Match[str]) -> bool:
    return hole.group(0).endswith(":path}") or hole.group(2) is not None


def _fits(one: Live, other: Live) -> bool:
    """Whether an example of either template fits the other one."""
    if one[0] != other[0]:
        return False
    return any(
        _pattern(a).fullmatch(_concrete(b)) is not None
        for a, b in ((one[1], other[1]), (other[1], one[1]))
    )


def _pattern(template: str) -> re.Pattern[str]:
    parts: list[str] = []
    at = 0
    for hole in _HOLE.finditer(template):
        parts.append(re.escape(template[at : hole.start()]))
        parts.append(".+" if _many(hole) else "[^/]+")
        at = hole.end()
    return re.compile("".join(parts) + re.escape(template[at:]))


def _concrete(template: str) -> str:
    """A path of a template that names nothing that exists."""
    # MCP servers have names of two segments: their template has two placeholders here, one in
    # MLflow, and only two segments fit both.
    name = "mcp-servers/{name:path}"
    template = template.replace(name, f"mcp-servers/{_SAMPLE}/{_SAMPLE}")
    return _HOLE.sub(quote(_SAMPLE), template)
