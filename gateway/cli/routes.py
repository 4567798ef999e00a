"""``mlgate routes``: the catalogue as a table, and how an MLflow differs from it."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from gateway.cli.common import Stop, mlflow_at, note, say
from gateway.cli.probe import MLFLOW_VERSION, difference, version_of
from gateway.model import Kind
from gateway.routes.catalogue import FAMILIES
from gateway.routes.route import Route, kind_of
from gateway.settings import Upstream
from gateway.settings_types import server_url

EPILOG = """\
The column CALL is what roles.yaml lists; ON says what decides: the roles on an experiment or a
registered model (both: every one that the request names), server (the server part of roles.yaml),
public (nobody needs to sign in) or refused (never forwarded).

examples:
  mlgate routes | grep artifacts
  mlgate routes --json | jq '.[] | select(.on == ["refused"])'
  mlgate routes --upstream http://127.0.0.1:5000      what differs in your own MLflow
"""


def add(commands: Any) -> None:
    """The subcommand's options."""
    parser = commands.add_parser(
        "routes",
        help="the endpoints that the gateway knows",
        description=f"The route catalogue, checked against MLflow {MLFLOW_VERSION}.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--upstream", metavar="URL", help="compare with the MLflow that runs here")
    parser.add_argument(
        "--static-prefix", default="", metavar="/PREFIX", help="that MLflow's --static-prefix"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0, or 1 when the MLflow differs from the catalogue."""
    if args.upstream:
        wrong = server_url(args.upstream)
        if wrong:
            raise Stop(f"--upstream {wrong}")
        return asyncio.run(_compare(args.upstream, args.static_prefix, args.json))
    if args.json:
        rows = [row_of(route, family) for family, routes in FAMILIES.items() for route in routes]
        say(json.dumps(rows, indent=2))
        return 0
    for family, routes in FAMILIES.items():
        say(f"# {family}")
        for route in routes:
            row = row_of(route, family)
            say(f"{row['method']:7}{row['path']:76}{row['call']:52}{' '.join(row['on'])}")
        say()
    return 0


def row_of(route: Route, family: str) -> dict[str, Any]:
    """One row for a person or a program; the twins of a path are one row."""
    prefixes = [prefix for prefix in route.prefixes if prefix]
    shown = prefixes[0] if len(prefixes) == 1 else "/{" + ",".join(p[1:] for p in prefixes) + "}"
    return {
        "family": family,
        "method": route.method,
        "path": (shown if prefixes else "") + route.path,
        "call": route.call,
        "does": route.does,
        "on": _on(route),
        "note": route.note,
    }


def _on(route: Route) -> list[str]:
    if route.scope != "resources":
        return [route.scope]
    kinds = {kind_of(ref.kind) for ref in route.refs}
    named = [kind.value for kind in Kind if kind in kinds]
    return named if route.kinds else ["server", *named]


async def _compare(url: str, static_prefix: str, as_json: bool) -> int:
    async with mlflow_at(Upstream(), url) as http:
        version = await version_of(http, static_prefix)
        found = await difference(http, static_prefix, version)
    if as_json:
        say(
            json.dumps(
                {
                    "version": version,
                    "catalogue": MLFLOW_VERSION,
                    "refused": [list(live) for live in found.unknown],
                    "gone": [list(live) for live in found.gone],
                    "doubt": found.doubt,
                },
                indent=2,
            )
        )
    elif found.same:
        say(f"MLflow {version}: every endpoint is in the catalogue")
    else:
        for line in found.lines():
            say(line)
        note(f"the catalogue is of MLflow {MLFLOW_VERSION}")
    return 0 if found.same else 1
