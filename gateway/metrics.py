"""Prometheus metrics: plain numbers on the hot path, rendered when somebody asks.

Every label value exists from the start, so that a rate is never absent. With several worker
processes each leaves its numbers in a shared folder every second, and whichever is asked adds
them up; the numbers of a worker that died stay, so that counters never go backwards.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from gateway.model import Reason

RESULTS = ("allow", "deny", "refuse")
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)

Number = float
Merge = Callable[[Iterable[Number]], Number]

GAUGES: Mapping[str, tuple[str, Merge]] = {
    "mlgate_roles_broken": (
        "1 while roles.yaml is broken and the last good one is in force.",
        max,
    ),
    "mlgate_upstreams_healthy": ("MLflow servers that answer.", min),
    "mlgate_upstream_connections_in_use": ("Connections to MLflow that serve a request.", sum),
    "mlgate_store_reads": ("Reads of the ACL store since the start, without the feed.", sum),
    "mlgate_mlflow_lookups": (
        "Questions to MLflow about what an identifier belongs to, since the start.",
        sum,
    ),
}


class Metrics:
    """The numbers of one process. ``folder`` is shared by all workers of one gateway."""

    def __init__(self, folder: Path | None = None) -> None:
        self.results = dict.fromkeys(RESULTS, 0)
        self.classes = [0] * len(CLASSES)
        self.reasons = {reason.value: 0 for reason in Reason}
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.audit_lost = 0
        self.gauges: dict[str, Number] = dict.fromkeys(GAUGES, 0.0)
        self._folder = folder
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def request(self, result: str, status: int, reason: Reason | None, seconds: float) -> None:
        """Count one finished request."""
        self.results[result] += 1
        self.classes[status // 100 - 1 if 100 <= status < 600 else 4] += 1
        if reason is not None:
            self.reasons[reason] += 1
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def lose_audit_line(self) -> None:
        """Count an audit line that could not be written."""
        self.audit_lost += 1

    def share(self) -> None:
        """Leave this process's numbers for the other workers. Raises OSError."""
        if self._folder is not None:
            path = self._folder / f"{os.getpid()}.json"
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(self._numbers()), encoding="ascii")
            fresh.replace(path)

    def text(self) -> bytes:
        """All metrics of all workers in Prometheus' text format."""
        self.share()
        return generate_latest(self._registry)

    def _numbers(self) -> dict[str, Any]:
        return {
            "results": self.results,
            "classes": self.classes,
            "reasons": self.reasons,
            "buckets": self.buckets,
            "seconds": self.seconds,
            "audit_lost": self.audit_lost,
            "gauges": self.gauges,
        }

    def _everybodys(self) -> list[dict[str, Any]]:
        if self._folder is None:
            return [self._numbers()]
        return [json.loads(path.read_text("ascii")) for path in self._folder.glob("*.json")]

    def collect(self) -> Iterable[Metric]:
        """What prometheus_client renders (its collector protocol)."""
        workers = self._everybodys()
        yield _counter(
            "mlgate_requests",
            "Requests by result.",
            "result",
            {name: sum(w["results"][name] for w in workers) for name in RESULTS},
        )
        yield _counter(
            "mlgate_answers",
            "Answers by class of status.",
            "class",
            {name: sum(w["classes"][i] for w in workers) for i, name in enumerate(CLASSES)},
        )
        yield _counter(
            "mlgate_decisions",
            "Decisions by reason.",
            "reason",
            {r.value: sum(w["reasons"][r.value] for w in workers) for r in Reason},
        )
        lost = CounterMetricFamily("mlgate_audit_lost", "Audit lines that could not be written.")
        lost.add_metric([], sum(w["audit_lost"] for w in workers))
        yield lost
        yield _histogram(workers)
        for name, (says, merge) in GAUGES.items():
            gauge = GaugeMetricFamily(name, says)
            gauge.add_metric([], merge(w["gauges"][name] for w in workers))
            yield gauge


def _counter(name: str, says: str, label: str, values: Mapping[str, Number]) -> Metric:
    family = CounterMetricFamily(name, says, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _histogram(workers: list[dict[str, Any]]) -> Metric:
    cumulative, buckets = 0, []
    for i, bound in enumerate((*BOUNDS, float("inf"))):
        cumulative += sum(w["buckets"][i] for w in workers)
        buckets.append(("+Inf" if bound == float("inf") else str(bound), cumulative))
    family = HistogramMetricFamily(
        "mlgate_request_seconds", "Time from the request's head to the end of the answer."
    )
    family.add_metric([], buckets, sum(w["seconds"] for w in workers))
    return family
