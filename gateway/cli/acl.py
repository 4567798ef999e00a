"""``mlgate acl``: who has access, and giving or taking it."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any
from urllib.parse import quote

from gateway.acl.store import Conflict, Store
from gateway.cli import acl_import, acl_reconcile
from gateway.cli.common import (
    Http,
    Place,
    Stop,
    add_place,
    ask_gateway,
    gateway_at,
    matrix_of,
    place_of,
    resource_from,
    say,
    settings_of,
    store_of,
)
from gateway.cli.mlflow import Mlflow
from gateway.model import Acl, Principal, Resource
from gateway.ownership import acl_from_tags
from gateway.roles import RoleMatrix
from gateway.settings import Settings
from gateway.sharing import check_change, check_grant_key

COMMAND_LINE = Principal("admin:command-line", admin=True, method="command-line")
_TRIES = 5

EPILOG = """\
RESOURCE is experiment:ID, experiment:by-name:NAME (with --config) or model:NAME. PRINCIPAL is
user:NAME, group:NAME, service:NAME or everyone (whoever is signed in).

examples:
  mlgate acl show experiment:5 --url https://mlflow.example.com
  mlgate acl grant experiment:5 group:research reader --url https://mlflow.example.com
  mlgate acl revoke model:churn user:bob@example.com --config gateway.yaml
  mlgate acl import --config gateway.yaml --domain example.com --dry-run
  mlgate acl reconcile --config gateway.yaml
  mlgate acl create-table dynamodb://us-east-1/mlgate

With --url you work through a running gateway, as yourself (MLFLOW_TRACKING_TOKEN); with --config
on its store, as an admin. Either way a change is in force on every gateway within a second.
"""


def add(commands: Any) -> None:
    """The subcommand's options."""
    parser = commands.add_parser(
        "acl",
        help="show, grant, revoke, import and reconcile access",
        description="Who has access to experiments and registered models.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser("show", help="the owner and all grants of a resource")
    show.add_argument("resource", metavar="RESOURCE")
    add_place(show)
    show.set_defaults(run=lambda args: asyncio.run(_show(args, place_of(args))))
    grant = actions.add_parser("grant", help="give a principal a role, instead of its earlier one")
    grant.add_argument("resource", metavar="RESOURCE")
    grant.add_argument("principal", metavar="PRINCIPAL")
    grant.add_argument("role", metavar="ROLE", help="a role of roles.yaml, such as reader")
    add_place(grant)
    grant.set_defaults(run=lambda args: asyncio.run(_change(args, place_of(args), args.role)))
    revoke = actions.add_parser("revoke", help="take a principal's role away")
    revoke.add_argument("resource", metavar="RESOURCE")
    revoke.add_argument("principal", metavar="PRINCIPAL")
    add_place(revoke)
    revoke.set_defaults(run=lambda args: asyncio.run(_change(args, place_of(args), None)))
    acl_import.add(actions)
    acl_reconcile.add(actions)
    table = actions.add_parser("create-table", help="make the gateway's DynamoDB table")
    table.add_argument("uri", metavar="URI", help="dynamodb://REGION/TABLE")
    table.set_defaults(run=_create_table)


def _target(resource: Resource) -> str:
    return f"acl/{resource.kind.value}/{quote(resource.id, safe='')}"


async def _show(args: argparse.Namespace, place: Place) -> int:
    if place.url is not None:
        resource = resource_from(args.resource)
        async with gateway_at(place.url) as http:
            answer = await ask_gateway(http, "GET", _target(resource))
        _print(resource, answer["owner"], {g["principal"]: g["role"] for g in answer["grants"]})
        return 0
    settings = settings_of(place.config)
    async with store_of(settings) as store, Mlflow.of(settings) as mlflow:
        for resource in await _resources(args.resource, mlflow):
            acl = await store.get_acl(resource)
            if acl is None:
                say(f"{resource}: nobody owns it; only admins see it")
            else:
                _print(resource, acl.owner, dict(acl.grants))
    return 0


def _print(resource: Resource, owner: str | None, grants: dict[str, str]) -> None:
    say(f"{resource}  (owner: {owner or 'none'})")
    width = max((len(principal) for principal in grants), default=0)
    for principal, role in sorted(grants.items()):
        say(f"  {principal:{width}}  {role}")


async def _resources(text: str, mlflow: Mlflow) -> tuple[Resource, ...]:
    # Only a name has to be asked of MLflow; grants can be looked at while it is down.
    return await mlflow.resources_of(text) if ":by-name:" in text else (resource_from(text),)


async def _change(args: argparse.Namespace, place: Place, role: str | None) -> int:
    key = check_grant_key(args.principal)
    if place.url is not None:
        resource = resource_from(args.resource)
        async with gateway_at(place.url) as http:
            await _change_there(http, resource, key, role)
    else:
        settings = settings_of(place.config)
        async with store_of(settings) as store, Mlflow.of(settings) as mlflow:
            (resource,) = await _resources(args.resource, mlflow)
            await change(store, mlflow, settings, resource, key, role)
    if role is None:
        say(f"{key} has no role on {resource} any more")
    else:
        say(f"{key} is {role} on {resource}")
    return 0


async def _change_there(http: Http, resource: Resource, key: str, role: str | None) -> None:
    target = f"{_target(resource)}/{quote(key, safe='')}"
    if role is None:
        await ask_gateway(http, "DELETE", target)
    else:
        await ask_gateway(http, "PUT", target, {"role": role})


async def change(
    store: Store, mlflow: Mlflow, settings: Settings, resource: Resource, key: str, role: str | None
) -> None:
    """One grant, changed in the store by the gateway's own rules. Raises Stop, BadRequest."""
    matrix = matrix_of(settings)
    for _ in range(_TRIES):
        acl = await _acl(store, mlflow, resource, matrix)
        if role is None and key not in acl.grants:
            raise Stop(f"{key} has no role on {resource}")
        check_change(acl, COMMAND_LINE, key, role, matrix)
        try:
            if role is None:
                await store.remove_grant(resource, key, expect_version=acl.version)
            else:
                await store.set_grant(resource, key, role, expect_version=acl.version)
        except Conflict:
            continue
        return
    raise Stop("others are changing this sharing at the same time; try again")


async def _acl(store: Store, mlflow: Mlflow, resource: Resource, matrix: RoleMatrix) -> Acl:
    """The ACL; made first, if MLflow has such a thing, when it has none."""
    acl = await store.get_acl(resource)
    if acl is not None:
        return acl
    tags = await mlflow.tags(resource)
    if tags is None:
        # A grant on a name that is free would wait for whoever takes the name.
        raise Stop(f"MLflow has no {resource.kind.value} '{resource.id}'")
    born = acl_from_tags(resource, tags, matrix) or Acl(resource, None, {})
    await store.create_acl(resource, born.owner, born.grants)
    made = await store.get_acl(resource)
    if made is None:
        raise Stop(f"{resource} was deleted meanwhile")
    return made


def _create_table(args: argparse.Namespace) -> int:
    from gateway.acl.create_table import create_table

    for line in create_table(args.uri):
        say(line)
    return 0
