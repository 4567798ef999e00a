"""Live, ready, metrics, and the description of the gateway's own API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from gateway.metrics import Metrics
from gateway.web.answer import Whole, json_answer
from gateway.web.api.openapi import DOCUMENT
from gateway.web.own import Endpoint, OwnCall

Problems = Callable[[], Awaitable[Mapping[str, str]]]


class HealthApi:
    """Answers probes. ``problems`` names each broken part; empty: ready."""

    def __init__(self, problems: Problems, metrics: Metrics, refresh: Callable[[], None]) -> None:
        self._problems = problems
        self._metrics = metrics
        self._refresh = refresh

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This part's rows; open, because probes and scrapers have no credential."""
        return (
            Endpoint("GET", "healthz", "healthz", self.live, open=True, quiet=True),
            Endpoint("GET", "readyz", "readyz", self.ready, open=True, quiet=True),
            Endpoint("GET", "metrics", "metrics", self.metrics, open=True, quiet=True),
            Endpoint("GET", "openapi.json", "openapi", self.openapi, open=True, quiet=True),
        )

    async def live(self, call: OwnCall) -> web.StreamResponse:
        """200 as long as the process answers."""
        return json_answer(200, {"status": "ok"})

    async def ready(self, call: OwnCall) -> web.StreamResponse:
        """200 when requests can be served, else 503 with the parts that are broken."""
        problems = await self._problems()
        if problems:
            return json_answer(503, {"status": "not ready", "problems": dict(problems)})
        return json_answer(200, {"status": "ready"})

    async def metrics(self, call: OwnCall) -> web.StreamResponse:
        """Prometheus text format."""
        self._refresh()
        kind = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
        return Whole(200, [kind], self._metrics.text())

    async def openapi(self, call: OwnCall) -> web.StreamResponse:
        """The description of all of this."""
        return json_answer(200, DOCUMENT)
