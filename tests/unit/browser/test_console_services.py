"""The console's page of service accounts."""

from __future__ import annotations

import html
import json
import re
from typing import Any
from urllib.parse import urlencode

from gateway.acl.store import PersonRecord
from gateway.model import Kind, Resource
from tests.unit.browser.conftest import HTML, SAME, Browser, Seen, World

FORM = {**HTML, **SAME, "Content-Type": "application/x-www-form-urlencoded"}
PAGE = "/access/services"
NEW = {"name": "nightly", "group": "data-science", "label": "the <scheduler>", "days": "30"}


async def send(browser: Browser, headers: Any = None, **fields: str) -> Seen:
    return await browser.ask("POST", PAGE, headers or FORM, data=urlencode(fields))


async def somebody(world: World, who: str, *groups: str) -> Browser:
    world.provider.who, world.provider.groups = f"{who}@example.com", list(groups)
    return await world.signed_in()


def said(seen: Seen) -> str:
    (found,) = re.findall(r'role="alert">([^<]*)<', seen.text)
    return html.unescape(found)


async def whoami(world: World, secret: str) -> Any:
    bearer = {"Authorization": f"Bearer {secret}"}
    seen = await world.browser().ask("GET", "/access/api/v1/whoami", bearer)
    return json.loads(seen.body) if seen.status == 200 else seen.status


async def test_an_account_is_made_with_its_token_shown_once(world: World) -> None:
    alice = await world.signed_in()
    assert "None yet." in (await alice.get(PAGE)).text
    made = await send(alice, **NEW)
    assert made.status == 200
    assert made.headers["Cache-Control"] == "no-store"
    (secret,) = re.findall(r'<code id="secret">(mlg_[^<]+)</code>', made.text)
    examples = [html.unescape(one) for one in re.findall(r"<pre[^>]*>([^<]*)</pre>", made.text)]
    assert [len(one.split("\n")) for one in examples] == [2] * 5
    assert await whoami(world, secret) == {
        "principal": "service:nightly",
        "groups": ["data-science"],
        "admin": False,
        "method": "api-token",
    }
    listed = await alice.get(PAGE)
    assert secret not in listed.text
    assert 'href="/access/tokens?of=service%3Anightly"' in listed.text
    tokens = await alice.get("/access/tokens?of=service:nightly")
    assert "the &lt;scheduler&gt;" in tokens.text
    (record,) = await world.gateways[0].acls.tokens_of("service:nightly")
    assert record.created_by == "user:alice@example.com"
    lines = [json.loads(one) for one in (world.folder / "audit.log").read_text().splitlines()]
    (line,) = [one for one in lines if one["call"] == "tokens/create"]
    assert (line["token_of"], line["token_id"]) == ("service:nightly", record.id)
    assert secret not in json.dumps(lines)


async def test_an_account_is_on_the_page_of_another_gateway_at_once(world: World) -> None:
    """Also on one that has read the list a moment ago."""
    other = await world.gateway()
    alice = await world.signed_in()
    bob = await somebody(world, "bob", "data-science")
    assert "None yet." in (await bob.get(PAGE, at=other)).text
    await send(alice, **NEW)
    assert 'href="/access/tokens?of=service%3Anightly"' in (await bob.get(PAGE, at=other)).text


async def test_a_team_sees_its_own_accounts_and_admins_all(world: World) -> None:
    alice = await world.signed_in()
    await send(alice, **NEW)
    bob = await somebody(world, "bob", "data-science")
    carol = await somebody(world, "carol", "research")
    dave = await somebody(world, "dave", "mlflow-admins")
    for browser, sees in ((bob, True), (carol, False), (dave, True)):
        assert ("of=service%3Anightly" in (await browser.get(PAGE)).text) is sees
    await send(carol, **{**NEW, "name": "weekly", "group": "research"})
    assert "1 found" in (await carol.get(PAGE)).text
    assert (await carol.get("/access/tokens?of=service:nightly")).status == 403
    (record,) = await world.gateways[0].acls.tokens_of("service:nightly")
    form = urlencode({"do": "revoke", "of": "service:nightly", "id": record.id})
    assert (await carol.ask("POST", "/access/tokens", FORM, data=form)).status in (403, 404)
    assert (await bob.ask("POST", "/access/tokens", FORM, data=form)).status == 303
    assert "no token works" in (await bob.get(PAGE)).text
    assert "2 found" in (await dave.get(PAGE)).text


async def test_last_use_is_the_latest_of_its_tokens(world: World) -> None:
    alice = await world.signed_in()
    made = await send(alice, **NEW)
    assert '<td data-label="Last used">never</td>' in (await alice.get(PAGE)).text
    (secret,) = re.findall(r'<code id="secret">(mlg_[^<]+)</code>', made.text)
    (record,) = await world.gateways[0].acls.tokens_of("service:nightly")
    await world.gateways[0].store.touch_token(record.hash, world.clock.now())
    assert '<td data-label="Last used">never</td>' not in (await alice.get(PAGE)).text
    assert await whoami(world, secret) != 401


IMPOSSIBLE = [
    ({**NEW, "group": "research"}, 403, "is not in group 'research'"),
    ({**NEW, "group": ""}, 400, "needs 'group'"),
    ({**NEW, "name": "a b"}, 400, "is spelled service:NAME"),
    ({**NEW, "name": ""}, 400, "is spelled service:NAME"),
    ({**NEW, "days": "99999"}, 400, "at most"),
    ({**NEW, "label": "x" * 201}, 400, "at most 200"),
    ({**NEW, "name": "taken"}, 400, "is there already"),
    ({**NEW, "name": "theirs"}, 403, "may not manage"),
    ({**NEW, "name": "granted"}, 403, "is already in use"),
]


async def test_what_cannot_be_is_a_sentence_and_makes_nothing(world: World) -> None:
    acls = world.gateways[0].acls
    for name, group in (("taken", "data-science"), ("theirs", "research")):
        who = f"service:{name}"
        await acls.put_person(PersonRecord(name=who, groups=(group,), home_group=group, seen=1.0))
    await acls.create_acl(Resource(Kind.EXPERIMENT, "1"), None, {"service:granted": "reader"})
    alice = await world.signed_in()
    for fields, status, sentence in IMPOSSIBLE:
        seen = await send(alice, **fields)
        assert (seen.status, sentence in said(seen)) == (status, True), (fields, said(seen))
        assert "New service account" in seen.text
    assert (await send(alice, **NEW, do="create")).status == 400
    assert await acls.tokens_of(None) == []
    assert len(await acls.people()) == 3


async def test_admins_make_accounts_of_any_team_and_people_without_one_none(world: World) -> None:
    erin = await somebody(world, "erin")
    assert "You are in no group." in (await erin.get(PAGE)).text
    assert (await send(erin, **{**NEW, "group": ""})).status == 400
    dave = await somebody(world, "dave", "mlflow-admins")
    assert (await send(dave, **{**NEW, "group": "research"})).status == 200
    carol = await somebody(world, "carol", "research")
    assert "of=service%3Anightly" in (await carol.get(PAGE)).text


async def test_forms_of_other_sites_make_no_account(world: World) -> None:
    browser = await world.signed_in()
    for site in ("cross-site", "same-site", "none"):
        assert (await send(browser, {**FORM, "Sec-Fetch-Site": site}, **NEW)).status == 403
    assert await world.gateways[0].acls.tokens_of(None) == []


async def test_long_lists_have_pages_and_are_searched(world: World) -> None:
    alice = await world.signed_in()
    for number in range(30):
        record = PersonRecord(
            name=f"service:job-{number:02}", groups=("data-science",), home_group=None, seen=1.0
        )
        await world.gateways[0].acls.put_person(record)
    assert "Page 1 of 2" in (await alice.get(PAGE)).text
    last = (await alice.get(PAGE + "?page=2")).text
    assert re.findall(r"of=service%3A(job-\d+)", last) == [f"job-{n}" for n in range(25, 30)]
    found = (await alice.get(PAGE + "?q=JOB-07")).text
    assert re.findall(r"of=service%3A(job-\d+)", found) == ["job-07"]
