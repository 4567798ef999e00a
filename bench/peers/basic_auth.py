"""MLflow's own ``basic-auth`` app on the data of the real MLflow upstream.

It is not a proxy but a second MLflow server, so it runs where MLflow runs (same core as the
upstream) and its CPU appears in the upstream's column: compare it with direct's.
"""

from __future__ import annotations

import base64
import importlib.util
import json

from processes import BenchError, ask, free_port, wait_until_ready
from upstreams import MLFLOW_ENV, mlflow_command

from peers.peer import Running, Site

_ADMIN = ("admin", "a-long-admin-password")
_PERSON = ("bench", "a-long-bench-password")


class BasicAuthPeer:
    """``mlflow server --app-name basic-auth`` with one worker and its default settings."""

    name = "basic-auth"
    upstreams = ("mlflow",)

    def missing(self) -> str | None:
        if importlib.util.find_spec("flask_wtf") is None:
            return "install the PyPI package mlflow[auth] (it brings Flask-WTF)"
        return None

    def start(self, site: Site) -> Running:
        """Start it on the upstream's database, add a reader, check that it refuses."""
        folder = site.upstream.folder
        if folder is None:
            raise BenchError("basic-auth needs the real MLflow upstream")
        settings = folder / "basic_auth.ini"
        settings.write_text(
            "[mlflow]\n"
            "default_permission = NO_PERMISSIONS\n"
            f"database_uri = sqlite:///{folder / 'basic_auth.db'}\n"
            f"admin_username = {_ADMIN[0]}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        port = free_port()
        server = site.farm.start(
            self.name,
            [*mlflow_command(port, folder), "--app-name", "basic-auth"],
            core=site.upstream_core,
            env={
                **MLFLOW_ENV,
                "MLFLOW_AUTH_CONFIG_PATH": str(settings),
                "MLFLOW_AUTH_ADMIN_PASSWORD": _ADMIN[1],
                "MLFLOW_FLASK_SERVER_SECRET_KEY": "only-for-this-benchmark-run",
            },
        )
        wait_until_ready(server, port, "/health")
        self._add_reader(port, site.upstream.experiment_id)
        for who, password in ((_PERSON[0], "wrong"), ("nobody", _PERSON[1])):
            status, _ = ask(
                port, "GET", site.upstream.target, {"Authorization": _basic(who, password)}
            )
            if status != 401:
                raise BenchError(f"basic-auth answered {status} instead of 401 to a wrong sign-in")
        return Running(port=port, authorization=_basic(*_PERSON), proxy=None, upstream=server)

    @staticmethod
    def _add_reader(port: int, experiment_id: str) -> None:
        grant = {
            "username": _PERSON[0],
            "resource_type": "experiment",
            "resource_id": experiment_id,
            "permission": "READ",
        }
        for target, body in (
            ("/api/2.0/mlflow/users/create", {"username": _PERSON[0], "password": _PERSON[1]}),
            ("/api/3.0/mlflow/users/permissions/grant", grant),
        ):
            headers = {"Authorization": _basic(*_ADMIN), "Content-Type": "application/json"}
            status, answer = ask(port, "POST", target, headers, json.dumps(body))
            if status != 200:
                raise BenchError(f"basic-auth: {target} answered {status} {answer[:300]!r}")


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
