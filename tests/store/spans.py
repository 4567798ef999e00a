"""Spans and traces for tests, and how they become comparable."""

from __future__ import annotations

import json
from typing import Any

from mlflow.entities import Span, Trace, TraceInfo, TraceLocation, TraceState
from mlflow.entities.assessment import Assessment
from mlflow.entities.span import create_mlflow_span
from mlflow.entities.trace_info_v2 import TraceInfoV2
from opentelemetry import trace as otel
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from tests.store.both import PLAIN, Side

MS = 1_000_000


def span(
    trace_id: str,
    number: int,
    parent: int | None = None,
    *,
    name: str | None = None,
    kind: str = "UNKNOWN",
    start: int = 1000,
    end: int | None = 2000,
    status: otel.StatusCode = otel.StatusCode.OK,
    resource: dict[str, Any] | None = None,
    otel_trace: str | None = None,
    **attributes: Any,
) -> Span:
    """A span; times in milliseconds, attributes as a client sets them (``__`` becomes a dot).

    ``otel_trace``: spans of one trace of MLflow's that differ in it are none in OpenTelemetry.
    """
    numbers = {"trace_id": abs(hash(otel_trace or trace_id)) % 2**120 + 1, "is_remote": False}
    encoded = {
        "mlflow.traceRequestId": json.dumps(trace_id),
        "mlflow.spanType": json.dumps(kind),
        **{key.replace("__", "."): json.dumps(value) for key, value in attributes.items()},
    }
    made = ReadableSpan(
        name=name or f"span {number}",
        context=otel.SpanContext(span_id=number, **numbers),
        parent=None if parent is None else otel.SpanContext(span_id=parent, **numbers),
        attributes=encoded,
        start_time=start * MS,
        end_time=None if end is None else end * MS,
        status=otel.Status(status),
        resource=Resource(resource or {}),
    )
    return create_mlflow_span(made, trace_id, kind)


def info(trace_id: str, time: int = 1000, experiment_id: str = "0", **fields: Any) -> TraceInfo:
    """What a client gives to start_trace."""
    fields = {"state": TraceState.OK, "execution_duration": 5, **fields}
    return TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=time,
        **fields,
    )


def _assessment(side: Side, one: Assessment) -> dict[str, Any]:
    fields = one.to_dictionary()
    fields.pop("last_update_time", None)
    fields["kind"] = type(one).__name__
    fields["number"] = one.run_id
    return fields


def _trace_info(side: Side, one: TraceInfo) -> dict[str, Any]:
    fields = one.to_dict()
    fields["assessments"] = [_assessment(side, each) for each in one.assessments]
    fields["duration"] = one.execution_duration
    fields["time"] = one.request_time
    return {name: side.plain(value) for name, value in fields.items()}


def _v2(side: Side, one: TraceInfoV2) -> dict[str, Any]:
    fields = dict(vars(one))
    side.made["v2"] = fields.pop("request_id")
    return {name: side.plain(value) for name, value in fields.items()}


PLAIN[Assessment] = _assessment
PLAIN[TraceInfo] = _trace_info
PLAIN[TraceInfoV2] = _v2
PLAIN[Span] = lambda side, one: one.to_dict()
PLAIN[Trace] = lambda side, one: {
    "info": _trace_info(side, one.info),
    "spans": [each.to_dict() for each in one.data.spans],
}
