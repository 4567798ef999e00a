"""Fixtures of the end-to-end tests; MLflow starts once, more gateways only where needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.relay import Relay
from tests.stack import Process, Stack, make_tokens, start_gateway


@pytest.fixture(scope="session")
def second(stack: Stack) -> Iterator[Stack]:
    """A second gateway on the same store, in front of the same MLflow."""
    gateway = start_gateway(stack.folder, [stack.mlflow.url])
    try:
        gateway.wait_for("/access/readyz")
        yield replace(stack, gateway=gateway)
    finally:
        gateway.stop()


@pytest.fixture
def relay(stack: Stack) -> Iterator[Relay]:
    """A TCP relay in front of the shared MLflow that can hold answers back."""
    with Relay(stack.mlflow.url) as made:
        yield made


Start = Callable[..., Stack]


@pytest.fixture
def gateway_of(stack: Stack, tmp_path: Path) -> Iterator[Start]:
    """Starts gateways with a store of their own: ``gateway_of([url], more="…", **environment)``.

    Called again, it starts another one on the same store.
    """
    started: list[Process] = []
    tokens: dict[str, str] = {}

    def start(
        upstreams: list[str], *, more: str = "", ready: str = "/access/readyz", **env: str
    ) -> Stack:
        if not tokens:
            tokens.update(make_tokens(f"sqlite:///{tmp_path / 'acl.db'}"))
        gateway = start_gateway(tmp_path, upstreams, more=more, **env)
        started.append(gateway)
        gateway.wait_for(ready)
        return Stack(tmp_path, stack.mlflow, gateway, tokens)

    yield start
    for process in started:
        process.stop()
