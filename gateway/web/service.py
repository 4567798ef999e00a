"""The outermost layer: request ids, limits, dispatch, refusals, audit and metrics.

The only place with a broad ``except``: whatever goes wrong below becomes one clear answer here,
without a traceback.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.audit.event import Trail, event_of, result_of
from gateway.audit.sinks import Sink
from gateway.clock import Clock
from gateway.credentials.chain import challenge
from gateway.errors import BadRequest, Forbidden, GatewayError, Unauthenticated
from gateway.metrics import Metrics
from gateway.model import Principal
from gateway.proxy import Proxy
from gateway.sessions.going_back import local_target
from gateway.settings import Settings
from gateway.web.errors import draining, render
from gateway.web.head import Head, HeadReader, wants_html
from gateway.web.own import OwnEndpoints
from gateway.web.pages import see_other
from gateway.web.sign_in import login_address

log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest, Head, Trail], Awaitable[web.StreamResponse]]
_OWN = "/access/"
_OWN_API = "/access/api/"
_SIGNING_IN = ("/access/login", "/access/callback", "/access/logout")
Look = Callable[[str | None], Awaitable[Principal | None]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class _Unexpected(GatewayError):
    """A defect of the gateway. 500 is retried by clients, which is right: nothing was decided."""


class Service:
    """Handles every request of one worker process."""

    def __init__(
        self,
        settings: Settings,
        proxy: Proxy,
        own: OwnEndpoints,
        audit: Sink,
        metrics: Metrics,
        clock: Clock,
        *,
        look: Look | None = None,
    ) -> None:
        """``look``: whose session a Cookie header holds; None: browsers cannot sign in here."""
        self._settings = settings
        self._proxy = proxy
        self._own = own
        self._audit = audit
        self._metrics = metrics
        self._clock = clock
        self._look = look
        self._audit_reads = settings.audit.reads
        self._trusted = _networks(settings.trusted_proxies)
        self.draining = False
        self.in_flight = 0
        self._idle = asyncio.Event()
        self._heads = HeadReader(settings.limits.header_bytes, settings.public_url)
        # Request ids: unique, not secret.
        self._prefix = secrets.token_hex(6) + "-"
        self._count = 0

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; what aiohttp calls."""
        clock = self._clock
        self._count += 1
        trail = Trail(f"{self._prefix}{self._count:x}", clock.now(), clock.monotonic())
        self.in_flight += 1
        try:
            return await self._answer(request, trail)
        finally:
            self.in_flight -= 1
            if self.draining and not self.in_flight:
                self._idle.set()

    async def drain(self) -> None:
        """Refuse new calls and wait, bounded, until those in flight are done."""
        self.draining = True
        if not self.in_flight:
            return
        try:
            async with asyncio.timeout(self._settings.limits.drain_seconds):
                await self._idle.wait()
        except TimeoutError:
            log.warning("%d requests were cut after the drain time", self.in_flight)

    async def _answer(self, request: web.BaseRequest, trail: Trail) -> web.StreamResponse:
        message = request._message
        head: Head | None = None
        try:
            head = self._heads.read(message.method, message.path, message.raw_headers)
            if head.headers.request_id is not None:
                trail.request_id = head.headers.request_id
            trail.method, trail.path = head.method, head.target.partition("?")[0][:512]
            peer = request.protocol.peername
            trail.peer = str(peer[0]) if isinstance(peer, tuple) else ""
            if self._trusted and head.headers.forwarded_for:
                trail.peer = self._client(trail.peer, head.headers.forwarded_for)
            if head.headers.cross_site and head.method not in ("GET", "HEAD"):
                raise Forbidden(
                    "This call comes from a web page of another site and is refused; open MLflow "
                    "at its own address."
                )
            if trail.path.startswith(_OWN):
                response = await self._own.handle(request, head, trail)
            elif self.draining:
                raise draining()
            else:
                response = await self._proxy.handle(request, head, trail)
            trail.status = response.status
        except GatewayError as error:
            response = await self._told(request, error, head, trail)
        except (ConnectionError, asyncio.CancelledError):
            trail.status = 499  # nginx's number for "the client went away"
            self._record(trail)
            raise
        except Exception as error:
            log.exception("defect in request %s", trail.request_id)
            defect = _Unexpected("The gateway failed on this call; report the request id.")
            defect.__cause__ = error
            response = self._refused(request, defect, head, trail)
        # After this turn of the loop, which writes the answer: nobody waits for the records.
        asyncio.get_running_loop().call_soon(self._record, trail)
        return response

    def unreadable(self, request: web.BaseRequest, status: int) -> web.StreamResponse:
        """The answer to bytes that are not an HTTP request (or to a defect below this layer)."""
        clock = self._clock
        self._count += 1
        trail = Trail(f"{self._prefix}{self._count:x}", clock.now(), clock.monotonic())
        peer = request.protocol.peername
        trail.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        error: GatewayError = BadRequest(
            "This is not an HTTP request that the gateway can read; check the request line, the "
            "headers and their sizes."
        )
        if status >= 500:
            error = _Unexpected("The gateway failed on this call; report the request id.")
        response = self._refused(request, error, None, trail)
        self._record(trail)
        return response

    async def _told(
        self, request: web.BaseRequest, error: GatewayError, head: Head | None, trail: Trail
    ) -> web.StreamResponse:
        """The refusal; on a page it says who one is, also where nothing else depends on that."""
        unknown = trail.principal is None and not isinstance(error, Unauthenticated)
        if unknown and self._look is not None and head is not None and wants_html(head):
            with contextlib.suppress(GatewayError):
                trail.principal = await self._look(head.headers.cookie)
        return self._refused(request, error, head, trail)

    def _refused(
        self, request: web.BaseRequest, error: GatewayError, head: Head | None, trail: Trail
    ) -> web.StreamResponse:
        trail.status = error.status
        trail.error = error.error_code.lower()
        if error.detail:
            log.info("request %s: %s", trail.request_id, error.detail)
        page = head is not None and wants_html(head)
        sign_in = None
        if page and head is not None and self._look is not None:
            sign_in = login_address(_asked_for(head, trail))
            if isinstance(error, Unauthenticated) and _leads_to_sign_in(trail):
                trail.status = 303
                return see_other(sign_in, [(b"x-request-id", trail.request_id.encode("ascii"))])
        return render(
            error,
            trail.request_id,
            page=page,
            public_url=self._settings.public_url,
            challenge=challenge(request.headers) if isinstance(error, Unauthenticated) else "",
            principal=trail.principal,
            sign_in=sign_in,
        )

    def _record(self, trail: Trail) -> None:
        seconds = self._clock.monotonic() - trail.started
        decision = trail.decision
        self._metrics.request(
            result_of(trail), trail.status, decision.reason if decision else None, seconds
        )
        if trail.notes.pop("quiet", False):
            return
        if self._audit_reads or trail.does != "read" or trail.status >= 400:
            self._audit.write(event_of(trail, seconds * 1000))

    def _client(self, peer: str, forwarded_for: str) -> str:
        """The address that a trusted proxy names; for the audit line only."""
        if not _within(peer, self._trusted):
            return peer
        return forwarded_for.rpartition(",")[2].strip()[:64]


def _leads_to_sign_in(trail: Trail) -> bool:
    """Whether a page, and no call of a client, was asked for without a session.

    Clients would follow a redirect and choke on the page behind it, so API paths have none.
    """
    own = trail.path.startswith(_OWN) and not trail.path.startswith(_OWN_API)
    return trail.call == "ui" or (own and not trail.path.startswith(_SIGNING_IN))


def _asked_for(head: Head, trail: Trail) -> str:
    """The page to come back to after signing in; the first one when it was sign-in itself."""
    if trail.path.startswith(_SIGNING_IN):
        return "/"
    try:
        return local_target(head.target)
    except BadRequest:
        return "/"


def _networks(trusted: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(one, strict=False) for one in trusted)


def _within(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
