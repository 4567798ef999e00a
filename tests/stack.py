"""A running gateway in front of stock MLflow, for tests that see what a user sees.

Plain functions and one value; ``tests/conftest.py`` makes fixtures of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.acl.open import open_store
from gateway.acl.store import PersonRecord
from gateway.clock import SystemClock
from gateway.settings import Tokens
from gateway.tokens import issue

ROOT = Path(__file__).resolve().parents[1]
PEOPLE: Mapping[str, tuple[str, ...]] = {
    "alice": ("data-science",),
    "bob": ("data-science",),
    "carol": ("research",),
    "dave": ("mlflow-admins",),
}
START_SECONDS = 300.0
"""MLflow makes its tables first, and two of them may start at once on a busy machine."""


def free_port(row: int = 1) -> int:
    """A port that nobody else is given while this process lives; ``row``: so many, side by side.

    It stays bound here, so that neither a test that runs beside us nor the system, for a connection
    that goes out, takes it in the seconds until our server listens. Nobody listens meanwhile: who
    connects is refused. Servers may bind it nevertheless: all of them set SO_REUSEADDR.
    """
    while True:
        first = random.randrange(20_000, 32_000)
        with contextlib.ExitStack() as opened:
            held = [opened.enter_context(socket.socket()) for _ in range(row)]
            with contextlib.suppress(OSError):
                for number, one in enumerate(held):
                    one.bind(("127.0.0.1", first + number))  # fails when somebody has it in any way
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                for one in held:
                    one.detach()  # closed when this process ends
                return first


@dataclass
class Answer:
    """What came back: status, headers (lower case) and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def http(
    method: str,
    url: str,
    *,
    token: str | None = None,
    json_body: Any = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One plain HTTP request; error statuses are answers too, redirects are not followed."""
    made = dict(headers or {})
    if json_body is not None:
        body = json.dumps(json_body).encode()
        made.setdefault("Content-Type", "application/json")
    if token is not None:
        made.setdefault("Authorization", f"Bearer {token}")
    request = urllib.request.Request(url, data=body, headers=made, method=method)
    try:
        with _opener.open(request, timeout=60) as answer:
            return _answer(answer)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error)


def _answer(answer: Any) -> Answer:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Answer(answer.status, headers, answer.read())


@dataclass
class Process:
    """A server in a process group of its own."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and everything that it started; the exit status."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        try:
            status = self.process.wait(120)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        return status

    def wait_for(self, path: str, seconds: float = START_SECONDS) -> None:
        """Wait until ``path`` answers 200."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                if http("GET", self.url + path).status == 200:
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.url}{path}: {self.log.read_text()[-3000:]}")
            time.sleep(0.05)  # polling a real process, with a deadline


def start(command: list[str], url: str, log: Path, cwd: Path, **env: str) -> Process:
    """Start a server; its output goes to ``log``."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "MLGATE_"))}
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env={**clean, **env},
            start_new_session=True,
        )
    return Process(url, log, process)


def start_mlflow(
    folder: Path, *options: str, port: int | None = None, backend: str | None = None, **env: str
) -> Process:
    """Stock MLflow with proxied artifacts, on SQLite unless ``backend`` is another store's URI.

    Without its job runners, which are seven processes that import MLflow; the routes are the same.
    """
    port = port or free_port()
    env.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    command = [
        sys.executable, "-m", "mlflow", "server",
        "--backend-store-uri", backend or f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *options,
    ]  # fmt: skip
    return start(command, f"http://127.0.0.1:{port}", folder / "mlflow.log", folder, **env)


def start_gateway(
    folder: Path, upstreams: list[str], *, port: int | None = None, more: str = "", **env: str
) -> Process:
    """``mlgate serve`` on a SQLite store in ``folder``; ``more`` is appended to its settings."""
    port = port or free_port()
    config = folder / f"gateway-{port}.yaml"
    roles = folder / "roles.yaml"
    if not roles.exists():
        roles.write_bytes((ROOT / "config/roles.yaml").read_bytes())
    lines = [
        f"listen: 127.0.0.1:{port}",
        f"public_url: http://127.0.0.1:{port}",
        f"upstreams: [{', '.join(upstreams)}]",
        f"roles: {roles}",
        "admins: {users: [], groups: [mlflow-admins]}",
        f"audit: {{to: {folder / 'audit.log'}}}",
    ]
    if "store:" not in more:
        lines.append(f"store: sqlite:///{folder / 'acl.db'}")
    config.write_text("\n".join(lines) + "\n" + more)
    command = [sys.executable, "-m", "gateway.cli.main", "serve", "--config", str(config)]
    url = f"http://127.0.0.1:{port}"
    return start(command, url, folder / f"gateway-{port}.log", folder, **env)


async def _make_tokens(store_url: str, people: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    store = open_store(store_url)
    clock = SystemClock()
    made = {}
    for name, groups in people.items():
        home = next((g for g in groups if g != "mlflow-admins"), None)
        secret, record = issue(
            f"user:{name}",
            label="tests",
            created_by=f"user:{name}",
            clock=clock,
            bounds=Tokens(),
            groups=groups,
            home_group=home,
        )
        await store.put_person(
            PersonRecord(name=f"user:{name}", groups=groups, home_group=home, seen=clock.now())
        )
        await store.put_token(record)
        made[name] = secret
    await store.close()
    return made


def make_tokens(store_url: str, people: Mapping[str, tuple[str, ...]] = PEOPLE) -> dict[str, str]:
    """API tokens for sample people, written to a store."""
    return asyncio.run(_make_tokens(store_url, people))


@dataclass
class Stack:
    """MLflow, a gateway in front of it, and a token for each sample person."""

    folder: Path
    mlflow: Process
    gateway: Process
    tokens: dict[str, str]
    more: list[Process] = field(default_factory=list)
    backend: str | None = None
    """URI of MLflow's store when it is not the SQLite file in ``folder``."""

    @property
    def url(self) -> str:
        return self.gateway.url

    def call(
        self, who: str | None, method: str, path: str, json_body: Any = None, **more: Any
    ) -> Answer:
        """One request through the gateway as ``who`` (None: nobody)."""
        token = self.tokens[who] if who is not None else None
        return http(method, self.url + path, token=token, json_body=json_body, **more)

    def direct(self, method: str, path: str, json_body: Any = None, **more: Any) -> Answer:
        """One request to MLflow itself, past the gateway."""
        return http(method, self.mlflow.url + path, json_body=json_body, **more)

    @contextlib.contextmanager
    def client_as(self, who: str) -> Iterator[Any]:
        """The real MLflow client, signed in as ``who``."""
        import mlflow

        before = {k: os.environ.get(k) for k in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_URI")}
        os.environ["MLFLOW_TRACKING_TOKEN"] = self.tokens[who]
        os.environ["MLFLOW_TRACKING_URI"] = self.url
        mlflow.set_tracking_uri(self.url)
        mlflow.set_registry_uri(self.url)
        try:
            yield mlflow
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def stop(self) -> None:
        for process in (*self.more, self.gateway, self.mlflow):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.stop()


def start_stack(
    folder: Path,
    *,
    more: str = "",
    mlflow_options: tuple[str, ...] = (),
    backend: str | None = None,
) -> Stack:
    """MLflow and a gateway, ready."""
    mlflow = start_mlflow(folder, *mlflow_options, backend=backend)
    try:
        mlflow.wait_for("/health")
        tokens = make_tokens(f"sqlite:///{folder / 'acl.db'}")
        gateway = start_gateway(folder, [mlflow.url], more=more)
        try:
            gateway.wait_for("/access/readyz")
        except BaseException:
            gateway.stop()
            raise
    except BaseException:
        mlflow.stop()
        raise
    return Stack(folder, mlflow, gateway, tokens, backend=backend)
