"""``mlgate store``: the table of the store plugin, on moto."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from dynamodb_store.plugin import tracking_store
from gateway.cli.main import main
from tests.fakes.fast_moto import speed_up

speed_up()

URI = "dynamodb://us-east-1/mlflow"


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


def test_the_table_is_made_shown_and_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "create-table", URI]) == 0
    assert main(["store", "create-table", URI]) == 0
    assert main(["store", "describe", URI]) == 0
    assert "ACTIVE" in capsys.readouterr().out
    assert main(["store", "delete-table", URI, "--yes"]) == 0
    assert main(["store", "describe", URI]) == 1
    assert "mlgate store create-table" in capsys.readouterr().err


def test_nothing_is_deleted_without_a_yes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["store", "create-table", URI]) == 0
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main(["store", "delete-table", URI]) == 1
    assert "--yes" in capsys.readouterr().err
    assert main(["store", "describe", URI]) == 0


def test_a_uri_that_is_none_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "create-table", "sqlite:///x"]) == 1
    assert capsys.readouterr().err.startswith("mlgate: ")


def test_traces_are_archived_as_the_file_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "archival.yaml"
    archive = ["store", "archive-traces", URI, "--config", str(config)]
    assert main(archive) == 1
    assert "Failed to read config file" in capsys.readouterr().err
    text = "trace_archival: {enabled: %s, location: 'file:///x', retention: 30d}"
    config.write_text(text % "false")
    assert main(archive) == 1
    assert "does not enable archival" in capsys.readouterr().err
    config.write_text(text % "true")
    assert main(archive) == 1
    assert "mlgate store create-table" in capsys.readouterr().err
    assert main(["store", "create-table", URI]) == 0
    assert main(archive) == 1
    assert "No MLflow has used" in capsys.readouterr().err
    tracking_store(URI, "s3://bucket/root")
    assert main(archive) == 0
    assert capsys.readouterr().out == "archived 0 traces\n"


def test_an_import_from_what_is_no_database_of_mlflow_is_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["store", "create-table", URI]) == 0
    path = tmp_path / "other.db"
    assert main(["store", "import", "--from", f"sqlite:///{path}", URI]) == 1
    assert capsys.readouterr().err == f"mlgate: There is no file {path}.\n"
    assert not path.exists()
    with sqlite3.connect(path) as database:
        database.execute("create table t (a)")
    database.close()
    assert main(["store", "import", "--from", f"sqlite:///{path}", "--to", URI]) == 1
    assert "is not a database of MLflow" in capsys.readouterr().err


def test_an_import_says_where_to(capsys: pytest.CaptureFixture[str]) -> None:
    for where in ([], [URI, "--to", URI]):
        with pytest.raises(SystemExit) as wrong:
            main(["store", "import", "--from", "sqlite:///x.db", *where])
        assert wrong.value.code == 2
        capsys.readouterr()
