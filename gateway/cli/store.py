"""``mlgate store``: the table of the DynamoDB store plugin, the one that MLflow itself uses."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from gateway.cli.common import Stop, note, say

if TYPE_CHECKING:
    from types import ModuleType

_URI = "dynamodb://REGION/TABLE, or dynamodb://http://HOST:PORT/TABLE"


def add(commands: Any) -> None:
    """Add the command and its subcommands."""
    parser = commands.add_parser(
        "store",
        help="the DynamoDB table in which MLflow keeps its data",
        description="The table of 'mlflow server --backend-store-uri dynamodb://…'. The gateway's "
        "own table is made by 'mlgate acl create-table'.",
    )
    parts = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, work, says in (
        ("create-table", _create, "make the table (again: finds it made)"),
        ("describe", _describe, "status, items and bytes of the table"),
        ("delete-table", _delete, "delete the table and all that is in it"),
    ):
        part = parts.add_parser(name, help=says, description=says.capitalize() + ".")
        part.add_argument("uri", metavar="URI", help=_URI)
        if work is _delete:
            part.add_argument("--yes", action="store_true", help="do not ask")
        part.set_defaults(run=work)


def _provision() -> ModuleType:
    # The plugin runs inside MLflow and imports it, which takes seconds: only when it is asked for.
    try:
        from dynamodb_store import provision
    except ImportError as error:
        raise Stop(f"the store plugin needs MLflow: pip install mlflow ({error})") from error
    return provision


def _create(args: argparse.Namespace) -> int:
    def create(provision: ModuleType) -> None:
        for line in provision.create_table(args.uri):
            say(line)

    return _tried(create)


def _describe(args: argparse.Namespace) -> int:
    def show(provision: ModuleType) -> None:
        for name, value in provision.describe_table(args.uri).items():
            say(f"{name:10} {value}")

    return _tried(show)


def _delete(args: argparse.Namespace) -> int:
    if not args.yes:
        if not sys.stdin.isatty():
            raise Stop("this deletes all of MLflow's data in the table; say --yes to do it")
        note(f"This deletes {args.uri} and all of MLflow's data in it.")
        if input("Type the table's name to go on: ").strip() != args.uri.rpartition("/")[2]:
            raise Stop("that is not its name; nothing was deleted")

    def delete(provision: ModuleType) -> None:
        provision.delete_table(args.uri)
        say("deleted")

    return _tried(delete)


def _tried(work: Any) -> int:
    provision = _provision()
    try:
        work(provision)
    except provision.MlflowException as error:
        raise Stop(str(error)) from error
    return 0
