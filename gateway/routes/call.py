"""One request as the gateway understood it: the only copy that is decided on and forwarded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.routes.bodies import dump
from gateway.routes.graphql import GraphQLCall
from gateway.routes.route import Ref, Route
from gateway.routes.target import encode_query


class Call:
    """One request, read once. ``path`` is canonical and encoded; ``query`` is decoded.

    ``body`` is the checked JSON object, or None when the body is an opaque stream or absent.
    ``refs`` are the identifiers whose resources must all allow their call; ``narrow`` those of
    which the forbidden ones are taken out of the request instead.
    """

    __slots__ = (
        "_query", "_sent_query", "admin_fields", "body", "content_type", "graphql", "headers",
        "narrow", "params", "path", "refs", "reserved_tags", "route", "tags_needing",
    )  # fmt: skip

    def __init__(
        self,
        route: Route,
        path: str,
        params: Mapping[str, str],
        query: Mapping[str, Any],
        body: dict[str, Any] | None = None,
        *,
        sent_query: str | None = None,
    ) -> None:
        """``sent_query``: the raw query when it can be forwarded as it came."""
        self.route = route
        self.path = path
        self.params = params
        self.body = body
        self._query = query
        self._sent_query = sent_query
        self.refs: tuple[Ref, ...] = ()
        self.narrow: tuple[Ref, ...] = ()
        self.admin_fields: tuple[str, ...] = ()
        """Fields present in this request that only an admin may fill."""
        self.reserved_tags: tuple[str, ...] = ()
        """Tag keys in this request that only the gateway (or an admin) may write."""
        self.tags_needing: tuple[tuple[str, str], ...] = ()
        """Tag keys in this request that need another call too, and that call."""
        self.graphql: GraphQLCall | None = None
        """What a GraphQL document asks for, when the call is one."""
        self.content_type = ""
        """The Content-Type to forward, where a reader of the body decided on it."""
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        """Headers that carry identifiers, written from what was read."""

    @property
    def query(self) -> Mapping[str, Any]:
        """The decoded query fields; assign a new mapping to change what is forwarded."""
        return self._query

    @query.setter
    def query(self, fields: Mapping[str, Any]) -> None:
        self._query = fields
        self._sent_query = None

    def target(self) -> str:
        """The request target to forward."""
        query = self._sent_query
        if query is None:
            query = encode_query(self._query)
        return f"{self.path}?{query}" if query else self.path

    def body_bytes(self) -> bytes | None:
        """The JSON body to forward, written from the checked value."""
        return None if self.body is None else dump(self.body)
