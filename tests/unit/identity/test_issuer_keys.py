"""The issuer's keys: rotation without a failed request, no stampede, outages outlived."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.credentials.chain import Identify
from gateway.errors import Unauthenticated, Unavailable
from gateway.idp.discovery import IssuerClient
from gateway.idp.jwks import MAX_ABSENT, FetchFailed, KeyCache
from gateway.idp.keys import BadKeys, KeySet, parse_jwks
from tests.fakes.fake_issuer import FakeIssuer, jwk_of, rsa_key
from tests.fakes.fake_issuer_clock import FakeClock

ALICE = "user:alice@example.com"


async def name_of(chain: Identify, token: str) -> str:
    return (await chain.principal([f"Bearer {token}"], None)).name


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until the condition holds; real sockets take part, no time passes."""
    for _ in range(500_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")


async def test_rotation_under_load_fails_no_request(chain: Identify, issuer: FakeIssuer) -> None:
    served = 0

    async def client(number: int) -> None:
        nonlocal served
        for turn in range(20):
            token = issuer.token(jti=f"{number}-{turn}")
            assert await name_of(chain, token) == ALICE
            served += 1
            await asyncio.sleep(0)

    async def rotator() -> None:
        for number in (1, 2, 3):
            await until(lambda n=number: served >= 100 * n)
            issuer.rotate(number, keep_old=True)

    await asyncio.gather(rotator(), *(client(n) for n in range(20)))
    assert served == 400
    assert issuer.key_fetches == 4


async def test_a_thousand_invented_kids_cost_one_fetch(chain: Identify, issuer: FakeIssuer) -> None:
    await name_of(chain, issuer.token())
    tokens = [issuer.sign(issuer.claims(), kid=f"made-up-{n}") for n in range(1000)]
    at_once = await asyncio.gather(
        *(name_of(chain, t) for t in tokens[:500]), return_exceptions=True
    )
    assert all(isinstance(result, Unauthenticated) for result in at_once)
    for token in tokens[500:]:
        with pytest.raises(Unauthenticated):
            await name_of(chain, token)
    assert issuer.key_fetches == 2  # the first one ever, and one for all the invented


async def test_an_absent_kid_is_not_asked_for_again_every_interval(
    chain: Identify, issuer: FakeIssuer, clock: FakeClock
) -> None:
    stale = issuer.sign(issuer.claims(exp=int(clock.now()) + 9000), kid="old")
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await name_of(chain, stale)
        clock.advance(11)
    assert issuer.key_fetches == 1
    issuer.rotate(1)
    assert await name_of(chain, issuer.token()) == ALICE


async def test_quick_rotations_are_each_followed(chain: Identify, issuer: FakeIssuer) -> None:
    for number in (1, 2, 3):
        issuer.rotate(number)
        assert await name_of(chain, issuer.token()) == ALICE


async def test_a_key_published_while_the_keys_were_being_fetched_is_found(clock: FakeClock) -> None:
    """It was believed absent for a minute: the answer under way was from before it."""

    def keys_of(number: int) -> KeySet:
        jwk = jwk_of(rsa_key(number), kid=f"k{number}", use="sig", alg="RS256")
        return parse_jwks(json.dumps({"keys": [jwk]}).encode(), ("RS256",))

    published = keys_of(0)
    asked, answer = asyncio.Event(), asyncio.Event()
    fetches = 0

    async def fetch() -> KeySet:
        nonlocal fetches
        fetches += 1
        as_asked = published
        asked.set()
        await answer.wait()
        return as_asked

    cache = KeyCache("x", fetch, clock, sleep=clock.sleep)
    cache.start()
    await asked.wait()
    published = keys_of(1)
    asking = [asyncio.create_task(cache.key("k1", "RS256")) for _ in range(20)]
    invented = asyncio.create_task(cache.key("invented", "RS256"))
    await asyncio.sleep(0)
    answer.set()
    assert {(await one).kid for one in asking} == {"k1"}
    with pytest.raises(Unauthenticated):
        await invented
    assert fetches == 2
    await cache.stop()


async def test_a_withdrawn_key_stops_working_at_the_next_refresh(
    make_chain: Any, issuer: FakeIssuer, clock: FakeClock
) -> None:
    chain = make_chain()
    chain.start()
    old = issuer.token(exp=int(clock.now()) + 9000)
    assert await name_of(chain, old) == ALICE
    issuer.rotate(1)
    await until(lambda: clock.sleeps)
    clock.advance(601)
    await until(lambda: len(clock.sleeps) == 2)
    assert chain.cached(f"Bearer {old}") is None
    with pytest.raises(Unauthenticated):
        await name_of(chain, old)


async def test_keys_are_kept_while_the_issuer_is_down(
    chain: Identify, issuer: FakeIssuer, clock: FakeClock
) -> None:
    await name_of(chain, issuer.token())
    await issuer.stop()
    clock.advance(60)
    assert await name_of(chain, issuer.token(exp=int(clock.now()) + 60)) == ALICE
    unknown = issuer.sign(issuer.claims(exp=int(clock.now()) + 60), kid="x")
    with pytest.raises(Unauthenticated):
        await name_of(chain, unknown)


async def test_discovery_down_at_start_is_retried_with_back_off(
    chain: Identify, issuer: FakeIssuer, clock: FakeClock
) -> None:
    issuer.down = True
    chain.start()
    for expected in ([1.0], [1.0, 2.0], [1.0, 2.0, 4.0]):
        await until(lambda expected=expected: clock.sleeps == expected)
        clock.advance(expected[-1])
    await until(lambda: len(clock.sleeps) == 4)
    assert chain.problems() == {
        "corp": f"{issuer.url}/.well-known/openid-configuration answered 500"
    }
    issuer.down = False
    clock.advance(8)
    await until(lambda: not chain.problems())
    fetches = issuer.key_fetches
    assert await name_of(chain, issuer.token(exp=int(clock.now()) + 60)) == ALICE
    assert issuer.key_fetches == fetches


async def test_a_token_before_the_keys_is_answered_503_then_served(
    chain: Identify, issuer: FakeIssuer, clock: FakeClock
) -> None:
    issuer.down = True
    results = await asyncio.gather(
        *(name_of(chain, issuer.token()) for _ in range(50)), return_exceptions=True
    )
    assert all(isinstance(result, Unavailable) for result in results)
    assert issuer.discoveries == 1
    with pytest.raises(Unavailable):  # within the second: not asked again
        await name_of(chain, issuer.token())
    assert issuer.discoveries == 1
    issuer.down = False
    clock.advance(1)
    assert await name_of(chain, issuer.token()) == ALICE


async def test_a_caller_that_goes_away_does_not_end_the_others_fetch(
    chain: Identify, issuer: FakeIssuer
) -> None:
    issuer.gate = asyncio.Event()
    first = asyncio.create_task(name_of(chain, issuer.token()))
    second = asyncio.create_task(name_of(chain, issuer.token()))
    await until(lambda: issuer.key_fetches == 1)
    first.cancel()
    issuer.gate.set()
    assert await second == ALICE
    assert issuer.key_fetches == 1


async def test_an_answer_without_usable_keys_does_not_replace_good_ones(
    chain: Identify, issuer: FakeIssuer, clock: FakeClock
) -> None:
    token = issuer.token()
    await name_of(chain, token)
    issuer.jwks = []
    with pytest.raises(Unauthenticated):
        await name_of(chain, issuer.sign(issuer.claims(), kid="new"))
    assert await name_of(chain, issuer.token(jti="again")) == ALICE


async def test_what_is_remembered_of_absent_kids_is_bounded(clock: FakeClock) -> None:
    async def fetch() -> KeySet:
        return KeySet(())

    cache = KeyCache("x", fetch, clock, interval_seconds=0)
    for number in range(MAX_ABSENT + 10):
        with pytest.raises(Unauthenticated):
            await cache.key(f"k{number}", "RS256")
    assert len(cache._absent) == MAX_ABSENT


BAD_DISCOVERY = {
    "another issuer": ({"issuer": "https://evil.example.com"}, "of issuer"),
    "issuer with a slash more": (None, "of issuer"),
    "no jwks_uri": ({"jwks_uri": None}, "no jwks_uri"),
    "jwks_uri a file": ({"jwks_uri": "file:///etc/passwd"}, "is not https"),
    "jwks_uri nonsense": ({"jwks_uri": "x"}, "is not https"),
}


@pytest.mark.parametrize("changes,says", BAD_DISCOVERY.values(), ids=BAD_DISCOVERY.keys())
async def test_a_wrong_discovery_document_is_refused(
    changes: dict[str, Any] | None, says: str, issuer: FakeIssuer
) -> None:
    issuer.discovery_changes = {"issuer": issuer.url + "/"} if changes is None else changes
    client = IssuerClient(issuer.settings())
    with pytest.raises(FetchFailed, match=says):
        await client.keys()
    await client.close()
    assert issuer.key_fetches == 0


async def test_redirects_are_not_followed(issuer: FakeIssuer) -> None:
    issuer.redirect = True
    client = IssuerClient(issuer.settings())
    with pytest.raises(FetchFailed, match="answered 302"):
        await client.keys()
    await client.close()


async def test_keys_over_http_only_from_loopback_or_an_http_issuer(issuer: FakeIssuer) -> None:
    client = IssuerClient(
        issuer.settings(issuer="https://login.example.com", jwks_url="http://login.example.com/k")
    )
    with pytest.raises(FetchFailed, match="is not https"):
        await client.keys()
    await client.close()


async def test_jwks_url_skips_discovery(make_chain: Any, issuer: FakeIssuer) -> None:
    chain = make_chain(
        issuer.settings(issuer="https://login.example.com", jwks_url=issuer.url + "/jwks")
    )
    assert await name_of(chain, issuer.token(iss="https://login.example.com")) == ALICE
    assert issuer.discoveries == 0


async def test_a_service_account_token_is_not_sent_over_http(
    issuer: FakeIssuer, tmp_path: Any
) -> None:
    path = tmp_path / "token"
    path.write_text("secret")
    client = IssuerClient(issuer.settings(bearer_token_file=str(path)))
    await client.keys()
    await client.close()
    assert issuer.authorizations == [None]


async def test_an_unreadable_ca_file_is_a_problem_not_a_crash(issuer: FakeIssuer) -> None:
    client = IssuerClient(issuer.settings(ca_file="/nonexistent/ca.pem"))
    with pytest.raises(FetchFailed, match="cannot be read"):
        await client.keys()


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": []}', b'"x"', b'{"keys": [1, null]}', b"\xff",
     b"[" * 100_000],
)  # fmt: skip
def test_documents_that_are_no_key_set_are_refused(document: bytes) -> None:
    with pytest.raises(BadKeys):
        parse_jwks(document, ("RS256",))
