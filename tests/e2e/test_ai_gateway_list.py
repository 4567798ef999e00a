"""MLflow with an AI gateway behind it (MLFLOW_DEPLOYMENTS_TARGET): what can be asked of that."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Process, Stack, http, start_mlflow

pytestmark = [pytest.mark.e2e, pytest.mark.heavy]
PROXY = "/ajax-api/2.0/mlflow/gateway-proxy"
ENDPOINTS = {"endpoints": [{"name": "chat", "endpoint_type": "llm/v1/chat"}]}


class _Target(BaseHTTPRequestHandler):
    asked: list[str]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append(f"{self.command} {self.path} {body.decode()}".strip())
        answer = json.dumps(ENDPOINTS).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _answer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def asked() -> Iterator[tuple[str, list[str]]]:
    """The address of an AI gateway, and what was asked of it."""
    seen: list[str] = []
    handler = type("Target", (_Target,), {"asked": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def mlflow(
    asked: tuple[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    folder: Path = tmp_path_factory.mktemp("target")
    made = start_mlflow(folder, MLFLOW_DEPLOYMENTS_TARGET=asked[0])
    made.wait_for("/health")
    yield made
    made.stop()


def test_mlflow_asks_its_ai_gateway_for_the_list_and_for_nothing_else(
    mlflow: Process, asked: tuple[str, list[str]], gateway_of: Callable[..., Stack]
) -> None:
    here, seen = gateway_of([mlflow.url]), asked[1]
    token = here.tokens["alice"]

    def ask(query: str) -> Any:
        return http("GET", f"{here.url}{PROXY}?{query}", token=token)

    for path in ("api/2.0/endpoints/", "api%2F2.0%2Fendpoints"):
        answer = ask(f"gateway_path={path}&json_data=x")
        assert (answer.status, answer.json()) == (200, ENDPOINTS)
    assert seen == ["GET /api/2.0/endpoints/", "GET /api/2.0/endpoints"]
    # MLflow itself takes the first two of these.
    for path in ("/api/2.0/endpoints", "api/2.0/endpoints///", "gateway/chat/invocations", "", "x"):
        assert ask(f"gateway_path={path}").status == 400
    for body in ({"gateway_path": "gateway/chat/invocations", "json_data": {}}, {}):
        answer = http("POST", here.url + PROXY, token=token, json_body=body)
        assert answer.status == 403
    assert len(seen) == 2
