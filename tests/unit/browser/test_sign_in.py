"""Signing in with a browser: the way there and back, and everything that must not work."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, urlsplit

import jwt
import pytest

from gateway.settings import Secret
from tests.fakes.fake_issuer import FakeIssuer, rsa_key, segment
from tests.fakes.fake_sign_in import CLIENT, FakeSignIn
from tests.unit.browser.conftest import HTML, SAME, Browser, World, query_of


async def test_a_page_asked_for_without_a_session_leads_to_sign_in(world: World) -> None:
    browser = world.browser()
    seen = await browser.get("/")
    assert (seen.status, seen.location) == (303, "/access/login?next=%2F")
    page = await browser.get(seen.location)
    assert page.status == 200
    assert "/access/login/start?provider=corp&amp;next=%2F" in page.text
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert "<script>" not in page.text


async def test_the_way_to_the_provider_says_what_it_must(world: World) -> None:
    browser = world.browser()
    query = query_of(await browser.begin())
    assert query["response_type"] == "code"
    assert query["client_id"] == CLIENT
    assert query["redirect_uri"] == world.urls[0] + "/access/callback"
    assert query["scope"].split()[0] == "openid"
    assert query["code_challenge_method"] == "S256"
    assert len(query["code_challenge"]) == 43
    assert len(query["state"]) > 40
    assert len(query["nonce"]) > 40
    assert query["state"] not in "".join(browser.cookies.values())


async def test_parameters_of_the_settings_go_along_to_the_provider(empty: World) -> None:
    asked = ("access_type=offline", "login_hint=a=b&c")
    await empty.gateway(identity=(empty.identity(authorization_parameters=asked),))
    query = query_of(await empty.browser().begin())
    assert (query["access_type"], query["login_hint"]) == ("offline", "a=b&c")
    assert query["response_type"] == "code"


async def test_signing_in_leads_back_to_the_page_with_a_session(world: World) -> None:
    browser = world.browser()
    target = "/?o=1#/experiments/5/runs?x=%20y"
    seen = await browser.come_back(world.provider.authorize(await browser.begin(target)))
    assert (seen.status, seen.location) == (303, target)
    assert world.provider.forms[-1]["grant_type"] == "authorization_code"
    who = json.loads((await browser.ask("GET", "/access/api/v1/whoami")).body)
    assert who == {
        "principal": "user:alice@example.com",
        "groups": ["data-science"],
        "admin": False,
        "method": "session:corp",
    }
    assert (await browser.get("/")).status == 200
    again = await browser.get("/access/login?next=%2Fx")
    assert (again.status, again.location) == (303, "/x")


async def test_api_paths_never_redirect(world: World) -> None:
    browser = world.browser()
    for path in ("/api/2.0/mlflow/experiments/search?max_results=1",
                 "/ajax-api/2.0/mlflow/experiments/get?experiment_id=1",
                 "/access/api/v1/whoami"):  # fmt: skip
        for headers in (HTML, {"Accept": "*/*"}):
            assert (await browser.get(path, headers)).status == 401, path
    script = await browser.get("/", {"Accept": "application/json"})
    assert script.status == 401


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_cookies_are_locked_up(empty: World, scheme: str) -> None:
    if scheme == "https":
        await empty.gateway(public_url="https://mlflow.example.com")
        empty.urls[0] = empty.urls[0]
    else:
        await empty.gateway()
    browser = empty.browser()
    before = await browser.get("/access/login/start?provider=corp&next=%2F")
    seen = await browser.come_back(empty.provider.authorize(before.location))
    assert seen.status == 303, seen.text
    for line in (*before.set_cookies, *seen.set_cookies):
        attributes = {one.strip() for one in line.split(";")[1:]}
        assert {"Path=/", "HttpOnly", "SameSite=Lax"} <= attributes
        assert ("Secure" in attributes) is (scheme == "https")
        assert line.startswith("__Host-mlgate") is (scheme == "https")
        assert "Domain" not in line
    (name,) = browser.cookies
    raw = base64.urlsafe_b64decode(browser.cookies[name] + "==")
    assert b"alice" not in raw
    assert name.startswith("__Host-mlgate" if scheme == "https" else "mlgate-")


async def test_several_tabs_sign_in_at_once(world: World) -> None:
    browser = world.browser()
    ways = [await browser.begin(f"/#/experiments/{number}") for number in range(3)]
    for number in (1, 2, 0):
        seen = await browser.come_back(world.provider.authorize(ways[number]))
        assert seen.location == f"/#/experiments/{number}"
    assert len(browser.cookies) == 1


async def test_open_attempts_are_bounded(world: World) -> None:
    browser = world.browser()
    for _ in range(20):
        last = await browser.begin()
    assert len(browser.cookies) <= 9
    assert (await browser.come_back(world.provider.authorize(last))).status == 303


async def test_one_gateway_finishes_what_another_began(world: World) -> None:
    other = await world.gateway()
    browser = world.browser()
    answer = world.provider.authorize(await browser.begin("/#/models"))
    seen = await browser.come_back(answer, at=other)
    assert seen.location == "/#/models"
    assert await browser.whoami() == 200
    assert await browser.whoami(at=other) == 200


async def test_with_several_providers_one_chooses(empty: World) -> None:
    second = empty.issuer.settings(name="partner", issuer=empty.issuer.url + "/", client_id=("x",))
    await empty.gateway(identity=(empty.identity(), second))
    page = await empty.browser().get("/access/login")
    assert "provider=corp" in page.text
    assert "provider=partner" in page.text
    assert "at once" not in page.text


async def test_a_name_that_is_not_the_public_one_is_left_first(world: World) -> None:
    browser = world.browser()
    port = urlsplit(world.urls[0]).port
    seen = await browser.get("/access/login?next=%2Fx", {**HTML, "Host": f"localhost:{port}"})
    assert seen.location == f"{world.urls[0]}/access/login?next=%2Fx&here=1"
    loop = await browser.get("/access/login?here=1", {**HTML, "Host": "internal"})
    assert loop.status == 200


# --- where to go back to --------------------------------------------------------------------------

ELSEWHERE = [
    "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil",
    "https:evil.example", "javascript:alert(1)", "evil", "", " /", "/\r\nSet-Cookie: a=b",
    "/%0d\\x", "http:/evil", "/\u2028x", "///evil", "/ x", "/\x00",
]  # fmt: skip


@pytest.mark.parametrize("target", ELSEWHERE)
async def test_nobody_is_sent_elsewhere_after_signing_in(world: World, target: str) -> None:
    for path in ("/access/login?next=", "/access/login/start?provider=corp&next="):
        seen = await world.browser().get(path + quote(target, safe=""))
        assert seen.status == 400, path
        assert "Location" not in seen.headers


@pytest.mark.parametrize("target", ["/access/logout", "/access/callback?code=x", "/" + "x" * 5000])
async def test_some_pages_are_nothing_to_return_to(world: World, target: str) -> None:
    browser = world.browser()
    seen = await browser.come_back(world.provider.authorize(await browser.begin(target)))
    assert seen.location == "/"


# --- what must not work ---------------------------------------------------------------------------

Mutation = Callable[[World, Browser, dict[str, str]], Awaitable[None] | None]


async def another_attempts_state(w: World, b: Browser, answer: dict[str, str]) -> None:
    answer["state"] = query_of(await b.begin())["state"]


def another_browsers_state(w: World, b: Browser, answer: dict[str, str]) -> None:
    b.cookies.clear()


def forged_cookie(w: World, b: Browser, answer: dict[str, str]) -> None:
    for name, value in b.cookies.items():
        b.cookies[name] = value[:-4] + ("AAAA" if value[-4:] != "AAAA" else "BBBB")


def too_slow(w: World, b: Browser, answer: dict[str, str]) -> None:
    w.clock.advance(601)


def another_nonce(w: World, b: Browser, answer: dict[str, str]) -> None:
    w.provider.id_token = lambda claims: w.issuer.sign({**claims, "nonce": "another"})


def no_nonce(w: World, b: Browser, answer: dict[str, str]) -> None:
    w.provider.id_token = lambda claims: w.issuer.sign(
        {k: v for k, v in claims.items() if k != "nonce"}
    )


def with_claims(**changes: Any) -> Mutation:
    def mutate(w: World, b: Browser, answer: dict[str, str]) -> None:
        w.provider.id_token = lambda claims: w.issuer.sign(
            {k: v for k, v in {**claims, **changes}.items() if v is not None}
        )

    return mutate


def alg_none(w: World, b: Browser, answer: dict[str, str]) -> None:
    w.provider.id_token = lambda claims: f"{segment({'alg': 'none'})}.{segment(claims)}."


def hs256_with_the_public_key(w: World, b: Browser, answer: dict[str, str]) -> None:
    pem = w.issuer.jwks[0]["n"].encode()
    w.provider.id_token = lambda claims: jwt.encode(claims, pem, "HS256", {"kid": "k0"})


def anothers_key(w: World, b: Browser, answer: dict[str, str]) -> None:
    w.provider.id_token = lambda claims: w.issuer.sign(claims, key=rsa_key(1))


def expired(w: World, b: Browser, answer: dict[str, str]) -> None:
    with_claims(exp=int(w.clock.now()) - 31)(w, b, answer)


def from_the_future(w: World, b: Browser, answer: dict[str, str]) -> None:
    with_claims(iat=int(w.clock.now()) + 60)(w, b, answer)


def access_token_instead(w: World, b: Browser, answer: dict[str, str]) -> None:
    w.provider.id_token = lambda claims: w.issuer.sign(claims, typ="at+jwt")


def no_id_token(w: World, b: Browser, answer: dict[str, str]) -> None:
    w.provider.answer["id_token"] = None


def wrong_iss_parameter(w: World, b: Browser, answer: dict[str, str]) -> None:
    answer["iss"] = "https://evil.example"


def missing_iss_parameter(w: World, b: Browser, answer: dict[str, str]) -> None:
    del answer["iss"]


async def replayed_code(w: World, b: Browser, answer: dict[str, str]) -> None:
    cookies = dict(b.cookies)
    assert (await b.come_back(answer)).status == 303
    b.cookies.clear()
    b.cookies.update(cookies)  # as if the browser had kept the attempt's cookie


async def anothers_code(w: World, b: Browser, answer: dict[str, str]) -> None:
    thief = w.browser()
    answer["code"] = w.provider.authorize(await thief.begin())["code"]


def provider_says_no(w: World, b: Browser, answer: dict[str, str]) -> None:
    del answer["code"]
    answer["error"] = "access_denied"


def without_a_code(w: World, b: Browser, answer: dict[str, str]) -> None:
    del answer["code"]


def userinfo_of_another(w: World, b: Browser, answer: dict[str, str]) -> None:
    w.provider.claims_at, w.provider.userinfo_sub = "userinfo", "id-mallory"


def no_name(w: World, b: Browser, answer: dict[str, str]) -> None:
    with_claims(sub="", email=None)(w, b, answer)


MUTATIONS: dict[str, tuple[Mutation, int]] = {
    "the state of another attempt": (another_attempts_state, 401),
    "the state of another browser": (another_browsers_state, 400),
    "a forged attempt": (forged_cookie, 400),
    "after eleven minutes": (too_slow, 400),
    "another nonce": (another_nonce, 401),
    "no nonce": (no_nonce, 401),
    "another issuer": (with_claims(iss="https://evil.example"), 401),
    "another audience": (with_claims(aud="another-app"), 401),
    "two audiences without azp": (with_claims(aud=[CLIENT, "other"]), 401),
    "issued to another application": (with_claims(aud=[CLIENT, "other"], azp="other"), 401),
    "no audience": (with_claims(aud=None), 401),
    "alg none": (alg_none, 401),
    "HS256 with the public key": (hs256_with_the_public_key, 401),
    "another key": (anothers_key, 401),
    "expired": (expired, 401),
    "no expiry": (with_claims(exp=None), 401),
    "from the future": (from_the_future, 401),
    "an access token": (access_token_instead, 401),
    "Cognito's access token": (with_claims(token_use="access"), 401),
    "a logout token": (with_claims(events={}), 401),
    "no ID token": (no_id_token, 401),
    "RFC 9207: another iss": (wrong_iss_parameter, 401),
    "RFC 9207: no iss where it was promised": (missing_iss_parameter, 401),
    "a code used twice": (replayed_code, 401),
    "a code of somebody else (PKCE)": (anothers_code, 401),
    "the provider says no": (provider_says_no, 403),
    "no code": (without_a_code, 400),
    "userinfo about somebody else": (userinfo_of_another, 401),
    "nobody's name": (no_name, 401),
}


@pytest.mark.parametrize("mutate, status", MUTATIONS.values(), ids=MUTATIONS)
async def test_a_sign_in_with_anything_wrong_is_refused(
    world: World, mutate: Mutation, status: int
) -> None:
    browser = world.browser()
    answer = world.provider.authorize(await browser.begin())
    changed = mutate(world, browser, answer)
    if changed is not None:
        await changed
    fresh = world.browser()
    fresh.cookies = {k: v for k, v in browser.cookies.items() if "sign-in" in k}
    if mutate is another_attempts_state:
        # Both attempts are this browser's: what fails is the nonce and the code's verifier.
        fresh.cookies = dict(browser.cookies)
    seen = await fresh.come_back(answer)
    assert seen.status == status, seen.text
    assert not [one for one in seen.set_cookies if "Max-Age=0" not in one]
    assert await fresh.whoami() == 401
    assert "text/html" in seen.headers["Content-Type"]
    assert world.provider.issuer.url not in seen.text


async def test_a_code_of_another_provider_is_refused(empty: World) -> None:
    other = FakeIssuer()
    fake = FakeSignIn(other, empty.clock.now)
    await other.start()
    fake.publish()
    partner = other.settings(name="partner", client_id=(CLIENT,))
    await empty.gateway(identity=(empty.identity(), partner))
    browser = empty.browser()
    # Begun at corp, answered by partner: its code, its iss, then corp's iss with its code.
    state = query_of(await browser.begin())["state"]
    answer = fake.authorize(await browser.begin(provider="partner"))
    for iss in (other.url, empty.issuer.url):
        seen = await browser.come_back({**answer, "state": state, "iss": iss})
        assert seen.status == 401
    assert await browser.whoami() == 401
    await other.stop()


async def test_the_right_sign_in_works_after_all_that(world: World) -> None:
    assert await (await world.signed_in()).whoami() == 200


async def test_a_client_secret_is_sent_as_the_provider_likes_it(empty: World) -> None:
    await empty.gateway(identity=(empty.identity(client_secret=Secret("s e/c")),))
    await empty.signed_in()
    basic = base64.b64decode((empty.provider.authorizations[-1] or "").removeprefix("Basic "))
    assert basic == f"{CLIENT}:s%20e%2Fc".encode()
    assert "client_secret" not in empty.provider.forms[-1]
    empty.issuer.discovery_changes["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    empty.clock.advance(601)
    await empty.signed_in()
    assert empty.provider.authorizations[-1] is None
    assert empty.provider.forms[-1]["client_secret"] == "s e/c"


async def test_groups_may_come_from_userinfo(world: World) -> None:
    world.provider.claims_at = "userinfo"
    browser = await world.signed_in()
    who = json.loads((await browser.ask("GET", "/access/api/v1/whoami")).body)
    assert (who["principal"], who["groups"]) == ("user:alice@example.com", ["data-science"])


async def test_a_provider_that_is_down_is_a_503_with_a_page(world: World) -> None:
    browser = world.browser()
    answer = world.provider.authorize(await browser.begin())
    world.provider.down = True
    seen = await browser.come_back(answer)
    assert seen.status == 503
    assert "try again" in seen.text


async def test_without_a_client_id_there_is_no_browser_sign_in(empty: World) -> None:
    await empty.gateway(identity=(empty.issuer.settings(),))
    seen = await empty.browser().get("/")
    assert seen.status == 401
    assert "MLFLOW_TRACKING_TOKEN" in seen.text
    assert (await empty.browser().get("/access/login")).status == 403


async def test_sign_ins_are_in_the_audit_log(world: World) -> None:
    browser = await world.signed_in()
    await browser.ask("POST", "/access/logout", SAME)
    lines = [json.loads(one) for one in (world.folder / "audit.log").read_text().splitlines()]
    told = [(one["call"], one["principal"], one["result"]) for one in lines]
    assert ("login/finish", "user:alice@example.com", "allow") in told
    (leave,) = [one for one in lines if one["call"] == "logout"]
    assert leave["session_of"] == "user:alice@example.com"
    text = (world.folder / "audit.log").read_text()
    for secret in (*browser.cookies.values(), *world.provider.forms[-1].values()):
        assert secret not in text
