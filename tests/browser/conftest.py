"""A site as a company has it: MLflow, two gateways behind a balancer, a certified provider."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.balancer import Balancer
from tests.browser.tools import launch, node_modules
from tests.e2e.world import mlgate, until
from tests.stack import Process, Stack, free_port, http, make_tokens, start, start_gateway

HERE = Path(__file__).parent
PEOPLE = {
    "alice": ["data-science"],
    "bob": ["data-science"],
    "carol": ["research"],
    "dave": ["mlflow-admins"],
}
SETTINGS = """
session: {{refresh_seconds: 5, idle_seconds: 3600}}
identity:
  - type: oidc
    name: corp
    issuer: {issuer}
    client_id: mlgate
    client_secret_env: OIDC_CLIENT_SECRET
    scopes: [openid, profile, email, groups]
"""


@dataclass
class Site:
    """``url`` is the balancer's; ``tokens`` are API tokens by person."""

    url: str
    folder: Path
    mlflow: Process
    gateways: list[Process]
    issuer: str
    people: Path
    tokens: dict[str, str]
    balancer: Balancer
    contexts: list[BrowserContext] = field(default_factory=list)

    def call(self, who: str, method: str, path: str, body: Any = None) -> Any:
        """One API call with a token; it must work."""
        answer = http(method, self.url + path, token=self.tokens[who], json_body=body)
        assert answer.status == 200, answer.body
        return answer.json()

    def move(self, who: str, *groups: str) -> None:
        """Put somebody into other groups at the provider."""
        listed = json.loads(self.people.read_text())
        self.people.write_text(json.dumps({**listed, who: list(groups)}))

    def mlgate(self, *args: str) -> str:
        """The command line on the gateways' store."""
        config = next(self.folder.glob("gateway-*.yaml"))
        done = mlgate(*args, "--config", str(config), cwd=self.folder, OIDC_CLIENT_SECRET="x")
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="package")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, shared by the browser tests; MLflow is the session's."""
    folder = tmp_path_factory.mktemp("site")
    people = folder / "people.json"
    people.write_text(json.dumps(PEOPLE))
    names = {f"{name}@example.com": tuple(groups) for name, groups in PEOPLE.items()}
    made = make_tokens(f"sqlite:///{folder / 'acl.db'}", names)
    tokens = {name: made[f"{name}@example.com"] for name in PEOPLE}
    modules = node_modules()
    with ExitStack() as opened:
        balancer = opened.enter_context(Balancer(free_port()))
        port = free_port()
        issuer = f"http://127.0.0.1:{port}"
        command = ["node", str(HERE / "provider.mjs"), str(modules), str(port), str(people)]
        provider = start([*command, balancer.url], issuer, folder / "provider.log", folder)
        opened.callback(provider.stop)
        provider.wait_for("/.well-known/openid-configuration", 60)
        gateways = []
        for _ in range(2):
            gateway = start_gateway(
                folder,
                [stack.mlflow.url],
                more=SETTINGS.format(issuer=issuer),
                OIDC_CLIENT_SECRET="a secret of the tests",
                MLGATE_PUBLIC_URL=balancer.url,
            )
            opened.callback(gateway.stop)
            gateways.append(gateway)
        for gateway in gateways:
            gateway.wait_for("/access/readyz")
        balancer.behind = [gateway.url for gateway in gateways]
        yield Site(balancer.url, folder, stack.mlflow, gateways, issuer, people, tokens, balancer)


@pytest.fixture(scope="module")
def chromium(site: Site) -> Iterator[Browser]:
    """After the servers: while Playwright runs in a thread, that thread has its event loop."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


NewPage = Callable[[], Page]


@pytest.fixture
def person(chromium: Browser) -> Iterator[NewPage]:
    """Makes pages of people who share nothing: no cookies, no cache."""
    contexts: list[BrowserContext] = []

    def page() -> Page:
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(30_000)
        contexts.append(context)
        return context.new_page()

    yield page
    for context in contexts:
        context.close()


def sign_in(page: Page, site: Site, who: str, path: str = "/") -> None:
    """As a person does: open the page, give a name at the provider, agree, come back."""
    page.goto(site.url + path)
    page.wait_for_url(f"{site.issuer}/interaction/**")
    page.fill("input[name=login]", who)
    page.fill("input[name=password]", "any")
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: url.startswith(site.url) or "/interaction/" in url)
    if not page.url.startswith(site.url):
        page.click("button[type=submit]")  # consent, the first time
    page.wait_for_url(f"{site.url}/**")


def whoami(page: Page) -> Any:
    """The session as the page's own script would ask for it."""
    return page.evaluate("async () => (await fetch('/access/api/v1/whoami')).json()")


__all__ = ["NewPage", "Site", "sign_in", "until", "whoami"]
