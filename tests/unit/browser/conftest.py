"""Whole gateways in this process, an issuer that browsers can sign in with, and browsers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from gateway.acl.sqlite import SqliteStore
from gateway.app import Gateway, listen
from gateway.settings import Admins, Audit, IdentityProvider, Session, Settings, Upstream
from tests.fakes.fake_issuer import FakeIssuer
from tests.fakes.fake_issuer_clock import FakeClock
from tests.fakes.fake_sign_in import CLIENT, FakeSignIn

ROOT = Path(__file__).parents[3]
UI_CSP = "frame-ancestors 'self'; script-src 'self' 'unsafe-inline'"
HTML = {"Accept": "text/html,application/xhtml+xml"}
SAME = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Seen:
    """One answer."""

    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def location(self) -> str:
        return str(self.headers["Location"])

    @property
    def set_cookies(self) -> list[str]:
        return list(self.headers.getall("Set-Cookie", []))


@dataclass
class Browser:
    """A browser as far as HTTP goes: cookies for one site, whichever gateway answers for it."""

    http: aiohttp.ClientSession
    url: str
    cookies: dict[str, str] = field(default_factory=dict)

    async def ask(
        self, method: str, path: str, headers: Any = None, *, at: str | None = None, **more: Any
    ) -> Seen:
        made = {"User-Agent": "Mozilla/5.0", **(headers or {})}
        if self.cookies:
            made["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        url = URL((at or self.url) + path, encoded=True)
        async with self.http.request(
            method, url, headers=made, allow_redirects=False, **more
        ) as answer:
            seen = Seen(answer.status, answer.headers, await answer.read())
        for line in seen.set_cookies:
            name, _, rest = line.partition("=")
            value = rest.partition(";")[0]
            if value and "Max-Age=0" not in line:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return seen

    async def get(self, path: str, headers: Any = None, **more: Any) -> Seen:
        return await self.ask("GET", path, HTML if headers is None else headers, **more)

    async def begin(self, next: str = "/", provider: str = "corp", **more: Any) -> str:
        """Start a sign-in; the provider's address that the browser is sent to."""
        query = urlencode({"provider": provider, "next": next})
        seen = await self.get(f"/access/login/start?{query}", **more)
        assert seen.status == 303, seen.text
        return seen.location

    async def come_back(self, answer: dict[str, str], **more: Any) -> Seen:
        """The provider sends the person back."""
        return await self.get(f"/access/callback?{urlencode(answer)}", **more)

    async def whoami(self, **more: Any) -> Any:
        seen = await self.ask("GET", "/access/api/v1/whoami", **more)
        return seen.status


@dataclass
class World:
    """Gateways on one store and one issuer; ``clock`` is theirs and the issuer's."""

    folder: Path
    clock: FakeClock
    issuer: FakeIssuer
    provider: FakeSignIn
    http: aiohttp.ClientSession
    upstream: str
    gateways: list[Gateway] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    async def gateway(self, **changes: Any) -> str:
        """One more gateway for the site of the first one; its own address."""
        listener = listen("127.0.0.1", 0)[0]
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        values: dict[str, Any] = {
            "public_url": self.urls[0] if self.urls else url,
            "upstream": Upstream(urls=(self.upstream,)),
            "roles": str(ROOT / "config/roles.yaml"),
            "admins": Admins(groups=frozenset({"mlflow-admins"})),
            "identity": (self.identity(),),
            "audit": Audit(to=str(self.folder / "audit.log")),
            "session": Session(),
            **changes,
        }
        store = SqliteStore(self.folder / "acl.db", self.clock)
        made = Gateway(Settings(**values), store, self.clock)
        await made.start([listener])
        self.gateways.append(made)
        self.urls.append(url)
        return url

    def identity(self, **changes: Any) -> IdentityProvider:
        return self.issuer.settings(client_id=(CLIENT,), **changes)

    def browser(self) -> Browser:
        return Browser(self.http, self.urls[0])

    async def signed_in(self, next: str = "/") -> Browser:
        browser = self.browser()
        seen = await browser.come_back(self.provider.authorize(await browser.begin(next)))
        assert seen.status == 303, seen.text
        return browser

    async def later(self, seconds: float) -> None:
        """Time passes, and the feed is read meanwhile."""
        self.clock.advance(seconds)
        await self.hear()

    async def hear(self) -> None:
        """Every gateway reads the change feed."""
        for gateway in self.gateways:
            await gateway.acls.poll_once()


async def _index(request: web.Request) -> web.Response:
    page = "<!doctype html><html><head><title>MLflow</title></head><body></body></html>"
    headers = {"Content-Security-Policy": UI_CSP, "ETag": '"abc"', "X-Seen": str(request.headers)}
    return web.Response(text=page, content_type="text/html", headers=headers)


async def _health(request: web.Request) -> web.Response:
    return web.Response(text="OK")


async def _post(request: web.Request) -> web.Response:
    return web.json_response({"experiments": []})


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/", _index)
    app.router.add_get("/health", _health)
    app.router.add_route("*", "/{rest:.*}", _post)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


MakeWorld = Callable[..., Any]


@pytest.fixture
async def empty(tmp_path: Path, upstream: str) -> AsyncIterator[World]:
    """A world without a gateway yet."""
    clock, issuer = FakeClock(), FakeIssuer()
    provider = FakeSignIn(issuer, clock.now)
    await issuer.start()
    provider.publish()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        world = World(tmp_path, clock, issuer, provider, http, upstream)
        yield world
        for gateway in world.gateways:
            await gateway.stop()
    await issuer.stop()


@pytest.fixture
async def world(empty: World) -> World:
    await empty.gateway()
    return empty


def query_of(location: str) -> dict[str, str]:
    return {k: v[0] for k, v in parse_qs(urlsplit(location).query).items()}


__all__ = ["Browser", "World", "query_of"]
