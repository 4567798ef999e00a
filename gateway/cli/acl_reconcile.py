"""``mlgate acl reconcile``: the store against MLflow; lost grants are rebuilt, stale ones go."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from gateway.acl.store import Store
from gateway.cli.common import add_config, matrix_of, note, say, settings_of, store_of
from gateway.cli.mlflow import Mlflow
from gateway.model import Kind, Resource
from gateway.ownership import acl_from_tags
from gateway.roles import RoleMatrix
from gateway.settings import Settings

EPILOG = """\
Rebuilt: grants that are missing although the resource carries mlgate.owner (a gateway died
between MLflow's answer and its own write, or the store was restored from an old backup).
Stale: grants on models and experiments that MLflow does not have (any more). They would come
alive if somebody made a model of that name beside the gateway, so they are removed, after you
said yes. Take care that MLflow is the right one and complete before you do.

examples:
  mlgate acl reconcile --config gateway.yaml --dry-run
  mlgate acl reconcile --config gateway.yaml --yes
"""


def add(actions: Any) -> None:
    """The action's options."""
    parser = actions.add_parser(
        "reconcile",
        help="rebuild lost grants, remove those of what is gone",
        description="Compares the gateway's store with MLflow.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, do nothing")
    parser.add_argument("--yes", action="store_true", help="remove stale grants without asking")
    parser.set_defaults(run=lambda args: asyncio.run(_reconcile(args, settings_of(args.config))))


async def _reconcile(args: argparse.Namespace, settings: Settings) -> int:
    matrix = matrix_of(settings)
    async with store_of(settings) as store, Mlflow.of(settings) as mlflow:
        # The store is listed first: what is created meanwhile is then not taken for stale.
        known = {acl.resource for kind in Kind async for acl in store.list_acls(kind)}
        live: set[Resource] = set()
        rebuilt = 0
        for kind in Kind:
            async for resource, tags in mlflow.all(kind):
                live.add(resource)
                if resource not in known:
                    rebuilt += await _rebuild(store, resource, tags, matrix, args.dry_run)
        note(
            f"{len(live)} in MLflow, {rebuilt} grants {'to rebuild' if args.dry_run else 'rebuilt'}"
        )
        gone = sorted(known - live, key=str)
        stale = [resource for resource in gone if await mlflow.tags(resource) is None]
        for resource in stale:
            say(f"stale: {resource}")
        if not stale or args.dry_run:
            note(
                f"{len(stale)} stale"
                + ("; nothing was changed (--dry-run)" if args.dry_run else "")
            )
            return 0
        if not args.yes and not _agreed(len(stale)):
            note("left as they are")
            return 0
        await _remove(store, mlflow, stale)
    return 0


async def _rebuild(
    store: Store, resource: Resource, tags: dict[str, str], matrix: RoleMatrix, dry_run: bool
) -> int:
    acl = acl_from_tags(resource, tags, matrix)
    if acl is None:
        return 0
    if not dry_run and not await store.create_acl(resource, acl.owner, acl.grants):
        return 0
    say(f"rebuilt: {resource} of {acl.owner}")
    return 1


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        note("not asked, because this is no terminal; --yes removes them")
        return False
    return input(f"Remove the grants of these {count}? [y/N] ").strip().lower() in ("y", "yes")


async def _remove(store: Store, mlflow: Mlflow, stale: list[Resource]) -> None:
    removed = 0
    for resource in stale:
        # A person may have thought about it for an hour: the name can be taken again by now.
        if await mlflow.tags(resource) is None:
            await store.drop_acl(resource)
            removed += 1
    note(f"{removed} removed")
