"""Which endpoints a live MLflow serves, held against the catalogue; used by check and routes."""

from __future__ import annotations

import asyncio

from gateway.cli.common import Http
from gateway.routes.compare import Answer, Difference, Probe, learn, probes
from gateway.routes.schema import MLFLOW_VERSION

AT_ONCE = 8


async def version_of(http: Http, static_prefix: str) -> str:
    """The version that MLflow says it is; "" when it says none. Raises Stop."""
    status, _, body = await http.raw("GET", f"{static_prefix}/version")
    text = body.decode("utf-8", "replace").strip()
    return text if status == 200 and len(text) < 40 else ""


async def difference(http: Http, static_prefix: str, version: str) -> Difference:
    """Send the probes of ``routes.compare`` (nothing is executed). Raises Stop."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def ask(probe: Probe) -> tuple[Probe, Answer]:
        async with turn:
            status, headers, _ = await http.raw(probe.method, probe.path)
        return probe, Answer(status, headers.get("Allow"), headers.get("Content-Type"))

    asked = (ask(probe) for probe in probes(static_prefix=static_prefix))
    answers = dict(await asyncio.gather(*asked))
    return learn(answers, version or None, static_prefix=static_prefix)


__all__ = ["MLFLOW_VERSION", "difference", "version_of"]
