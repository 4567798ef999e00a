"""Evaluation datasets on MLflow's SQL store and on ours: the same calls, the same answers."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.entities.dataset_record import DatasetRecord
from mlflow.entities.dataset_record_source import DatasetRecordSource
from mlflow.entities.evaluation_dataset import EvaluationDataset

from tests.store.both import PLAIN, Both, Ref, Side

A, B, C, NONE = Ref("a"), Ref("b"), Ref("c"), Ref("nothing", "d-none")
DATASET, EXPERIMENT = "evaluation_dataset", "experiment"


def plain_dataset(side: Side, dataset: EvaluationDataset) -> dict[str, Any]:
    return {
        "id": side.by_name(dataset.dataset_id),
        "name": dataset.name,
        "tags": dataset.tags,
        "schema": dataset.schema,
        "profile": dataset.profile,
        "digest": len(dataset.digest),
        "changed": dataset.last_update_time > dataset.created_time,
        "by": (dataset.created_by, dataset.last_updated_by),
        "experiments": dataset._experiment_ids,
        "source": dataset.source.to_dict() and dataset.source._get_source_type(),
    }


def plain_record(side: Side, record: DatasetRecord) -> dict[str, Any]:
    fields = record.to_dict()
    for name in ("dataset_record_id", "created_time", "last_update_time"):
        assert fields.pop(name)
    return {**fields, "dataset_id": side.by_name(record.dataset_id)}


@pytest.fixture
def both(sql: Any, ours: Any, ticking: None, monkeypatch: pytest.MonkeyPatch) -> Both:
    monkeypatch.setitem(PLAIN, EvaluationDataset, plain_dataset)
    monkeypatch.setitem(PLAIN, DatasetRecord, plain_record)
    return Both(sql, ours)


def make(both: Both, name: str, *args: Any, **kwargs: Any) -> Ref:
    return both.remember(name, "create_dataset", *args, id_of="dataset_id", **kwargs)


def records(both: Both, dataset: Ref, size: int | None = None) -> list[list[dict[str, Any]]]:
    """All pages of both; records of one call come in the order of ids, so they are sorted."""
    read: list[list[list[dict[str, Any]]]] = []
    for side in both.sides:
        pages, token = [], None
        while True:
            found, token = side.store._load_dataset_records(side.made[dataset.name], size, token)
            pages.append([side.plain(one) for one in found])
            if token is None:
                break
        read.append(pages)
    theirs, ours = read
    assert [len(page) for page in ours] == [len(page) for page in theirs]
    flat = [sorted((one for page in pages for one in page), key=str) for pages in read]
    assert flat[1] == flat[0]
    return ours


def test_a_dataset_from_creation_to_removal(both: Both) -> None:
    both.create_experiment("e")
    make(both, "a", "name ☃/#", {"mlflow.user": "me", "": "", "k": None}, ["1", "0", "77"])
    make(both, "b", "name ☃/#")
    make(both, "c", "", {}, [])
    for dataset in (A, B, C, NONE):
        both.get_dataset(dataset)
        both.get_dataset_experiment_ids(dataset)
    both.create_dataset("x", None, ["1", "1"])
    both.set_dataset_tags(A, {"k": "v", "none": None, "n": 1, "long": "🚀" * 3000})
    both.set_dataset_tags(A, {f"t{number}": "x" for number in range(90)})
    both.set_dataset_tags(A, {})
    both.set_dataset_tags(NONE, {"k": "v"})
    both.set_dataset_tags(NONE, {})
    both.delete_dataset_tag(A, "")
    both.delete_dataset_tag(A, "none")
    both.delete_dataset_tag(NONE, "k")
    both.get_dataset(A)
    both.add_dataset_to_experiments(B, ["0"])
    both.add_dataset_to_experiments(B, ["1", "0", "1"])
    both.add_dataset_to_experiments(B, [])
    for bad in (["55"], ["x"], ["01"]):
        both.add_dataset_to_experiments(B, bad)
    both.add_dataset_to_experiments(NONE, ["0"])
    both.get_dataset_experiment_ids(B)
    both.search_datasets(["0"])
    both.remove_dataset_from_experiments(A, ["77", "55"])
    both.remove_dataset_from_experiments(C, ["77"])
    both.remove_dataset_from_experiments(NONE, ["77"])
    both.get_dataset_experiment_ids(A)
    both.search_entities_by_destination(["0", "1", "1"], EXPERIMENT, DATASET)
    both.search_entities_by_destination("0", EXPERIMENT, DATASET)
    both.search_entities_by_destination("0", EXPERIMENT, "run")
    both.search_entities_by_source([A, B], DATASET, EXPERIMENT)
    both.search_entities_by_source(A, DATASET, DATASET)
    both.search_entities_by_source([], DATASET, EXPERIMENT)
    for source in (A, [A, B]):
        pages = both.pages("search_entities_by_source", source, DATASET, EXPERIMENT, max_results=1)
        assert len(pages) == (2 if source is A else 3)
    both.search_entities_by_source(A, DATASET, EXPERIMENT, 5, "no token")
    both.upsert_dataset_records(A, [{"inputs": {"q": number}} for number in range(30)])
    both.delete_dataset(A)
    both.delete_dataset(A)
    both.get_dataset(A)
    both.get_dataset_experiment_ids(A)
    both.search_datasets(["0", "1"])
    both.search_datasets()
    assert records(both, A) == [[]]


def test_records_are_merged_by_their_inputs(both: Both) -> None:
    make(both, "a", "one")
    user, other = {"mlflow.user": "me"}, {"mlflow.user": "you", "k": "v"}
    trace = {"source_type": "TRACE", "source_data": {"trace_id": "tr-1"}}
    assert both.upsert_dataset_records(A, []) == {"inserted": 0, "updated": 0}
    both.get_dataset(A)
    answer = both.upsert_dataset_records(
        A,
        [
            {"inputs": {"q": "é", "n": 1}, "outputs": {"t": "text"}, "tags": user, "source": trace},
            {"inputs": {"n": 1, "q": "é"}, "expectations": {"a": 1, "b": [1.5, None]}},
            {"inputs": {}, "outputs": {"deep": {"x": [True]}}, "expectations": {}},
            {"inputs": {"q": 2}, "outputs": None, "tags": {}},
            {"inputs": {"q": 2.0}, "outputs": 0},
            {},
            {"inputs": {"q": "source"}, "source": DatasetRecordSource("HUMAN", {"source_id": "s"})},
            {"inputs": {"q": "☃" * 5000}},
        ],
    )
    assert answer == {"inserted": 6, "updated": 2}
    both.get_dataset(A)
    records(both, A)
    again = [
        {"inputs": {"q": "é", "n": 1}, "expectations": {"b": 2}, "tags": other},
        {"inputs": {"q": 2}, "outputs": ["list"], "expectations": {"new": None}},
        {"inputs": {"q": 3}, "outputs": {"deep": 1, "more": {}}},
    ]
    assert both.upsert_dataset_records(A, again) == {"inserted": 1, "updated": 2}
    assert both.upsert_dataset_records(A, again) == {"inserted": 0, "updated": 3}
    both.get_dataset(A)
    records(both, A)
    both.upsert_dataset_records(A, [{"inputs": {"late": 1}}, {"inputs": None}])
    both.upsert_dataset_records(NONE, [{"inputs": {"q": 1}}])
    both.upsert_dataset_records(NONE, [])
    both.get_dataset(A)
    assert len(records(both, A)[0]) == 7


def test_records_in_pages_and_their_deletion(both: Both) -> None:
    make(both, "a", "one")
    for part in range(3):
        both.upsert_dataset_records(A, [{"inputs": {"q": 100 * part + n}} for n in range(20)])
    pages = records(both, A, 16)
    assert [len(page) for page in pages] == [16, 16, 16, 12]
    numbers = [record["inputs"]["q"] // 100 for page in pages for record in page]
    assert numbers == sorted(numbers)  # what was given first comes first
    records(both, A, 60)
    records(both, A, 59)
    records(both, A, 0)
    both._load_dataset_records(NONE)
    for side in both.sides:
        skipped, token = side.store._load_dataset_records(side.made["a"], 10, "55")
        assert (len(skipped), token) == (5, None)
        found = side.store._load_dataset_records(side.made["a"])[0]
        side.made |= {f"r{one.inputs['q']}": one.dataset_record_id for one in found}
    some = [Ref(f"r{100 * part + n}") for part in range(3) for n in range(0, 20, 2)]
    assert both.delete_dataset_records(A, [*some, "dr-none", some[0]]) == 30
    both.delete_dataset_records(A, some)
    both.delete_dataset_records(A, [])
    both.delete_dataset_records(NONE, some)
    both.get_dataset(A)
    assert len(records(both, A)[0]) == 30
    both.upsert_dataset_records(A, [{"inputs": {"q": 1}}, {"inputs": {"q": 5000}}])
    both.get_dataset(A)
    for side in both.sides:
        rest = side.store._load_dataset_records(side.made["a"])[0]
        gone = [one.dataset_record_id for one in rest]
        assert side.store.delete_dataset_records(side.made["a"], gone) == 31
    assert both.get_dataset(A)["profile"] == "null"
    both.upsert_dataset_records(A, [{"inputs": {"q": 1}}])
    assert both.get_dataset(A)["profile"] == '{"num_records": 1}'


def test_search(both: Both) -> None:
    both.create_experiment("e")
    for number, name in enumerate(("alpha", "Alpha", "beta_1", "100%", "γάμμα")):
        tags = {"k": "v" if number % 2 else "w", "mlflow.user": f"u{number % 3}"}
        make(both, f"d{number}", name, tags, [str(number % 2)])
    both.set_dataset_tags(Ref("d0"), {"only": ""})
    both.upsert_dataset_records(Ref("d3"), [{"inputs": {"a": 1}}])
    for text in (
        "name = 'alpha'",
        "name != 'alpha'",
        "name LIKE 'a%'",
        "name LIKE 'beta_1'",
        "name ILIKE 'A%'",
        "name IN ('alpha', 'beta_1')",
        "name > 'b'",
        "tags.k = 'v'",
        "tags.k != 'v'",
        "tags.only = ''",
        "tags.k LIKE 'w' AND tags.only ILIKE '%'",
        "tags.none = 'x'",
        "created_by = 'u1' AND name LIKE '%a%'",
        "last_updated_by = 'u0'",
        "created_by != 'u1'",
        "created_time > 1",
        "last_update_time <= 5",
        "created_time = 1.5",
        "created_time LIKE '1'",
        "odd = 'x'",
        "name = 'a' OR name = 'b'",
        "name NOT IN ('alpha')",
        "tags.k IN ('v')",
        "tags.k > 'v'",
        "params.k = 'v'",
    ):
        both.search_datasets(None, text)
    for order in (
        ["name"],
        ["name DESC"],
        ["created_time ASC"],
        ["created_time DESC"],
        ["last_update_time DESC", "name"],
        ["digest"],
        ["tags.k"],
    ):
        both.search_datasets(None, None, 50, order)
    for ids in (["0"], ["1", "0"], ["55"], []):
        both.search_datasets(ids, "name != 'alpha'", 50, ["name"])
        both.search_datasets(ids)
    for arguments in ({}, {"order_by": ["name"]}, {"filter_string": "name != 'x'"}):
        pages = both.pages("search_datasets", max_results=2, **arguments)
        assert [len(page) for page in pages] == [2, 2, 1]
    assert len(both.pages("search_datasets", ["0", "1"], max_results=2)) == 3
    both.search_datasets(max_results=0)
    both.search_datasets(max_results=50001)
    both.search_datasets(page_token="no token")
