"""``mlgate store import`` and ``export``: everything survives, or is refused before it begins."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import ExperimentTag, LoggedModel, Metric, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from dynamodb_store import keys
from dynamodb_store.imported import refuse_unfinished
from dynamodb_store.table import Table
from dynamodb_store.tracking.store import DynamoDbTrackingStore
from dynamodb_store.transfer.exporting import export_sql
from dynamodb_store.transfer.families import is_known
from dynamodb_store.transfer.importing import import_sql
from dynamodb_store.transfer.report import Outcome, Refused
from dynamodb_store.transfer.sql import Sql
from dynamodb_store.uri import parse_uri
from tests.fakes.fake_dynamodb import WRITES, FakeDynamoDb
from tests.store.both import PLAIN, Both
from tests.store.conftest import MOTO, Pauses, sqlite_store
from tests.store.filled import age, fill_models, fill_traces, fill_tracking
from tests.store.test_contract_logged_models import plain_model

POLICY = Path(__file__).parents[2] / "deploy" / "aws" / "import-export.json"
INTERNAL = {"dataset_uuid", "input_uuid"}
"""Ids that no call of MLflow shows; they are made anew."""


def quiet(text: str) -> None:
    assert text


class Source:
    """A filled database, read by MLflow's own store and by the import."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "mlflow.db"
        self.store = sqlite_store(folder)
        self.runs = fill_tracking(self.store)
        self.models = fill_models(self.store, self.runs[0])
        self.traces = fill_traces(self.store, self.runs[0])
        age(self.path)
        self.sql = Sql(f"sqlite:///{self.path}")

    def change(self, *statements: str) -> None:
        with sqlite3.connect(self.path) as database:
            for statement in statements:
                database.execute(statement)
        database.close()


@pytest.fixture(scope="module")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(tmp_path_factory.mktemp("filled"))


@pytest.fixture
def source(_filled: Source, tmp_path: Path) -> Iterator[Source]:
    copy = object.__new__(Source)
    copy.path = tmp_path / "mlflow.db"
    copy.path.write_bytes(_filled.path.read_bytes())
    copy.store = SqlAlchemyStore(f"sqlite:///{copy.path}", "s3://bucket/root")
    copy.runs, copy.models, copy.traces = _filled.runs, _filled.models, _filled.traces
    copy.sql = Sql(f"sqlite:///{copy.path}")
    yield copy
    copy.store.engine.dispose()
    copy.sql.close()


@pytest.fixture
def table(fake: FakeDynamoDb, pauses: Pauses) -> Table:
    return Table(fake, parse_uri(MOTO), now=pauses.now, pause=pauses.pause)


def imported(source: Source, table: Table) -> Outcome:
    outcome = import_sql(source.sql, table, quiet)
    assert outcome.differences == []
    return outcome


@pytest.fixture
def target(_filled: Source, tmp_path: Path) -> Iterator[Sql]:
    """A new database with MLflow's tables and nothing in them."""
    path = tmp_path / "target.db"
    path.write_bytes(_filled.path.read_bytes())
    with sqlite3.connect(path) as database:
        names = [
            row[0]
            for row in database.execute("select name from sqlite_master where type = 'table'")
        ]
        for name in set(names) - {"alembic_version", "workspaces"}:
            database.execute(f'delete from "{name}"')
    database.close()
    sql = Sql(f"sqlite:///{path}")
    yield sql
    sql.close()


def contents(path: Path) -> dict[str, list[Any]]:
    """All rows of all tables, without internal ids."""
    with sqlite3.connect(path) as database:
        database.row_factory = sqlite3.Row
        names = [
            row[0]
            for row in database.execute("select name from sqlite_master where type = 'table'")
        ]
        found = {}
        for name in names:
            rows = [dict(row) for row in database.execute(f'select * from "{name}"')]
            for row in rows:
                internal = INTERNAL | (
                    {"source_id"} if row.get("source_type") == "DATASET" else set()
                )
                for column in internal & row.keys():
                    row[column] = "…"
            found[name] = sorted(rows, key=repr)
    database.close()
    return found


@pytest.mark.heavy
def test_all_reads_of_tracking_are_the_same(source: Source, table: Table) -> None:
    imported(source, table)
    both = Both(source.store, DynamoDbTrackingStore(table, "s3://bucket/root"))
    for side in both.sides:
        side.runs = source.runs
    for number in ("0", "1", "2", "3"):
        both.get_experiment(number)
    times = [
        [(e.creation_time, e.last_update_time) for e in side.store.search_experiments(ViewType.ALL)]
        for side in both.sides
    ]
    assert times[0] == times[1]
    both.search_experiments(ViewType.ALL)
    both.get_experiment_by_name("with/slash # and ☃")
    for run in source.runs:
        both.get_run(run)
        for name in ("acc/val 1", "odd", "m"):
            both.get_metric_history(run, name)
    for view in (ViewType.ALL, ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY):
        both.search_runs(["0", "1", "2", "3"], "", view)
    both.search_runs(["1"], "dataset.name = 'd'", ViewType.ALL)
    for side in both.sides:
        shown = {
            (one.name, one.digest, one.context) for one in side.store._search_datasets(["1", "2"])
        }
        assert shown == {("d", "1", "train"), ("d", "1", None), ("large ☃", "2", None)}
        assert sorted(side.store._get_deleted_runs()) == sorted([source.runs[2], source.runs[4]])


def test_all_reads_of_models_and_traces_are_the_same(
    source: Source, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PLAIN, LoggedModel, plain_model)
    imported(source, table)
    both = Both(source.store, DynamoDbTrackingStore(table, "s3://bucket/root"))
    for side in both.sides:
        side.runs = source.runs
    for model in source.models:
        both.get_logged_model(model, True)
    both.search_logged_models(["1"])
    for trace in source.traces:
        both.get_trace_info(trace)
        both.get_trace(trace)
    both.batch_get_traces(source.traces)
    for text in (
        None,
        "tags.empty = ''",
        "metadata.own = 'x'",
        "feedback.good = 'true'",
        "span.type = 'LLM'",
        f"run_id = '{source.runs[0]}'",
        "prompt = 'p/1'",
        "trace.status = 'IN_PROGRESS'",
    ):
        both.search_traces(locations=["0", "1", "2"], filter_string=text)
    both.delete_logged_model(source.models[1])
    both.set_trace_tag("tr-1", "new", "v")
    both.log_metric(source.runs[0], Metric("m", 3, 5, 9, model_id=source.models[3]))
    both.get_logged_model(source.models[3])
    both.delete_traces("1", trace_ids=["tr-1"])
    both.search_traces(locations=["1"])


@pytest.mark.heavy
def test_the_store_goes_on_where_the_database_was(source: Source, table: Table) -> None:
    imported(source, table)
    both = Both(source.store, DynamoDbTrackingStore(table, "s3://bucket/root"))
    for side in both.sides:
        side.runs = source.runs
    assert both.create_experiment("new") == "4"
    assert both.create_experiment("one")[0] == "error"
    both.set_experiment_tag("2", ExperimentTag("a", "b"))
    both.get_experiment("2")
    both.log_metric(source.runs[0], Metric("acc/val 1", 5, 10**6, 99))
    both.get_run(source.runs[0])
    both.restore_run(source.runs[2])
    both.restore_experiment("3")
    both.search_runs(["1", "2", "3"], "", ViewType.ACTIVE_ONLY)


@pytest.mark.heavy
def test_the_way_back_gives_the_same_database(
    source: Source, table: Table, fake: FakeDynamoDb, target: Sql, tmp_path: Path
) -> None:
    fake.calls.clear()
    outcome = imported(source, table)
    assert outcome.source.counts["metrics"] == 1011
    back = export_sql(table, target, quiet)
    assert back.differences == []
    assert back.notes == []
    assert contents(tmp_path / "target.db") == contents(source.path)
    again = export_sql(table, target, quiet)
    assert not again.wrote
    called = {f"dynamodb:{name.replace('_', ' ').title().replace(' ', '')}" for name in fake.calls}
    (statement,) = json.loads(POLICY.read_text())["Statement"]
    assert sorted(called) == statement["Action"]
    assert contents(tmp_path / "target.db") == contents(source.path)


def interrupted(source: Source, table: Table, fake: FakeDynamoDb, writes: int) -> None:
    """An import that is cut short after so many writes."""
    left = [writes]

    def interrupt(operation: str, parameters: dict[str, Any]) -> None:
        left[0] -= operation in WRITES
        if left[0] < 0:
            raise KeyboardInterrupt

    fake.faults.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        import_sql(source.sql, table, quiet)
    fake.faults.clear()


@pytest.mark.heavy
def test_an_interrupted_import_goes_on_and_then_changes_nothing(
    source: Source, table: Table, fake: FakeDynamoDb
) -> None:
    for writes in (1, 3, 5, 5):  # each run a little further
        interrupted(source, table, fake, writes)
        with pytest.raises(MlflowException, match="is not finished; run the same"):
            refuse_unfinished(table)
    fake.written.clear()
    assert imported(source, table).wrote
    refuse_unfinished(table)
    assert not [pk for pk in fake.written if pk.startswith("E#")], "the experiments were done"
    fake.calls.clear()
    assert not imported(source, table).wrote
    assert not WRITES & set(fake.calls)


@pytest.mark.heavy
def test_an_interrupted_export_goes_on(
    source: Source, table: Table, target: Sql, tmp_path: Path
) -> None:
    imported(source, table)

    def interrupt(text: str) -> None:
        if text.startswith("writing runs"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_sql(table, target, interrupt)
    assert export_sql(table, target, quiet).differences == []
    assert contents(tmp_path / "target.db") == contents(source.path)


def test_a_table_with_other_data_is_left_alone(
    source: Source, table: Table, fake: FakeDynamoDb
) -> None:
    DynamoDbTrackingStore(table, "s3://bucket/root")  # a server started on it
    fake.calls.clear()
    with pytest.raises(Refused, match="holds other data"):
        import_sql(source.sql, table, quiet)
    assert not WRITES & set(fake.calls)


@pytest.mark.heavy
def test_another_database_does_not_go_on_with_an_import(
    source: Source, table: Table, target: Sql
) -> None:
    imported(source, table)
    with pytest.raises(Refused, match="holds what was imported from"):
        import_sql(target, table, quiet)


REFUSED = {
    "jobs: 1 rows, which the store cannot hold": "insert into jobs (id, creation_time, job_name, "
    "params, status, retry_count, last_update_time, workspace) "
    "values ('j', 1, 'n', '{}', 0, 0, 1, 'default')",
    "workspaces: 2 rows": "insert into workspaces (name) values ('team')",
    "experiments: rows in workspaces": "update experiments set workspace = 'team' "
    "where experiment_id = 1",
    "tags: 1 rows have no value": "update tags set value = null where key = 'empty'",
    "params: 1 rows belong to nothing": "insert into params values ('a', 'b', 'nobody')",
    "uses a dataset that does not exist": "delete from datasets where name = 'd'",
    "inputs: A to B is not known": "insert into inputs (input_uuid, source_type, source_id, "
    "destination_type, destination_id) select 'x', 'A', run_uuid, 'B', 'y' from runs limit 1",
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_cannot_be_carried_is_listed_and_nothing_written(
    source: Source, table: Table, fake: FakeDynamoDb, sentence: str
) -> None:
    source.change(REFUSED[sentence])
    fake.calls.clear()
    with pytest.raises(Refused, match="nothing was written") as refused:
        import_sql(source.sql, table, quiet)
    assert any(sentence in one for one in refused.value.problems), refused.value.problems
    assert not WRITES & set(fake.calls)


@pytest.mark.heavy
def test_a_person_may_leave_a_table_out(source: Source, table: Table) -> None:
    source.change(REFUSED["jobs: 1 rows, which the store cannot hold"])
    with pytest.raises(Refused, match="as a whole") as refused:
        import_sql(source.sql, table, quiet, ["jbos", "jobs"])
    assert refused.value.problems == [f"jbos: no such table in {source.sql.name}"]
    assert import_sql(source.sql, table, quiet, ["jobs"]).differences == []


@pytest.mark.heavy
def test_a_difference_is_found(source: Source, table: Table) -> None:
    imported(source, table)
    source.change(
        f"insert into tags values ('late', 'v', '{source.runs[0]}')",
        "update params set value = 'changed' where key = 'p'",
    )
    assert import_sql(source.sql, table, quiet).differences == [
        "params: 92 rows on both sides, and not the same ones",
        "tags: 105 rows here, 104 there",
    ]


@pytest.mark.heavy
def test_what_is_not_known_is_not_exported(source: Source, table: Table, target: Sql) -> None:
    imported(source, table)
    table.put({"pk": "FUTURE#1", "sk": "D"})
    with pytest.raises(Refused, match="cannot be exported") as refused:
        export_sql(table, target, quiet)
    assert refused.value.problems == ["1 items in partitions FUTURE…"]
    assert target.count("runs") == 0


def test_a_database_with_other_data_is_left_alone(
    source: Source, table: Table, target: Sql
) -> None:
    DynamoDbTrackingStore(table, "s3://bucket/root")
    with pytest.raises(Refused, match="holds other data"):
        export_sql(table, source.sql, quiet)
    assert source.sql.count("runs") == 6
    assert not source.sql.has_table("mlgate_export")


NO_PARTITIONS = {"H": "points", "S": "spans", "T": "parts of spans", "V": "versions"}
"""What sort keys begin with, not partition keys; datasets have partitions that begin with S#."""
NOT_CARRIED = {"MSL": "links of traces to MCP servers: MLflow's SQL has no table for them"}


def test_every_partition_of_the_table_is_known_to_the_export() -> None:
    """One that is forgotten makes the export of a table that has it impossible."""
    source = Path(keys.__file__).read_text()
    names = set(re.findall(r'"([A-Z]{1,4})#', source)) - set(NO_PARTITIONS)
    assert len(names) > 40
    # RL and RW are whole partitions, with what stands behind the #.
    unknown = {name for name in names - {"RL", "RW"} if not is_known(f"{name}#x")}
    assert unknown == set(NOT_CARRIED)
    whole = {name for name in vars(keys) if name.isupper() and name not in SORT_KEYS}
    places = [one for name in whole if isinstance(one := getattr(keys, name), (str, tuple))]
    texts = [one if isinstance(one, str) else one[0] for one in places]
    assert all(is_known(one) for one in texts)


SORT_KEYS = {
    "CHUNKS", "DATASET_RECORD_COUNT", "HEAD", "HEAD_END", "MODEL_METRICS", "PARTS", "VERSIONS",
}  # fmt: skip


def test_an_export_of_half_an_import_is_refused(source: Source, table: Table, target: Sql) -> None:
    table.put(
        {"pk": keys.IMPORT[0], "sk": keys.IMPORT[1], "source": "x", "finished": False, "done": "{}"}
    )
    with pytest.raises(MlflowException, match="not finished"):
        export_sql(table, target, quiet)
