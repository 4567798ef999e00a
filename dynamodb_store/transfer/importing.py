"""From MLflow's SQL database into an empty table: refused as a whole, or copied and proven.

Every page is written without conditions and written down in the mark after it, so an import that
was cut short goes on where it was; a page that is written again gives the same items.
"""

from __future__ import annotations

from collections.abc import Collection

from dynamodb_store import imported
from dynamodb_store.codec import Item
from dynamodb_store.imported import Mark
from dynamodb_store.table import Table
from dynamodb_store.transfer.families import DERIVED, KINDS, MADE_BY_MLFLOW, carried
from dynamodb_store.transfer.kind import Kind
from dynamodb_store.transfer.report import Outcome, Refused, Say, tally_of_sql, tally_of_table
from dynamodb_store.transfer.sql import Sql


def import_sql(sql: Sql, table: Table, say: Say, leave_out: Collection[str] = ()) -> Outcome:
    """Copy ``sql`` into ``table``. Raises Refused before anything is written.

    ``leave_out``: SQL tables that a person agreed to lose. A finished import is only checked.
    """
    mark = _begun(table, sql.name)
    problems = [
        f"{name}: no such table in {sql.name}" for name in leave_out if name not in sql.tables()
    ]
    problems += [f"{name}: {count} rows, which the store cannot hold" for name, count in _lost(sql)
                 if name not in leave_out]  # fmt: skip
    source, more = tally_of_sql(sql, say)
    problems += more
    if problems:
        raise Refused(f"{sql.name} cannot be imported as a whole; nothing was written.", problems)
    wrote = not mark.finished
    if wrote:
        mark.save(table)  # first of all: from now on the table is this import's
        for kind in KINDS:
            _write(sql, table, kind, mark, say)
    target = tally_of_table(table, say)
    outcome = Outcome(source, target, wrote)
    if wrote and not outcome.differences:
        mark.finished = True
        mark.save(table)
    return outcome


def _begun(table: Table, source: str) -> Mark:
    """The mark of this import. Raises Refused when the table holds anything else."""
    mark = imported.read(table)
    if mark is None:
        if not table.is_empty():
            raise Refused(
                f"{table.uri} holds other data; import into a new table "
                "(mlgate store create-table), before a server uses it.",
                [],
            )
        return Mark(source)
    if mark.source != source:
        raise Refused(f"{table.uri} holds what was imported from {mark.source}.", [])
    return mark


def _lost(sql: Sql) -> list[tuple[str, int]]:
    known = carried() | DERIVED
    counts = [(name, sql.count(name)) for name in sql.tables() if name not in known]
    return [(name, count) for name, count in counts if count > MADE_BY_MLFLOW.get(name, 0)]


def _write(sql: Sql, table: Table, kind: Kind, mark: Mark, say: Say) -> None:
    after = mark.done.get(kind.name)
    if after is True:
        return
    count = 0
    for rows, cursor in kind.pages(sql, after):
        # One write for each key: a batch of DynamoDB's may not name an item twice.
        items: dict[tuple[str, str], Item] = {
            (item["pk"], item["sk"]): item for item in kind.items(rows)
        }
        table.batch_write(items.values())
        mark.done[kind.name] = cursor
        mark.save(table)
        count += len(kind.counted(rows).get(kind.root.name, ()))
        say(f"writing {kind.name}: {count}")
    mark.done[kind.name] = True
    mark.save(table)
