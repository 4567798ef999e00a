"""MLflow's workspaces: refused in words that help, by the plugin and by a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from dynamodb_store import plugin
from dynamodb_store.provision import create_table
from dynamodb_store.registry.store import DynamoDbRegistryStore
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from tests.fakes.fake_dynamodb import FakeDynamoDb
from tests.stack import free_port
from tests.store.conftest import MOTO


@pytest.mark.parametrize("build", [plugin.tracking_store, plugin.registry_store])
def test_workspaces_are_refused_and_the_refusal_says_what_to_do(
    build: Any, fake: FakeDynamoDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    with pytest.raises(MlflowException, match="without --enable-workspaces") as refused:
        build(MOTO)
    assert refused.value.error_code == "INVALID_STATE"
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "false")
    assert build(MOTO).supports_workspaces is False


def test_the_stores_say_that_they_have_none() -> None:
    # MLflow's server asks the stores themselves too (server/handlers.py).
    for store in (DynamoDbTrackingStore, DynamoDbRegistryStore):
        assert "supports_workspaces" not in vars(store)


@pytest.mark.heavy
def test_a_server_with_workspaces_does_not_start(dynamodb_local: Any, tmp_path: Path) -> None:
    uri = dynamodb_local.store_url("workspaces")
    create_table(uri)
    command = [
        sys.executable, "-m", "mlflow", "server", "--enable-workspaces",
        "--workspace-store-uri", f"sqlite:///{tmp_path / 'workspaces.db'}",
        "--backend-store-uri", uri, "--port", str(free_port()),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    assert "Start MLflow without --enable-workspaces" in done.stderr
