"""MariaDB for heavy tests, for what MLflow says to MySQL: Debian's, in a temporary folder."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from tests.debian import installed
from tests.e2e.world import until
from tests.postgresql import owner
from tests.stack import free_port

SERVER = Path("/usr/sbin/mariadbd")


class MariaDb:
    """A running server."""

    def __init__(self, folder: Path, user: str | None) -> None:
        as_user = [] if user is None else [f"--user={user}"]
        data = f"--datadir={folder / 'data'}"
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", *as_user, data, "--skip-test-db",
             "--auth-root-authentication-method=normal"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.port = free_port()
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [SERVER, "--no-defaults", *as_user, data, f"--port={self.port}",
                 "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0",
                 # Beside the data: its path has to be short, and TMPDIR may not be.
                 "--socket=socket"],
                stdout=log, stderr=log,
            )  # fmt: skip
        until(self._answers, seconds=60, what="MariaDB starts")

    def new(self, name: str) -> str:
        """Make an empty database; its URI."""
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.wait()

    def _connect(self) -> pymysql.Connection:
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root")

    def _answers(self) -> bool:
        assert self._process.poll() is None, "MariaDB ended at once; see its log"
        try:
            self._connect().close()
        except pymysql.OperationalError:
            return False
        return True


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """A server that lives for the session."""
    installed("mariadb-server", SERVER)
    folder = Path(tempfile.mkdtemp(prefix="test-mariadb-"))
    try:
        server = MariaDb(folder, owner(folder, "mysql"))
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
