"""The only wiring: settings become a running gateway. Nobody imports this but the commands."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from gateway.acl.cache import AclCache
from gateway.acl.open import open_store
from gateway.acl.store import Change, Store, StoreUnavailable
from gateway.audit.sinks import Sink, open_sink
from gateway.authorize import Authorizer
from gateway.clock import Clock, SystemClock
from gateway.credentials.chain import Identify
from gateway.credentials.session import SessionCookie
from gateway.filters.page_token import PageTokens
from gateway.forward import Forwarder
from gateway.idp.oidc import OidcProvider
from gateway.idp.sign_in import SignIn
from gateway.metrics import Metrics
from gateway.model import Principal
from gateway.proxy import Parts, Proxy
from gateway.rate import RateLimit
from gateway.resolve import Ownership, Resolver
from gateway.roles import call_names
from gateway.roles_watch import RolesFile, RolesState
from gateway.routes.catalogue import ROUTES
from gateway.routes.describe import Describer
from gateway.routes.schema import schema
from gateway.sessions.box import Box
from gateway.sessions.cookies import CookieNames
from gateway.sessions.live import Sessions
from gateway.settings import Settings
from gateway.settle import Settler
from gateway.trimmed import TrimmedAnswers
from gateway.upstream import Upstreams
from gateway.web.api.audit import AuditApi
from gateway.web.api.grants import GrantsApi
from gateway.web.api.health import HealthApi
from gateway.web.api.people import PeopleApi
from gateway.web.api.resources import ResourcesApi
from gateway.web.api.sessions import SessionsApi
from gateway.web.api.tokens import TokensApi
from gateway.web.console.audit import AuditPages
from gateway.web.console.directory import Directory
from gateway.web.console.names import Names
from gateway.web.console.overview import Overview
from gateway.web.console.resources import ResourcePages
from gateway.web.console.rules import RulePages
from gateway.web.console.services import ServicePages
from gateway.web.console.sessions import SessionPages
from gateway.web.console.share import SharePages
from gateway.web.console.tokens import TokenPages
from gateway.web.own import Endpoint, OwnEndpoints
from gateway.web.pages import StaticFiles
from gateway.web.server import HttpServer
from gateway.web.service import Service
from gateway.web.sign_in import SignInPages

log = logging.getLogger(__name__)

_MAX_FIELD = 16 * 1024
_SHARE_SECONDS = 1.0
_CLOSE_SECONDS = 5.0
_PAGE_TOKEN_SECRET = "page-token"
_SESSION_SECRET = "session"


class Gateway:
    """One worker process: everything between the listening socket and MLflow."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock | None = None,
        *,
        metrics_folder: Path | None = None,
    ) -> None:
        """Read roles.yaml and compile the catalogue. Raises RolesError, OSError (audit file).

        Must be made inside the running event loop. ``metrics_folder`` is where the workers of
        one gateway leave their numbers for each other.
        """
        clock = clock or SystemClock()
        self.settings = settings
        self.metrics = Metrics(metrics_folder)
        self.names = call_names(ROUTES)
        self.roles = RolesFile(settings.roles, self.names, clock, self._roles_changed)
        self.store = store
        self.acls = AclCache(store, clock, settings.limits)
        self.upstreams = Upstreams(settings.upstream, clock=clock)
        self.forwarder = Forwarder(self.upstreams)
        self.resolver = Resolver(
            self.forwarder.ask,
            prefix=settings.upstream.static_prefix,
            remember=settings.limits.ref_cache,
            clock=clock,
        )
        self.ownership = Ownership(self.acls, self.resolver, self._matrix, clock)
        self.authorizer = Authorizer(self.acls, self.ownership, self.resolver, self._matrix)
        providers = [OidcProvider(one, settings.admins, clock) for one in settings.identity]
        self.sign_ins = {
            one.name: SignIn(one, provider, settings.public_url, clock)
            for one, provider in zip(settings.identity, providers, strict=True)
            if one.client_id
        }
        self.cookies = CookieNames(settings.public_url)
        self.sessions = Sessions(
            self.acls, self.sign_ins, self.cookies, settings.session, settings.admins, clock
        )
        self.identify = Identify(
            providers,
            self.acls,
            settings.admins,
            settings.limits,
            clock,
            recorder=self.acls,
            session=SessionCookie(self.sessions),
        )
        self.acls.on_change(self._changed)
        self._clock = clock
        self._audit: Sink = open_sink(settings.audit.to, self.metrics.lose_audit_line)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: HttpServer | None = None
        self._listeners: list[asyncio.Server] = []
        self.service: Service | None = None

    async def start(self, listeners: list[socket.socket]) -> None:
        """Begin to serve on bound sockets. Raises StoreUnavailable when the store is not there."""
        secret = await self.store.secret(_PAGE_TOKEN_SECRET)
        box = Box(await self.store.secret(_SESSION_SECRET))
        self.sessions.unlock(box)
        await self.upstreams.start()
        self.identify.start()
        self._run(self.acls.run_feed())
        self._run(self.roles.watch())
        if self.settings.workers > 1:
            self._run(self._share_metrics())
        self.service = self._service(PageTokens([secret]), box)
        self._server = HttpServer(
            self.service, max_line=self.settings.limits.target_bytes, max_field=_MAX_FIELD
        )
        loop = asyncio.get_running_loop()
        tls = _tls(self.settings)
        for listener in listeners:
            made = await loop.create_server(self._server, sock=listener, ssl=tls, backlog=1024)
            self._listeners.append(made)

    async def stop(self) -> None:
        """Not ready first, then drain, then close everything. Each step is bounded, and one that
        fails does not keep the next from being done."""
        if self.service is not None:
            await self.service.drain()
        for listener in self._listeners:
            listener.close()
        if self._server is not None:
            self._server.pre_shutdown()  # connections that wait for a next call close at once
            await _closing(self._server.shutdown(1.0), "client connections")
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await _closing(asyncio.gather(*tasks, return_exceptions=True), "background tasks")
        await _closing(self.sessions.close(), "browser sessions")
        await _closing(self.identify.stop(), "identity providers")
        await _closing(self.upstreams.close(), "connections to MLflow")
        await _closing(self.store.close(), "the ACL store")
        self._audit.close()

    async def problems(self) -> Mapping[str, str]:
        """Which parts are broken, for ``readyz``."""
        found: dict[str, str] = {}
        if self.service is not None and self.service.draining:
            found["gateway"] = "going down"
        if not self.upstreams.healthy():
            found["upstream"] = "no MLflow server answers"
        try:
            await self.store.ping()
        except StoreUnavailable as error:
            log.warning("the ACL store does not answer: %s", error)
            found["store"] = "the ACL store does not answer"
        for name in self.identify.problems():
            found[f"identity:{name}"] = "its keys are not known yet"
        return found

    def _service(self, tokens: PageTokens, box: Box) -> Service:
        settings, limits = self.settings, self.settings.limits
        proxy = Proxy(
            Parts(
                settings=settings,
                describer=Describer(ROUTES, schema(), settings.upstream.static_prefix),
                identify=self.identify,
                authorizer=self.authorizer,
                settler=Settler(self.acls, self.ownership, self.resolver, self._matrix),
                forwarder=self.forwarder,
                trimmed=TrimmedAnswers(
                    self.authorizer, self.forwarder, tokens, self._matrix, limits
                ),
                rate=RateLimit(limits, self._clock),
                matrix=self._matrix,
            )
        )
        names = Names(self.forwarder.ask, settings.upstream.static_prefix)
        grants = GrantsApi(self.acls, self.ownership, self.resolver, self._matrix)
        people = PeopleApi(self.acls, self.ownership, self._matrix, self.names, settings.admins)
        tokens_api = TokensApi(self.acls, settings.tokens, self._clock)
        resources = ResourcesApi(self.acls, names, self._matrix, tokens)
        audit = AuditApi(settings.audit)
        sessions_api = SessionsApi(self.sessions)
        apis = (
            HealthApi(self.problems, self.metrics, self._refresh_metrics),
            people,
            grants,
            tokens_api,
            sessions_api,
            resources,
            audit,
            SignInPages(settings, self.sign_ins, self.sessions, self.cookies, box, self._clock),
            StaticFiles(),
        )
        endpoints = tuple(one for api in apis for one in api.endpoints())
        own = OwnEndpoints(
            (
                *endpoints,
                *self._console(grants, tokens_api, people, sessions_api, resources, audit, names),
            ),
            proxy.principal,
        )
        return Service(
            settings,
            proxy,
            own,
            self._audit,
            self.metrics,
            self._clock,
            look=self._look if self.sign_ins else None,
        )

    def _console(
        self,
        grants: GrantsApi,
        tokens: TokensApi,
        people: PeopleApi,
        sessions: SessionsApi,
        resources: ResourcesApi,
        audit: AuditApi,
        names: Names,
    ) -> tuple[Endpoint, ...]:
        settings, acls = self.settings, self.acls
        directory = Directory(acls, self._clock)
        token_pages = TokenPages(settings, tokens, self._clock)
        pages = (
            Overview(settings, acls, names, self._matrix),
            ResourcePages(settings, resources),
            AuditPages(audit),
            SharePages(settings, grants, directory, names, self._matrix),
            RulePages(people, directory, self._matrix, self.names),
            token_pages,
            ServicePages(tokens, token_pages, directory, self._clock),
            SessionPages(sessions),
        )
        return tuple(one for part in pages for one in part.endpoints())

    async def _look(self, cookie: str | None) -> Principal | None:
        live = await self.sessions.look(cookie)
        return live.principal if live is not None else None

    def _matrix(self) -> Any:
        return self.roles.matrix

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background task ended: %r", error)

    def _changed(self, change: Change) -> None:
        if change.kind == "token":
            self.identify.forget_token(change.name)
        elif change.kind == "person":
            self.identify.forget_person(change.name)
        elif change.kind not in ("acl", "session"):
            self.identify.forget_all()

    def _roles_changed(self, state: RolesState) -> None:
        self.metrics.gauges["mlgate_roles_broken"] = 0.0 if state.ok else 1.0

    def _refresh_metrics(self) -> None:
        servers = self.upstreams.gauges()
        gauges = self.metrics.gauges
        gauges["mlgate_upstreams_healthy"] = sum(one.healthy for one in servers)
        gauges["mlgate_upstream_connections_in_use"] = sum(one.in_use for one in servers)
        gauges["mlgate_store_reads"] = self.acls.reads.records
        gauges["mlgate_mlflow_lookups"] = self.resolver.asked

    async def _share_metrics(self) -> None:
        """Every second, for the other workers."""
        while True:
            self._refresh_metrics()
            self.metrics.share()
            await asyncio.sleep(_SHARE_SECONDS)


async def _closing(work: Awaitable[Any], what: str) -> None:
    try:
        await asyncio.wait_for(work, _CLOSE_SECONDS)
    except (OSError, RuntimeError, ValueError) as error:  # TimeoutError is an OSError
        log.warning("closing %s: %r", what, error)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls.cert_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls.cert_file, settings.tls.key_file)
    return context


def listen(host: str, port: int) -> list[socket.socket]:
    """Bind the listening socket. Raises OSError (port in use, no permission)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(1024)
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return [made]


async def open_gateway(settings: Settings, *, metrics_folder: Path | None = None) -> Gateway:
    """A gateway on its store; raises StoreUnavailable, RolesError, OSError."""
    store = open_store(settings.store)
    try:
        return Gateway(settings, store, metrics_folder=metrics_folder)
    except BaseException:
        await store.close()
        raise


__all__ = ["Gateway", "listen", "open_gateway"]
