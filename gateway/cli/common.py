"""What the subcommands share: where to work, how to speak HTTP, how to stop with a sentence."""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from gateway.acl.open import open_store
from gateway.acl.store import Store
from gateway.model import Kind, Resource
from gateway.roles import CallNames, RoleMatrix, call_names
from gateway.roles_watch import read_roles
from gateway.routes.catalogue import ROUTES
from gateway.settings import Settings, Upstream
from gateway.settings_load import load_settings

TIMEOUT_SECONDS = 30.0


class Stop(Exception):
    """Ends the command with status 1 and this sentence."""


def say(line: str = "") -> None:
    """A line of the answer (stdout)."""
    print(line)


def note(line: str) -> None:
    """A line for the person, not part of the answer (stderr)."""
    print(line, file=sys.stderr, flush=True)


# --- where to work ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Either a settings file (work on the store) or the URL of a running gateway."""

    config: str | None = None
    url: str | None = None


def add_config(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """``--config FILE``, or MLGATE_CONFIG."""
    default = os.environ.get("MLGATE_CONFIG")
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=default,
        required=required and default is None,
        help="the settings file, gateway.yaml (or MLGATE_CONFIG)",
    )


def add_place(parser: argparse.ArgumentParser) -> None:
    """``--config FILE`` or ``--url URL``, and their variables."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", metavar="FILE", help="work on the store of this gateway.yaml")
    where.add_argument(
        "--url", metavar="URL", help="work through a running gateway, as yourself (or MLGATE_URL)"
    )


def place_of(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Place:
    """What the options say, else MLGATE_CONFIG, MLGATE_URL, MLFLOW_TRACKING_URI. Raises Stop."""
    if args.config:
        return Place(config=args.config)
    if args.url:
        return Place(url=args.url)
    if config := environ.get("MLGATE_CONFIG"):
        return Place(config=config)
    url = environ.get("MLGATE_URL") or environ.get("MLFLOW_TRACKING_URI", "")
    if url.startswith(("http://", "https://")):
        return Place(url=url)
    raise Stop(
        "say where: --url https://mlflow.example.com (a running gateway; your token in "
        "MLFLOW_TRACKING_TOKEN), or --config gateway.yaml (the store, on the gateway's machine)"
    )


def settings_of(config: str | None) -> Settings:
    """The settings; raises SettingsError."""
    return load_settings(config, os.environ)


def known_calls() -> CallNames:
    """The calls of the catalogue."""
    return call_names(ROUTES)


def matrix_of(settings: Settings) -> RoleMatrix:
    """The role matrix of the settings; raises RolesError."""
    return read_roles(settings.roles, known_calls())


@asynccontextmanager
async def store_of(settings: Settings) -> AsyncIterator[Store]:
    """The store of the settings, closed at the end; raises StoreUnavailable early."""
    store = open_store(settings.store)
    try:
        await store.ping()
        yield store
    finally:
        await store.close()


def resource_from(text: str) -> Resource:
    """``experiment:5`` or ``model:churn``; raises Stop."""
    kind, _, name = text.partition(":")
    if kind not in [k.value for k in Kind] or not name:
        raise Stop(f"'{text}' is not a resource; write experiment:ID or model:NAME")
    if kind == Kind.EXPERIMENT and not (name.isascii() and name.isdigit()):
        raise Stop(f"'{name}' is not an experiment id; for a name write experiment:by-name:{name}")
    return Resource(Kind(kind), name)


# --- HTTP -------------------------------------------------------------------------------------


class Http:
    """JSON over HTTP to one server; use it in ``async with``."""

    def __init__(
        self,
        base: str,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.base = base.rstrip("/")
        self._headers = dict(headers or {})
        self._tls = tls
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Http:
        timeout = aiohttp.ClientTimeout(total=self._seconds)
        self._session = aiohttp.ClientSession(timeout=timeout, headers=self._headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self, method: str, target: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON object ({} if it is none); Stop when the server is not reached."""
        status, _, raw = await self.raw(method, target, body)
        try:
            answer = json.loads(raw)
        except ValueError:
            return status, {}
        return status, answer if isinstance(answer, dict) else {}

    async def raw(
        self, method: str, target: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and bytes; redirects are not followed. Raises Stop as ``call``."""
        assert self._session is not None, "use Http in 'async with'"
        try:
            url = URL(self.base + target, encoded=True)
            async with self._session.request(
                method, url, json=body, ssl=self._tls or True, allow_redirects=False
            ) as answer:
                return answer.status, answer.headers, await answer.read()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Stop(f"cannot reach {self.base}: {_why(error)}") from error


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error.strerror or error.os_error)
    return str(error) or type(error).__name__


def gateway_at(url: str, environ: Mapping[str, str] = os.environ) -> Http:
    """The API of a running gateway, signed in as MLflow's own variables say. Raises Stop."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise Stop(f"'{url}' is not the URL of a gateway; such as https://mlflow.example.com")
    headers = {}
    token = environ.get("MLFLOW_TRACKING_TOKEN")
    user = environ.get("MLFLOW_TRACKING_USERNAME")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif user:
        password = environ.get("MLFLOW_TRACKING_PASSWORD", "")
        headers["Authorization"] = aiohttp.BasicAuth(user, password, "utf-8").encode()
    else:
        raise Stop("set MLFLOW_TRACKING_TOKEN to your token, so that the gateway knows you")
    return Http(url, headers)


async def ask_gateway(
    http: Http, method: str, target: str, body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Call ``/access/api/v1/…``; raises Stop with the gateway's own sentence."""
    status, answer = await http.call(method, f"/access/api/v1/{target}", body)
    if status == 200:
        return answer
    message = answer.get("message") or f"{http.base} answered {status}; is it an mlgate gateway?"
    raise Stop(str(message))


def mlflow_at(upstream: Upstream, url: str | None = None, seconds: float = TIMEOUT_SECONDS) -> Http:
    """MLflow itself, reached as the gateway reaches it."""
    headers = {}
    if upstream.host:
        headers["Host"] = upstream.host
    if upstream.secret is not None:
        headers[upstream.secret_header] = upstream.secret.reveal()
    return Http((url or upstream.urls[0]).rstrip("/"), headers, _tls(upstream), seconds)


def _tls(upstream: Upstream) -> ssl.SSLContext | None:
    if upstream.ca_file is None and upstream.client_cert is None:
        return None
    context = ssl.create_default_context(cafile=upstream.ca_file)
    if upstream.client_cert is not None:
        context.load_cert_chain(upstream.client_cert, upstream.client_key)
    return context
