"""Signing in at ``mlgate up``'s own provider, as a browser does."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.cli.check import Report, _check_provider
from gateway.devidp import Accounts, provider_settings, serve
from gateway.devidp.issuer import Issuer
from gateway.devidp.signing import SigningKey
from tests.stack import free_port
from tests.unit.browser.conftest import Browser, Seen, World, query_of


@dataclass
class Up:
    world: World
    issuer: str
    accounts: Accounts

    def password(self, name: str) -> str:
        return next(one.password for one in self.accounts.people if one.name == name)

    async def page(self, browser: Browser, **changes: str) -> Seen:
        query = {**query_of(await browser.begin(provider="dev")), **changes}
        return await self.at_issuer("GET", f"/authorize?{urlencode(query)}")

    async def at_issuer(self, method: str, path: str, **more: Any) -> Seen:
        return await Browser(self.world.http, self.issuer).ask(method, path, **more)

    async def answer(self, page: Seen, **fields: str) -> Seen:
        hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text)
        form = {name: unescape(value) for name, value in hidden} | fields
        return await self.at_issuer("POST", "/authorize", data=form)


@pytest.fixture
async def up(empty: World, tmp_path: Path) -> AsyncIterator[Up]:
    port = free_port()
    runner = await serve(tmp_path, port)
    issuer = f"http://127.0.0.1:{port}"
    await empty.gateway(identity=(provider_settings(issuer),))
    yield Up(empty, issuer, Accounts.load(tmp_path / "devidp"))
    await runner.cleanup()


async def test_a_sample_person_signs_in_on_the_page(up: Up) -> None:
    browser = up.world.browser()
    page = await up.page(browser)
    assert page.status == 200
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert (await up.at_issuer("GET", "/style.css")).status == 200
    wrong = await up.answer(page, username="alice", password="guess")
    assert wrong.status == 401
    assert "wrong" in wrong.text
    back = await up.answer(page, username="alice", password=up.password("alice"))
    assert back.status == 303
    assert back.location.startswith(up.world.urls[0] + "/access/callback?")
    assert (await browser.come_back(query_of(back.location))).status == 303
    who = json.loads((await browser.ask("GET", "/access/api/v1/whoami")).body)
    assert (who["principal"], who["groups"]) == ("user:alice", ["data-science"])


async def test_the_session_is_refreshed_also_after_a_restart_of_the_provider(
    up: Up, tmp_path: Path
) -> None:
    browser = up.world.browser()
    back = await up.answer(await up.page(browser), username="dave", password=up.password("dave"))
    await browser.come_back(query_of(back.location))
    port = free_port()
    again = await serve(tmp_path, port)  # the same folder: its key and accounts
    await again.cleanup()
    await up.world.later(601)
    who = json.loads((await browser.ask("GET", "/access/api/v1/whoami")).body)
    assert (who["principal"], who["admin"]) == ("user:dave", True)
    (record,) = await up.world.gateways[0].store.sessions_of("user:dave")
    assert record.refreshed == up.world.clock.now()


async def test_sign_out_leads_through_the_provider_and_back(up: Up) -> None:
    browser = up.world.browser()
    back = await up.answer(await up.page(browser), username="bob", password=up.password("bob"))
    await browser.come_back(query_of(back.location))
    out = await browser.ask("POST", "/access/logout", {"Sec-Fetch-Site": "same-origin"})
    assert out.location.startswith(up.issuer + "/logout?")
    home = await up.at_issuer("GET", out.location.removeprefix(up.issuer))
    assert home.location == up.world.urls[0] + "/access/logout"
    evil = await up.at_issuer("GET", "/logout?post_logout_redirect_uri=https://evil.example/")
    assert evil.status == 200


WRONG = {
    "another application": {"client_id": "other"},
    "elsewhere": {"redirect_uri": "https://evil.example/access/callback"},
    "another path": {"redirect_uri": "http://127.0.0.1:1/x"},
    "a disguise": {"redirect_uri": "http://127.0.0.1@evil.example/access/callback"},
    "no PKCE": {"code_challenge": ""},
    "plain PKCE": {"code_challenge_method": "plain"},
    "an implicit answer": {"response_type": "token"},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
async def test_it_sends_nobody_elsewhere(up: Up, changes: dict[str, str]) -> None:
    page = await up.page(up.world.browser(), **changes)
    assert page.status == 400
    assert "<form" not in page.text
    good = await up.page(up.world.browser())
    answer = await up.answer(good, **changes, username="alice", password=up.password("alice"))
    assert answer.status == 400


async def test_a_code_is_for_one_use_and_one_verifier(up: Up) -> None:
    browser = up.world.browser()
    page = await up.page(browser)
    code = query_of(
        (await up.answer(page, username="alice", password=up.password("alice"))).location
    )["code"]
    form = {
        "grant_type": "authorization_code", "client_id": "mlgate", "code": code,
        "redirect_uri": up.world.urls[0] + "/access/callback", "code_verifier": "x" * 43,
    }  # fmt: skip
    for _ in range(2):
        seen = await up.at_issuer("POST", "/token", data=form)
        assert (seen.status, json.loads(seen.body)["error"]) == (400, "invalid_grant")


async def test_its_refresh_token_is_no_credential(up: Up) -> None:
    clock, folder = up.world.clock, up.world.folder
    issuer = Issuer(up.issuer, up.accounts, SigningKey.load(folder / "devidp"), clock)
    token = issuer.refresh_token(up.accounts.people[0])
    assert issuer.refreshed(token) == up.accounts.people[0]
    assert issuer.refreshed(issuer.id_token(up.accounts.people[0], None)) is None
    seen = await up.world.browser().ask(
        "GET", "/access/api/v1/whoami", {"Authorization": f"Bearer {token}"}
    )
    assert seen.status == 401
    clock.advance(31 * 86_400)
    assert issuer.refreshed(token) is None


async def test_check_says_what_to_register(up: Up, capsys: pytest.CaptureFixture[str]) -> None:
    settings = up.world.gateways[0].settings
    (provider,) = settings.identity
    await _check_provider(settings, provider, "identity dev", Report())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert settings.public_url + "/access/callback" in lines[1]
    del up.world.issuer.discovery_changes["token_endpoint"]
    bare = up.world.identity()
    await _check_provider(settings, bare, "identity corp", Report())
    assert "no token_endpoint" in capsys.readouterr().out
