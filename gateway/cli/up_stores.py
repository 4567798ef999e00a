"""Where ``mlgate up`` keeps things: in SQLite files, or in Amazon's DynamoDB Local.

The tables of DynamoDB Local are made here, a convenience of ``up`` alone; its data lies in
``DATA/dynamodb-local`` like everything else.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.acl.create_table import create_table
from gateway.acl.store import StoreUnavailable
from gateway.dynamodb_local import DynamoDbLocal, DynamoDbLocalError, fetch, start

SQLITE, DYNAMODB_LOCAL = "sqlite", "dynamodb-local"
_CREATE_SECONDS = 120


class CannotStart(Exception):
    """A sentence for the person; exit status 1."""


@dataclass(frozen=True)
class Stores:
    """The gateway's ``store`` setting, MLflow's options, and the server that both need."""

    acl: str
    mlflow: tuple[str, ...]
    server: DynamoDbLocal | None = None

    def ended(self) -> str | None:
        """A sentence when the server has ended by itself."""
        if self.server is None or self.server.process.poll() is None:
            return None
        words = " ".join("".join(self.server.output).split())[-300:]
        return f"DynamoDB Local ended unexpectedly: {words}"


@contextlib.contextmanager
def opened(which: str, data: Path) -> Iterator[Stores]:
    """The stores, usable until the end of the ``with``. Raises CannotStart."""
    if which == SQLITE:
        yield Stores(
            acl=f"sqlite:///{data / 'mlgate.db'}",
            mlflow=("--backend-store-uri", f"sqlite:///{data / 'mlflow.db'}"),
        )
        return
    folder = data / "dynamodb-local"
    try:
        jars = fetch(folder / "jars", _fetching)
        kept = folder / "data"
        kept.mkdir(parents=True, exist_ok=True)
        over = "\r" if sys.stdout.isatty() else ""
        print(f"{over}Starting DynamoDB Local ...{len(over) * 20 * ' '}", flush=True)
        server = start(jars, data=kept)
    except (DynamoDbLocalError, OSError) as error:
        raise CannotStart(str(error)) from error
    with server:
        acl, mlflow = server.store_url("mlgate"), server.store_url("mlflow")
        _make_tables(acl, mlflow)
        yield Stores(acl, ("--backend-store-uri", mlflow), server)


def _make_tables(acl: str, mlflow: str) -> None:
    """Both tables, unless they are there. Raises CannotStart."""
    try:
        create_table(acl)
    except StoreUnavailable as error:
        raise CannotStart(str(error)) from error
    # As its own process, because making it imports MLflow, which this one never does.
    command = [sys.executable, "-m", "gateway.cli.main", "store", "create-table", mlflow]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_CREATE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CannotStart("making the tables in DynamoDB Local took too long.") from error
    if done.returncode:
        raise CannotStart(done.stderr.strip().removeprefix("mlgate: ")[-600:])


def _fetching(seconds: int) -> None:
    """Says that Maven is at work, and for how long already."""
    if sys.stdout.isatty():
        print(f"\rFetching DynamoDB Local with Maven ... {seconds} s ", end="", flush=True)
    elif seconds == 1 or seconds % 5 == 0:
        print(f"Fetching DynamoDB Local with Maven ... {seconds} s", flush=True)
