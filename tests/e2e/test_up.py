"""``mlgate up``: everything on one machine, as somebody who tries it out sees it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.e2e.world import API, OWN, mlgate, ok, processes_in, until
from tests.stack import ROOT, Answer, Process, Stack, free_port, http, start

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@dataclass
class Up:
    """A running ``mlgate up`` and what it printed."""

    process: Process
    data: Path
    port: int

    @property
    def said(self) -> str:
        return self.process.log.read_text()

    def whoami(self, token: str) -> Answer:
        return http("GET", f"{self.process.url}{OWN}/whoami", token=token)

    def post(self, who: str, call: str, body: dict[str, Any]) -> Any:
        """The JSON of a call that must succeed."""
        return ok(
            http("POST", f"{self.process.url}{API}/{call}", token=self.token(who), json_body=body)
        )

    def token(self, name: str) -> str:
        found = re.search(rf"^ *{name} .*\n *token (mlg_\S+)$", self.said, re.MULTILINE)
        assert found, self.said
        return found[1]

    def password(self, name: str) -> str:
        found = re.search(rf"^ *{name} +\S+ +password (\S+)$", self.said, re.MULTILINE)
        assert found, self.said
        return found[1]


@contextmanager
def running_up(data: Path, log: Path, port: int | None = None, *options: str) -> Iterator[Up]:
    port = port or free_port(2)
    command = [sys.executable, "-m", "gateway.cli.main", "up"]
    command += ["--data", str(data), "--port", str(port), *options]
    process = start(command, f"http://127.0.0.1:{port}", log, ROOT)
    up = Up(process, data, port)
    try:
        until(
            lambda: "Ctrl-C stops everything" in up.said or process.process.poll() is not None,
            seconds=300,
        )
        assert process.process.poll() is None, up.said
        yield up
    finally:
        process.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, stack: Stack) -> Path:
    """A data folder whose MLflow database has its tables already: that saves half a minute."""
    data = tmp_path_factory.mktemp("up") / "data"
    data.mkdir(mode=0o700)
    with (
        closing(sqlite3.connect(stack.folder / "mlflow.db")) as source,
        closing(sqlite3.connect(data / "mlflow.db")) as copy,
    ):
        source.backup(copy)
    return data


def _jwt(up: Up, name: str) -> str:
    form = {"grant_type": "password", "client_id": "mlgate", "username": name}
    body = urlencode({**form, "password": up.password(name)}).encode()
    answer = http(
        "POST",
        f"http://127.0.0.1:{up.port + 1}/token",
        body=body,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    return str(ok(answer)["access_token"])


def test_up_and_down_and_up_again(folder: Path, tmp_path: Path) -> None:
    with running_up(folder, tmp_path / "first.log") as up:
        assert ok(up.whoami(up.token("dave")))["admin"] is True
        carol = ok(up.whoami(_jwt(up, "carol")))
        assert (carol["principal"], carol["groups"], carol["method"]) == (
            "user:carol",
            ["research"],
            "jwt:dev",
        )
        # The two lines that it prints, as a person would paste them.
        lines = up.said.partition("Log a first run as alice:\n")[2].splitlines()[:2]
        ran = subprocess.run(
            ["bash", "-c", "\n".join(lines)],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        first = first_experiment(up, "alice")
        assert first.status == 200
        assert first_experiment(up, "carol").status == 404
        assert (folder.stat().st_mode & 0o077) == 0, "nobody else reads the data"

        # Another one on the same folder says so and touches nothing.
        other = mlgate("up", "--data", str(folder), "--port", str(free_port(2)), cwd=ROOT)
        assert other.returncode == 1
        assert "another 'mlgate up' is using" in other.stderr
        assert up.whoami(up.token("alice")).status == 200

        os.killpg(up.process.process.pid, signal.SIGINT)  # Ctrl-C
        assert up.process.process.wait(180) == 0
        # A process that was killed is there until it gets the machine once more.
        until(lambda: processes_in(folder) == [])
        for port in (up.port, up.port + 1):
            with socket.socket() as free, pytest.raises(ConnectionRefusedError):
                free.connect(("127.0.0.1", port))
        token, password = up.token("alice"), up.password("alice")
        assert "Traceback" not in up.said

    with running_up(folder, tmp_path / "second.log", up.port) as again:
        assert (again.token("alice"), again.password("alice")) == (token, password)
        assert first_experiment(again, "alice").json() == first.json()
        assert first_experiment(again, "bob").status == 200
        assert first_experiment(again, "carol").status == 404

        # MLflow dies: everything ends, with a line.
        (mlflow, *_) = [p for p in processes_in(folder) if "mlflow server" in p]
        os.kill(int(mlflow.partition(":")[0]), signal.SIGKILL)
        assert again.process.process.wait(180) == 1
        assert "MLflow ended unexpectedly" in again.said
        assert "Traceback" not in again.said
        until(lambda: processes_in(folder) == [])


def first_experiment(up: Up, who: str) -> Answer:
    path = f"{API}/experiments/get-by-name?experiment_name=first"
    return http("GET", up.process.url + path, token=up.token(who))


@pytest.mark.parametrize("which", ["gateway", "issuer"])
def test_a_port_in_use_ends_it_with_a_clear_line(tmp_path: Path, which: str) -> None:
    port = free_port(2)
    with socket.create_server(("127.0.0.1", port if which == "gateway" else port + 1)):
        done = mlgate("up", "--data", str(tmp_path / "d"), "--port", str(port), cwd=ROOT)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "in use" in line
    assert "--port" in line
    assert processes_in(tmp_path) == []


def test_a_folder_that_cannot_be_written_ends_it_with_a_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    data = tmp_path / "file" / "data"
    done = mlgate("up", "--data", str(data), "--port", str(free_port(2)), cwd=ROOT)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "--data" in line


def test_mlflow_that_does_not_start_ends_it_with_a_clear_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "mlflow.db").write_bytes(b"this is no database" * 1000)
    done = mlgate("up", "--data", str(data), "--port", str(free_port(2)), cwd=ROOT, seconds=300)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "MLflow did not start" in line
    assert "mlflow.log" in line
    assert processes_in(tmp_path) == []
    shutil.rmtree(data)
