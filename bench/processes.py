"""Starts the servers of a benchmark, waits until they answer, and ends every one of them.

Each server leads a session of its own, so that Ctrl-C reaches only us and we end the whole tree
by process id. Output goes to a file, whose end is shown when a server does not come up.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cpu import descendants, pinned, stat_fields

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends a run early; in a background shell even SIGINT needs a handler of our own."""

_GRACE_SECONDS = 5.0


class BenchError(Exception):
    """Something a person can act on; the message says what."""


@dataclass(frozen=True, slots=True)
class Server:
    """A process that we started, with the file that holds its output."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Root of the process tree."""
        return self.popen.pid

    def log_end(self, lines: int = 15) -> str:
        """The last lines it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@dataclass
class Farm:
    """Every process of one benchmark run; leaving the ``with`` block ends them all."""

    folder: Path
    servers: list[Server] = field(default_factory=list)

    def __enter__(self) -> Farm:
        return self

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C must not leave half of them running.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTS}
        try:
            self.stop(*reversed(self.servers))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        core: int | None,
        env: Mapping[str, str] | None = None,
    ) -> Server:
        """Start ``argv`` on ``core`` (None: anywhere), ``env`` on top of a clean environment."""
        log = self.folder / f"{name}.log"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "MLGATE_"))}
        with log.open("wb") as output, pinned(core):
            popen = subprocess.Popen(
                [str(part) for part in argv],
                cwd=self.folder,
                env={**clean, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        server = Server(name, popen, log)
        self.servers.append(server)
        return server

    def stop(self, *servers: Server) -> None:
        """End these servers with all their descendants: asked first, killed after a while."""
        members = [
            (pid, stat[19])
            for server in servers
            for pid in descendants(server.pid)
            if (stat := stat_fields(pid)) is not None
        ]
        for server in servers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        for server in servers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.popen.wait(max(0.0, deadline - time.monotonic()))
        for server in servers:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(server.pid, signal.SIGKILL)
        for pid, started in members:
            # The start time tells a survivor from a newcomer that was given the same id.
            stat = stat_fields(pid)
            if stat is not None and stat[19] == started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for server in servers:
            server.popen.wait()
            with contextlib.suppress(ValueError):
                self.servers.remove(server)


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(
    port: int,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
    *,
    seconds: float = 30.0,
) -> tuple[int, bytes]:
    """One request to a loopback server: (status, body). Raises OSError when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, target, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as broken:
        raise OSError(f"no proper HTTP answer on port {port}: {broken!r}") from broken
    finally:
        connection.close()


def wait_until_ready(server: Server, port: int, target: str, *, seconds: float = 90.0) -> None:
    """Wait until the server answers ``target`` below 500 (a refusal is an answer too).

    Raises:
        BenchError: It ended, or did not answer in time; with the end of its log.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.popen.poll() is not None:
            raise BenchError(
                f"{server.name} ended with status {server.popen.returncode}:\n{server.log_end()}"
            )
        with contextlib.suppress(OSError):
            if ask(port, "GET", target, seconds=5.0)[0] < 500:
                return
        time.sleep(0.05)
    raise BenchError(f"{server.name} does not answer after {seconds:.0f} s:\n{server.log_end()}")
