"""Walks over what the table holds, some at a time, in the order of its lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dynamodb_store import documents, keys, records
from dynamodb_store.documents import Document
from dynamodb_store.entities import run
from dynamodb_store.records import Record
from dynamodb_store.table import Table

_AT_ONCE = 64


def experiment_ids(table: Table) -> Iterator[list[str]]:
    """The ids of all experiments, some at a time."""
    held: list[str] = []
    for item in table.query_all(keys.EXPERIMENTS):
        held.append(str(int(item["sk"].rpartition("#")[2])))
        if len(held) == _AT_ONCE:
            yield held
            held = []
    if held:
        yield held


def stored_runs(table: Table) -> Iterator[list[Document]]:
    """All runs of the table, some at a time."""
    for experiments in experiment_ids(table):
        for experiment_id in experiments:
            for shard in keys.run_shards(experiment_id):
                held: list[str] = []
                for item in table.query_all(shard):
                    held.append(item["sk"].partition("#")[2])
                    if len(held) == _AT_ONCE:
                        yield _read(table, held)
                        held = []
                if held:
                    yield _read(table, held)


def _read(table: Table, run_ids: list[str]) -> list[Document]:
    found = table.parallel(lambda one: documents.read(table, keys.run(one), run.SECTIONS), run_ids)
    return [one for one in found if one is not None]


def listed_by_experiment(table: Table, partition: Callable[[str], str]) -> Iterator[list[Record]]:
    """The records of a partition that each experiment has, of some experiments at a time."""
    for some in experiment_ids(table):
        found = table.parallel(lambda one: list(records.listed(table, partition(one))), some)
        yield [record for listed in found for record in listed]
