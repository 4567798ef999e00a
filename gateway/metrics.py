"""Prometheus metrics. Every label value exists from the start, so that a rate is never absent.

With several worker processes, ``PROMETHEUS_MULTIPROC_DIR`` (set by ``mlgate serve``) makes
each worker answer for all of them.
"""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.model import Reason

RESULTS = ("allow", "deny", "refuse")
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


class Metrics:
    """The gateway's metrics in a registry of their own. One per process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "mlgate_requests", "Requests by result.", ["result"], registry=self.registry
        )
        self._statuses = Counter(
            "mlgate_answers", "Answers by class of status.", ["class"], registry=self.registry
        )
        self._reasons = Counter(
            "mlgate_decisions", "Decisions by reason.", ["reason"], registry=self.registry
        )
        self._seconds = Histogram(
            "mlgate_request_seconds",
            "Time from the request's head to the end of the answer.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
            registry=self.registry,
        )
        self.audit_lost = Counter(
            "mlgate_audit_lost", "Audit lines that could not be written.", registry=self.registry
        )
        self.roles_broken = Gauge(
            "mlgate_roles_broken",
            "1 while roles.yaml is broken and the last good one is in force.",
            registry=self.registry,
            multiprocess_mode="max",
        )
        self.upstream_healthy = Gauge(
            "mlgate_upstreams_healthy",
            "MLflow servers that answer.",
            registry=self.registry,
            multiprocess_mode="min",
        )
        self.upstream_in_use = Gauge(
            "mlgate_upstream_connections_in_use",
            "Connections to MLflow that serve a request.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.store_reads = Gauge(
            "mlgate_store_reads",
            "Reads of the ACL store since the start, the change feed not counted.",
            registry=self.registry,
            multiprocess_mode="sum",
        )
        self.lookups = Gauge(
            "mlgate_mlflow_lookups",
            "Questions to MLflow about what an identifier belongs to, since the start.",
            registry=self.registry,
            multiprocess_mode="sum",
        )
        # Children once, so that the hot path does no label lookup.
        self._by_result = {r: self._requests.labels(r) for r in RESULTS}
        self._by_class = [self._statuses.labels(c) for c in CLASSES]
        self._by_reason = {r: self._reasons.labels(r.value) for r in Reason}

    def request(self, result: str, status: int, reason: Reason | None, seconds: float) -> None:
        """Count one finished request."""
        self._by_result[result].inc()
        self._by_class[min(max(status // 100, 1), 5) - 1].inc()
        if reason is not None:
            self._by_reason[reason].inc()
        self._seconds.observe(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self.registry)
