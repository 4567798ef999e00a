"""People in Chromium, at a certified provider, on two gateways behind a balancer, before MLflow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import NewPage, Site, agree, eventually, sign_in, whoami
from tests.e2e.world import API, IN_FORCE_SECONDS, OWN, in_force, name_of
from tests.stack import http

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]


def new_experiment(site: Site, who: str, name: str) -> str:
    made = site.call(who, "POST", f"{API}/experiments/create", {"name": name})
    return str(made["experiment_id"])


async def is_status(page: Page, script: str, status: int) -> bool:
    return bool(await page.evaluate(script) == status)


async def test_a_deep_link_leads_through_sign_in_to_its_page(site: Site, person: NewPage) -> None:
    name = name_of("deep")
    experiment = new_experiment(site, "alice", name)
    page = await person()
    leaked: list[str] = []
    page.on("request", lambda r: leaked.append(r.url) if r.url.startswith(site.issuer) else None)
    target = f"/#/experiments/{experiment}/runs"
    await sign_in(page, site, "alice", target)
    await page.wait_for_url(f"{site.url}{target}**")
    await expect(page.get_by_text(name).first).to_be_visible()
    who = await whoami(page)
    assert (who["principal"], who["groups"], who["method"]) == (
        "user:alice@example.com",
        ["data-science"],
        "session:corp",
    )
    assert not [url for url in leaked if f"experiments/{experiment}" in url]
    assert {0, 1} <= set(site.balancer.taken), "both gateways took part"


async def test_tabs_sign_in_side_by_side(site: Site, person: NewPage) -> None:
    one = await person()
    two = await one.context.new_page()
    ids = [new_experiment(site, "bob", name_of("tab")) for _ in range(2)]
    for page, experiment in zip((one, two), ids, strict=True):
        await page.goto(f"{site.url}/#/experiments/{experiment}")
        await page.wait_for_url(f"{site.issuer}/interaction/**")
    for page, experiment in zip((one, two), ids, strict=True):
        await page.fill("input[name=login]", "bob")
        await page.fill("input[name=password]", "any")
        await page.click("button[type=submit]")
        await agree(page, site)
        await page.wait_for_url(f"{site.url}/#/experiments/{experiment}**")
    for page in (one, two):
        assert (await whoami(page))["principal"] == "user:bob@example.com"


async def test_what_is_shared_is_seen_within_a_second(site: Site, person: NewPage) -> None:
    experiment = new_experiment(site, "alice", name_of("shared"))
    carol = await person()
    await sign_in(carol, site, "carol")
    ask = f"""async () => (await fetch(
        '/ajax-api/2.0/mlflow/experiments/get?experiment_id={experiment}')).status"""
    assert await carol.evaluate(ask) == 403
    alice = await person()
    await sign_in(alice, site, "alice")
    shared = await alice.evaluate(
        """async ([path, body]) => (await fetch(path, {method: 'PUT', body,
            headers: {'Content-Type': 'application/json'}})).status""",
        [f"{OWN}/acl/experiment/{experiment}/user:carol@example.com", '{"role": "reader"}'],
    )
    assert shared == 200
    for gateway in site.gateways:
        get = f"{gateway.url}{API}/experiments/get?experiment_id={experiment}"
        token = site.tokens["carol"]
        in_force(lambda at=get, by=token: http("GET", at, token=by).status == 200, IN_FORCE_SECONDS)
    assert await carol.evaluate(ask) == 200


async def test_the_menu_says_who_one_is_and_signs_out_everywhere(
    site: Site, person: NewPage
) -> None:
    page = await person()
    experiment = new_experiment(site, "bob", name_of("menu"))
    await sign_in(page, site, "bob", f"/#/experiments/{experiment}/runs")
    cookies = await page.context.cookies(site.url)
    (session,) = [one for one in cookies if one["name"].startswith("mlgate-")]
    assert (session["httpOnly"], session["sameSite"]) == (True, "Lax")
    assert "bob" not in session["value"]
    menu = page.get_by_role("button", name="Menu of bob@example.com")
    await menu.click()
    await page.keyboard.press("Escape")
    await expect(menu).to_be_focused()
    await page.keyboard.press("Enter")
    share = page.get_by_role("link", name="Share this experiment")
    await expect(share).to_be_focused()
    assert (await share.get_attribute("href") or "").endswith(f"/experiment/{experiment}")
    await expect(page.get_by_text("data-science", exact=True)).to_be_visible()
    await expect(page.get_by_text("No runs logged")).to_be_visible()
    await page.screenshot(path=str(site.folder / "menu.png"))
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url(f"{site.issuer}/session/end**")
    await page.click("button[value=yes]")
    await page.wait_for_url(f"{site.url}/access/logout**")
    await expect(page.get_by_text("You are signed out")).to_be_visible()
    cookie = {"Cookie": f"{session['name']}={session['value']}"}
    for gateway in site.gateways:
        address = f"{gateway.url}{OWN}/whoami"
        in_force(lambda at=address: http("GET", at, headers=cookie).status == 401)
    # Signed out at the provider too: it asks for the name again.
    await page.goto(site.url + "/")
    await page.wait_for_url(f"{site.issuer}/interaction/**")
    await expect(page.locator("input[name=login]")).to_be_visible()


async def test_a_session_that_ends_during_work_says_so_and_offers_sign_in(
    site: Site, person: NewPage
) -> None:
    page = await person()
    experiment = new_experiment(site, "carol", name_of("ended"))
    target = f"/#/experiments/{experiment}/runs"
    await sign_in(page, site, "carol", target)
    await page.wait_for_url(f"{site.url}{target}**")
    await expect(page.get_by_role("button", name="Menu of carol@example.com")).to_be_visible()
    assert "by corp" in site.mlgate("session", "list", "user:carol@example.com")
    ended = site.mlgate("session", "revoke", "user:carol@example.com")
    assert "of user:carol@example.com ended" in ended
    # The page's own calls are refused from now on; the menu's script notices one of them.
    ask = """async () => { const got = await fetch('/ajax-api/3.0/mlflow/server-info');
        await got.text(); return got.status; }"""
    await eventually(lambda: is_status(page, ask, 401), seconds=5)
    banner = page.get_by_role("alert").filter(has_text="Your session has ended")
    await expect(banner).to_be_visible(timeout=20_000)  # not by its watch, which looks each minute
    await page.screenshot(path=str(site.folder / "ended.png"))
    # The person goes on to another page meanwhile: sign-in leads to that one.
    await page.evaluate("() => { location.hash = '#/models'; }")
    await banner.get_by_role("link", name="Sign in again").click()
    await page.wait_for_url(f"{site.url}/#/models**")
    assert (await whoami(page))["principal"] == "user:carol@example.com"


async def test_new_groups_arrive_without_signing_in_again(site: Site, person: NewPage) -> None:
    page = await person()
    await sign_in(page, site, "bob")
    assert (await whoami(page))["groups"] == ["data-science"]
    site.move("bob", "data-science", "research")

    async def moved() -> bool:
        return bool((await whoami(page))["groups"] == ["data-science", "research"])

    try:
        await eventually(moved)
    finally:
        site.move("bob", "data-science")


@contextmanager
def other_site(target: str) -> Iterator[str]:
    """A page on another port of this host: another origin on the same site, as a sibling domain
    would be. SameSite cookies do not stop it."""
    html = f"""<!doctype html><title>other</title>
    <form id="f" method="post" enctype="text/plain" action="{target}"><input name='{{"name": "csrf'
     value='"}}'></form>""".encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


async def test_a_page_of_another_origin_cannot_write_with_ones_session(
    site: Site, person: NewPage
) -> None:
    page = await person()
    await sign_in(page, site, "alice")
    target = f"{site.url}/ajax-api/2.0/mlflow/experiments/create"
    with other_site(target) as elsewhere:
        await page.goto(elsewhere)
        sent: list[Any] = []
        page.context.on("response", lambda r: sent.append((r.status, r.request.method, r.url)))
        await page.evaluate(
            """async (url) => { await fetch(url, {method: 'POST', mode: 'no-cors',
                credentials: 'include', body: '{"name": "csrf"}'}).catch(() => 0); }""",
            target,
        )
        await page.evaluate(
            """async (url) => { await fetch(url, {method: 'POST', mode: 'no-cors',
                credentials: 'include'}).catch(() => 0); }""",
            f"{site.url}/access/logout",
        )
        await page.evaluate("() => document.getElementById('f').submit()")
        await page.wait_for_url(target)
    posts = [status for status, method, url in sent if method == "POST" and site.url in url]
    assert posts
    assert set(posts) == {403}
    await page.goto(site.url + "/")
    assert (await whoami(page))["principal"] == "user:alice@example.com"
    found = site.call("dave", "POST", f"{API}/experiments/search", {"max_results": 1000})
    assert not [one for one in found["experiments"] if one["name"].startswith("csrf")]


async def test_a_token_made_in_the_browser_works_from_the_client(
    site: Site, person: NewPage
) -> None:
    page = await person()
    await sign_in(page, site, "alice")
    made = await page.evaluate(
        """async (path) => (await fetch(path, {method: 'POST', body: '{"label": "laptop"}',
            headers: {'Content-Type': 'application/json'}})).json()""",
        f"{OWN}/tokens",
    )
    import mlflow

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_TOKEN", made["token"])
        client = mlflow.MlflowClient(site.url)
        experiment = client.create_experiment(name_of("from-token"))
        run = client.create_run(experiment)
        client.log_metric(run.info.run_id, "loss", 0.5)
    await page.goto(f"{site.url}/#/experiments/{experiment}/runs/{run.info.run_id}")
    await expect(page.get_by_text("loss").first).to_be_visible()
