"""The console's page of API tokens."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import unquote, urlencode

import pytest

from tests.unit.browser.conftest import HTML, SAME, Browser, Seen, World

FORM = {**HTML, **SAME, "Content-Type": "application/x-www-form-urlencoded"}
PAGE = "/access/tokens"


async def send(browser: Browser, headers: Any = None, **fields: str) -> Seen:
    return await browser.ask("POST", PAGE, headers or FORM, data=urlencode(fields))


async def count(world: World) -> int:
    return len(await world.gateways[0].acls.tokens_of(None))


async def test_a_token_is_shown_once_and_works(world: World) -> None:
    browser = await world.signed_in()
    made = await send(browser, do="create", label="laptop <b>", days="7")
    assert made.status == 200
    assert made.headers["Cache-Control"] == "no-store"
    (secret,) = re.findall(r'<code id="secret">(mlg_[^<]+)</code>', made.text)
    bearer = {"Authorization": f"Bearer {secret}"}
    whoami = await world.browser().ask("GET", "/access/api/v1/whoami", bearer)
    assert b"user:alice@example.com" in whoami.body
    listed = await browser.get(PAGE)
    assert secret not in listed.text
    assert "laptop &lt;b&gt;" in listed.text
    (record,) = await world.gateways[0].acls.tokens_of("user:alice@example.com")
    assert record.expires - record.created == 7 * 86400
    gone = await send(browser, do="revoke", id=record.id)
    assert (gone.status, gone.location.split("?")[0]) == (303, PAGE)
    assert "Revoked." in (await browser.get(gone.location)).text
    again = await world.browser().ask("GET", "/access/api/v1/whoami", bearer)
    assert again.status == 401
    assert secret not in (world.folder / "audit.log").read_text()


async def test_the_examples_have_two_lines_each_and_the_file_both_variables(world: World) -> None:
    browser = await world.signed_in()
    made = await send(browser, do="create", label="x", days="7")
    (secret,) = re.findall(r'<code id="secret">([^<]+)</code>', made.text)
    examples = [html.unescape(one) for one in re.findall(r"<pre[^>]*>([^<]*)</pre>", made.text)]
    assert len(examples) == 5
    for one in examples:
        assert len(one.split("\n")) == 2
        assert secret in one
    (file,) = re.findall(r'href="data:text/plain;charset=utf-8,([^"]+)"', made.text)
    assert unquote(file) == (
        f"MLFLOW_TRACKING_URI={world.urls[0]}\nMLFLOW_TRACKING_TOKEN={secret}\n"
    )


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"do": "create", "label": "x", "days": "99999"}, "at most"),
        ({"do": "create", "label": "x", "days": "0"}, "more than 0"),
        ({"do": "create", "label": "x", "days": "-1"}, "whole number"),
        ({"do": "create", "label": "x" * 201, "days": "1"}, "at most 200"),
        ({"do": "revoke", "id": "0000"}, "no token with this id"),
        ({"do": "burn"}, "load the page again"),
    ],
)
async def test_what_cannot_be_is_a_sentence_on_the_page(
    world: World, fields: dict[str, str], sentence: str
) -> None:
    browser = await world.signed_in()
    seen = await send(browser, **fields)
    assert seen.status in (400, 404)
    (said,) = re.findall(r'role="alert">([^<]*)<', seen.text)
    assert sentence in html.unescape(said)
    assert "New token" in seen.text
    assert await count(world) == 0


async def test_tokens_of_others_are_theirs(world: World) -> None:
    alice = await world.signed_in()
    await send(alice, do="create", label="mine", days="7")
    (record,) = await world.gateways[0].acls.tokens_of(None)
    world.provider.who, world.provider.groups = "carol@example.com", ["research"]
    carol = await world.signed_in()
    assert (await carol.get(PAGE + "?of=user:alice@example.com")).status == 403
    assert (await send(carol, do="revoke", id=record.id)).status == 404
    made = await send(carol, do="create", label="x", days="1", of="user:alice@example.com")
    assert made.status == 403
    assert await count(world) == 1


async def test_a_teams_service_account_has_the_page_too(world: World) -> None:
    browser = await world.signed_in()
    body = {"principal": "service:nightly", "group": "data-science", "label": "job"}
    made = await browser.ask("POST", "/access/api/v1/tokens", SAME, json=body)
    assert made.status == 200, made.text
    page = await browser.get(PAGE + "?of=service:nightly")
    assert "Tokens of service account nightly" in page.text
    another = await send(browser, do="create", label="x", days="1", of="service:nightly")
    assert 'id="secret"' in another.text
    assert await count(world) == 2


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
async def test_forms_of_other_sites_make_no_token(world: World, site: str) -> None:
    browser = await world.signed_in()
    seen = await send(browser, {**FORM, "Sec-Fetch-Site": site}, do="create", label="x", days="1")
    assert seen.status == 403
    assert await count(world) == 0


async def test_a_replaced_token_goes_on_until_it_is_revoked(world: World) -> None:
    browser = await world.signed_in()
    made = await send(browser, do="create", label="laptop", days="7")
    (first,) = re.findall(r'<code id="secret">([^<]+)</code>', made.text)
    (old,) = await world.gateways[0].acls.tokens_of("user:alice@example.com")
    await world.later(3600)
    page = await send(browser, do="replace", id=old.id)
    (second,) = re.findall(r'<code id="secret">([^<]+)</code>', page.text)
    assert "Revoke the old one" in page.text
    newest, _ = await world.gateways[0].acls.tokens_of("user:alice@example.com")
    assert newest.label == "laptop"
    assert newest.expires - old.expires == 3600
    for secret in (first, second):
        bearer = {"Authorization": f"Bearer {secret}"}
        assert (await world.browser().ask("GET", "/access/api/v1/whoami", bearer)).status == 200
    await send(browser, do="revoke", id=old.id)
    bearer = {"Authorization": f"Bearer {first}"}
    assert (await world.browser().ask("GET", "/access/api/v1/whoami", bearer)).status == 401


async def test_nobody_replaces_what_they_could_not_make(world: World) -> None:
    await send(await world.signed_in(), do="create", label="hers", days="7")
    (record,) = await world.gateways[0].acls.tokens_of(None)
    world.provider.who, world.provider.groups = "dave@example.com", ["mlflow-admins"]
    dave = await world.signed_in()
    of = "user:alice@example.com"
    assert 'value="replace"' not in (await dave.get(f"{PAGE}?of={of}")).text
    assert (await send(dave, do="replace", id=record.id, of=of)).status == 403
    assert (await send(dave, do="replace", id=record.id)).status == 404
    assert await count(world) == 1
