"""The two upstreams: a trivial fast one (CPU per request) and real stock MLflow (latency)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fast_upstream
from processes import BenchError, Farm, Server, ask, free_port, wait_until_ready

_HERE = Path(__file__).resolve().parent
MLFLOW_ENV = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # The job runner is a process beside the tracking server; its polling would be counted.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What the peers stand in front of. ``folder`` holds MLflow's data (None: not MLflow)."""

    port: int
    server: Server
    experiment_id: str
    folder: Path | None = None

    @property
    def target(self) -> str:
        """The measured request's target."""
        return f"/api/2.0/mlflow/experiments/get?experiment_id={self.experiment_id}"


def start_fast(farm: Farm, core: int | None) -> Upstream:
    """The fixed answer of ``fast_upstream.py``."""
    port = free_port()
    server = farm.start(
        "fast-upstream", [sys.executable, _HERE / "fast_upstream.py", str(port)], core=core
    )
    wait_until_ready(server, port, "/health")
    return Upstream(port=port, server=server, experiment_id=fast_upstream.EXPERIMENT_ID)


def mlflow_command(port: int, folder: Path) -> list[str | Path]:
    """Stock ``mlflow server`` with one worker on SQLite and proxied artifacts in ``folder``."""
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", folder / "artifacts"),
    ]


def start_mlflow(farm: Farm, core: int | None) -> Upstream:
    """Stock MLflow with one experiment."""
    port, folder = free_port(), farm.folder
    server = farm.start("mlflow", mlflow_command(port, folder), core=core, env=MLFLOW_ENV)
    wait_until_ready(server, port, "/health")
    status, body = ask(
        port,
        "POST",
        "/api/2.0/mlflow/experiments/create",
        {"Content-Type": "application/json"},
        json.dumps({"name": "bench", "tags": [{"key": "team", "value": "platform"}]}),
    )
    if status != 200:
        raise BenchError(f"MLflow did not create the experiment: {status} {body!r}")
    return Upstream(
        port=port, server=server, experiment_id=json.loads(body)["experiment_id"], folder=folder
    )


UPSTREAMS: dict[str, Callable[[Farm, int | None], Upstream]] = {
    "fast": start_fast,
    "mlflow": start_mlflow,
}
