"""A stock ``mlflow server`` that cannot use its table ends with the sentence a person needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.stack import ROOT, free_port

pytestmark = pytest.mark.heavy

DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/mlflow/i-1 is not authorized to perform: "
    "dynamodb:Query on resource: arn:aws:dynamodb:us-east-1:123456789012:table/mlflow because no "
    "identity-based policy allows the dynamodb:Query action"
)


@contextmanager
def aws_that_answers(code: str, message: str) -> Iterator[str]:
    """An endpoint that refuses every call as DynamoDB does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            said = {"__type": f"com.amazon.coral.service#{code}", "message": message}
            body = json.dumps(said).encode()
            self.send_response(400)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"dynamodb://http://127.0.0.1:{server.server_port}/mlflow"
    finally:
        server.shutdown()
        server.server_close()


def started(uri: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri,
               "--host", "127.0.0.1", "--port", str(free_port()), "--workers", "1"]  # fmt: skip
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize(
    "code, message, sentence",
    [
        (
            "ResourceNotFoundException",
            "Requested resource not found",
            "The table of {uri} does not exist; make it with `mlgate store create-table {uri}`.",
        ),
        (
            "AccessDeniedException",
            DENIED,
            "AWS does not allow dynamodb:Query on {uri}; add it to the server's role.",
        ),
        (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            "AWS refused our credentials for {uri} (UnrecognizedClientException); renew them, "
            "and check the clock.",
        ),
    ],
    ids=lambda value: value if value.endswith("Exception") else "",
)
def test_the_last_line_says_what_to_do(
    tmp_path: Path, code: str, message: str, sentence: str
) -> None:
    with aws_that_answers(code, message) as uri:
        done = started(uri, tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith(f"MlflowException: {sentence.format(uri=uri)}")


def test_a_missing_table_of_a_real_server_is_said(tmp_path: Path, dynamodb_local: Any) -> None:
    uri = dynamodb_local.store_url("nowhere")
    done = started(uri, tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith(f"make it with `mlgate store create-table {uri}`.")


def test_an_endpoint_that_does_not_answer_is_said(tmp_path: Path) -> None:
    uri = f"dynamodb://http://127.0.0.1:{free_port()}/mlflow"
    done = started(uri, tmp_path)
    assert done.returncode == 1
    assert f"DynamoDB does not answer for {uri}" in done.stderr.strip().splitlines()[-1]
