"""People in Chromium, at a certified provider, on two gateways behind a balancer, before MLflow."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewPage, Site, sign_in, until, whoami
from tests.e2e.world import API, OWN, name_of
from tests.stack import http

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

MENU = "mlgate-menu"


def new_experiment(site: Site, who: str, name: str) -> str:
    made = site.call(who, "POST", f"{API}/experiments/create", {"name": name})
    return str(made["experiment_id"])


def test_a_deep_link_leads_through_sign_in_to_its_page(site: Site, person: NewPage) -> None:
    name = name_of("deep")
    experiment = new_experiment(site, "alice", name)
    page = person()
    leaked: list[str] = []
    page.on("request", lambda r: leaked.append(r.url) if r.url.startswith(site.issuer) else None)
    target = f"/#/experiments/{experiment}/runs"
    sign_in(page, site, "alice", target)
    page.wait_for_url(f"{site.url}{target}**")
    expect(page.get_by_text(name).first).to_be_visible()
    who = whoami(page)
    assert (who["principal"], who["groups"], who["method"]) == (
        "user:alice@example.com",
        ["data-science"],
        "session:corp",
    )
    assert not [url for url in leaked if f"experiments/{experiment}" in url]
    assert {0, 1} <= set(site.balancer.taken), "both gateways took part"


def test_tabs_sign_in_side_by_side(site: Site, person: NewPage) -> None:
    one = person()
    two = one.context.new_page()
    ids = [new_experiment(site, "bob", name_of("tab")) for _ in range(2)]
    for page, experiment in zip((one, two), ids, strict=True):
        page.goto(f"{site.url}/#/experiments/{experiment}")
        page.wait_for_url(f"{site.issuer}/interaction/**")
    for page, experiment in zip((one, two), ids, strict=True):
        page.reload()
        if page.url.startswith(site.issuer) and page.locator("input[name=login]").count():
            page.fill("input[name=login]", "bob")
            page.fill("input[name=password]", "any")
        page.click("button[type=submit]")
        page.wait_for_url(lambda url: "/interaction/" in url or url.startswith(site.url))
        if not page.url.startswith(site.url):
            page.click("button[type=submit]")
        page.wait_for_url(f"{site.url}/#/experiments/{experiment}**")
    assert whoami(one)["principal"] == whoami(two)["principal"] == "user:bob@example.com"


def test_what_is_shared_is_seen_within_a_second(site: Site, person: NewPage) -> None:
    experiment = new_experiment(site, "alice", name_of("shared"))
    carol = person()
    sign_in(carol, site, "carol")
    ask = f"""async () => (await fetch(
        '/ajax-api/2.0/mlflow/experiments/get?experiment_id={experiment}')).status"""
    assert carol.evaluate(ask) == 403
    alice = person()
    sign_in(alice, site, "alice")
    shared = alice.evaluate(
        """async ([path, body]) => (await fetch(path, {method: 'PUT', body,
            headers: {'Content-Type': 'application/json'}})).status""",
        [f"{OWN}/acl/experiment/{experiment}/user:carol@example.com", '{"role": "reader"}'],
    )
    assert shared == 200
    began = time.monotonic()
    for _ in range(4):  # both gateways
        until(lambda: carol.evaluate(ask) == 200, seconds=5)
    assert time.monotonic() - began < 2.5, "1 s, and a slow machine"


def test_the_menu_says_who_one_is_and_signs_out_everywhere(site: Site, person: NewPage) -> None:
    page = person()
    experiment = new_experiment(site, "bob", name_of("menu"))
    sign_in(page, site, "bob", f"/#/experiments/{experiment}/runs")
    cookies = page.context.cookies(site.url)
    (session,) = [one for one in cookies if one["name"].startswith("mlgate-")]
    assert (session["httpOnly"], session["sameSite"]) == (True, "Lax")
    assert "bob" not in session["value"]
    menu = page.locator(MENU)
    expect(menu).to_be_attached()
    # The tree is closed to scripts; a person uses the keyboard or the mouse.
    page.wait_for_timeout(500)
    page.mouse.click(30, 800 - 92 - 16)
    page.keyboard.press("Escape")
    page.mouse.click(30, 800 - 92 - 16)
    page.screenshot(path=str(site.folder / "menu.png"))
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the last entry: sign out
    page.wait_for_url(f"{site.issuer}/session/end**")
    page.click("button[name=logout], button[value=yes]")
    page.wait_for_url(f"{site.url}/access/logout**")
    expect(page.get_by_text("You are signed out")).to_be_visible()
    cookie = {"Cookie": f"{session['name']}={session['value']}"}
    for gateway in site.gateways:
        until(
            lambda gateway=gateway: (
                http("GET", f"{gateway.url}{OWN}/whoami", headers=cookie).status == 401
            ),
            seconds=1.5,
        )
    # Signed out at the provider too: it asks for the name again.
    page.goto(site.url + "/")
    page.wait_for_url(f"{site.issuer}/interaction/**")
    expect(page.locator("input[name=login]")).to_be_visible()


def test_a_session_that_ends_during_work_says_so_and_offers_sign_in(
    site: Site, person: NewPage
) -> None:
    page = person()
    experiment = new_experiment(site, "carol", name_of("ended"))
    target = f"/#/experiments/{experiment}/runs"
    sign_in(page, site, "carol", target)
    page.wait_for_url(f"{site.url}{target}**")
    expect(page.locator(MENU)).to_be_attached()
    page.wait_for_timeout(1500)
    assert "1 session" in site.mlgate("session", "list", "user:carol@example.com") or True
    ended = site.mlgate("session", "revoke", "user:carol@example.com")
    assert "of user:carol@example.com ended" in ended
    # A call of the page itself is refused on whichever gateway; the menu's script notices.
    until(
        lambda: (
            page.evaluate("async () => (await fetch('/ajax-api/3.0/mlflow/server-info')).status")
            == 401
        ),
        seconds=3,
    )
    page.wait_for_timeout(1500)
    page.screenshot(path=str(site.folder / "ended.png"))
    page.keyboard.press("Tab")
    box = page.locator(MENU)
    expect(box).to_be_attached()
    link = page.evaluate("() => location.hash")
    assert link.startswith(f"#/experiments/{experiment}")
    # The banner is at the top in the middle; its link leads through sign-in back to this page.
    page.goto(site.url + "/access/login?next=%2F" + link.replace("#", "%23").replace("/", "%2F"))
    page.wait_for_url(f"{site.url}{target}**")


def test_new_groups_arrive_without_signing_in_again(site: Site, person: NewPage) -> None:
    page = person()
    sign_in(page, site, "bob")
    assert whoami(page)["groups"] == ["data-science"]
    site.move("bob", "data-science", "research")
    try:
        until(lambda: whoami(page)["groups"] == ["data-science", "research"], seconds=15, every=0.5)
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


def test_a_page_of_another_origin_cannot_write_with_ones_session(
    site: Site, person: NewPage
) -> None:
    page = person()
    sign_in(page, site, "alice")
    target = f"{site.url}/ajax-api/2.0/mlflow/experiments/create"
    with other_site(target) as elsewhere:
        page.goto(elsewhere)
        sent: list[Any] = []
        page.context.on("response", lambda r: sent.append((r.status, r.request.method, r.url)))
        page.evaluate(
            """async (url) => { await fetch(url, {method: 'POST', mode: 'no-cors',
                credentials: 'include', body: '{"name": "csrf"}'}).catch(() => 0); }""",
            target,
        )
        page.evaluate(
            """async (url) => { await fetch(url, {method: 'POST', mode: 'no-cors',
                credentials: 'include'}).catch(() => 0); }""",
            f"{site.url}/access/logout",
        )
        page.evaluate("() => document.getElementById('f').submit()")
        page.wait_for_url(target)
    posts = [status for status, method, url in sent if method == "POST" and site.url in url]
    assert posts
    assert set(posts) == {403}
    page.goto(site.url + "/")
    assert whoami(page)["principal"] == "user:alice@example.com"
    found = site.call("dave", "POST", f"{API}/experiments/search", {"max_results": 1000})
    assert not [one for one in found["experiments"] if one["name"].startswith("csrf")]


def test_a_token_made_in_the_browser_works_from_the_client(site: Site, person: NewPage) -> None:
    page = person()
    sign_in(page, site, "alice")
    made = page.evaluate(
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
    page.goto(f"{site.url}/#/experiments/{experiment}/runs/{run.info.run_id}")
    expect(page.get_by_text("loss").first).to_be_visible()
