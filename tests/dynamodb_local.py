"""A session fixture: Amazon's DynamoDB Local, fetched on first use, for tests marked heavy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.dynamodb_local import DynamoDbLocal, fetch, start

FOLDER = Path(__file__).parent.parent / ".cache" / "dynamodb-local"


@pytest.fixture(scope="session")
def dynamodb_local() -> Iterator[DynamoDbLocal]:
    folder = Path(os.environ.get("MLGATE_DYNAMODB_LOCAL") or FOLDER)
    with start(fetch(folder)) as server:
        yield server
