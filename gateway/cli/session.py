"""``mlgate session``: the browser sessions of a person, listed and ended."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from gateway.cli.common import (
    Place,
    Stop,
    add_place,
    ask_gateway,
    gateway_at,
    note,
    place_of,
    say,
    settings_of,
    store_of,
)
from gateway.clock import SystemClock

EPILOG = """\
examples:
  mlgate session list user:alice@example.com --config gateway.yaml
  mlgate session revoke user:alice@example.com --url https://mlflow.example.com

With --url you act as yourself: your own sessions, or as an admin anybody's. A revocation signs the
person out of every browser, on every gateway, within a second. It does not touch API tokens.
"""


def add(commands: Any) -> None:
    """The subcommand's options."""
    parser = commands.add_parser(
        "session",
        help="list and revoke browser sessions",
        description="The browser sessions of a person.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, does, says in (
        ("list", _list, "list the sessions of a person, newest first"),
        ("revoke", _revoke, "end all sessions of a person, in force within a second"),
    ):
        action = actions.add_parser(name, help=says)
        action.add_argument("principal", metavar="user:NAME", help="whose")
        add_place(action)
        action.set_defaults(
            run=lambda args, does=does: asyncio.run(does(_whose(args), place_of(args)))
        )


def _whose(args: argparse.Namespace) -> str:
    kind, colon, name = str(args.principal).partition(":")
    if kind != "user" or not colon or not name:
        raise Stop(f"'{args.principal}' is not a person; write user:NAME")
    return str(args.principal)


async def _list(principal: str, place: Place) -> int:
    rows: Sequence[dict[str, Any]]
    if place.url is not None:
        async with gateway_at(place.url) as http:
            answer = await ask_gateway(
                http, "GET", f"sessions?principal={quote(principal, safe='')}"
            )
        rows = answer["sessions"]
    else:
        now = SystemClock().now()
        async with store_of(settings_of(place.config)) as store:
            rows = [
                {
                    "id": one.hash[:12],
                    "provider": one.provider,
                    "created": one.created,
                    "last_used": one.seen,
                    "expires": one.expires,
                }
                for one in await store.sessions_of(principal)
                if one.expires > now
            ]
        rows = sorted(rows, key=lambda row: float(row["created"]), reverse=True)
    if not rows:
        note("no sessions")
    for row in rows:
        say(
            f"{row['id']}  by {row['provider']}  since {_minute(row['created'])}  "
            f"last used {_minute(row['last_used'])}  until {_minute(row['expires'])}"
        )
    return 0


async def _revoke(principal: str, place: Place) -> int:
    if place.url is not None:
        async with gateway_at(place.url) as http:
            answer = await ask_gateway(http, "DELETE", f"sessions/{quote(principal, safe='')}")
        ended = int(answer["revoked"])
    else:
        async with store_of(settings_of(place.config)) as store:
            ended = await store.delete_sessions(principal)
    say(f"{ended} session{'' if ended == 1 else 's'} of {principal} ended")
    return 0


def _minute(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
