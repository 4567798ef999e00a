"""Fixtures that every test may use; the servers behind them are real (see stack.py)."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.stack import Stack, start_stack


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "MLGATE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One gateway in front of one stock MLflow, shared by the session's end-to-end tests."""
    made = start_stack(tmp_path_factory.mktemp("stack"))
    yield made
    made.stop()


@pytest.fixture
def unique() -> str:
    """A suffix that no other test uses."""
    return uuid.uuid4().hex[:8]
