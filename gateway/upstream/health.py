"""Asks one MLflow server whether it is alive: GET /health, which MLflow answers without sign-in."""

from __future__ import annotations

import asyncio

from gateway.settings import Upstream
from gateway.upstream.failures import UpstreamFailure
from gateway.upstream.pool import UpstreamPool

LARGEST_HEALTH_ANSWER = 64 * 1024


async def probe(pool: UpstreamPool, settings: Upstream) -> bool:
    """True when the server answers 200 in good time.

    A server whose connections are all in use is busy, not dead: it is not asked, and counts as
    alive. Never raises UpstreamFailure.
    """
    if pool.in_use >= settings.connections:
        return True
    try:
        async with asyncio.timeout(settings.connect_seconds + settings.health_seconds):
            answer = await pool.request(
                "GET", f"{settings.static_prefix}/health", [], repeatable=True
            )
            try:
                await answer.read(LARGEST_HEALTH_ANSWER)
            finally:
                answer.release()
    except (UpstreamFailure, TimeoutError):
        return False
    return answer.status == 200
