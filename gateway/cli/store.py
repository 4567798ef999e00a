"""``mlgate store``: the table of the DynamoDB store plugin, the one that MLflow itself uses."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from gateway.cli.common import Stop, note, say
from gateway.cli.progress import Progress

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
    _add_transfer(parts)
    part = parts.add_parser(
        "archive-traces",
        help="move old traces' spans into an archive of files",
        description=_ARCHIVE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    part.add_argument("uri", metavar="URI", help=_URI)
    part.add_argument(
        "--config",
        metavar="FILE",
        required=True,
        help="the file of 'mlflow server --trace-archival-config'",
    )
    part.set_defaults(run=_archive)


_ARCHIVE = """\
One pass over all experiments: the spans of traces that are older than the configured retention
become files at the configured location, where MLflow goes on reading them. MLflow's server does
this by itself on SQL stores only; run this by cron or a scheduled task, not twice at the same time.
Cut short, run it again.
"""
_IMPORT = """\
Copies an existing MLflow into the table, with all ids, times and histories, and proves it: counts
and sums the rows of both sides. Stop MLflow first; make the table with 'mlgate store create-table'.

What cannot be carried over is listed before anything is written, and then nothing is. Interrupted,
run it again: it goes on. A second run after the end changes nothing and checks again. Artifacts
stay where they are; only what the database knows is copied.
"""
_EXPORT = """\
Copies the table into a fresh database that 'mlflow server --backend-store-uri' can use, and proves
it in the same way. The database is made. Interrupted, run it again. Stop MLflow first.
"""
_SQL = "a database that MLflow can use: sqlite:///mlflow.db, postgresql://…, mysql+pymysql://…"

_ROWS = "rows of MLflow's tables"


def _add_transfer(parts: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    part = parts.add_parser(
        "import",
        help="copy an existing MLflow (SQLite, PostgreSQL, MySQL) into the table",
        description=_IMPORT,
        formatter_class=raw,
    )
    part.add_argument("--from", dest="source", metavar="SQL", required=True, help=_SQL)
    where = part.add_mutually_exclusive_group(required=True)
    where.add_argument("uri", metavar="URI", nargs="?", help=_URI)
    where.add_argument("--to", dest="to", metavar="URI", help="the same")
    part.add_argument(
        "--leave-out",
        metavar="TABLE",
        action="append",
        default=[],
        help="lose the rows of a SQL table that cannot be carried over (may be repeated)",
    )
    part.set_defaults(run=_import)
    part = parts.add_parser(
        "export",
        help="copy the table into a fresh SQL database",
        description=_EXPORT,
        formatter_class=raw,
    )
    part.add_argument("uri", metavar="URI", help=_URI)
    part.add_argument("--to", dest="target", metavar="SQL", required=True, help=_SQL)
    part.set_defaults(run=_export)


def _import(args: argparse.Namespace) -> int:
    uri = args.uri or args.to
    return _transferred(lambda m, p: m.import_from(args.source, uri, p, args.leave_out))


def _export(args: argparse.Namespace) -> int:
    return _transferred(lambda m, p: m.export_to(args.uri, args.target, p))


def _transferred(work: Any) -> int:
    try:
        from dynamodb_store.transfer import command
    except ImportError as error:
        raise Stop(f"import and export need MLflow: pip install mlflow ({error})") from error
    progress = Progress()
    try:
        outcome = work(command, progress)
    except command.Refused as refused:
        progress.end()
        for problem in refused.problems:
            note(f"  {problem}")
        raise Stop(str(refused)) from refused
    except command.MlflowException as error:
        progress.end()
        raise Stop(str(error)) from error
    progress.end()
    say(f"{_ROWS:32} {'from':>12} {'to':>12}")
    for line in outcome.lines():
        say(line)
    for line in outcome.notes:
        say(line)
    if differences := outcome.differences:
        for line in differences:
            note(f"  {line}")
        raise Stop("the two sides do not agree")
    say("both sides agree" if outcome.wrote else "both sides agree; nothing was to be done")
    return 0


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


def _archive(args: argparse.Namespace) -> int:
    _provision()  # says what to install when MLflow is not there
    from dynamodb_store import archiving

    try:
        archived = archiving.archive_traces(args.uri, args.config)
    except archiving.MlflowException as error:
        raise Stop(str(error)) from error
    say(f"archived {archived} traces")
    return 0


def _tried(work: Any) -> int:
    provision = _provision()
    try:
        work(provision)
    except provision.MlflowException as error:
        raise Stop(str(error)) from error
    return 0
