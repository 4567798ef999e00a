"""The upstream side: a lean HTTP/1.1 client pool in front of MLflow's own servers."""

from gateway.upstream.answer import UpstreamResponse
from gateway.upstream.failures import (
    AnswerTooLarge,
    Cut,
    CutBody,
    Garbled,
    NotSent,
    UpstreamFailure,
    error_for,
)
from gateway.upstream.head import written_by_pool
from gateway.upstream.pool import UpstreamPool
from gateway.upstream.upstreams import Upstreams

__all__ = [
    "AnswerTooLarge",
    "Cut",
    "CutBody",
    "Garbled",
    "NotSent",
    "UpstreamFailure",
    "UpstreamPool",
    "UpstreamResponse",
    "Upstreams",
    "error_for",
    "written_by_pool",
]
