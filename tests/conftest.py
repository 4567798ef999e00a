"""Fixtures that every test may use; the servers behind them are real (see stack.py)."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, settings

from tests.dynamodb_local import started
from tests.stack import Stack, start_stack

# How long an example takes says how busy the machine is, not whether the code is right. The same
# examples each time, so that a failure is the change's; `pytest --hypothesis-profile search` draws
# new ones.
settings.register_profile(
    "search", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("mlgate", settings.get_profile("search"), derandomize=True)
settings.load_profile("mlgate")

# Read before the fixture below clears the environment.
BACKEND = os.environ.get("MLGATE_TEST_BACKEND") or "sqlite"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "MLGATE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One gateway in front of one stock MLflow, shared by the session's end-to-end tests.

    MLflow keeps its data in SQLite or, with MLGATE_TEST_BACKEND=dynamodb-local, in Amazon's
    DynamoDB Local through our plugin: the same tests have to pass.
    """
    with _backend() as backend:
        made = start_stack(tmp_path_factory.mktemp("stack"), backend=backend)
        yield made
        made.stop()


@contextmanager
def _backend() -> Iterator[str | None]:
    if BACKEND == "sqlite":
        yield None
        return
    assert BACKEND == "dynamodb-local", f"MLGATE_TEST_BACKEND={BACKEND} is unknown"
    # Here, because importing the plugin imports MLflow, which takes seconds.
    from dynamodb_store.provision import create_table

    with started() as server:
        uri = server.store_url("mlflow")
        create_table(uri)
        yield uri


@pytest.fixture
def unique() -> str:
    """A suffix that no other test uses."""
    return uuid.uuid4().hex[:8]
