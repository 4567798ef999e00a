"""Import and export of evaluation datasets, their records and their links."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from mlflow.entities.dataset_record import DatasetRecord
from mlflow.entities.evaluation_dataset import EvaluationDataset

from dynamodb_store.transfer.importing import import_sql
from dynamodb_store.transfer.report import Refused
from tests.fakes.fake_dynamodb import WRITES
from tests.store.both import PLAIN, Both, Side
from tests.store.transferred import Copies, contents, copies

__all__ = ["copies"]

TABLES = ("evaluation_datasets", "evaluation_dataset_tags", "evaluation_dataset_records",
          "entity_associations")  # fmt: skip
TAGS = {"mlflow.user": "me", "": "", "k": None}
LONG = "".join(sha256(str(number).encode()).hexdigest() for number in range(12000))
DATASET, EXPERIMENT = "evaluation_dataset", "experiment"


def fill(store: Any) -> list[str]:
    """Datasets with all kinds of records; their ids."""
    one, two = store.create_experiment("one"), store.create_experiment("two ☃")
    made = [
        store.create_dataset("name ☃/#", TAGS, [one, two, "77"]),
        store.create_dataset("name ☃/#", {f"t{n}": "☃" * 1500 for n in range(30)}, [two]),
        store.create_dataset("empty", None, None),
    ]  # fmt: skip
    first, second, _ = ids = [dataset.dataset_id for dataset in made]
    source = {"source_type": "TRACE", "source_data": {"trace_id": "tr-1"}}
    store.upsert_dataset_records(
        first,
        [
            {"inputs": {"q": number, "b": 0.1, "a": "☃"}, "expectations": {"e": [number]},
             "tags": {"mlflow.user": "u"}, "source": source if number % 2 else None}
            for number in range(40)
        ],
    )  # fmt: skip
    store.upsert_dataset_records(first, [{"inputs": {"q": 0, "a": "☃", "b": 0.1}, "outputs": [1]}])
    store.upsert_dataset_records(
        second,
        [
            {"inputs": {"long": LONG}, "outputs": {"o": None}},
            {"inputs": {}, "outputs": None, "expectations": {}, "tags": {}},
            {"inputs": {"f": float("inf")}, "outputs": "text"},
        ],
    )
    return ids


def plain_dataset(side: Side, dataset: EvaluationDataset) -> dict[str, Any]:
    return dataset.to_dict() | {"experiments": dataset.experiment_ids}


@pytest.fixture
def ids(copies: Copies, ticking: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setitem(PLAIN, EvaluationDataset, plain_dataset)
    monkeypatch.setitem(PLAIN, DatasetRecord, lambda side, record: record.to_dict())
    return fill(copies.store)


def records_of(both: Both, ids: list[str]) -> list[list[Any]]:
    return [both._load_dataset_records(one) for one in ids]


def test_they_survive_there_and_back(copies: Copies, ids: list[str]) -> None:
    copies.change(
        "update evaluation_datasets set profile = 'odd' where name = 'empty'",
        f"insert into entity_associations values ('a-x', 'model', 'm', '{DATASET}', '{ids[2]}', 7)",
        f"insert into entity_associations values ('a-y', '{DATASET}', '{ids[0]}', '{DATASET}', "
        f"'{ids[1]}', 8)",
        "update evaluation_dataset_records set input_hash = 'other', source_type = 'odd', "
        "created_by = 'x' where inputs like '%\"q\": 3,%'",
    )
    outcome = copies.there()
    assert outcome.source.counts["evaluation_dataset_records"] == 43
    assert outcome.source.counts["entity_associations"] == 6
    copies.and_back()
    assert contents(copies.back, *TABLES) == contents(copies.path, *TABLES)

    both = copies.both()
    for one in ids:
        both.get_dataset(one)
        both.get_dataset_experiment_ids(one)
        both.search_entities_by_source(one, DATASET, DATASET)
        both.search_entities_by_destination(one, DATASET, "model")
    for experiment in ("1", "2", "77"):
        both.search_entities_by_destination(experiment, EXPERIMENT, DATASET)
        both.search_datasets([experiment])
    both.search_datasets()
    both.search_datasets(filter_string="name = 'empty'")
    both.search_datasets(filter_string="tags.`mlflow.user` = 'me'")
    records_of(both, ids)


def times_out(side: Side, value: Any) -> dict[str, Any]:
    """What is compared after both sides went on by their own clocks."""
    late = ("last_update_time", "digest", "created_time", "dataset_record_id")
    return {name: one for name, one in value.to_dict().items() if name not in late}


@pytest.mark.heavy
def test_the_store_goes_on_where_the_database_was(
    copies: Copies, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.there()
    both = copies.both()
    first, second, empty = ids
    known = [one.dataset_record_id for one in copies.store._load_dataset_records(first)[0]]
    monkeypatch.setitem(PLAIN, DatasetRecord, times_out)
    monkeypatch.setitem(PLAIN, EvaluationDataset, times_out)
    # the same inputs are the same record, whatever its id
    again = [{"inputs": {"a": "☃", "b": 0.1, "q": n}, "tags": {"again": "1"}} for n in range(45)]
    assert both.upsert_dataset_records(first, again) == {"inserted": 5, "updated": 40}
    both.get_dataset(first)
    assert both.delete_dataset_records(first, [*known[:35], "dr-none"]) == 35
    assert both.upsert_dataset_records(first, again)["inserted"] == 35
    both.get_dataset(first)
    for side in both.sides:
        found, _ = side.store._load_dataset_records(first)
        assert sorted(one.inputs["q"] for one in found) == list(range(45))
        assert {one.dataset_record_id for one in found} >= set(known[35:])
    both.upsert_dataset_records(empty, [{"inputs": {"x": 1}}])
    both.set_dataset_tags(second, {"new": "tag"})
    both.delete_dataset_tag(second, "t3")
    both.add_dataset_to_experiments(second, ["1"])
    both.remove_dataset_from_experiments(first, ["2"])
    for one in ids:
        both.get_dataset(one)
        both.get_dataset_experiment_ids(one)
    both.delete_dataset(first)
    both.delete_dataset(empty)
    both.search_datasets()
    left = {item["pk"] for item in copies.table.query_all("AR#experiment#=1")}
    assert len(left) == 1
    for shard in range(8):
        assert not list(copies.table.query_all(f"EDI#{first}#{shard}"))
        assert not list(copies.table.query_all(f"EDR#{first}#{shard}"))
    copies.back.unlink()
    copies.back.write_bytes(copies.path.read_bytes())
    copies_of_ours(copies)


def copies_of_ours(copies: Copies) -> None:
    """What our store wrote by itself is exported as well, and has the counts of SQL's."""
    copies.change(*(f"delete from {name}" for name in reversed(TABLES)))
    copies.change("delete from experiment_tags", "delete from experiments")
    copies.back.write_bytes(copies.path.read_bytes())
    outcome = copies.and_back()
    assert outcome.target.counts["evaluation_dataset_records"] == 3
    assert outcome.target.counts["entity_associations"] == 2


REFUSED = {
    "evaluation_datasets: rows in workspaces": "update evaluation_datasets set workspace = 't'",
    "evaluation_datasets: 3 rows have no created_time": "update evaluation_datasets "
    "set created_time = null",
    "evaluation_dataset_records: records of dataset d-0, which is gone": "update "
    "evaluation_dataset_records set dataset_id = 'd-0'",
    "cannot be read": "update evaluation_dataset_records set outputs = '{\"a\": 1}'",
    "links of evaluation dataset d-1, which is gone": "insert into entity_associations values "
    "('x', 'evaluation_dataset', 'd-1', 'experiment', '1', 1)",
    "entity_associations: 1 rows belong to nothing": "insert into entity_associations values "
    "('x', 'run', '1', 'experiment', '1', 1)",
}


def test_what_cannot_be_carried_is_listed_and_nothing_written(
    copies: Copies, ids: list[str]
) -> None:
    copies.change(*REFUSED.values())
    copies.fake.calls.clear()
    source = copies.refused()
    with pytest.raises(Refused, match="nothing was written") as refused:
        import_sql(source, copies.table, str)
    source.close()
    for sentence in REFUSED:
        assert any(sentence in one for one in refused.value.problems), sentence
    assert not WRITES & set(copies.fake.calls)
