"""Finds the one catalogue row of a request, or none.

Most of MLflow's paths are fixed, so a dictionary answers them without decoding anything; the
rest goes through a trie of segments that is compiled once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.routes.route import Route
from gateway.routes.target import encode_path, segments_of

_NO_PARAMS: Mapping[str, str] = {}


class Match(NamedTuple):
    """A row, the canonical path to forward, and the decoded placeholders."""

    route: Route
    path: str
    params: Mapping[str, str]


@dataclass(slots=True)
class _Node:
    fixed: dict[str, _Node] = field(default_factory=dict)
    holes: dict[str, _Node] = field(default_factory=dict)
    rests: list[tuple[str, Route]] = field(default_factory=list)
    route: Route | None = None


class Matcher:
    """The compiled catalogue. ``static_prefix`` is MLflow's ``--static-prefix``."""

    def __init__(self, routes: Iterable[Route], static_prefix: str = "") -> None:
        self._fixed: dict[str, dict[str, Match]] = {}
        self._tries: dict[str, _Node] = {}
        for route in routes:
            for prefix in route.prefixes:
                self._add(route, static_prefix + prefix + route.path)

    def _add(self, route: Route, template: str) -> None:
        if "{" not in template:
            known = self._fixed.setdefault(route.method, {})
            if template in known:
                raise ValueError(f"two rows for {route.method} {template}")
            known[template] = Match(route, template, _NO_PARAMS)
        node = self._tries.setdefault(route.method, _Node())
        for segment in template[1:].split("/"):
            if not segment.startswith("{"):
                node = node.fixed.setdefault(segment, _Node())
                continue
            name = segment[1:-1]
            if name.endswith(":path"):
                node.rests.append((name.removesuffix(":path"), route))
                return
            node = node.holes.setdefault(name, _Node())
        node.route = route

    def match(self, method: str, raw_path: str) -> Match | None:
        """The row for a method and a raw path from ``split_target``; None: not in the catalogue.

        Raises BadRequest when the path is not canonical after one decoding.
        """
        fixed = self._fixed.get(method)
        if fixed is not None and (found := fixed.get(raw_path)) is not None:
            return found
        segments = segments_of(raw_path)
        trie = self._tries.get(method)
        if trie is None:
            return None
        walked = _walk(trie, segments, 0, {})
        if walked is None:
            return None
        route, params = walked
        return Match(route, encode_path(segments), params)


def _walk(
    node: _Node, segments: tuple[str, ...], at: int, params: dict[str, str]
) -> tuple[Route, dict[str, str]] | None:
    if at == len(segments):
        return (node.route, params) if node.route is not None else None
    segment = segments[at]
    if (fixed := node.fixed.get(segment)) is not None:
        found = _walk(fixed, segments, at + 1, params)
        if found is not None:
            return found
    if segment == "":
        return None
    for name, child in node.holes.items():
        found = _walk(child, segments, at + 1, {**params, name: segment})
        if found is not None:
            return found
    if node.rests and segments[-1] != "":
        name, route = node.rests[0]
        return route, {**params, name: "/".join(segments[at:])}
    return None
