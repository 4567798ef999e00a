"""MLflow's page with the menu, the gateway's own pages, and what they say of refusals."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from gateway.settings import Limits, Session
from tests.unit.browser.conftest import HTML, SAME, UI_CSP, World

STATIC = Path(__file__).parents[3] / "gateway" / "web" / "static"


async def test_the_menu_is_added_to_the_page_and_nothing_else_is_changed(world: World) -> None:
    browser = await world.signed_in()
    seen = await browser.get("/", {**HTML, "If-None-Match": '"abc"'})
    (script,) = re.findall(r'<script src="([^"]+)" defer></script></head>', seen.text)
    without = seen.text.replace(f'<script src="{script}" defer></script>', "")
    assert without == (
        "<!doctype html><html><head><title>MLflow</title></head><body></body></html>"
    )
    assert seen.headers["Content-Security-Policy"] == UI_CSP
    assert "ETag" not in seen.headers
    assert seen.headers["Cache-Control"] == "no-cache, private"
    assert "If-None-Match" not in seen.headers["X-Seen"]
    loaded = await browser.get(script)
    assert loaded.status == 200
    assert loaded.headers["Content-Type"].startswith("text/javascript")
    assert "immutable" in loaded.headers["Cache-Control"]


async def test_the_menu_can_be_switched_off(empty: World) -> None:
    await empty.gateway(session=Session(menu=False))
    browser = await empty.signed_in()
    seen = await browser.get("/")
    assert "script" not in seen.text
    assert seen.headers["ETag"] == '"abc"'


async def test_static_files_have_no_way_out_of_their_folder(world: World) -> None:
    for path in ("..%2fpages.py", "%2e%2e", "nothing.js", ".", "..%2f..%2f..%2fREADME.md"):
        seen = await world.browser().get(f"/access/static/{path}", {"Accept": "*/*"})
        assert seen.status in (400, 404), path
    for path in STATIC.iterdir():
        seen = await world.browser().get(f"/access/static/{path.name}")
        assert seen.body == path.read_bytes()
        assert seen.headers["Cache-Control"] == "no-cache"


PAGES = ["/access/login", "/access/logout", "/access/nothing", "/nothing", "/access/callback"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("signed_in", [False, True])
async def test_no_page_lets_anything_run_but_the_gateways_files(
    world: World, path: str, signed_in: bool
) -> None:
    browser = await world.signed_in() if signed_in else world.browser()
    seen = await browser.get(path + "?again=1")
    policy = seen.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert seen.headers["X-Content-Type-Options"] == "nosniff"
    for attribute in ("style=", "onclick", "onload", "javascript:"):
        assert attribute not in seen.text
    assert re.findall(r"<script(?! src=)", seen.text) == []
    assert re.findall(r"<style", seen.text) == []


async def test_a_refused_page_says_who_one_is_what_is_missing_and_whom_to_ask(
    world: World,
) -> None:
    browser = await world.signed_in()
    seen = await browser.get("/ajax-api/2.0/mlflow/experiments/get?experiment_id=7")
    assert seen.status == 403
    assert "alice@example.com" in seen.text
    assert "data-science" in seen.text
    assert "experiments/get" in seen.text
    assert "ask a manager" in seen.text
    assert "/access/logout" in seen.text
    assert seen.headers["X-Request-Id"] in seen.text


async def test_a_page_that_does_not_exist_knows_who_one_is(world: World) -> None:
    browser = await world.signed_in()
    seen = await browser.get("/nothing")
    assert seen.status == 404
    assert "alice@example.com" in seen.text
    anonymous = await world.browser().get("/nothing")
    assert anonymous.status == 404
    assert "/access/login?next=%2Fnothing" in anonymous.text


async def test_too_many_requests_is_a_page_too(empty: World) -> None:
    await empty.gateway(limits=Limits(requests_per_second=0.5, burst=1))
    browser = await empty.signed_in()
    seen = [await browser.get("/") for _ in range(3)][-1]
    assert seen.status == 429
    assert "Wait a moment" in seen.text
    assert "Retry-After" in seen.headers


async def test_mlflow_that_is_down_is_a_page_too(empty: World) -> None:
    empty.upstream = "http://127.0.0.1:9"
    await empty.gateway()
    browser = await empty.signed_in()
    seen = await browser.get("/")
    assert seen.status == 503
    assert "Nothing was lost" in seen.text
    assert "127.0.0.1:9" not in seen.text


async def test_names_with_markup_are_text(world: World) -> None:
    world.provider.groups = ["<script>alert(1)</script>", "a&b"]
    browser = await world.signed_in()
    seen = await browser.get("/nothing")
    assert "<script>alert" not in seen.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in seen.text


PROXY = "/ajax-api/2.0/mlflow/gateway-proxy"
LIST = f"{PROXY}?gateway_path=api%2F2.0%2Fendpoints%2F"


@pytest.fixture
async def asked(empty: World) -> AsyncIterator[list[str]]:
    """An MLflow that has an AI gateway behind it; what was asked of it."""
    seen: list[str] = []

    async def proxy(request: web.Request) -> web.Response:
        seen.append(f"{request.method} {request.path_qs} {await request.text()}".strip())
        return web.json_response({"endpoints": [{"name": "chat"}]})

    app = web.Application()
    app.router.add_route("*", PROXY, proxy)
    app.router.add_get("/health", lambda _: web.Response(text="OK"))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    empty.upstream = f"http://127.0.0.1:{runner.addresses[0][1]}"
    await empty.gateway()
    yield seen
    await runner.cleanup()


async def test_the_list_of_an_ai_gateway_is_mlflows_own_answer(
    empty: World, asked: list[str]
) -> None:
    browser = await empty.signed_in()
    token = await browser.ask("POST", "/access/api/v1/tokens", SAME, json={})
    bearer = {"Authorization": f"Bearer {json.loads(token.body)['token']}"}
    for who, headers in ((browser, {"Accept": "*/*"}), (empty.browser(), bearer)):
        seen = await who.get(LIST + "&json_data=x", headers)
        assert (seen.status, json.loads(seen.body)) == (200, {"endpoints": [{"name": "chat"}]})
        assert asked.pop().startswith(f"GET {PROXY}?gateway_path=api")
        assert asked == []
    assert (await empty.browser().get(LIST, {"Accept": "*/*"})).status == 401
    assert asked == []
    lines = [json.loads(one) for one in (empty.folder / "audit.log").read_text().splitlines()]
    reasons = [one["reason"] for one in lines if one["call"] == "gateway-proxy:GET"]
    assert reasons == ["server_call_for_everyone"] * 2 + ["unauthenticated"]


OTHERS = (
    "", "gateway_path=", "gateway_path=gateway/x/invocations", "gateway_path=/api/2.0/endpoints",
    "gateway_path=api/2.0/endpoints/&gateway_path=x", "gateway_path=api/2.0/endpoints//",
    "gateway_path=api/2.0/endpoints/%2e%2e/x", "gateway_path=API/2.0/endpoints",
    "gateway_path=api/2.0/endpoints%3Fx", "gateway_path=api%252F2.0/endpoints",
    "gateway%5Fpath=x", "Gateway_path=api/2.0/endpoints",
)  # fmt: skip


async def test_no_other_address_of_an_ai_gateway_is_asked(empty: World, asked: list[str]) -> None:
    browser = await empty.signed_in()
    for query in OTHERS:
        seen = await browser.get(f"{PROXY}?{query}", {"Accept": "*/*"})
        assert (seen.status, asked) == (400, []), query
    for body in ({"gateway_path": "api/2.0/endpoints/"}, {"gateway_path": "gateway/x/invocations"}):
        posted = await browser.ask("POST", PROXY, SAME, json=body)
        assert (posted.status, asked) == (403, [])
