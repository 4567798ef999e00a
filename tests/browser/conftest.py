"""A site as a company has it: MLflow, two gateways behind a balancer, a certified provider."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401  (its plugin imports it at the end, when MLflow's threads run: gh-106905)
import pytest
from playwright.async_api import Error, Page, async_playwright, expect

from tests.browser.balancer import Balancer
from tests.browser.tools import fetch_chromium, launch, node_modules
from tests.e2e.world import OWN, mlgate
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
    fetch_chromium()
    with ExitStack() as opened:
        balancer = opened.enter_context(Balancer(free_port()))
        port = free_port()
        issuer = f"http://127.0.0.1:{port}"
        command = ["node", str(HERE / "provider.mjs"), str(modules), str(port), str(people)]
        provider = start([*command, balancer.url], issuer, folder / "provider.log", folder)
        opened.callback(provider.stop)
        provider.wait_for("/.well-known/openid-configuration")
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


NewPage = Callable[[], Awaitable[Page]]


@pytest.fixture
async def person(site: Site) -> AsyncIterator[NewPage]:
    """Makes pages of people who share nothing: no cookies, no cache."""
    expect.set_options(timeout=30_000)
    async with async_playwright() as playwright:
        browser = await launch(playwright)

        async def page() -> Page:
            context = await browser.new_context(viewport={"width": 1280, "height": 800})
            context.set_default_timeout(40_000)
            return await context.new_page()

        yield page
        await browser.close()


async def sign_in(page: Page, site: Site, who: str, path: str = "/") -> None:
    """As a person does: open the page, give a name at the provider, agree, come back."""
    await page.goto(site.url + path)
    await page.wait_for_url(f"{site.issuer}/interaction/**")
    await page.fill("input[name=login]", who)
    await page.fill("input[name=password]", "any")
    await page.click("button[type=submit]")
    await agree(page, site)


async def agree(page: Page, site: Site) -> None:
    """Consent at the provider (the first time), then back at the site."""
    consent = page.locator("input[name=prompt][value=consent]")

    async def further() -> bool:
        with suppress(Error):  # the page is changing under us
            return page.url.startswith(site.url) or await consent.count() > 0
        return False

    await eventually(further)
    if not page.url.startswith(site.url):
        await page.click("button[type=submit]")
    await page.wait_for_url(f"{site.url}/**")


async def whoami(page: Page) -> Any:
    """Who one is, as the page's own script would ask for it."""
    return await page.evaluate(f"async () => (await fetch('{OWN}/whoami')).json()")


async def eventually(ask: Callable[[], Awaitable[Any]], *, seconds: float = 60.0) -> None:
    """Ask until the answer is true, at most so long."""
    deadline = time.monotonic() + seconds
    while not await ask():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.05)  # polling real processes, with a deadline


__all__ = ["NewPage", "Site", "agree", "eventually", "sign_in", "whoami"]
