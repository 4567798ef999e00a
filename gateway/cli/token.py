"""``mlgate token``: API tokens of a person or a service account."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from gateway.acl.store import PersonRecord, Store
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
from gateway.settings import Settings
from gateway.tokens import issue

CREATED_BY = "admin:command-line"

EPILOG = """\
examples:
  mlgate token create --label laptop                          your own, through the gateway
  mlgate token create --service nightly-train --group data-science
  mlgate token create --user alice@example.com --config gateway.yaml
  export MLFLOW_TRACKING_TOKEN=$(mlgate token create --label ci --days 30)
  mlgate token list
  mlgate token revoke 0123456789abcdef

The token is printed once, alone on the standard output; only its hash is kept.
"""


def add(commands: Any) -> None:
    """The subcommand's options."""
    parser = commands.add_parser(
        "token",
        help="create, list and revoke API tokens",
        description="API tokens of a person or a service account.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a token and print it once")
    _whose(create)
    create.add_argument("--label", default="", metavar="TEXT", help="what it is for")
    create.add_argument("--days", type=float, metavar="N", help="how long it lives")
    create.add_argument("--group", metavar="NAME", help="the team of a new service account")
    add_place(create)
    create.set_defaults(run=lambda args: asyncio.run(_create(args, place_of(args))))
    listing = actions.add_parser("list", help="list tokens, newest first")
    _whose(listing)
    listing.add_argument("--all", action="store_true", help="of everyone (admins)")
    add_place(listing)
    listing.set_defaults(run=lambda args: asyncio.run(_list(args, place_of(args))))
    revoke = actions.add_parser("revoke", help="revoke a token, in force within a second")
    revoke.add_argument("id", metavar="ID", help="as mlgate token list shows it")
    add_place(revoke)
    revoke.set_defaults(run=lambda args: asyncio.run(_revoke(args, place_of(args))))


def _whose(parser: argparse.ArgumentParser) -> None:
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--user", metavar="NAME", help="of this person (with --config)")
    whose.add_argument("--service", metavar="NAME", help="of this service account")


def _principal(args: argparse.Namespace) -> str | None:
    if args.service:
        return f"service:{args.service.removeprefix('service:')}"
    return f"user:{args.user.removeprefix('user:')}" if args.user else None


async def _create(args: argparse.Namespace, place: Place) -> int:
    if args.group and not args.service:
        raise Stop("--group names the team of a service account; give --service as well")
    if place.url is not None:
        body = {"principal": _principal(args), "days": args.days, "group": args.group}
        given = {key: value for key, value in body.items() if value is not None}
        async with gateway_at(place.url) as http:
            answer = await ask_gateway(http, "POST", "tokens", {**given, "label": args.label})
        secret, row = str(answer["token"]), answer
    else:
        settings = settings_of(place.config)
        async with store_of(settings) as store:
            secret, row = await _issue(args, store, settings)
    note(f"token {row['id']} of {row['principal']}, valid until {_day(row['expires'])}:")
    say(secret)
    return 0


async def _issue(
    args: argparse.Namespace, store: Store, settings: Settings
) -> tuple[str, dict[str, Any]]:
    principal = _principal(args)
    if principal is None:
        raise Stop("say whose: --user NAME or --service NAME")
    clock = SystemClock()
    person = await store.get_person(principal)
    group = args.group
    new = person is None and principal.startswith("service:")
    if new or (person is not None and person.teamless and group is not None):
        if group is None:
            raise Stop("a new service account needs --group: the team that it belongs to")
        person = PersonRecord(name=principal, groups=(group,), home_group=group, seen=clock.now())
        await store.put_person(person)
    elif group is not None and person is not None and group not in person.groups:
        raise Stop(f"{principal} belongs to {', '.join(person.groups) or 'no group'} already")
    elif person is None:
        note(f"{principal} has never signed in here: the token carries no groups until then")
    secret, record = issue(
        principal,
        label=args.label,
        created_by=CREATED_BY,
        clock=clock,
        bounds=settings.tokens,
        days=args.days,
        groups=person.groups if person else (),
        home_group=person.home_group if person else None,
    )
    await store.put_token(record)
    return secret, {"id": record.id, "principal": principal, "expires": record.expires}


async def _list(args: argparse.Namespace, place: Place) -> int:
    principal = _principal(args)
    rows: Sequence[dict[str, Any]]
    if place.url is not None:
        asked = "all" if args.all else principal
        query = f"?principal={quote(asked, safe='')}" if asked else ""
        async with gateway_at(place.url) as http:
            rows = (await ask_gateway(http, "GET", f"tokens{query}"))["tokens"]
    else:
        async with store_of(settings_of(place.config)) as store:
            records = await store.tokens_of(None if args.all else principal)
        rows = [
            {
                "id": r.id,
                "principal": r.principal,
                "label": r.label,
                "expires": r.expires,
                "last_used": r.last_used,
            }
            for r in records
        ]
    if not rows:
        note("no tokens")
    for row in rows:
        used = f"last used {_day(row['last_used'])}" if row["last_used"] else "never used"
        say(
            f"{row['id']}  {row['principal']}  until {_day(row['expires'])}  {used}  {row['label']}"
        )
    return 0


async def _revoke(args: argparse.Namespace, place: Place) -> int:
    if place.url is not None:
        async with gateway_at(place.url) as http:
            await ask_gateway(http, "DELETE", f"tokens/{quote(args.id, safe='')}")
    else:
        async with store_of(settings_of(place.config)) as store:
            if await store.delete_token(args.id) is None:
                raise Stop(f"there is no token {args.id}")
    say(f"token {args.id} is revoked")
    return 0


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
