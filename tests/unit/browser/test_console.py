"""The console: what I can see, and sharing it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web

from gateway.model import Kind, Resource
from tests.unit.browser.conftest import HTML, ROOT, SAME, Browser, Seen, World

FORM = {**HTML, **SAME, "Content-Type": "application/x-www-form-urlencoded"}
NASTY = "<script>alert('x')</script>\"&"
NAMES = {"1": "churn", "2": NASTY, "3": "prices", "4": "secret plans"}
ROLES = (ROOT / "config/roles.yaml").read_text("utf-8")
SHARE = "/access/share/experiment/1"


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    """As much of MLflow as names need; ``asked`` counts are in the answer headers of none."""

    async def get(request: web.Request) -> web.Response:
        number = request.query["experiment_id"]
        name = NAMES.get(number, f"number {number}")
        if number == "404":
            return web.json_response({"error_code": "RESOURCE_DOES_NOT_EXIST"}, status=404)
        stage = "deleted" if number == "3" else "active"
        return web.json_response(
            {"experiment": {"experiment_id": number, "name": name, "lifecycle_stage": stage}}
        )

    async def search(request: web.Request) -> web.Response:
        asked = re.fullmatch(r"name ILIKE '%([A-Za-z0-9 ._@/-]*)%'", request.query["filter"])
        assert asked is not None, request.query["filter"]
        pattern = re.compile(re.escape(asked[1]).replace("_", "."), re.IGNORECASE)
        found = [{"experiment_id": i, "name": n} for i, n in NAMES.items() if pattern.search(n)]
        return web.json_response({"experiments": found})

    app = web.Application()
    app.router.add_get("/api/2.0/mlflow/experiments/get", get)
    app.router.add_get("/api/2.0/mlflow/experiments/search", search)
    app.router.add_get("/health", lambda _: web.Response(text="OK"))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def shared(world: World) -> World:
    """alice owns 1, sees 2 through her group and 3 as everyone; 4 is not hers."""
    acls = world.gateways[0].acls
    mine = {"user:alice@example.com": "manager", "group:data-science": "editor"}
    await acls.create_acl(Resource(Kind.EXPERIMENT, "1"), "user:alice@example.com", mine)
    for number, owner, key, role in (
        ("2", "user:bob@example.com", "group:data-science", "editor"),
        ("3", "user:bob@example.com", "everyone", "reader"),
        ("4", "user:bob@example.com", "user:bob@example.com", "manager"),
    ):
        await acls.create_acl(Resource(Kind.EXPERIMENT, number), owner, {key: role})
    model = Resource(Kind.MODEL, "m & <b>")
    await acls.create_acl(model, None, {"user:alice@example.com": "reader"})
    return world


async def send(browser: Browser, path: str, headers: Any = None, **fields: str) -> Seen:
    return await browser.ask("POST", path, headers or FORM, data=urlencode(fields))


async def other(world: World, who: str, *groups: str) -> Browser:
    world.provider.who, world.provider.groups = f"{who}@example.com", list(groups)
    return await world.signed_in()


def said(seen: Seen) -> str:
    """The sentence of a page that was refused."""
    (found,) = re.findall(r'<p class="said wrong" role="alert">([^<]*)</p>', seen.text)
    return html.unescape(found)


async def roles(world: World, number: str = "1") -> Any:
    acl = await world.gateways[0].acls.get(Resource(Kind.EXPERIMENT, number))
    assert acl is not None
    return dict(acl.grants)


async def test_what_i_can_see_with_which_role_and_why(shared: World) -> None:
    seen = await (await shared.signed_in()).get("/access/")
    assert seen.status == 200
    text = re.sub(r"\s+", " ", seen.text)
    assert "<strong>manager</strong>: you are its owner" in text
    assert "<strong>editor</strong>: through group data-science" in text
    assert "<strong>reader</strong>: shared with everyone" in text
    assert "prices (deleted)" in text
    assert "secret plans" not in text
    assert 'href="/#/experiments/1"' in text
    assert f'href="{SHARE}"' in text
    assert NASTY not in seen.text
    assert html.escape("<script>alert(") in seen.text


async def test_models_have_a_page_of_their_own(shared: World) -> None:
    seen = await (await shared.signed_in()).get("/access/?kind=model")
    assert "m &amp; &lt;b&gt;" in seen.text
    assert "/access/share/model/m%20%26%20%3Cb%3E" in seen.text
    assert "given to you" in seen.text
    assert (await (await shared.signed_in()).get("/access/?kind=run")).status == 400


@pytest.mark.parametrize(
    ("text", "shows"),
    [
        ("CHURN", ["1"]),
        ("r", ["1", "2", "3"]),
        ("secret", []),
        ("</script>", ["2"]),
        ("' OR name ILIKE '%", []),
        ("2", ["2"]),
    ],
)
async def test_search_is_by_name_or_id_and_finds_only_what_one_sees(
    shared: World, text: str, shows: list[str]
) -> None:
    browser = await shared.signed_in()
    seen = await browser.get("/access/?" + urlencode({"q": text}))
    assert seen.status == 200
    assert sorted(re.findall(r'href="/access/share/experiment/(\d+)"', seen.text)) == shows


async def test_long_lists_have_pages(shared: World) -> None:
    acls = shared.gateways[0].acls
    for number in range(100, 160):
        await acls.create_acl(Resource(Kind.EXPERIMENT, str(number)), None, {"everyone": "reader"})
    browser = await shared.signed_in()
    ids: list[str] = []
    for number in (1, 2, 3):
        seen = await browser.get(f"/access/?page={number}")
        assert f"Page {number} of 3" in seen.text
        ids += re.findall(r'href="/access/share/experiment/(\d+)"', seen.text)
    assert ids == [*map(str, range(159, 99, -1)), "3", "2", "1"]
    for odd in ("0", "-1", "99", "x", "9" * 40):
        assert (await browser.get(f"/access/?page={odd}")).status == 200


async def test_sharing_gives_changes_and_removes(shared: World) -> None:
    browser = await shared.signed_in()
    given = await send(browser, SHARE, do="give", principal="group:research", role="reader")
    assert (given.status, given.location) == (303, SHARE + "?done=1")
    assert (await roles(shared))["group:research"] == "reader"
    page = await browser.get(given.location)
    assert "Saved." in page.text
    assert "group research" in page.text
    carol = await other(shared, "carol", "research")
    assert "through group research" in (await carol.get("/access/")).text
    await send(browser, SHARE, do="give", principal="group:research", role="editor")
    assert (await roles(shared))["group:research"] == "editor"
    await send(browser, SHARE, do="remove", principal="group:research")
    assert "group:research" not in await roles(shared)
    assert (await carol.get(SHARE)).status == 403


async def test_a_name_is_enough_for_somebody_who_was_here(shared: World) -> None:
    browser = await shared.signed_in()
    await other(shared, "carol", "research")
    await send(browser, SHARE, do="give", principal=" carol@example.com ", role="reader")
    await send(browser, SHARE, do="give", principal="research", role="reader")
    grants = await roles(shared)
    assert grants["user:carol@example.com"] == grants["group:research"] == "reader"


async def test_a_name_alone_is_never_a_service_account(shared: World) -> None:
    """Whoever is in a team may call an account as they like, also after a person still to come."""
    alice = await shared.signed_in()
    carol = await other(shared, "carol", "research")
    for name in ("zoe@example.com", "weekly"):
        body = {"principal": f"service:{name}", "group": "research"}
        made = await carol.ask("POST", "/access/api/v1/tokens", SAME, json=body)
        assert made.status == 200
    await send(alice, SHARE, do="give", principal="zoe@example.com", role="reader")
    assert (await roles(shared))["user:zoe@example.com"] == "reader"
    seen = await send(alice, SHARE, do="give", principal="weekly", role="reader")
    assert (seen.status, "is not a principal" in said(seen)) == (400, True)
    await send(alice, SHARE, do="give", principal="service:weekly", role="reader")
    assert set(await roles(shared)) == {
        "user:alice@example.com", "group:data-science", "user:zoe@example.com", "service:weekly",
    }  # fmt: skip


async def test_an_admin_who_only_looks_makes_no_grants(shared: World) -> None:
    dave = await other(shared, "dave", "mlflow-admins")
    assert (await dave.get("/access/share/experiment/7")).status == 200
    shown = await dave.ask("GET", "/access/api/v1/acl/experiment/7")
    assert json.loads(shown.body) == {"owner": None, "grants": []}
    assert await shared.gateways[0].acls.get(Resource(Kind.EXPERIMENT, "7")) is None
    await send(dave, "/access/share/experiment/7", do="give", principal="everyone", role="reader")
    assert await roles(shared, "7") == {"everyone": "reader"}


async def test_suggestions_are_for_those_who_may_share(shared: World) -> None:
    browser = await shared.signed_in()
    await other(shared, "carol", "research")
    seen = await browser.get(SHARE + "/names?q=RES", {"Accept": "application/json"})
    assert json.loads(seen.body) == {"names": ["group:research"]}
    assert '<option value="group:data-science">' in (await browser.get(SHARE)).text
    reader = await browser.get("/access/share/experiment/3/names?q=a", {"Accept": "*/*"})
    assert reader.status == 403
    assert "<option" not in (await browser.get("/access/share/experiment/3")).text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"do": "remove", "principal": "user:alice@example.com"}, "the last one who can manage"),
        ({"do": "give", "principal": "user:alice@example.com", "role": "reader"}, "the last one"),
        ({"do": "give", "principal": "user:x", "role": "king"}, "There is no role 'king'"),
        ({"do": "give", "principal": "nobody here", "role": "reader"}, "is not a principal"),
        ({"do": "give", "principal": " ", "role": "reader"}, "Say with whom"),
        ({"do": "give", "principal": "<script>", "role": "reader"}, "'<script>' is not"),
        ({"principal": "user:x", "role": "reader"}, "load the page again"),
    ],
)
async def test_what_cannot_be_is_a_sentence_on_the_page(
    shared: World, fields: dict[str, str], sentence: str
) -> None:
    browser = await shared.signed_in()
    before = await roles(shared)
    seen = await send(browser, SHARE, **fields)
    assert seen.status == 400
    assert sentence in said(seen)
    assert "Who has access" in seen.text
    assert await roles(shared) == before


async def test_a_role_above_ones_own_is_refused(shared: World) -> None:
    folder = shared.folder / "roles.yaml"
    text = ROLES
    sharer = "  sharer: {extends: reader, experiment: [acl/write], model: [acl/write]}\n"
    folder.write_text(text.replace("\nserver:\n", f"\n{sharer}\nserver:\n", 1))
    await shared.gateway(roles=str(folder))
    url = shared.urls[1]
    alice = await shared.signed_in()
    await send(alice, SHARE, do="give", principal="user:carol@example.com", role="reader")
    sharer_form = {"do": "give", "principal": "user:carol@example.com", "role": "sharer"}
    gave = await alice.ask("POST", SHARE, FORM, at=url, data=urlencode(sharer_form))
    assert gave.status == 303, gave.text
    await shared.hear()
    carol = await other(shared, "carol")
    up = {"do": "give", "principal": "user:carol@example.com", "role": "manager"}
    seen = await carol.ask("POST", SHARE, FORM, at=url, data=urlencode(up))
    assert seen.status == 403
    assert "above their own" in said(seen)
    assert "<option>manager</option>" not in seen.text
    assert "Above your own role" in seen.text


async def test_who_may_only_look_is_offered_nothing_to_change(shared: World) -> None:
    browser = await shared.signed_in()
    page = await browser.get("/access/share/experiment/3")
    assert page.status == 200
    assert "<form" not in page.text
    path = "/access/share/experiment/3"
    seen = await send(browser, path, do="give", principal="user:alice@example.com", role="manager")
    assert seen.status == 403
    assert "acl/write" in said(seen)
    assert "user:alice@example.com" not in await roles(shared, "3")


@pytest.mark.parametrize("path", ["/access/share/experiment/4", "/access/share/experiment/404"])
async def test_hidden_and_absent_look_the_same(shared: World, path: str) -> None:
    browser = await shared.signed_in()
    seen = await browser.get(path)
    assert seen.status == 403
    assert "does not exist or is not shared" in seen.text
    posted = await send(browser, path, do="give", principal="everyone", role="reader")
    assert posted.status == 403
    assert "secret" not in seen.text + posted.text


CROSS = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {},
]


@pytest.mark.parametrize("headers", CROSS, ids=str)
async def test_forms_of_other_sites_change_nothing(shared: World, headers: dict[str, str]) -> None:
    browser = await shared.signed_in()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    made = {**HTML, **kind, **headers}
    before = await roles(shared)
    seen = await send(browser, SHARE, made, do="give", principal="everyone", role="manager")
    assert seen.status == 403
    assert seen.headers["Content-Type"].startswith("text/html")
    assert await roles(shared) == before


async def test_without_a_session_one_signs_in_first(shared: World) -> None:
    for path in ("/access/", SHARE):
        seen = await shared.browser().get(path)
        assert seen.status == 303
        assert seen.location.startswith("/access/login?next=%2Faccess%2F")
    posted = await send(shared.browser(), SHARE, do="give", principal="everyone", role="reader")
    assert "everyone" not in await roles(shared)
    assert posted.status in (303, 401)


async def test_the_console_lets_only_its_own_files_run(shared: World) -> None:
    browser = await shared.signed_in()
    for path in ("/access/", "/access/?kind=model", SHARE, "/access/share/experiment/2"):
        seen = await browser.get(path)
        assert seen.status == 200
        assert "unsafe" not in seen.headers["Content-Security-Policy"]
        assert seen.headers["Cache-Control"] == "no-store"
        assert re.findall(r"<script(?! src=)", seen.text) == []
        assert re.findall(r"<style|style=|\son\w+=", seen.text) == []


async def test_each_change_is_an_audit_line(shared: World) -> None:
    browser = await shared.signed_in()
    await send(browser, SHARE, do="give", principal="everyone", role="reader")
    await send(browser, SHARE, do="remove", principal="user:alice@example.com")
    await shared.later(1)
    text = (shared.folder / "audit.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    writes = [one for one in lines if one.get("call") == "acl/write"]
    assert [one["status"] for one in writes] == [303, 400]
    assert (writes[0]["grant_to"], writes[0]["role"]) == ("everyone", "reader")


async def test_a_role_that_roles_yaml_no_longer_has_shows_nothing(shared: World) -> None:
    acls = shared.gateways[0].acls
    await acls.create_acl(Resource(Kind.EXPERIMENT, "5"), None, {"everyone": "former-role"})
    seen = await (await shared.signed_in()).get("/access/")
    assert "number 5" not in seen.text
    assert "churn" in seen.text
