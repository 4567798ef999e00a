"""The chain over the real AclCache: what changes there is in force here, and nothing is asked
of the store in steady state."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import tokens
from gateway.acl.cache import AclCache
from gateway.acl.sqlite import SqliteStore
from gateway.credentials.chain import Identify
from gateway.errors import Unauthenticated
from gateway.idp.oidc import OidcProvider
from gateway.settings import Admins, Limits, Tokens
from tests.fakes.fake_issuer import FakeIssuer
from tests.fakes.fake_issuer_clock import FakeClock


async def test_revocation_and_newest_groups(
    issuer: FakeIssuer, clock: FakeClock, tmp_path: Any
) -> None:
    store = SqliteStore(tmp_path / "acl.db", clock)
    acls = AclCache(store, clock, Limits())
    provider = OidcProvider(issuer.settings(), Admins(), clock)
    chain = Identify([provider], acls, Admins(), Limits(), clock, recorder=acls)
    acls.on_change(chain.on_change)
    try:
        secret, record = tokens.issue(
            "user:alice@example.com",
            label="x",
            created_by="user:alice@example.com",
            clock=clock,
            bounds=Tokens(),
            groups=["old"],
        )
        await acls.put_token(record)
        header = f"Bearer {secret}"
        assert (await chain.principal([header], None)).groups == {"old"}
        await chain.principal([f"Bearer {issuer.token(groups=['new'])}"], None)
        assert chain.cached(header) is None
        assert (await chain.principal([header], None)).groups == {"new"}
        reads = acls.reads.records
        for _ in range(10):
            assert chain.cached(header) is not None
            await chain.principal([header], None)
        assert acls.reads.records == reads
        await acls.delete_token(record.id)
        assert chain.cached(header) is None
        with pytest.raises(Unauthenticated, match="revoked"):
            await chain.principal([header], None)
    finally:
        await chain.stop()
        await store.close()
