"""Two worker processes behind one port are one gateway."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.world import (
    OWN,
    children_of,
    get_experiment,
    in_force,
    metric,
    new_experiment,
    ok,
    refused,
    share,
    unshare,
    until,
)
from tests.stack import Stack, http

pytestmark = pytest.mark.e2e


@contextmanager
def _asleep(worker: int) -> Iterator[None]:
    """While one worker is stopped, the other one takes every new connection."""
    os.kill(worker, signal.SIGSTOP)
    try:
        until(lambda: "T (stopped)" in _status(worker))
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def _status(worker: int) -> str:
    with open(f"/proc/{worker}/status") as file:
        return file.read()


def test_two_workers_agree_and_count_together(
    stack: Stack, gateway_of: Callable[..., Stack]
) -> None:
    here = gateway_of([stack.mlflow.url], more="workers: 2\n")
    parent = here.gateway.process.pid
    first, second = until(lambda: w if len(w := children_of(parent)) == 2 else None)
    experiment = new_experiment(here, "alice")
    for worker in (first, second):
        with _asleep(worker):
            refused(get_experiment(here, "carol", experiment))

    with _asleep(first):
        ok(share(here, "alice", "experiment", experiment, "user:carol", "reader"))
        assert get_experiment(here, "carol", experiment).status == 200
        token = ok(here.call("alice", "POST", f"{OWN}/tokens", {"label": "x"}))
    with _asleep(second):
        in_force(lambda: get_experiment(here, "carol", experiment).status == 200)
        ok(http("GET", f"{here.url}{OWN}/whoami", token=token["token"]))
        ok(unshare(here, "alice", "experiment", experiment, "user:carol"))
        ok(here.call("alice", "DELETE", f"{OWN}/tokens/{token['id']}"))
    with _asleep(first):
        in_force(lambda: get_experiment(here, "carol", experiment).status == 403)
        revoked = http("GET", f"{here.url}{OWN}/whoami", token=token["token"])
        refused(revoked, 401, "UNAUTHENTICATED")

    def total() -> float:
        """Asked of both: each leaves its numbers for the other."""
        counts = []
        for worker in (first, second):
            with _asleep(worker):
                counts.append(metric(here.url, 'mlgate_decisions_total{reason="role_allows"}'))
        return counts[-1]

    before = total()
    for worker in (first, second):
        with _asleep(worker):
            for _ in range(5):
                ok(get_experiment(here, "alice", experiment))
    # A call is counted once its answer was sent.
    until(lambda: total() - before == 10)

    # A worker that dies is replaced; the others serve on.
    os.kill(first, signal.SIGKILL)
    ok(get_experiment(here, "alice", experiment))
    until(lambda: len(set(children_of(parent)) - {first}) == 2)
    assert here.gateway.stop() == 0


def test_workers_that_cannot_start_end_the_command(
    stack: Stack, gateway_of: Callable[..., Stack]
) -> None:
    with pytest.raises(AssertionError) as caught:
        gateway_of([stack.mlflow.url], more="workers: 2\nstore: sqlite:////nowhere/at/all.db\n")
    said = str(caught.value)
    assert "mlgate:" in said
    assert "Traceback" not in said
