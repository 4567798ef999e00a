"""Authorization headers, API tokens, Basic, the cache, and the contract of authenticators."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import tokens
from gateway.acl.store import Change, PersonRecord, TokenRecord
from gateway.credentials.api_token import ApiToken
from gateway.credentials.basic import Basic
from gateway.credentials.bearer_jwt import BearerJwt
from gateway.credentials.chain import Identify, challenge
from gateway.credentials.credential import Credential, Identified, parse_authorization
from gateway.errors import BadRequest, Forbidden, Unauthenticated, Unavailable
from gateway.idp.oidc import OidcProvider
from gateway.model import Principal
from gateway.settings import Admins, Limits, Tokens
from tests.fakes.fake_issuer import FakeIssuer
from tests.fakes.fake_issuer_clock import FakeClock
from tests.fakes.fake_issuer_store import FakeDirectory

BOUNDS = Tokens(max_days=365, default_days=90)


@pytest.fixture
def mint(directory: FakeDirectory, clock: FakeClock) -> Callable[..., tuple[str, TokenRecord]]:
    def make(principal: str = "user:bob@example.com", **more: Any) -> tuple[str, TokenRecord]:
        secret, record = tokens.issue(
            principal, label="t", created_by=principal, clock=clock, bounds=BOUNDS, **more
        )
        directory.tokens[record.hash] = record
        return secret, record

    return make


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# -- the header ------------------------------------------------------------------------------

BAD_HEADERS = {
    "two headers": ["Bearer a", "Bearer a"],
    "joined by a comma": ["Bearer a, Bearer b"],
    "joined by a comma without space": ["Bearer a,Bearer b"],
    "joined by a space": ["Bearer a Bearer b"],
    "Basic joined to Bearer": ["Basic dTpw Bearer b"],
    "empty": [""],
    "scheme only": ["Bearer"],
    "scheme and space": ["Bearer "],
    "no scheme": ["mlg_abc"],
    "unknown scheme": ["Negotiate abc"],
    "AWS signature": ["AWS4-HMAC-SHA256 Credential=x, SignedHeaders=y, Signature=z"],
    "a space inside": ["Bearer a b"],
    "non-ASCII": ["Bearer ä"],
    "NUL": ["Bearer a\x00"],
    "tab for space": ["Bearer\ta"],
    "Basic not base64": ["Basic !!!"],
    "Basic wrong padding": ["Basic dTp"],
    "Basic without colon": ["Basic " + base64.b64encode(b"user").decode()],
    "Basic Latin-1": ["Basic " + base64.b64encode(b"u\xe9:p").decode()],
    "Basic overlong UTF-8": ["Basic " + base64.b64encode(b"u:\xc0\xaf").decode()],
    "Basic with a line break": ["Basic " + base64.b64encode(b"u:p\n").decode()],
    "Basic without password": ["Basic " + base64.b64encode(b"u:").decode()],
    "huge": ["Bearer " + "a" * 40_000],
}


@pytest.mark.parametrize("headers", BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
async def test_a_bad_header_is_refused(headers: list[str], chain: Identify) -> None:
    with pytest.raises(Unauthenticated):
        await chain.principal(headers, None)


@pytest.mark.parametrize("form", ["{0}|{0}", "{0}|{1}", "{0}, {0}", "{0},{1}", "{0} {1}"])
async def test_two_good_credentials_are_refused(
    form: str, chain: Identify, issuer: FakeIssuer, mint: Any
) -> None:
    jwt_header, api_header = f"Bearer {issuer.token()}", f"Bearer {mint()[0]}"
    for header in (jwt_header, api_header):
        await chain.principal([header], None)
    headers = form.format(jwt_header, api_header).split("|")
    with pytest.raises(Unauthenticated):
        await chain.principal(headers, None)


def test_joined_credentials_are_named() -> None:
    with pytest.raises(Unauthenticated, match="two credentials joined"):
        parse_authorization(["Bearer a Bearer b"])


def test_forms_that_are_understood() -> None:
    assert parse_authorization([]) is None
    assert parse_authorization([" bEARER  abc= "]) == Credential("bearer", "abc=")
    assert parse_authorization([basic("a", "b:c:d")]) == Credential("basic", "b:c:d", "a")
    assert parse_authorization([basic("", "b")]) == Credential("basic", "b", "")
    assert parse_authorization([basic("ä", "b")]) == Credential("basic", "b", "ä")


def test_a_credential_does_not_print_its_secret() -> None:
    assert "hush" not in repr(Credential("basic", "hush", "u"))


_HEADERS = st.one_of(
    st.text(max_size=80),
    st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.tuples(
        st.sampled_from(["Bearer ", "bearer", "Basic ", "BASIC  ", "Basic\t", "", "Bearer eyJ"]),
        st.one_of(
            st.text(max_size=60),
            st.binary(max_size=60).map(lambda raw: base64.b64encode(raw).decode()),
            st.from_regex(r"eyJ[\w-]{0,20}\.eyJ[\w-]{0,20}\.[\w-]{0,20}", fullmatch=True),
            st.from_regex(r"mlg_\w{0,60}", fullmatch=True),
        ),
    ).map("".join),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_HEADERS, max_size=2))
def test_any_header_gives_a_credential_or_a_refusal(headers: list[str]) -> None:
    clock = FakeClock()
    chain = Identify([], FakeDirectory(), Admins(), Limits(), clock)
    for header in headers:
        assert chain.cached(header) is None
    with pytest.raises(Unauthenticated):
        asyncio.run(chain.principal(headers, None))


# -- API tokens ------------------------------------------------------------------------------


async def test_an_api_token_signs_in(chain: Identify, mint: Any) -> None:
    secret, _ = mint(groups=["data-science"], home_group="data-science")
    principal = await chain.principal([f"Bearer {secret}"], None)
    assert principal == Principal(
        "user:bob@example.com", frozenset({"data-science"}), "data-science", False, "api-token"
    )


async def test_the_persons_newest_groups_count(
    chain: Identify, mint: Any, directory: FakeDirectory
) -> None:
    secret, _ = mint(groups=["old", "mlflow-admins"])
    directory.people["user:bob@example.com"] = PersonRecord(
        name="user:bob@example.com", groups=("new",), home_group="new", seen=1.0
    )
    principal = await chain.principal([f"Bearer {secret}"], None)
    assert (principal.groups, principal.home_group, principal.admin) == ({"new"}, "new", False)


async def test_a_service_account_has_a_token(chain: Identify, mint: Any) -> None:
    secret, _ = mint("service:root@example.com")
    principal = await chain.principal([f"Bearer {secret}"], None)
    assert (principal.name, principal.admin) == ("service:root@example.com", False)


async def test_admins_by_name_and_by_group(chain: Identify, mint: Any) -> None:
    by_name, _ = mint("user:root@example.com")
    by_group, _ = mint("service:ops", groups=["mlflow-admins"])
    assert (await chain.principal([f"Bearer {by_name}"], None)).admin
    assert (await chain.principal([f"Bearer {by_group}"], None)).admin


async def test_a_typo_asks_no_store(chain: Identify, directory: FakeDirectory, mint: Any) -> None:
    secret, _ = mint()
    wrong = secret[:20] + ("A" if secret[20] != "A" else "B") + secret[21:]
    for bad in (wrong, secret[:-1], secret + "A", "mlg_", secret.upper(), secret.replace("_", "-")):
        with pytest.raises(Unauthenticated):
            await chain.principal([f"Bearer {bad}"], None)
    assert directory.lookups == 0


async def test_an_unknown_token_is_refused(chain: Identify) -> None:
    with pytest.raises(Unauthenticated, match="not known or was revoked"):
        await chain.principal([f"Bearer {tokens.new_secret()}"], None)


async def test_a_store_that_answers_another_record_lets_nobody_in(
    chain: Identify, mint: Any, directory: FakeDirectory
) -> None:
    secret, record = mint()
    directory.tokens[record.hash] = dataclasses.replace(record, hash=record.hash.upper())
    with pytest.raises(Unauthenticated):
        await chain.principal([f"Bearer {secret}"], None)


@pytest.mark.parametrize("name", ["group:admins", "everyone", "alice", ""])
async def test_a_record_of_no_principal_lets_nobody_in(
    name: str, chain: Identify, mint: Any, directory: FakeDirectory
) -> None:
    secret, record = mint()
    directory.tokens[record.hash] = dataclasses.replace(record, principal=name)
    with pytest.raises(Unauthenticated):
        await chain.principal([f"Bearer {secret}"], None)


async def test_expiry_ends_a_token_also_in_the_cache(
    chain: Identify, mint: Any, clock: FakeClock
) -> None:
    secret, _ = mint(days=10 / 86400)
    header = f"Bearer {secret}"
    await chain.principal([header], None)
    clock.advance(9)
    assert chain.cached(header) is not None
    clock.advance(1)
    assert chain.cached(header) is None
    with pytest.raises(Unauthenticated, match="expired"):
        await chain.principal([header], None)


async def test_revocation_ends_a_token_at_once(
    chain: Identify, mint: Any, directory: FakeDirectory
) -> None:
    secret, record = mint()
    headers = [f"Bearer {secret}", basic("bob", secret), basic("", secret)]
    for header in headers:
        await chain.principal([header], None)
    del directory.tokens[record.hash]
    chain.on_change(Change("token", record.hash))
    for header in headers:
        assert chain.cached(header) is None
        with pytest.raises(Unauthenticated):
            await chain.principal([header], None)


async def test_a_revocation_during_the_lookup_is_not_missed(
    chain: Identify, mint: Any, directory: FakeDirectory
) -> None:
    secret, record = mint()
    directory.on_person.append(lambda: chain.forget_token(record.hash))
    await chain.principal([f"Bearer {secret}"], None)
    assert chain.cached(f"Bearer {secret}") is None


async def test_a_change_of_groups_reaches_cached_tokens(chain: Identify, mint: Any) -> None:
    mine, _ = mint()
    other, _ = mint("user:eve@example.com")
    for secret in (mine, other):
        await chain.principal([f"Bearer {secret}"], None)
    chain.on_change(Change("person", "user:bob@example.com"))
    assert chain.cached(f"Bearer {mine}") is None
    assert chain.cached(f"Bearer {other}") is not None
    chain.on_change(Change("reset", ""))
    assert chain.cached(f"Bearer {other}") is None


async def test_store_down_is_503_not_401(
    chain: Identify, mint: Any, directory: FakeDirectory
) -> None:
    secret, _ = mint()
    directory.down = True
    with pytest.raises(Unavailable):
        await chain.principal([f"Bearer {secret}"], None)


async def test_last_use_is_noted_once_a_minute(
    chain: Identify, mint: Any, directory: FakeDirectory, clock: FakeClock
) -> None:
    secret, record = mint()
    for _ in range(3):
        await chain.principal([f"Bearer {secret}"], None)
    clock.advance(61)
    await chain.principal([f"Bearer {secret}"], None)
    await chain.stop()
    assert [token_hash for token_hash, _ in directory.touched] == [record.hash] * 2


@given(st.integers(0, 2**256 - 1))
@settings(max_examples=50, deadline=None)
def test_secrets_have_one_shape(number: int) -> None:
    body = tokens.PREFIX + tokens._base62(number, 43)
    secret = body + tokens._checksum(body)
    assert len(secret) == 53
    assert tokens.is_well_formed(secret)
    assert not tokens.is_well_formed(secret[:-1] + "é")


def test_the_record_does_not_hold_the_secret(mint: Any) -> None:
    secret, record = mint()
    assert secret not in repr(record)
    assert record.hash == tokens.hash_of(secret)


BAD_ISSUES: dict[str, dict[str, Any]] = {
    "too long a life": {"days": 366},
    "no life": {"days": 0},
    "negative": {"days": -1},
    "not a number": {"days": float("nan")},
    "a group": {"principal": "group:x"},
    "everyone": {"principal": "everyone"},
    "no name": {"principal": "user:"},
    "label of two lines": {"label": "a\nb"},
    "label too long": {"label": "a" * 201},
}


@pytest.mark.parametrize("changes", BAD_ISSUES.values(), ids=BAD_ISSUES.keys())
def test_what_cannot_be_issued(changes: dict[str, Any], clock: FakeClock) -> None:
    values = {"principal": "user:a", "label": "x", "created_by": "user:a", **changes}
    with pytest.raises(BadRequest):
        tokens.issue(values.pop("principal"), clock=clock, bounds=BOUNDS, **values)


# -- Basic -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "user",
    ["", "token", "alice@example.com", "ALICE@example.com", "alice", "user:alice@example.com",
     "id-alice", "al"],
)  # fmt: skip
async def test_basic_with_a_jwt_and_a_user_name_that_agrees(
    user: str, chain: Identify, issuer: FakeIssuer
) -> None:
    token = issuer.token(preferred_username="al")
    principal = await chain.principal([basic(user, token)], None)
    assert (principal.name, principal.method) == ("user:alice@example.com", "jwt:corp")


@pytest.mark.parametrize(
    "user", ["bob", "alice@evil.com", "example.com", "user", "user:", "alic", "admin"]
)
async def test_basic_with_a_user_name_that_disagrees(
    user: str, chain: Identify, issuer: FakeIssuer, mint: Any
) -> None:
    for password in (issuer.token(), mint("user:alice@example.com")[0]):
        header = basic(user, password)
        with pytest.raises(Unauthenticated, match="user name and the token disagree"):
            await chain.principal([header], None)
        assert chain.cached(header) is None


async def test_basic_with_an_api_token(chain: Identify, mint: Any) -> None:
    secret, _ = mint()
    assert (await chain.principal([basic("bob", secret)], None)).name == "user:bob@example.com"


@pytest.mark.parametrize("password", ["hunter2", "a:b:c", "correct horse", "mlgate", "a.b"])
async def test_a_password_gets_an_explanation(password: str, chain: Identify) -> None:
    with pytest.raises(Unauthenticated, match="Passwords are not accepted") as refusal:
        await chain.principal([basic("alice", password)], None)
    assert password not in refusal.value.message + refusal.value.detail


# -- the chain and its cache -----------------------------------------------------------------


class FakeSession:
    """Signs in whoever the cookie names."""

    async def authenticate(self, cookie: str) -> Identified | None:
        if not cookie.startswith("session="):
            return None
        return Identified(Principal(cookie.partition("=")[2]), float("inf"), frozenset())


async def test_cookie_and_header_must_agree(make_chain: Any, issuer: FakeIssuer) -> None:
    chain = make_chain(session=FakeSession())
    header = [f"Bearer {issuer.token()}"]
    bob = await chain.principal([], "session=user:bob", same_origin=True)
    assert bob.name == "user:bob"
    with pytest.raises(Forbidden, match="own pages"):
        await chain.principal([], "session=user:bob")
    same = await chain.principal(header, "session=user:alice@example.com")
    assert same.name == "user:alice@example.com"
    assert (await chain.principal(header, "theme=dark")).name == "user:alice@example.com"
    with pytest.raises(Unauthenticated, match="two different users"):
        await chain.principal(header, "session=user:bob")
    with pytest.raises(Unauthenticated):
        await chain.principal(["Bearer eyJ.bad.x"], "session=user:bob")
    with pytest.raises(Unauthenticated):
        await chain.principal(["Bearer opaque"], "session=user:bob")


async def test_no_credential_is_told_how_to_sign_in(chain: Identify) -> None:
    with pytest.raises(Unauthenticated, match="Sign in first") as refusal:
        await chain.principal([], None)
    assert refusal.value.www_authenticate == 'Bearer realm="mlgate"'


async def test_the_cache_ends_with_the_tokens_expiry(
    chain: Identify, issuer: FakeIssuer, clock: FakeClock
) -> None:
    header = f"Bearer {issuer.token(exp=int(clock.now()) + 100)}"
    await chain.principal([header], None)
    clock.advance(129)
    assert chain.cached(header) is not None
    clock.advance(1)
    assert chain.cached(header) is None


async def test_the_cache_ends_when_the_wall_clock_jumps(
    chain: Identify, issuer: FakeIssuer, clock: FakeClock
) -> None:
    header = f"Bearer {issuer.token()}"
    await chain.principal([header], None)
    clock.wall += 10_000
    assert chain.cached(header) is None


async def test_a_jwt_is_verified_again_after_five_minutes(
    chain: Identify, issuer: FakeIssuer, clock: FakeClock
) -> None:
    header = f"Bearer {issuer.token(exp=int(clock.now()) + 9000)}"
    await chain.principal([header], None)
    clock.wall -= 5000  # even if the wall clock was set back
    clock.advance(299)
    assert chain.cached(header) is not None
    clock.advance(1)
    assert chain.cached(header) is None


async def test_the_cache_is_bounded_and_drops_the_least_used(make_chain: Any, mint: Any) -> None:
    chain = make_chain(limits=Limits(token_cache=3))
    headers = [f"Bearer {mint()[0]}" for _ in range(4)]
    for header in headers[:3]:
        await chain.principal([header], None)
    chain.cached(headers[0])
    await chain.principal([headers[3]], None)
    assert [chain.cached(header) is not None for header in headers] == [True, False, True, True]
    cache = chain._cache
    assert len(cache) == len(cache._by_token) == 3
    chain.forget_all()
    chain.forget_token("unknown")
    assert len(cache) == 0


async def test_the_cache_does_not_hold_the_credential(chain: Identify, issuer: FakeIssuer) -> None:
    token = issuer.token()
    await chain.principal([f"Bearer {token}"], None)
    assert token not in repr(chain._cache._entries)


# -- remembering people ----------------------------------------------------------------------


async def test_a_person_is_remembered_only_when_groups_changed(
    chain: Identify, issuer: FakeIssuer, directory: FakeDirectory, clock: FakeClock
) -> None:
    now = int(clock.now())

    async def sign_in(**changes: Any) -> None:
        await chain.principal([f"Bearer {issuer.token(**changes)}"], None)

    await sign_in(iat=now - 50)
    await sign_in(iat=now - 40)
    assert len(directory.puts) == 1
    await sign_in(iat=now - 30, groups=["research"])
    await sign_in(iat=now - 45)  # an older token, still in use
    await sign_in(iat=now - 20, groups=None)
    assert [person.groups for person in directory.puts] == [("data-science",), ("research",), ()]
    assert directory.puts[-1].seen == now - 20


async def test_a_providers_service_is_remembered_by_its_name_alone(
    chain: Identify, issuer: FakeIssuer, directory: FakeDirectory, clock: FakeClock, mint: Any
) -> None:
    """So that nobody makes a service account of that name and holds what it comes to own."""
    now = int(clock.now())
    for issued in (now - 50, now - 40):
        etl = issuer.token(sub="etl", client_id="etl", iat=issued)
        await chain.principal([f"Bearer {etl}"], None)
    known = PersonRecord(name="service:etl", groups=(), home_group=None, seen=float(now - 50))
    assert directory.puts == [known]
    # A token that it makes for itself keeps the groups that it has.
    secret, _ = mint("service:etl", groups=["data-science"])
    assert (await chain.principal([f"Bearer {secret}"], None)).groups == {"data-science"}


async def test_a_service_account_of_a_team_stays_the_teams(
    chain: Identify, issuer: FakeIssuer, directory: FakeDirectory
) -> None:
    team = PersonRecord(name="service:etl", groups=("ops",), home_group="ops", seen=1.0)
    directory.people[team.name] = team
    await chain.principal([f"Bearer {issuer.token(sub='etl', client_id='etl')}"], None)
    assert directory.puts == []


@pytest.mark.parametrize(
    "changes",
    [{"sub": "a:b", "client_id": "a:b"}, {"groups": None, "hasgroups": True}],
    ids=["no service account can be called so", "groups unknown"],
)
async def test_who_is_not_remembered(
    changes: dict[str, Any], chain: Identify, issuer: FakeIssuer, directory: FakeDirectory
) -> None:
    await chain.principal([f"Bearer {issuer.token(**changes)}"], None)
    assert directory.puts == []


async def test_a_store_that_is_down_does_not_stop_a_jwt(
    chain: Identify, issuer: FakeIssuer, directory: FakeDirectory
) -> None:
    directory.down = True
    await chain.principal([f"Bearer {issuer.token()}"], None)


# -- None = not mine; exception = mine but bad -----------------------------------------------

AUTHENTICATORS = ("api_token", "bearer_jwt", "basic")


@pytest.fixture
def authenticators(
    issuer: FakeIssuer, directory: FakeDirectory, clock: FakeClock
) -> dict[str, Any]:
    provider = OidcProvider(issuer.settings(), Admins(), clock)
    api_token = ApiToken(directory, directory, Admins(), clock)
    bearer_jwt = BearerJwt([provider], directory, directory, clock)
    return {
        "api_token": api_token,
        "bearer_jwt": bearer_jwt,
        "basic": Basic([api_token, bearer_jwt]),
        "provider": provider,
    }


@pytest.mark.parametrize("name", AUTHENTICATORS)
async def test_contract_of_authenticators(
    name: str, authenticators: dict[str, Any], issuer: FakeIssuer, mint: Any
) -> None:
    secret, _ = mint()
    own = {
        "api_token": (Credential("bearer", secret), Credential("bearer", tokens.new_secret())),
        "bearer_jwt": (
            Credential("bearer", issuer.token()),
            Credential("bearer", issuer.token(exp=1)),
        ),
        "basic": (Credential("basic", secret, "bob"), Credential("basic", secret, "eve")),
    }
    authenticator = authenticators[name]
    good, bad = own.pop(name)
    identified = await authenticator.authenticate(good)
    assert identified.principal.name.startswith("user:")
    assert identified.expires > 0
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(bad)
    for others in own.values():
        for other in others:
            assert await authenticator.authenticate(other) is None
    if name != "basic":
        assert await authenticator.authenticate(Credential("bearer", "opaque")) is None
    await authenticators["provider"].stop()


# -- the challenge ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers,basic_offered",
    [
        ({"User-Agent": "mlflow-python-client/3.17.2"}, True),
        ({"user-agent": "curl/8"}, True),
        ({"User-Agent": "curl/8", "Accept": "text/html"}, False),
        ({"User-Agent": "Mozilla/5.0"}, False),
        ({"User-Agent": "x", "Sec-Fetch-Mode": "cors"}, False),
        ({}, False),
    ],
)
def test_only_what_is_no_browser_is_offered_basic(
    headers: dict[str, str], basic_offered: bool
) -> None:
    value = challenge(headers)
    assert value.startswith('Bearer realm="mlgate"')
    assert ("Basic" in value) is basic_offered
