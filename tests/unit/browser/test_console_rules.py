"""The console's pages about the rules: the role table, why, people."""

from __future__ import annotations

import html
import re
from urllib.parse import urlencode

import pytest

from gateway.model import Kind, Resource
from tests.unit.browser.conftest import Browser, World


async def admin(world: World) -> Browser:
    world.provider.who, world.provider.groups = "dave@example.com", ["mlflow-admins"]
    return await world.signed_in()


def cells(text: str, call: str) -> list[list[str]]:
    rows = re.findall(rf"<code>{re.escape(call)}</code></th>(.*?)</tr>", text)
    return [re.findall(r">(yes|no)<", row) for row in rows]


async def test_the_role_table_is_roles_yaml(world: World) -> None:
    text = (await (await world.signed_in()).get("/access/roles")).text
    matrix, names = world.gateways[0].roles.matrix, world.gateways[0].names
    assert cells(text, "runs/create") == [["no", "yes", "yes", "yes"]]
    assert cells(text, "registered-models/delete") == [["no", "no", "yes", "yes"]]
    assert cells(text, "experiments/create") == [["yes", "yes"]]
    for kind in Kind:
        for call in names.of_kind(kind):
            row = ["yes" if matrix.allows(r, kind, call) else "no" for r in matrix.roles]
            assert [*row, "yes" if call in matrix.admin else "no"] in cells(text, html.escape(call))


async def test_why_is_explained_for_oneself(world: World) -> None:
    grants = {"group:data-science": "reader"}
    await world.gateways[0].acls.create_acl(Resource(Kind.EXPERIMENT, "1"), None, grants)
    browser = await world.signed_in()
    ask = {"call": "runs/create", "kind": "experiment", "id": "1"}
    no = await browser.get("/access/why?" + urlencode(ask))
    assert "<strong>No.</strong> user:alice@example.com is reader here" in no.text
    assert "Roles that would do: editor, manager." in no.text
    yes = await browser.get("/access/why?" + urlencode({**ask, "call": "runs/get"}))
    assert "<strong>Yes.</strong>" in yes.text
    server = await browser.get("/access/why?call=experiments/create&kind=&id=")
    assert "<strong>Yes.</strong>" in server.text


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"call": "no/such", "kind": "", "id": ""}, 400, "There is no call 'no/such'"),
        ({"call": "<script>", "kind": "", "id": ""}, 400, "There is no call '<script>'"),
        ({"call": "runs/get", "kind": "", "id": ""}, 400, "needs a resource"),
        ({"call": "runs/get", "kind": "model", "id": "m"}, 400, "not a call on a model"),
        ({"call": "runs/get", "kind": "x", "id": "m"}, 400, "'experiment' or 'model'"),
        ({"call": "ui", "principal": "user:bob@example.com"}, 403, "Only an admin"),
    ],
)
async def test_what_cannot_be_asked_is_a_sentence(
    world: World, fields: dict[str, str], status: int, sentence: str
) -> None:
    seen = await (await world.signed_in()).get("/access/why?" + urlencode(fields))
    assert seen.status == status
    (said,) = re.findall(r'role="alert">([^<]*)<', seen.text)
    assert sentence in html.unescape(said)


async def test_people_are_for_admins(world: World) -> None:
    alice = await world.signed_in()
    refused = await alice.get("/access/people")
    assert refused.status == 403
    assert "is for admins" in refused.text
    assert 'href="/access/people"' not in (await alice.get("/access/why")).text
    dave = await admin(world)
    seen = await dave.get("/access/people")
    assert "user:alice@example.com" in seen.text
    assert "data-science" in seen.text
    assert "user:dave@example.com" not in (await dave.get("/access/people?q=DATA-sci")).text
    ask = {"principal": "user:alice@example.com", "call": "webhooks/create"}
    other = await dave.get("/access/why?" + urlencode(ask))
    assert "user:alice@example.com" in other.text


async def test_an_admin_sees_and_revokes_a_persons_tokens_and_makes_none(world: World) -> None:
    alice = await world.signed_in()
    same = {"Sec-Fetch-Site": "same-origin"}
    await alice.ask("POST", "/access/api/v1/tokens", same, json={"label": "hers"})
    dave = await admin(world)
    seen = await dave.get("/access/tokens?of=user%3Aalice%40example.com")
    assert "hers" in seen.text
    assert "New token" not in seen.text
