"""``mlgate check``: tries everything that the settings name, a line for each."""

from __future__ import annotations

import argparse
import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from gateway.acl.store import StoreUnavailable
from gateway.cli.common import (
    Stop,
    add_config,
    known_calls,
    mlflow_at,
    say,
    settings_of,
    store_of,
)
from gateway.cli.probe import difference, version_of
from gateway.idp.discovery import IssuerClient, Metadata, may_carry_secrets
from gateway.idp.jwks import FetchFailed
from gateway.roles import RolesError
from gateway.roles_watch import read_roles
from gateway.settings import IdentityProvider, Settings
from gateway.settings_load import SettingsError, missing_files

GOOD, BAD, HINT = "✓", "✗", "!"

EPILOG = """\
Lines begin with ✓ (good), ! (works, but look at it) or ✗ (broken: the exit status is 1).

examples:
  mlgate check --config gateway.yaml
  mlgate check --config gateway.yaml --offline     settings and roles only, as in a CI job
"""


def add(commands: Any) -> None:
    """The subcommand's options."""
    parser = commands.add_parser(
        "check",
        help="try out the settings, the roles and everything they name",
        description="Validates settings and roles; reaches MLflow, the identity providers and\n"
        "the store; compares the catalogue with the MLflow that it finds.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    parser.add_argument("--offline", action="store_true", help="reach nothing over the network")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when nothing is broken."""
    report = Report()
    try:
        settings = settings_of(args.config)
    except SettingsError as error:
        for problem in error.problems:
            report.bad("settings", str(problem))
        return report.status
    report.good("settings", args.config)
    check_files(settings, report)
    check_roles(settings, report)
    check_people(settings, report)
    if not args.offline:
        asyncio.run(check_network(settings, report))
    return report.status


class Report:
    """Prints a line for each thing looked at and remembers whether one was broken."""

    def __init__(self) -> None:
        self.status = 0

    def good(self, what: str, says: str) -> None:
        """It works."""
        say(f"{GOOD} {what}: {says}")

    def hint(self, what: str, says: str) -> None:
        """It works, but a person should look."""
        say(f"{HINT} {what}: {says}")

    def bad(self, what: str, says: str) -> None:
        """It does not work."""
        say(f"{BAD} {what}: {says}")
        self.status = 1


def check_files(settings: Settings, report: Report) -> None:
    """Files that are named are there, and the gateway's own certificate fits its key."""
    problems = [p for p in missing_files(settings) if p.key != "roles"]
    for problem in problems:
        report.bad("files", str(problem))
    tls = settings.tls
    if tls.cert_file is None or any(p.key.startswith("tls.") for p in problems):
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert_file, tls.key_file)
    except (ssl.SSLError, OSError) as error:
        report.bad("tls", f"{tls.cert_file} and {tls.key_file} do not fit together: {error}")
    else:
        report.good("tls", tls.cert_file)


def check_roles(settings: Settings, report: Report) -> None:
    """roles.yaml as it is now; a gateway that runs keeps its last good one."""
    try:
        matrix = read_roles(settings.roles, known_calls())
    except RolesError as error:
        for problem in error.problems:
            report.bad("roles", f"{settings.roles}: {problem}")
        return
    report.good("roles", f"{settings.roles}: {', '.join(matrix.roles)}")


def check_people(settings: Settings, report: Report) -> None:
    """Somebody can sign in, and somebody is admin."""
    if not settings.identity:
        report.hint("identity", "no provider is listed: only API tokens sign in")
    if not settings.admins.users and not settings.admins.groups:
        report.hint("admins", "nobody is an admin: list users or groups under admins")


async def check_network(settings: Settings, report: Report) -> None:
    """MLflow, the identity providers and the store answer."""
    for url in settings.upstream.urls:
        await _try(report, f"mlflow {url}", partial(_check_mlflow, settings, url, report))
    for provider in settings.identity:
        what = f"identity {provider.name}"
        await _try(report, what, partial(_check_provider, settings, provider, what, report))
    await _try(report, "store", partial(_check_store, settings, report))


async def _try(report: Report, what: str, check: Callable[[], Awaitable[None]]) -> None:
    try:
        await check()
    except (Stop, FetchFailed, StoreUnavailable, ssl.SSLError, OSError, ValueError) as error:
        report.bad(what, str(error))


async def _check_mlflow(settings: Settings, url: str, report: Report) -> None:
    what, prefix = f"mlflow {url}", settings.upstream.static_prefix
    async with mlflow_at(settings.upstream, url, seconds=10.0) as http:
        status, _, _ = await http.raw("GET", f"{prefix}/health")
        if status != 200:
            report.bad(what, f"/health answered {status}; is it MLflow, and is the prefix right?")
            return
        version = await version_of(http, prefix)
        found = await difference(http, prefix, version)
    report.good(what, f"MLflow {version or 'of an unknown version'} answers")
    # What this MLflow lacks harms nobody (a switch of its own may turn a family off).
    for line in replace(found, gone=()).lines():
        report.hint(what, line)
    if found.gone:
        many = f"{len(found.gone)} endpoints of the catalogue are not served here"
        report.hint(what, f"{many}; mlgate routes --upstream {url} lists them")


async def _check_provider(
    settings: Settings, provider: IdentityProvider, what: str, report: Report
) -> None:
    client = IssuerClient(provider)
    try:
        await client.keys()
        report.good(what, f"{provider.issuer} publishes usable keys")
        if provider.client_id:
            _check_sign_in(settings, await client.metadata(), what, report)
    finally:
        await client.close()


def _check_sign_in(settings: Settings, metadata: Metadata, what: str, report: Report) -> None:
    """A browser could be sent there, as far as the provider's metadata tells."""
    missing = [
        name
        for name in ("authorization_endpoint", "token_endpoint")
        if not may_carry_secrets(str(metadata.document.get(name)), metadata.issuer)
    ]
    if missing:
        report.hint(what, f"no sign-in with a browser: its metadata has no {', '.join(missing)}")
        return
    back = f"{settings.public_url}/access/callback"
    report.good(what, f"signs in with a browser; register {back} with it")


async def _check_store(settings: Settings, report: Report) -> None:
    async with store_of(settings):
        report.good("store", settings.store)
