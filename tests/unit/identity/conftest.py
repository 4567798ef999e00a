"""A trusted issuer, a directory, a clock that stands still, and the chain over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gateway.credentials.chain import Identify
from gateway.idp.oidc import OidcProvider
from gateway.settings import Admins, IdentityProvider, Limits
from tests.fakes.fake_issuer import FakeIssuer
from tests.fakes.fake_issuer_clock import FakeClock
from tests.fakes.fake_issuer_store import FakeDirectory

ADMINS = Admins(users=frozenset({"root@example.com"}), groups=frozenset({"mlflow-admins"}))

MakeChain = Callable[..., Identify]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def issuer() -> AsyncIterator[FakeIssuer]:
    fake = FakeIssuer()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
def directory() -> FakeDirectory:
    return FakeDirectory()


@pytest.fixture
async def make_chain(
    issuer: FakeIssuer, directory: FakeDirectory, clock: FakeClock
) -> AsyncIterator[MakeChain]:
    chains: list[Identify] = []

    def make(*providers: IdentityProvider, limits: Limits | None = None, **more: Any) -> Identify:
        trusted = [
            OidcProvider(p, ADMINS, clock, sleep=clock.sleep)
            for p in providers or (issuer.settings(),)
        ]
        chain = Identify(
            trusted, directory, ADMINS, limits or Limits(), clock, recorder=directory, **more
        )
        chains.append(chain)
        return chain

    yield make
    for chain in chains:
        await chain.stop()


@pytest.fixture
def chain(make_chain: MakeChain) -> Identify:
    return make_chain()
