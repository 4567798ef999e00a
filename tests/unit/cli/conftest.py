"""The command line run in this process, against a fake MLflow and a SQLite store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.cli.main import main
from tests.fakes.fake_mlflow import FakeMlflow

ROOT = Path(__file__).parents[3]
VARIABLES = ("MLGATE_CONFIG", "MLGATE_URL", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN",
             "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")  # fmt: skip


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


Mlgate = Callable[..., Result]


@pytest.fixture
def mlflow() -> Iterator[FakeMlflow]:
    with FakeMlflow() as fake:
        yield fake


@pytest.fixture
def config(tmp_path: Path, mlflow: FakeMlflow, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "gateway.yaml"
    path.write_text(
        f"upstreams: [{mlflow.url}]\n"
        f"store: sqlite:///{tmp_path}/acl.db\n"
        f"roles: {ROOT}/config/roles.yaml\n"
        "admins: {users: [dave]}\n"
    )
    return str(path)


@pytest.fixture
def mlgate(config: str, capsys: pytest.CaptureFixture[str]) -> Mlgate:
    def run(*arguments: str) -> Result:
        try:
            status = main(arguments)
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run
