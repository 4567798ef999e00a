"""PostgreSQL for heavy tests: Debian's programs, in a temporary folder, on a port of loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.debian import installed
from tests.stack import free_port

PROGRAMS = Path("/usr/lib/postgresql")


class PostgreSql:
    """A running server."""

    def __init__(self, programs: Path, folder: Path, user: str | None) -> None:
        self._programs, self._folder, self._user = programs, folder, user
        # Whatever LANG says: it may name a locale that this machine does not have.
        self._run("initdb", "-D", "data", "-U", "test", "-A", "trust", "-E", "UTF8", "--no-locale",
                  "--no-sync")  # fmt: skip
        self.port = free_port()  # when it is about to be used
        # No socket: its path has to be short, and TMPDIR may not be.
        options = f"-h 127.0.0.1 -p {self.port} -c unix_socket_directories= -c fsync=off"
        self._run("pg_ctl", "-D", "data", "-w", "-t", "60", "-l", "log", "-o", options, "start")

    def new(self, name: str) -> str:
        """Make an empty database; its URI."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "test", name)
        return f"postgresql+psycopg2://test@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """End the server."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            cwd=self._folder,
            user=self._user,
            stdout=subprocess.DEVNULL,
        )


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    """A server that lives for the session."""
    installed("postgresql", PROGRAMS)
    found = sorted(PROGRAMS.glob("*/bin/initdb"))
    folder = Path(tempfile.mkdtemp(prefix="test-postgresql-"))
    try:
        server = PostgreSql(found[-1].parent, folder, owner(folder, "postgres"))
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def owner(folder: Path, name: str) -> str | None:
    """Who runs a server that refuses to run as root: ``name`` when we are root."""
    if os.geteuid():
        return None
    user = pwd.getpwnam(name)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return user.pw_name
