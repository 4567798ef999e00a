"""``mlgate serve``: the gateway in front of MLflow servers that exist, in one or more workers."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from gateway.acl.store import StoreUnavailable
from gateway.app import Gateway, listen, open_gateway
from gateway.roles import RolesError
from gateway.settings import Settings
from gateway.settings_load import SettingsError, load_settings

log = logging.getLogger("mlgate")
_ENDING = (signal.SIGTERM, signal.SIGINT)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; the exit status."""
    try:
        settings = load_settings(args.config, os.environ)
    except SettingsError as error:
        for problem in error.problems:
            print(f"mlgate: {problem}", file=sys.stderr)
        return 1
    try:
        listeners = listen(settings.listen_host, settings.listen_port)
    except OSError as error:
        print(_cannot_listen(settings, error), file=sys.stderr)
        return 1
    if settings.workers == 1:
        return run_worker(settings, listeners)
    return _run_workers(settings, listeners)


def _cannot_listen(settings: Settings, error: OSError) -> str:
    address = f"{settings.listen_host}:{settings.listen_port}"
    return (
        f"mlgate: cannot listen on {address}: {os.strerror(error.errno or 0)}. "
        "Choose another 'listen' address or stop what uses it."
    )


def run_worker(
    settings: Settings, listeners: list[socket.socket], metrics: Path | None = None
) -> int:
    """One worker process on bound sockets; ``metrics`` is the folder it shares with others."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    try:
        return asyncio.run(_serve(settings, listeners, metrics))
    except (StoreUnavailable, RolesError, OSError, ValueError) as error:
        print(f"mlgate: {error}", file=sys.stderr)
        return 1


async def _serve(settings: Settings, listeners: list[socket.socket], metrics: Path | None) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in _ENDING:
        loop.add_signal_handler(name, stopping.set)
    gateway = await open_gateway(settings, metrics_folder=metrics)
    try:
        await gateway.start(listeners)
        _calm_collector()
        _say_where(gateway)
        await stopping.wait()
        log.info("going down; requests in flight may finish")
    finally:
        await gateway.stop()
    return 0


def _calm_collector() -> None:
    """What was made at start stays for good, and requests leave no cycles to speak of: let the
    cycle collector look at neither over and over (a tenth of the CPU under load)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _say_where(gateway: Gateway) -> None:
    settings = gateway.settings
    log.info(
        "mlgate serves %s on %s:%d in front of %s",
        settings.public_url,
        settings.listen_host,
        settings.listen_port,
        ", ".join(settings.upstream.urls),
    )


def _run_workers(settings: Settings, listeners: list[socket.socket]) -> int:
    """A parent that keeps ``workers`` children alive; they share the listening socket."""
    with tempfile.TemporaryDirectory(prefix="mlgate-metrics-") as metrics:
        return _Parent(settings, listeners, Path(metrics)).run()


class _Parent:
    """Forks workers, replaces those that die, ends them all on SIGTERM or SIGINT."""

    def __init__(self, settings: Settings, listeners: list[socket.socket], metrics: Path) -> None:
        self._metrics = metrics
        self._settings = settings
        self._listeners = listeners
        self._children: set[int] = set()
        self._stopping = False

    def run(self) -> int:
        """The exit status: 1 when workers cannot start."""
        for name in _ENDING:
            signal.signal(name, self._stop)
        for _ in range(self._settings.workers):
            self._fork()
        status = 0
        while self._children:
            try:
                child, code = os.wait()
            except InterruptedError:
                continue
            self._children.discard(child)
            if self._stopping:
                continue
            if os.waitstatus_to_exitcode(code) == 1:
                # It said why on stderr; starting it again would say so for ever.
                status = 1
                self._stop(signal.SIGTERM, None)
            else:
                print(f"mlgate: worker {child} died; another one starts", file=sys.stderr)
                self._fork()
        return status

    def _fork(self) -> None:
        # A signal between the fork and what follows it would be lost on the child, which would
        # then outlive us: hold signals back until both sides know what to do with them.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            child = os.fork()
            if child == 0:
                self._be_worker()
            self._children.add(child)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        if self._stopping:
            self._stop(signal.SIGTERM, None)

    def _be_worker(self) -> NoReturn:
        code = 1
        try:
            for name in _ENDING:
                signal.signal(name, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
            code = run_worker(self._settings, self._listeners, self._metrics)
        finally:
            os._exit(code)

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = True
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
