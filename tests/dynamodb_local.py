"""A session fixture: Amazon's DynamoDB Local, fetched on first use, for tests marked heavy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.dynamodb_local import DynamoDbLocal, fetch, start

FOLDER = Path(__file__).parent.parent / ".cache" / "dynamodb-local"


_environ = os.environ.get("MLGATE_DYNAMODB_LOCAL")  # tests run without MLGATE_ variables


def jars_folder() -> Path:
    """Where the jars are, or will be."""
    return Path(_environ or FOLDER).resolve()


def started() -> DynamoDbLocal:
    """A new server that keeps its tables in memory."""
    return start(fetch(jars_folder()))


@pytest.fixture(scope="session")
def dynamodb_local() -> Iterator[DynamoDbLocal]:
    with started() as server:
        yield server
