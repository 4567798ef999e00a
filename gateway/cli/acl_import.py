"""``mlgate acl import``: first owners for the experiments and models of an existing MLflow."""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.acl.store import Store
from gateway.cli.common import Stop, add_config, matrix_of, note, say, settings_of, store_of
from gateway.cli.mlflow import Mlflow
from gateway.model import GROUP_TAG, OWNER_TAG, Acl, Kind, Resource
from gateway.ownership import CsvRow, acl_from_tags, owner_from_user, read_csv
from gateway.roles import RoleMatrix
from gateway.settings import Settings

PROGRESS_EVERY = 100
SHOWN = 20
DEFAULT_EXPERIMENT = Resource(Kind.EXPERIMENT, "0")
"""Takes the runs of whoever chose no experiment: it is nobody's in particular."""

EPILOG = """\
An experiment goes to whoever logged its first run, a model to whoever made its first version (the
mlflow.user tag; names of containers such as root or jovyan count as nobody). A CSV file says it
better where you know better:

  kind,id,owner,group
  experiment,5,user:alice@example.com,data-science
  model,churn,service:nightly-train,

What has an owner already is left alone, so the command can be repeated. It writes grants to the
gateway's store and nothing to MLflow.

examples:
  mlgate acl import --config gateway.yaml --domain example.com --dry-run
  mlgate acl import --config gateway.yaml --csv owners.csv
"""


def add(actions: Any) -> None:
    """The action's options."""
    parser = actions.add_parser(
        "import",
        help="give what an existing MLflow holds its first owners",
        description="Gives experiments and models that nobody owns yet their first owners.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    parser.add_argument("--csv", metavar="FILE", help="owners by hand: kind,id,owner,group")
    parser.add_argument(
        "--domain", metavar="NAME", help="alice of a tag is alice@NAME at the identity provider"
    )
    parser.add_argument("--owner", metavar="PRINCIPAL", help="who owns what nobody is found for")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, do nothing")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0, also when some things stay without an owner."""
    settings = settings_of(args.config)
    if args.owner and owner_from_user(args.owner) is None:
        raise Stop(f"'{args.owner}' cannot own anything; write user:NAME or service:NAME")
    rows = _rows(args.csv) if args.csv else None
    return asyncio.run(_import(args, settings, rows))


def _rows(path: str) -> dict[Resource, CsvRow]:
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"cannot read {path}: {error}") from error
    rows, problems = read_csv(text)
    if problems:
        raise Stop(f"{path} is not usable; nothing was done:\n  " + "\n  ".join(problems))
    return {row.resource: row for row in rows}


@dataclass(slots=True)
class Tally:
    """What happened."""

    looked: int = 0
    owned: int = 0
    given: Counter[Kind] = field(default_factory=Counter)
    without: list[Resource] = field(default_factory=list)
    absent: list[Resource] = field(default_factory=list)


async def _import(
    args: argparse.Namespace, settings: Settings, rows: dict[Resource, CsvRow] | None
) -> int:
    matrix = matrix_of(settings)
    tally = Tally()
    async with store_of(settings) as store, Mlflow.of(settings) as mlflow:
        source = _all(mlflow) if rows is None else _named(mlflow, rows, tally)
        async for resource, tags in source:
            tally.looked += 1
            if tally.looked % PROGRESS_EVERY == 0:
                note(f"{tally.looked} looked at …")
            if await store.get_acl(resource) is not None:
                tally.owned += 1
                continue
            acl = await _first_acl(resource, tags, rows, mlflow, args, matrix)
            if acl is None:
                tally.without.append(resource)
            elif await _give(store, acl, args.dry_run):
                tally.given[resource.kind] += 1
            else:
                tally.owned += 1
    _summary(tally, args.dry_run)
    return 0


async def _all(mlflow: Mlflow) -> AsyncIterator[tuple[Resource, dict[str, str]]]:
    for kind in Kind:
        async for resource, tags in mlflow.all(kind):
            yield resource, tags


async def _named(
    mlflow: Mlflow, rows: Mapping[Resource, CsvRow], tally: Tally
) -> AsyncIterator[tuple[Resource, dict[str, str]]]:
    for resource in rows:
        tags = await mlflow.tags(resource)
        if tags is None:
            tally.absent.append(resource)
        else:
            yield resource, tags


async def _first_acl(
    resource: Resource,
    tags: Mapping[str, str],
    rows: Mapping[Resource, CsvRow] | None,
    mlflow: Mlflow,
    args: argparse.Namespace,
    matrix: RoleMatrix,
) -> Acl | None:
    """By the gateway's own tags, else by the CSV, else by ``mlflow.user``, else by --owner."""
    stamped = acl_from_tags(resource, tags, matrix)
    if stamped is not None:
        return stamped
    if rows is not None:
        row = rows[resource]
        owner, group = row.owner, row.group
    else:
        found = owner_from_user(await _user(resource, tags, mlflow), args.domain)
        found = found or owner_from_user(args.owner)
        if found is None:
            return None
        owner, group = found, None
    stamp = {OWNER_TAG: owner, **({GROUP_TAG: group} if group else {})}
    return acl_from_tags(resource, stamp, matrix)


async def _user(resource: Resource, tags: Mapping[str, str], mlflow: Mlflow) -> str | None:
    if resource == DEFAULT_EXPERIMENT:
        return None
    return tags.get("mlflow.user") or await mlflow.first_user(resource)


async def _give(store: Store, acl: Acl, dry_run: bool) -> bool:
    if not dry_run and not await store.create_acl(acl.resource, acl.owner, acl.grants):
        return False
    grants = ", ".join(f"{principal} {role}" for principal, role in acl.grants.items())
    say(f"{acl.resource}: {grants}")
    return True


def _summary(tally: Tally, dry_run: bool) -> None:
    given = ", ".join(f"{tally.given[kind]} {kind.value}s" for kind in Kind)
    would = "would get" if dry_run else "got"
    note(f"{given} {would} an owner; {tally.owned} had one already")
    _list_some(tally.without, "have no known owner; only admins see them until you grant a role")
    _list_some(tally.absent, "of the CSV file are not in MLflow")
    if dry_run:
        note("nothing was changed (--dry-run)")


def _list_some(resources: list[Resource], what: str) -> None:
    if not resources:
        return
    shown = ", ".join(str(resource) for resource in resources[:SHOWN])
    more = f", and {len(resources) - SHOWN} more" if len(resources) > SHOWN else ""
    note(f"{len(resources)} {what}: {shown}{more}")
