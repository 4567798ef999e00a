"""Sessions: how long they last, how they are refreshed and ended, what they do not allow."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.acl.store import SessionRecord
from gateway.settings import Session, Tokens
from gateway.tokens import issue
from tests.unit.browser.conftest import HTML, SAME, Browser, World

SEARCH = "/ajax-api/2.0/mlflow/experiments/search"
ALICE = "user:alice@example.com"


async def groups_of(browser: Browser, **more: Any) -> list[str]:
    seen = await browser.ask("GET", "/access/api/v1/whoami", **more)
    assert seen.status == 200, seen.text
    groups: list[str] = json.loads(seen.body)["groups"]
    return groups


async def stored(world: World) -> list[SessionRecord]:
    return list(await world.gateways[0].store.sessions_of(ALICE))


# --- ends by itself -------------------------------------------------------------------------------


async def test_a_session_ends_when_it_is_not_used(empty: World) -> None:
    await empty.gateway(session=Session(idle_seconds=3600, refresh_seconds=86400))
    browser = await empty.signed_in()
    for _ in range(4):
        await empty.later(3000)
        assert await browser.whoami() == 200
    await empty.gateways[0].sessions.close()
    await empty.later(3601)
    assert await browser.whoami() == 401
    assert (await browser.get("/")).location == "/access/login?next=%2F"
    assert await stored(empty) == []


async def test_use_on_another_gateway_keeps_it_alive(empty: World) -> None:
    bounds = Session(idle_seconds=3600, refresh_seconds=86400)
    await empty.gateway(session=bounds)
    other = await empty.gateway(session=bounds)
    browser = await empty.signed_in()
    for _ in range(4):
        await empty.later(3000)
        assert await browser.whoami(at=other) == 200
    await empty.gateways[1].sessions.close()
    assert await browser.whoami() == 200


async def test_looking_is_not_using(empty: World) -> None:
    await empty.gateway(session=Session(idle_seconds=3600, refresh_seconds=86400))
    browser = await empty.signed_in()
    for minutes in (30, 29):
        await empty.later(minutes * 60)
        seen = json.loads((await browser.ask("GET", "/access/api/v1/session")).body)
        assert seen["signed_in"] is True
        assert seen["principal"] == ALICE
    await empty.later(61)
    seen = json.loads((await browser.ask("GET", "/access/api/v1/session")).body)
    assert seen == {"signed_in": False}


async def test_a_session_ends_however_much_it_is_used(empty: World) -> None:
    await empty.gateway(session=Session(max_seconds=7200, refresh_seconds=86400))
    browser = await empty.signed_in()
    for _ in range(3):
        await empty.later(2399)
        assert await browser.whoami() == 200
    await empty.later(4)
    assert await browser.whoami() == 401


async def test_without_a_refresh_token_it_ends_sooner(empty: World) -> None:
    await empty.gateway(session=Session(unrefreshed_seconds=1800))
    empty.provider.answer["refresh_token"] = None
    browser = await empty.signed_in()
    await empty.later(1799)
    assert await browser.whoami() == 200
    assert empty.provider.refreshes == 0
    await empty.later(2)
    assert await browser.whoami() == 401


# --- refresh --------------------------------------------------------------------------------------


async def refreshed_world(empty: World, gateways: int = 1) -> Browser:
    for _ in range(gateways):
        await empty.gateway(session=Session(refresh_seconds=600))
    browser = await empty.signed_in()
    await empty.later(601)
    return browser


async def test_new_groups_arrive_at_refresh(empty: World) -> None:
    browser = await refreshed_world(empty)
    empty.provider.groups = ["research", "mlflow-admins"]
    assert await groups_of(browser) == ["mlflow-admins", "research"]
    assert empty.provider.refreshes == 1
    assert await groups_of(browser) == ["mlflow-admins", "research"]
    assert empty.provider.refreshes == 1
    person = await empty.gateways[0].store.get_person(ALICE)
    assert person is not None
    assert set(person.groups) == {"research", "mlflow-admins"}
    for _ in range(3):  # rotated refresh tokens go on working
        await empty.later(601)
        await groups_of(browser)
    assert empty.provider.refreshes == 4


async def test_all_that_wait_share_one_refresh(empty: World) -> None:
    browser = await refreshed_world(empty)
    seen = await asyncio.gather(*(browser.whoami() for _ in range(12)))
    assert seen == [200] * 12
    assert empty.provider.refreshes == 1


async def test_two_gateways_share_one_refresh(empty: World) -> None:
    browser = await refreshed_world(empty, 2)
    seen = await asyncio.gather(
        *(browser.whoami(at=empty.urls[number % 2]) for number in range(12))
    )
    assert seen == [200] * 12
    assert empty.provider.refreshes == 1
    await empty.hear()
    assert await browser.whoami(at=empty.urls[1]) == 200
    assert empty.provider.refreshes == 1


async def test_a_refresh_that_a_gateway_died_in_is_taken_over(empty: World) -> None:
    browser = await refreshed_world(empty)
    (record,) = await stored(empty)
    dead = replace(record, busy_until=empty.clock.now() + 20)
    await empty.gateways[0].store.replace_session(dead, expect_version=record.version)
    await empty.hear()
    assert await browser.whoami() == 200
    assert empty.provider.refreshes == 0
    await empty.later(21)
    assert await browser.whoami() == 200
    assert empty.provider.refreshes == 1


async def test_a_person_whom_the_provider_ended_is_signed_out(empty: World) -> None:
    browser = await refreshed_world(empty)
    empty.provider.refuse = "invalid_grant"
    assert await browser.whoami() == 401
    assert await stored(empty) == []


async def test_an_admins_mistake_ends_no_session(empty: World) -> None:
    browser = await refreshed_world(empty)
    empty.provider.refuse = "invalid_client"
    assert await browser.whoami() == 200


async def test_a_provider_that_is_down_disturbs_nobody_for_an_hour(empty: World) -> None:
    browser = await refreshed_world(empty)
    empty.provider.down = True
    for _ in range(5):
        assert await browser.whoami() == 200
    assert len(empty.provider.forms) == 2, "asked once, not by every request"
    await empty.later(3000)
    assert await browser.whoami() == 200
    await empty.later(700)
    assert await browser.whoami() == 503
    empty.provider.down = False
    await empty.later(31)
    assert await browser.whoami() == 200


@pytest.mark.parametrize("change", ["sub", "name"])
async def test_a_refresh_never_makes_somebody_else(empty: World, change: str) -> None:
    browser = await refreshed_world(empty)
    if change == "sub":
        empty.provider.id_token = lambda claims: empty.issuer.sign({**claims, "sub": "id-mallory"})
    else:
        empty.provider.id_token = lambda claims: empty.issuer.sign(
            {**claims, "email": "root@example.com"}
        )
    assert await browser.whoami() == 401
    assert await stored(empty) == []


async def test_a_refresh_without_id_token_asks_userinfo(empty: World) -> None:
    browser = await refreshed_world(empty)
    empty.provider.answer["id_token"] = None
    empty.provider.groups = ["ops"]
    assert await groups_of(browser) == ["ops"]


# --- ends by somebody -----------------------------------------------------------------------------


async def test_sign_out_ends_it_on_every_gateway_and_at_the_provider(world: World) -> None:
    other = await world.gateway()
    browser = await world.signed_in()
    cookies = dict(browser.cookies)
    assert await browser.whoami(at=other) == 200
    seen = await browser.ask("POST", "/access/logout", {**HTML, **SAME})
    assert seen.status == 303
    assert seen.location.startswith(world.issuer.url + "/logout?")
    assert "id_token_hint=ey" in seen.location
    assert "post_logout_redirect_uri=" in seen.location
    assert browser.cookies == {}
    browser.cookies = cookies
    assert await browser.whoami() == 401
    await world.hear()
    assert await browser.whoami(at=other) == 401
    page = await browser.get("/access/logout")
    assert "You are signed out" in page.text


async def test_a_script_signs_out_and_is_told_where_to_go(world: World) -> None:
    browser = await world.signed_in()
    seen = await browser.ask("POST", "/access/logout", {**SAME, "Accept": "application/json"})
    assert seen.status == 200
    assert json.loads(seen.body)["next"].startswith(world.issuer.url + "/logout?")


async def test_nobody_is_signed_out_by_a_link_or_another_site(world: World) -> None:
    browser = await world.signed_in()
    assert "Sign out?" in (await browser.get("/access/logout")).text
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
                    {"Origin": "https://evil.example"}):  # fmt: skip
        assert (await browser.ask("POST", "/access/logout", headers)).status == 403
    assert await browser.whoami() == 200


async def test_an_admin_ends_all_sessions_of_a_person(world: World) -> None:
    other = await world.gateway()
    browsers = [await world.signed_in() for _ in range(3)]
    world.provider.who, world.provider.groups = "dave@example.com", ["mlflow-admins"]
    dave = await world.signed_in()
    listed = await dave.ask("GET", f"/access/api/v1/sessions?principal={ALICE}")
    assert len(json.loads(listed.body)["sessions"]) == 3
    path = f"/access/api/v1/sessions/{ALICE}"
    assert (await browsers[0].ask("GET", "/access/api/v1/sessions?principal=user:x")).status == 403
    assert (await browsers[0].ask("DELETE", "/access/api/v1/sessions/user:x", SAME)).status == 403
    assert (await dave.ask("DELETE", path)).status == 403, "no proof of same origin"
    ended = await dave.ask("DELETE", path, SAME)
    assert json.loads(ended.body) == {"revoked": 3}
    await world.hear()
    for browser in browsers:
        assert await browser.whoami() == 401
        assert await browser.whoami(at=other) == 401
    assert await dave.whoami() == 200


async def test_each_sign_in_makes_a_new_session_and_ends_the_former(world: World) -> None:
    browser = await world.signed_in()
    planted = dict(browser.cookies)
    (name,) = planted
    answer = world.provider.authorize(await browser.begin())
    assert (await browser.come_back(answer)).status == 303
    assert browser.cookies[name] != planted[name]
    browser.cookies = planted
    assert await browser.whoami() == 401
    assert len(await stored(world)) == 1


# --- what a session does not allow ----------------------------------------------------------------

PROOFS: dict[str, tuple[dict[str, str], int]] = {
    "Sec-Fetch-Site: same-origin": ({"Sec-Fetch-Site": "same-origin"}, 200),
    "both": ({"Sec-Fetch-Site": "same-origin", "Origin": "OWN"}, 200),
    "our Origin": ({"Origin": "OWN"}, 200),
    "nothing": ({}, 403),
    "same-site": ({"Sec-Fetch-Site": "same-site"}, 403),
    "same-site with our Origin": ({"Sec-Fetch-Site": "same-site", "Origin": "OWN"}, 403),
    "none": ({"Sec-Fetch-Site": "none"}, 403),
    "cross-site": ({"Sec-Fetch-Site": "cross-site"}, 403),
    "another Origin": ({"Origin": "https://evil.example"}, 403),
    "null": ({"Origin": "null"}, 403),
    "contradiction": ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, 403),
    "our name as a prefix": ({"Origin": "OWN.evil.example"}, 403),
}


@pytest.mark.parametrize("headers, status", PROOFS.values(), ids=PROOFS)
async def test_a_write_needs_proof_that_our_own_page_sends_it(
    world: World, headers: dict[str, str], status: int
) -> None:
    browser = await world.signed_in()
    sent = {name: value.replace("OWN", world.urls[0]) for name, value in headers.items()}
    seen = await browser.ask("POST", SEARCH, sent, json={"max_results": 5})
    assert seen.status == status, seen.text
    made = await browser.ask("POST", "/access/api/v1/tokens", sent, json={"label": "x"})
    assert made.status == status


async def test_a_cookie_cannot_dictate_another_identity(world: World) -> None:
    browser = await world.signed_in()
    store = world.gateways[0].store
    secret, record = issue(
        "user:mallory", label="", created_by="user:mallory", clock=world.clock, bounds=Tokens()
    )
    await store.put_token(record)
    # MLflow's page makes a header out of the cookie, whoever set it.
    header = {"Authorization": f"Bearer {secret}"}
    browser.cookies["mlflow-request-header-Authorization"] = header["Authorization"]
    seen = await browser.ask("GET", "/access/api/v1/whoami", header)
    assert json.loads(seen.body)["principal"] == ALICE
    browser.cookies["mlflow-request-header-Authorization"] = "Basic bad"
    assert await browser.whoami(headers={"Authorization": "Basic bad"}) == 200
    # Without the cookie it is a credential of its own, and the two disagree.
    del browser.cookies["mlflow-request-header-Authorization"]
    assert await browser.whoami(headers=header) == 401
    # It never counts as proof.
    browser.cookies["MLflow-Request-Header-authorization"] = "x"
    assert (await browser.ask("POST", SEARCH, header, json={})).status == 403


async def test_cookies_are_not_passed_on(world: World) -> None:
    browser = await world.signed_in()
    browser.cookies["mlflow-request-header-X"] = "y"
    seen = await browser.get("/")
    assert "ookie" not in seen.headers["X-Seen"]
    assert "mlgate-" not in seen.headers["X-Seen"]


async def test_a_cookie_that_a_sibling_domain_may_set_is_no_session(world: World) -> None:
    """Browsers keep __Host-x from siblings, but not a name with \\xa0 before it, which was read as
    the session of whoever planted it while blanks of all kinds were taken away."""
    victim = await world.signed_in()
    world.provider.who = "mallory@example.com"
    planted = await world.signed_in()
    ((name, theirs),) = planted.cookies.items()
    mine = f"{name}={victim.cookies[name]}".encode()
    parts = urlsplit(world.urls[0])
    for blank in (b"\xa0", b"\x85", b"\x1f"):
        cookie = blank + f"{name}={theirs}".encode() + b"; " + mine
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"GET /access/api/v1/whoami HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n")
        writer.write(b"Cookie: " + cookie + b"\r\n\r\n")
        answer = await reader.read()
        writer.close()
        # A control character is no HTTP at all.
        assert ALICE.encode() in answer or answer.startswith(b"HTTP/1.1 400"), answer
        assert b"mallory" not in answer


FORGED = ["", "x", "user:alice@example.com", "AAAA" * 20, "é" * 4, "=" * 40, "A" * 7_000]


@pytest.mark.parametrize("value", FORGED)
async def test_a_made_up_cookie_is_nobody_and_asks_no_store(world: World, value: str) -> None:
    browser = await world.signed_in()
    (name,) = browser.cookies
    reads = world.gateways[0].acls.reads.records
    browser.cookies[name] = value.encode().decode("latin-1") if value.isascii() else "%C3"
    assert await browser.whoami() == 401
    assert world.gateways[0].acls.reads.records == reads


async def test_a_changed_cookie_is_nobody(world: World) -> None:
    browser = await world.signed_in()
    (name,) = browser.cookies
    good = browser.cookies[name]
    for at in range(0, len(good) - 1, 7):
        other = "A" if good[at] != "A" else "B"
        browser.cookies[name] = good[:at] + other + good[at + 1 :]
        assert await browser.whoami() == 401, at


async def test_an_attempts_cookie_is_no_session(world: World) -> None:
    browser = await world.signed_in()
    (name,) = browser.cookies
    await browser.begin()
    (attempt,) = [value for key, value in browser.cookies.items() if key != name]
    browser.cookies = {name: attempt}
    assert await browser.whoami() == 401


async def test_the_store_holds_nothing_that_signs_anybody_in(world: World) -> None:
    browser = await world.signed_in()
    (value,) = browser.cookies.values()
    refresh_token = next(iter(world.provider._refresh_tokens))
    raw = b"".join(path.read_bytes() for path in world.folder.glob("acl.db*"))
    (record,) = await stored(world)
    for secret in (value, refresh_token):
        assert secret.encode() not in raw
    assert refresh_token.encode() not in record.tokens


async def test_when_a_provider_is_taken_out_of_the_settings_its_sessions_are_over(
    empty: World,
) -> None:
    await empty.gateway()
    browser = await empty.signed_in()
    other = await empty.gateway(identity=(empty.identity(name="renamed"),))
    assert await browser.whoami(at=other) == 401
