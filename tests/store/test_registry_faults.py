"""The registry under throttling, lost answers, crashes, other writers, and with large contents."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.exceptions import MlflowException

from dynamodb_store.provision import delete_table
from dynamodb_store.registry.store import DynamoDbRegistryStore
from dynamodb_store.table import open_table
from dynamodb_store.uri import parse_uri
from tests.fakes.fake_dynamodb import WRITES, FakeDynamoDb, lose_answers, throttle

URI = "dynamodb://us-east-1/mlflow"


def meanwhile(fake: FakeDynamoDb, *steps: Any) -> None:
    """Each step is taken just before one transaction or put of somebody else."""
    left = list(steps)

    def fault(operation: str, parameters: dict[str, Any]) -> None:
        if operation in WRITES and left:
            left.pop(0)()

    fake.faults.append(fault)


def other(registry: Any) -> DynamoDbRegistryStore:
    """Another server on the same table."""
    return DynamoDbRegistryStore(registry.table)


def test_throttling_is_waited_out(registry: Any, fake: FakeDynamoDb, pauses: Any) -> None:
    registry.create_registered_model("m")
    fake.faults.append(throttle(5))
    registry.create_model_version("m", "s")
    assert len(pauses.made) == 5
    fake.faults[:] = [throttle(10_000)]
    with pytest.raises(MlflowException, match="too busy") as refused:
        registry.create_model_version("m", "s")
    assert refused.value.error_code == "TEMPORARILY_UNAVAILABLE"
    fake.faults.clear()
    assert len(registry.search_model_versions("name = 'm'")) == 1


def test_a_write_whose_answer_got_lost_is_done_once(registry: Any, fake: FakeDynamoDb) -> None:
    lost: list[str] = []
    fake.faults.append(lose_answers(fake, lost))
    registry.create_registered_model("m")
    assert registry.create_model_version("m", "s").version == 1
    registry.transition_model_version_stage("m", 1, "Staging", True)
    registry.rename_registered_model("m", "n")
    fake.faults.clear()
    assert len(lost) == 8
    assert [one.version for one in registry.search_model_versions()] == [1]
    assert [one.name for one in registry.search_registered_models()] == ["n"]


def test_two_who_create_a_version_get_two_numbers(registry: Any, fake: FakeDynamoDb) -> None:
    registry.create_registered_model("m")
    server = other(registry)
    meanwhile(fake, lambda: server.create_model_version("m", "second", "run"))
    made = registry.create_model_version("m", "first", "run")
    assert made.version == 2
    assert {one.source for one in registry.search_model_versions("run_id = 'run'")} == {
        "first",
        "second",
    }
    assert registry.get_registered_model("m").latest_versions[0].version == 2


def test_of_two_who_take_a_name_one_is_told(registry: Any, fake: FakeDynamoDb) -> None:
    server = other(registry)
    meanwhile(fake, lambda: server.create_registered_model("m"))
    with pytest.raises(MlflowException, match="already exists"):
        registry.create_registered_model("m")
    registry.create_registered_model("n")
    meanwhile(fake, lambda: server.create_registered_model("o"))
    with pytest.raises(MlflowException, match="already exists") as refused:
        registry.rename_registered_model("n", "o")
    assert refused.value.error_code == "RESOURCE_ALREADY_EXISTS"
    assert [one.name for one in registry.search_registered_models()] == ["m", "n", "o"]


def test_a_server_follows_renames_and_deletions_of_another(registry: Any) -> None:
    server = other(registry)
    registry.create_registered_model("m")
    registry.create_model_version("m", "old")
    server.get_model_version("m", 1)
    registry.rename_registered_model("m", "n")
    with pytest.raises(MlflowException, match="not found"):
        server.get_model_version("m", 1)
    registry.create_registered_model("m")
    registry.create_model_version("m", "new")
    assert server.get_model_version("m", 1).source == "new"
    assert server.get_model_version("n", 1).source == "old"
    registry.delete_registered_model("m")
    with pytest.raises(MlflowException, match="not found"):
        server.get_registered_model("m")
    registry.create_registered_model("m")
    assert server.create_model_version("m", "newest").version == 1


@pytest.mark.parametrize("change", ["rename", "delete", "delete version", "transition"])
def test_a_write_that_meets_another_is_done_on_what_that_left(
    registry: Any, fake: FakeDynamoDb, change: str
) -> None:
    registry.create_registered_model("m")
    for _ in range(3):
        registry.create_model_version("m", "s")
    server = other(registry)
    steps = {
        "rename": lambda: server.rename_registered_model("m", "n"),
        "delete": lambda: server.delete_registered_model("m"),
        "delete version": lambda: server.delete_model_version("m", 3),
        "transition": lambda: server.transition_model_version_stage("m", 3, "Staging", True),
    }
    meanwhile(fake, steps[change])
    tag = ModelVersionTag("k", "v")
    if change == "transition":
        registry.set_model_version_tag("m", 3, tag)
        latest = {one.current_stage: one for one in registry.get_latest_versions("m")}
        assert {stage: one.version for stage, one in latest.items()} == {"None": 2, "Staging": 3}
        assert latest["Staging"].tags == {"k": "v"}
        return
    with pytest.raises(MlflowException, match="not found"):
        registry.set_model_version_tag("m", 3, tag)
    with pytest.raises(MlflowException, match="not found"):
        registry.set_registered_model_alias("m", "a", 3)


def test_a_version_that_becomes_the_latest_is_copied_with_what_is_written_to_it_meanwhile(
    registry: Any, fake: FakeDynamoDb
) -> None:
    registry.create_registered_model("m")
    registry.create_model_version("m", "s")
    registry.create_model_version("m", "s")
    server = other(registry)
    # 1 is not the latest when it is read; it is when the tag is written.
    meanwhile(fake, lambda: server.delete_model_version("m", 2))
    registry.set_model_version_tag("m", 1, ModelVersionTag("k", "v"))
    assert registry.get_latest_versions("m")[0].tags == {"k": "v"}
    registry.create_model_version("m", "s")
    # And the other way around: the tag is written between the copying and the deletion.
    meanwhile(fake, lambda: server.set_model_version_tag("m", 1, ModelVersionTag("k", "w")))
    registry.delete_model_version("m", 3)
    assert registry.get_latest_versions("m")[0].tags == {"k": "w"}


def test_a_deletion_that_was_cut_short_is_finished_by_the_next(
    registry: Any, fake: FakeDynamoDb
) -> None:
    noise = "".join(chr(0x4E00 + (i * i * 7919) % 20_000) for i in range(100_000))
    long = [ModelVersionTag(f"t{i}", noise[i:]) for i in range(2)]
    for name in ("m", "n"):
        registry.create_registered_model(name)
        for number in range(12):
            registry.create_model_version(name, f"s{number}", "run", long if number == 3 else ())

    def crash(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "batch_write_item":
            raise KeyboardInterrupt

    fake.faults.append(crash)
    with pytest.raises(KeyboardInterrupt):
        registry.delete_registered_model("m")
    fake.faults.clear()
    assert len(registry.search_model_versions("run_id = 'run'")) == 12
    assert len(registry.search_model_versions()) == 12
    with pytest.raises(MlflowException, match="not found"):
        registry.get_model_version("m", 1)
    registry.create_registered_model("m")
    registry.delete_registered_model("n")
    registry.delete_registered_model("m")
    assert fake.scan(TableName="mlflow")["Items"] == []


def test_large_contents_are_kept_in_small_items(registry: Any, fake: FakeDynamoDb) -> None:
    noise = "".join(chr(0x4E00 + (i * i * 7919) % 20_000) for i in range(100_000))
    registry.create_registered_model(
        "m", [RegisteredModelTag(f"t{i}", noise) for i in range(3)], noise
    )
    tags = [ModelVersionTag(f"t{i}", noise) for i in range(3)]
    for _ in range(2):
        registry.create_model_version("m", "s", tags=tags)
    registry.set_model_version_tag("m", 1, ModelVersionTag("mlflow.prompt.text", noise))
    registry.transition_model_version_stage("m", 1, "Staging", False)
    assert fake.largest_item < 400_000
    (found,) = registry.search_registered_models()
    assert found.tags["t2"] == noise
    assert [one.tags["t2"] for one in found.latest_versions] == [noise, noise]
    assert len(registry.search_model_versions("name = 'm'")) == 2
    registry.delete_registered_model("m")
    assert fake.scan(TableName="mlflow")["Items"] == []


def test_a_missing_table_is_told_when_the_store_is_opened(fake: FakeDynamoDb) -> None:
    delete_table(URI)
    with pytest.raises(MlflowException, match="mlgate store create-table"):
        DynamoDbRegistryStore(open_table(parse_uri(URI)))
