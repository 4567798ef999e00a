"""The stores that are compared: ours on DynamoDB Local, MLflow's own on SQLite and PostgreSQL.

PostgreSQL is Debian's, started for the run on loopback in a temporary folder as an unprivileged
user, with its defaults.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import free_port

ROOT = Path(__file__).parent.parent
ARTIFACTS = "s3://bucket/root"


@dataclass
class Side:
    """A tracking store, and a registry when there is one."""

    name: str
    tracking: Any
    registry: Any
    meter: Any = None


@contextlib.contextmanager
def dynamodb() -> Iterator[Side]:
    """Ours, on a DynamoDB Local that lives for the run."""
    from store_meter import Meter

    from dynamodb_store.provision import create_table
    from dynamodb_store.table import Table, make_client
    from dynamodb_store.tracking.store import DynamoDbTrackingStore
    from dynamodb_store.uri import parse_uri
    from gateway.dynamodb_local import fetch, start

    folder = Path(os.environ.get("MLGATE_DYNAMODB_LOCAL") or ROOT / ".cache" / "dynamodb-local")
    with start(fetch(folder)) as server:
        uri = parse_uri(server.store_url("mlflow"))
        create_table(str(uri))
        meter = Meter(make_client(uri))
        table = Table(meter, uri)
        yield Side("dynamodb", DynamoDbTrackingStore(table, ARTIFACTS), _registry(table), meter)
        table.close()


def _registry(table: Any) -> Any:
    try:
        from dynamodb_store.registry.store import DynamoDbRegistryStore
    except ImportError:
        return None
    return DynamoDbRegistryStore(table)


@contextlib.contextmanager
def sqlite() -> Iterator[Side]:
    """MLflow's SQL store on a file."""
    with tempfile.TemporaryDirectory(prefix="bench-store-") as folder:
        yield from _sql("sqlite", f"sqlite:///{folder}/mlflow.db")


@contextlib.contextmanager
def postgresql() -> Iterator[Side]:
    """MLflow's SQL store on PostgreSQL."""
    with _server() as uri:
        yield from _sql("postgresql", uri)


def _sql(name: str, uri: str) -> Iterator[Side]:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

    tracking, registry = Tracking(uri, ARTIFACTS), Registry(uri)
    yield Side(name, tracking, registry)
    tracking.engine.dispose()
    registry.engine.dispose()


@contextlib.contextmanager
def _server() -> Iterator[str]:
    home = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not home:
        sys.exit("PostgreSQL is missing: apt-get install postgresql, or leave it out of --sides")
    programs = home[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="bench-postgresql-"))
    user, port = _owner(folder), free_port()
    as_user: dict[str, Any] = {"user": user} if user else {}
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "cwd": str(folder), **as_user}
    try:
        command = [programs / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*command, "--no-sync"], check=True, **quiet)
        options = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stderr=subprocess.DEVNULL, **quiet
        )
        try:
            _wait_for(programs, port)
            at = ["-h", "127.0.0.1", "-p", str(port), "-U", "bench"]
            subprocess.run([programs / "createdb", *at, "mlflow"], check=True, **quiet)
            yield f"postgresql+psycopg2://bench@127.0.0.1:{port}/mlflow"
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _owner(folder: Path) -> str | None:
    """Who runs the server: postgres when we are root, since it refuses to run as root."""
    if os.geteuid():
        return None
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return user.pw_name


def _wait_for(programs: Path, port: int) -> None:
    ask = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    for _ in range(150):
        if subprocess.run(ask, check=False).returncode == 0:
            return
        time.sleep(0.2)
    sys.exit("PostgreSQL did not start within 30 seconds")


SIDES = {"dynamodb": dynamodb, "sqlite": sqlite, "postgresql": postgresql}
