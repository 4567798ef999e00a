"""``mlgate up --store dynamodb-local``: the real server, and what may go wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.dynamodb_local import DynamoDbLocal
from tests.dynamodb_local import dynamodb_local, jars_folder
from tests.e2e.test_up import first_experiment, running_up
from tests.e2e.world import mlgate, ok, processes_in, until
from tests.stack import ROOT, free_port

__all__ = ["dynamodb_local"]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

OPTION = ("--store", "dynamodb-local")


@pytest.mark.heavy
def test_up_on_dynamodb_keeps_everything_and_leaves_nothing_running(
    dynamodb_local: DynamoDbLocal, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    place = folder / "dynamodb-local"
    place.mkdir(parents=True)
    (place / "jars").symlink_to(jars_folder())  # as after the first fetch
    with running_up(folder, tmp_path / "first.log", None, *OPTION) as up:
        lines = up.said.partition("Log a first run as alice:\n")[2].splitlines()[:2]
        ran = subprocess.run(
            ["bash", "-c", "\n".join(lines)],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        first = first_experiment(up, "alice")
        experiment = ok(first)["experiment"]["experiment_id"]
        found = up.post("alice", "runs/search", {"experiment_ids": [experiment]})
        assert found["runs"][0]["data"]["metrics"][0]["value"] == 0.9
        assert first_experiment(up, "carol").status == 404
        assert not {"mlgate.db", "mlflow.db"} & {one.name for one in folder.iterdir()}
        os.killpg(up.process.process.pid, signal.SIGINT)  # Ctrl-C
        assert up.process.process.wait(180) == 0
        until(lambda: processes_in(folder) == [])
        token = up.token("alice")
        assert "Traceback" not in up.said

    with running_up(folder, tmp_path / "second.log", up.port, *OPTION) as again:
        assert again.token("alice") == token, "the token is in the table of the ACLs"
        assert first_experiment(again, "alice").json() == first.json()
        again_found = again.post("alice", "runs/search", {"experiment_ids": [experiment]})
        assert again_found == found
        (server,) = [one for one in processes_in(folder) if "Launcher.java" in one]
        os.kill(int(server.partition(":")[0]), signal.SIGKILL)
        assert again.process.process.wait(180) == 1
        assert "DynamoDB Local ended unexpectedly" in again.said
        assert "Traceback" not in again.said
        until(lambda: processes_in(folder) == [])


def _programs(folder: Path, **scripts: str) -> dict[str, str]:
    """A PATH with nothing but these programs and a shell."""
    folder.mkdir()
    for name, script in scripts.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    return {"PATH": str(folder)}


@pytest.mark.parametrize("has", [(), ("java",), ("mvn",)], ids=str)
def test_without_java_or_maven_it_says_what_is_missing(tmp_path: Path, has: tuple[str]) -> None:
    path = _programs(tmp_path / "bin", **dict.fromkeys(has, "exit 0"))
    data = tmp_path / "data"
    port = str(free_port(2))
    done = mlgate("up", "--data", str(data), "--port", port, *OPTION, cwd=tmp_path, **path)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    missing = {"java", "mvn"} - set(has)
    assert f"needs {' and '.join(sorted(missing))} on the PATH" in line
    assert processes_in(data) == []


def test_maven_that_cannot_fetch_is_one_line(tmp_path: Path) -> None:
    says = "echo '[ERROR] Could not transfer artifact'; echo 'from central' >&2; exit 1"
    path = _programs(tmp_path / "bin", java="exit 0", mvn=says)
    data = tmp_path / "data"
    port = str(free_port(2))
    done = mlgate("up", "--data", str(data), "--port", port, *OPTION, cwd=tmp_path, **path)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "Maven could not fetch DynamoDB Local" in line
    assert "Could not transfer artifact from central" in line
    assert list((data / "dynamodb-local" / "jars").iterdir()) == []
    assert processes_in(tmp_path) == []


@contextmanager
def _fetching(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``up`` while a Maven that never ends, and a child of it, are at work."""
    path = _programs(tmp_path / "bin", java="exit 0", mvn="/bin/sleep 600 & /bin/sleep 600")
    # Started with SIGINT ignored, as by a shell in the background.
    command = ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    command += [sys.executable, "-m", "gateway.cli.main", "up", "--data", str(tmp_path / "data")]
    command += ["--port", str(free_port(2)), *OPTION]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output, stderr=output, cwd=tmp_path, start_new_session=True,
            env={**os.environ, **path, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        until(lambda: b"Fetching DynamoDB Local with Maven ... 1 s" in log.read_bytes())
        yield process
    finally:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_fetch_leaves_nothing_running(
    tmp_path: Path, number: signal.Signals
) -> None:
    with _fetching(tmp_path) as process:
        until(lambda: len(processes_in(tmp_path)) >= 3)
        process.send_signal(number)
        assert process.wait(60) == 0
        # A process that was killed is there until it gets the machine once more.
        until(lambda: processes_in(tmp_path) == [])
        assert b"Traceback" not in (tmp_path / "log").read_bytes()
