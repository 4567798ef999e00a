"""``mlgate can``: the decision on one call, and why."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
from typing import Any
from urllib.parse import urlencode

from gateway.acl.store import Store
from gateway.cli.common import (
    Stop,
    add_place,
    ask_gateway,
    gateway_at,
    known_calls,
    matrix_of,
    place_of,
    resource_from,
    say,
    settings_of,
    store_of,
)
from gateway.cli.mlflow import Mlflow
from gateway.idp.claims import principal_of
from gateway.model import Acl, Decision, Principal, Resource
from gateway.ownership import acl_from_tags
from gateway.rbac import Need, decide, decide_server, explain
from gateway.roles import CallNames, RoleMatrix
from gateway.settings import Settings
from gateway.settings_types import did_you_mean

EPILOG = """\
Exit status 0: allowed; 1: not allowed (or something is wrong).

examples:
  mlgate can user:alice@example.com runs/create experiment:5 --config gateway.yaml
  mlgate can user:bob runs/get run:0123456789abcdef0123456789abcdef --config gateway.yaml
  mlgate can service:nightly registered-models/delete model:churn --url https://mlflow.example.com
  mlgate can user:carol experiments/create --config gateway.yaml --group research

The groups of a person are those of the last sign-in; --group adds to them, to try things out.
"""


def add(commands: Any) -> None:
    """The subcommand's options."""
    parser = commands.add_parser(
        "can",
        help="may this principal make this call, and why",
        description="Explains a decision: the very one that the gateway would take.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("principal", metavar="PRINCIPAL", help="user:NAME or service:NAME")
    parser.add_argument("call", metavar="CALL", help="as mlgate routes lists it, such as runs/get")
    parser.add_argument(
        "resource",
        metavar="RESOURCE",
        nargs="?",
        help="experiment:ID, experiment:by-name:NAME, model:NAME, run:ID, trace:ID, …; "
        "none for calls on the server",
    )
    parser.add_argument(
        "--group", action="append", default=[], metavar="NAME", help="as if in this group as well"
    )
    parser.add_argument("--json", action="store_true", help="the decision as JSON")
    add_place(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when allowed, 1 when not."""
    place = place_of(args)
    if place.url is not None:
        if args.group:
            raise Stop("--group works with --config only; a running gateway knows the groups")
        answer = asyncio.run(_ask(place.url, args))
    else:
        answer = asyncio.run(_decide(settings_of(place.config), args))
    if args.json:
        say(json.dumps(answer, indent=2))
    else:
        say(("yes: " if answer["allowed"] else "no: ") + str(answer["explanation"]))
    return 0 if answer["allowed"] else 1


async def _ask(url: str, args: argparse.Namespace) -> dict[str, Any]:
    query = {"principal": args.principal, "call": args.call}
    if args.resource:
        resource = resource_from(args.resource)
        query |= {"kind": resource.kind.value, "id": resource.id}
    async with gateway_at(url) as http:
        return await ask_gateway(http, "GET", f"can?{urlencode(query)}")


async def _decide(settings: Settings, args: argparse.Namespace) -> dict[str, Any]:
    matrix, names = matrix_of(settings), known_calls()
    check_call(args.call, names)
    async with store_of(settings) as store:
        principal = await _principal(args.principal, args.group, store, settings)
        decision = await _decision(principal, args, store, settings, matrix, names)
    answer = dataclasses.asdict(decision)
    answer["resource"] = str(decision.resource) if decision.resource else None
    answer["resources"] = [str(resource) for resource in decision.resources]
    return {
        "principal": principal.name,
        "groups": sorted(principal.groups),
        **answer,
        "explanation": explain(principal, decision),
    }


def check_call(call: str, names: CallNames) -> None:
    """Raise Stop unless the call can be listed in roles.yaml."""
    known = names.experiment | names.model | names.server
    if call in names.unlistable:
        raise Stop(f"{call} is not decided by roles: {names.unlistable[call]}")
    if call not in known:
        raise Stop(f"there is no call {call}{did_you_mean(call, known)} (mlgate routes lists them)")


async def _principal(name: str, more: list[str], store: Store, settings: Settings) -> Principal:
    if not name.startswith(("user:", "service:")) or name.endswith(":"):
        raise Stop(f"'{name}' is not a principal; write user:NAME or service:NAME")
    person = await store.get_person(name)
    groups = (*(person.groups if person else ()), *more)
    return principal_of(
        name,
        tuple(dict.fromkeys(groups)),
        home=person.home_group if person else None,
        admin_users=settings.admins.users,
        admin_groups=settings.admins.groups,
        method="asked",
    )


async def _decision(
    principal: Principal,
    args: argparse.Namespace,
    store: Store,
    settings: Settings,
    matrix: RoleMatrix,
    names: CallNames,
) -> Decision:
    if args.resource is None:
        if args.call not in names.server:
            raise Stop(f"{args.call} is a call on a resource; name one, such as experiment:5")
        return decide_server(principal, args.call, matrix)
    needs = []
    async with Mlflow.of(settings) as mlflow:
        for resource in await mlflow.resources_of(args.resource):
            if args.call not in names.of_kind(resource.kind):
                raise Stop(f"{args.call} is not a call on a {resource.kind.value}")
            needs.append(Need(args.call, resource, await _acl(resource, store, mlflow, matrix)))
    return decide(principal, args.call, needs, matrix)


async def _acl(resource: Resource, store: Store, mlflow: Mlflow, matrix: RoleMatrix) -> Acl | None:
    """The ACL, or the one that the gateway would rebuild from the ownership tags."""
    acl = await store.get_acl(resource)
    if acl is not None:
        return acl
    tags = await mlflow.tags(resource)
    return acl_from_tags(resource, tags, matrix) if tags is not None else None
