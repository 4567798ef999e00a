"""``mlgate up``: everything on this machine with embedded defaults.

Stock MLflow, the development identity provider and the gateway, on SQLite or (``--store
dynamodb-local``) on Amazon's DynamoDB Local; all of it ends with Ctrl-C, and nothing is left
running when any part cannot start. Data stays in ``--data``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from aiohttp import web

import gateway as gateway_package
from gateway.acl.store import PersonRecord, Store, StoreUnavailable
from gateway.app import Gateway, listen, open_gateway
from gateway.cli.up_stores import CannotStart, Stores, opened
from gateway.clock import SystemClock
from gateway.devidp.accounts import ADMIN_GROUP, Account, Accounts
from gateway.devidp.app import provider_settings
from gateway.devidp.app import serve as serve_idp
from gateway.roles import RolesError
from gateway.settings import Admins, Audit, Settings, Tokens, Upstream
from gateway.tokens import hash_of, issue

_START_SECONDS = 180.0
_STOP_SECONDS = 15.0
_LOOK_SECONDS = 0.5


def run(args: argparse.Namespace) -> int:
    """Run until Ctrl-C; the exit status."""
    data = Path(args.data).resolve()
    # Until the event loop takes over: whatever ends us, our parts are ended too. Also SIGINT: a
    # shell that starts us in the background has it ignored, and Python then leaves it so.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with (
            _data_folder(data),
            opened(args.store, data) as stores,
            _mlflow(data, stores) as mlflow,
        ):
            return asyncio.run(_up(data, args.port, mlflow, stores))
    except CannotStart as error:
        print(f"mlgate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


@contextlib.contextmanager
def _data_folder(data: Path) -> Iterator[None]:
    """The folder, for this process alone."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (data / "lock").open("a")
    except OSError as error:
        raise CannotStart(
            f"cannot write to {data}: {error.strerror}. Choose another folder with --data."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotStart(
                f"another 'mlgate up' is using {data}. Stop it, or choose another --data."
            ) from error
        yield


class _Mlflow:
    """A stock ``mlflow server`` as a process group of its own."""

    def __init__(self, data: Path, stores: Stores) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data / "mlflow.log"
        # Only the gateway talks to it: loopback, and a port that nobody is told.
        command = [
            sys.executable, "-m", "mlflow", "server",
            *stores.mlflow,
            "--artifacts-destination", str(data / "artifacts"),
            "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
        ]  # fmt: skip
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=data,
                env=environment,
                start_new_session=True,
            )

    async def wait_until_up(self) -> None:
        """Wait for /health, showing progress. Raises CannotStart."""
        began = time.monotonic()
        shown = -1
        while not await asyncio.to_thread(self._answers):
            seconds = int(time.monotonic() - began)
            if seconds != shown and sys.stdout.isatty():
                print(f"\rStarting MLflow ... {seconds} s ", end="", flush=True)
                shown = seconds
            elif seconds // 5 != shown // 5:
                print(f"Starting MLflow ... {seconds} s", flush=True)
                shown = seconds
            if self._process.poll() is not None:
                raise CannotStart(f"MLflow did not start: {self._last_words()}")
            if seconds > _START_SECONDS:
                raise CannotStart(f"MLflow does not answer; see {self.log}")
            await asyncio.sleep(0.2)
        print(f"\rMLflow is up after {time.monotonic() - began:.0f} s.      ", flush=True)

    def is_running(self) -> bool:
        """False when it has ended by itself."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the whole process group, politely first."""
        for number, patience in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        # The group's leader is gone; whatever it started goes with it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _answers(self) -> bool:
        try:
            with urlopen(self.url + "/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.log.read_text("utf-8", "replace").strip().splitlines()
            if lines:
                return f"{lines[-1].strip()[:300]} (see {self.log})"
        return f"see {self.log}"


@contextlib.contextmanager
def _mlflow(data: Path, stores: Stores) -> Iterator[_Mlflow]:
    try:
        mlflow = _Mlflow(data, stores)
    except OSError as error:
        raise CannotStart(f"cannot start MLflow in {data}: {error.strerror}.") from error
    try:
        yield mlflow
    finally:
        mlflow.stop()


async def _up(data: Path, port: int, mlflow: _Mlflow, stores: Stores) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    listener = _listen(port, "--port")
    issuer_port = port + 1
    idp: web.AppRunner | None = None
    gateway: Gateway | None = None
    try:
        idp = await _identity(data, issuer_port)
        waiting = asyncio.ensure_future(mlflow.wait_until_up())
        if await _first(waiting, stopping):
            return 0
        settings = _settings(data, port, issuer_port, mlflow.url, stores)
        gateway = await _gateway(settings, listener)
        accounts = Accounts.load(data / "devidp")
        tokens = await _sample_tokens(gateway.store, accounts, data / "tokens")
        _welcome(settings.public_url, issuer_port, accounts, tokens, data)
        ended = asyncio.ensure_future(_ended(mlflow, stores))
        if not await _first(ended, stopping):
            if stores.ended() is not None:
                raise CannotStart(f"{stores.ended()}")
            raise CannotStart(f"MLflow ended unexpectedly; see {mlflow.log}")
        print("\nStopping ...", flush=True)
    finally:
        # MLflow is ended by whoever started it, whatever happens here.
        try:
            if gateway is not None:
                await gateway.stop()
            if idp is not None:
                await idp.cleanup()
        finally:
            listener.close()
    return 0


async def _ended(mlflow: _Mlflow, stores: Stores) -> None:
    """Return when MLflow or its store ends by itself."""
    # Not by a thread that waits: it would keep the event loop from closing.
    while mlflow.is_running() and stores.ended() is None:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_SECONDS)


async def _first(work: asyncio.Future[None], stopping: asyncio.Event) -> bool:
    """Wait for work or for Ctrl-C; True when it was Ctrl-C. Raises what the work raises."""
    stop = asyncio.ensure_future(stopping.wait())
    await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if work.done():
        work.result()
        return False
    work.cancel()
    return True


def _listen(port: int, option: str) -> socket.socket:
    try:
        return listen("127.0.0.1", port)[0]
    except (OSError, OverflowError) as error:
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "no such port"
        raise CannotStart(
            f"cannot listen on 127.0.0.1:{port}: {why}. Choose another with {option}."
        ) from error


async def _identity(data: Path, port: int) -> web.AppRunner:
    try:
        return await serve_idp(data, port)
    except OSError as error:
        raise CannotStart(
            f"the development identity provider cannot listen on 127.0.0.1:{port} (the port after "
            f"the gateway's): {os.strerror(error.errno or 0)}. Choose another --port."
        ) from error
    except ValueError as error:
        raise CannotStart(str(error)) from error


def _settings(data: Path, port: int, issuer_port: int, mlflow: str, stores: Stores) -> Settings:
    return Settings(
        listen_port=port,
        public_url=f"http://127.0.0.1:{port}",
        upstream=Upstream(urls=(mlflow,)),
        roles=str(_roles()),
        store=stores.acl,
        admins=Admins(groups=frozenset({ADMIN_GROUP})),
        identity=(provider_settings(f"http://127.0.0.1:{issuer_port}"),),
        audit=Audit(to=str(data / "audit.log")),
    )


def _roles() -> Path:
    """config/roles.yaml of the checkout (an edit there takes effect), or the installed copy."""
    checkout = Path(gateway_package.__file__).parents[1] / "config" / "roles.yaml"
    installed = Path(sys.prefix) / "share" / "mlgate" / "roles.yaml"
    for path in (checkout, installed):
        if path.is_file():
            return path
    raise CannotStart(f"roles.yaml is missing ({installed}); install mlgate again.")


async def _gateway(settings: Settings, listener: socket.socket) -> Gateway:
    try:
        gateway = await open_gateway(settings)
        await gateway.start([listener])
    except (StoreUnavailable, RolesError, OSError) as error:
        raise CannotStart(str(error)) from error
    return gateway


async def _sample_tokens(store: Store, accounts: Accounts, folder: Path) -> dict[str, str]:
    """An API token for each sample person, kept in a file that only this user may read."""
    await asyncio.to_thread(folder.mkdir, mode=0o700, exist_ok=True)
    clock = SystemClock()
    tokens = {}
    for account in accounts.people:
        path = folder / account.name
        secret = path.read_text("utf-8").strip() if path.exists() else ""
        record = await store.get_token(hash_of(secret)) if secret else None
        if record is None or record.expires < clock.now() + 86_400:
            secret = await _new_token(store, account, clock)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secret + "\n")
        tokens[account.name] = secret
    return tokens


async def _new_token(store: Store, account: Account, clock: SystemClock) -> str:
    name = f"user:{account.name}"
    home = next((g for g in account.groups if g != ADMIN_GROUP), None)
    secret, record = issue(
        name,
        label="mlgate up",
        created_by=name,
        clock=clock,
        bounds=Tokens(),
        groups=account.groups,
        home_group=home,
    )
    await store.put_person(
        PersonRecord(name=name, groups=account.groups, home_group=home, seen=clock.now())
    )
    await store.put_token(record)
    return secret


def _welcome(
    url: str, issuer_port: int, accounts: Accounts, tokens: dict[str, str], data: Path
) -> None:
    python = os.path.relpath(sys.executable)
    alice = accounts.people[0]
    print(f"\nmlgate is up: {url}   (data in {data})\n")
    print(
        "Open it in a browser, or use a client, and sign in as one of these (name and password, or"
    )
    print("API token):")
    for account in accounts.people:
        groups = ", ".join(account.groups)
        print(f"  {account.name:6} {groups:13} password {account.password}")
        print(f"         token {tokens[account.name]}")
    print("\nA JWT instead of an API token:")
    print(
        f"  curl -s http://127.0.0.1:{issuer_port}/token -d grant_type=password "
        f"-d client_id=mlgate -d username={alice.name} -d password={alice.password}"
    )
    print("\nLog a first run as alice:")
    print(f"  export MLFLOW_TRACKING_URI={url} MLFLOW_TRACKING_TOKEN={tokens[alice.name]}")
    print(
        f"  {python} -c \"import mlflow; mlflow.set_experiment('first'); "
        "mlflow.log_metric('accuracy', 0.9)\""
    )
    print("\nCtrl-C stops everything; the data stays.", flush=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
