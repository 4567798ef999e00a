"""All resources, for admins: who owns what, and the way to its sharing."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from gateway.acl.cache import AclCache
from gateway.acl.sqlite import SqliteStore
from gateway.filters.page_token import PageTokens
from gateway.model import Kind, Resource
from gateway.roles import RoleMatrix, call_names, parse_roles
from gateway.routes.catalogue import ROUTES
from gateway.settings import Limits, Settings
from gateway.web.api.resources import ResourcesApi
from gateway.web.console.names import Names
from gateway.web.console.resources import ResourcePages
from tests.fakes.fake_issuer_clock import FakeClock
from tests.unit.browser.conftest import ROOT
from tests.unit.browser.desk import OTHER, Desk

EXPERIMENTS = {"1": "churn", "2": "churn again", "3": "prices", "30": "churn without an owner"}
MODELS = {"churn model": False, "churn prompt": True}
BOB = "user:bob@example.com"


async def mlflow(target: str) -> tuple[int, bytes]:
    """As much of MLflow as names need."""
    path, _, raw = target.partition("?")
    query = dict(parse_qsl(raw))
    text = re.match(r"name ILIKE '%([^'%]*)%'", query.get("filter", ""))
    like = text[1].casefold() if text else ""
    answer: dict[str, Any] = {}
    match path.removeprefix("/api/2.0/mlflow/"):
        case "experiments/get":
            number = query["experiment_id"]
            if number not in EXPERIMENTS:
                return 404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}'
            answer = {"experiment": {"experiment_id": number, "name": EXPERIMENTS[number]}}
        case "experiments/search":
            found = [{"experiment_id": i, "name": n} for i, n in EXPERIMENTS.items() if like in n]
            answer = {"experiments": found}
        case "registered-models/search":
            prompts = query["filter"].endswith("tags.`mlflow.prompt.is_prompt` = 'true'")
            names = [{"name": n} for n, one in MODELS.items() if one == prompts and like in n]
            answer = {"registered_models": names}
    return 200, json.dumps(answer).encode()


@pytest.fixture
async def acls(tmp_path: Path) -> AsyncIterator[AclCache]:
    """A store with some ACLs."""
    clock = FakeClock()
    store = SqliteStore(tmp_path / "acl.db", clock)
    made = AclCache(store, clock, Limits())
    grants = {BOB: "manager", "group:research": "manager", "everyone": "reader"}
    await made.create_acl(Resource(Kind.EXPERIMENT, "1"), BOB, grants)
    await made.create_acl(Resource(Kind.EXPERIMENT, "2"), None, {})
    await made.create_acl(Resource(Kind.EXPERIMENT, "99"), BOB, {BOB: "manager"})
    for name in MODELS:
        await made.create_acl(Resource(Kind.MODEL, name), BOB, {BOB: "manager"})
    yield made
    await store.close()


@pytest.fixture(scope="module")
def matrix() -> RoleMatrix:
    return parse_roles((ROOT / "config/roles.yaml").read_text("utf-8"), call_names(ROUTES))


@pytest.fixture
def dave(acls: AclCache, matrix: RoleMatrix) -> Desk:
    """What an admin asks."""
    api = ResourcesApi(acls, Names(mlflow, ""), lambda: matrix, PageTokens([b"k" * 32]))
    return Desk(*api.endpoints(), *ResourcePages(Settings(), api).endpoints())


async def asked(desk: Desk, **query: str) -> Any:
    seen = await desk.get("/access/api/v1/resources?" + urlencode(query))
    assert seen.status == 200, seen.text
    return seen.json


def rows(text: str) -> list[str]:
    body = text.partition("<tbody>")[2].partition("</tbody>")[0]
    plain = (re.sub(r"<[^>]*>|\s+", " ", one) for one in body.split("<tr>")[1:])
    return [" ".join(html.unescape(one).split()) for one in plain]


async def test_it_is_for_admins(dave: Desk) -> None:
    for path in ("/access/resources", "/access/api/v1/resources?q=churn"):
        refused = await dave.get(path, OTHER)
        assert refused.status == 403
        assert "for admins" in refused.text


async def test_everything_in_the_store_with_owner_managers_and_grants(dave: Desk) -> None:
    seen = await dave.get("/access/resources")
    assert seen.status == 200
    assert rows(seen.text) == [
        "churn 1 bob@example.com group research 3 Share churn",
        "churn again 2 nobody nobody 0 Share churn again",
        "MLflow does not know it (any more) 99 bob@example.com nobody 1 Share 99",
    ]
    assert 'href="/access/share/experiment/1"' in seen.text
    models = await dave.get("/access/resources?kind=model")
    assert rows(models.text) == [
        "churn model bob@example.com nobody 1 Share churn model",
        "churn prompt bob@example.com nobody 1 Share churn prompt",
    ]
    assert 'href="/access/share/model/churn%20model"' in models.text
    assert (await dave.get("/access/resources?kind=run")).status == 400


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"q": "CHURN"}, ["1", "2", "30"]),
        ({"q": "prices"}, ["3"]),
        ({"q": "99"}, ["99"]),
        ({"q": "1"}, ["1"]),
        ({"q": "30"}, []),
        ({"q": "nothing"}, []),
        ({"q": "churn", "kind": "model"}, ["churn model", "churn prompt"]),
        ({"q": "prompt", "kind": "model"}, ["churn prompt"]),
    ],
    ids=str,
)
async def test_search_by_name_or_id(dave: Desk, query: dict[str, str], ids: list[str]) -> None:
    found = await asked(dave, **query)
    assert [one["id"] for one in found["resources"]] == ids
    seen = await dave.get("/access/resources?" + urlencode(query))
    assert f"{len(ids)} " in seen.text
    assert len(rows(seen.text)) == len(ids)


async def test_json_says_who_may_share_it(dave: Desk) -> None:
    found = await asked(dave)
    assert found["resources"][0] == {
        "kind": "experiment",
        "id": "1",
        "name": "churn",
        "owner": BOB,
        "managers": ["group:research", BOB],
        "grants": 3,
    }


async def test_long_lists_have_pages(acls: AclCache, dave: Desk) -> None:
    for number in range(30):
        await acls.create_acl(Resource(Kind.MODEL, f"m{number:02}"), None, {})
    path, ids = "/access/resources?kind=model", []
    for _ in range(2):
        seen = await dave.get(path)
        ids += re.findall(r"/access/share/model/([^\"]*)", seen.text)
        path = "".join(seen.links('rel="next" '))
    assert ids == ["churn%20model", "churn%20prompt", *(f"m{number:02}" for number in range(30))]
    assert path == ""
    assert 'href="/access/resources?kind=model">From the start' in seen.text


async def test_searches_have_pages_too(dave: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.api.resources.PER_PAGE", 2)
    first = await asked(dave, q="churn")
    assert [one["id"] for one in first["resources"]] == ["1", "2"]
    rest = await asked(dave, q="churn", after=first["after"])
    assert ([one["id"] for one in rest["resources"]], rest["after"]) == (["30"], None)
    for wrong in ({"q": "prices", "after": first["after"]}, {"after": "mlg1.x"}, {"after": "1"}):
        seen = await dave.get("/access/resources?" + urlencode(wrong))
        assert seen.status == 400
        assert "start it again" in seen.text
