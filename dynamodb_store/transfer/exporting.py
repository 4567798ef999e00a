"""From the table into a fresh SQL database: refused as a whole, or copied and proven.

Rows that are there already are left alone, so an export that was cut short is run again. A table
of ours in the database says that an export is under way; it goes when both sides agree.
"""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from dynamodb_store.imported import refuse_unfinished
from dynamodb_store.table import Table
from dynamodb_store.transfer.families import KINDS, MADE_BY_MLFLOW, is_known
from dynamodb_store.transfer.kind import Kind
from dynamodb_store.transfer.report import Outcome, Refused, Say, tally_of_sql, tally_of_table
from dynamodb_store.transfer.sql import Sql

_MARK = sa.Table(
    "mlgate_export",
    sa.MetaData(),
    sa.Column("source", sa.String(500), primary_key=True),
    sa.Column("kind", sa.String(200), primary_key=True),
)
_INSERT_AT_ONCE = 2000


def export_sql(table: Table, sql: Sql, say: Say) -> Outcome:
    """Copy ``table`` into ``sql``. Raises Refused before anything is written.

    A database that holds the same already is only checked.
    """
    refuse_unfinished(table)
    if unknown := _unknown(table, say):
        lines = [f"{count} items in partitions {name}…" for name, count in unknown.items()]
        raise Refused(f"{table.uri} holds what cannot be exported; nothing was written.", lines)
    source = tally_of_table(table, say)
    wrote = _begin(table, sql)
    if wrote:
        done = {row["kind"] for row in sql.run(sa.select(_MARK))}
        for kind in KINDS:
            if kind.name not in done:
                _write(table, sql, kind, say)
                sql.insert(_MARK, [{"source": str(table.uri), "kind": kind.name}])
    target, problems = tally_of_sql(sql, say)
    outcome = Outcome(source, target, wrote, problems)
    if not wrote and outcome.differences:
        raise Refused(f"{sql.name} holds other data; export into a new database.", [])
    if wrote and not outcome.differences and not problems:
        sql.drop(_MARK)
    return outcome


def _begin(table: Table, sql: Sql) -> bool:
    """Whether to write: the database is new, or an export from this table was cut short."""
    if sql.has_table(_MARK.name):
        begun = {row["source"] for row in sql.run(sa.select(_MARK))} - {str(table.uri)}
        if begun:
            raise Refused(f"{sql.name} holds a part of {begun.pop()}.", [])
        return True
    if any(sql.count(name) for name in sql.tables() if name not in MADE_BY_MLFLOW):
        return False
    sql.create(_MARK)
    sql.insert(_MARK, [{"source": str(table.uri), "kind": ""}])
    return True


def _write(table: Table, sql: Sql, kind: Kind, say: Say) -> None:
    held: dict[str, list[dict[str, object]]] = {name: [] for name in kind.tables()}
    count = 0

    def flush() -> None:
        for name, its_table in kind.tables().items():
            if held[name]:
                sql.insert(its_table, held[name])
                held[name].clear()

    for rows in kind.stored(table):
        for name, some in kind.counted(rows).items():
            held[name].extend(some)
        count += len(rows.get(kind.root.name, ()))
        if sum(map(len, held.values())) >= _INSERT_AT_ONCE:
            flush()
        say(f"writing {kind.name}: {count}")
    flush()
    for name, column in kind.counters.items():
        sql.numbers_go_on(kind.tables()[name], column)


def _unknown(table: Table, say: Say) -> Counter[str]:
    """Partitions of items that no kind carries, by their beginnings."""
    found: Counter[str] = Counter()
    count = 0
    for partitions in table.scan_partitions():
        for partition in partitions:
            if not is_known(partition):
                found[partition.partition("#")[0]] += 1
        count += len(partitions)
        say(f"looking through {table.uri}: {count}")
    return found
