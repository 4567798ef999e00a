"""Calls to DynamoDB for each call of the registry: the budgets of docs/store.md.

Counted by a process that has seen the models before; the first time it sees a name costs one more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag

from dynamodb_store import keys
from dynamodb_store.registry.store import DynamoDbRegistryStore
from tests.fakes.fake_dynamodb import FakeDynamoDb
from tests.store.conftest import counted

RUN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def calls(fake: FakeDynamoDb, registry: Any) -> Callable[..., int]:
    return counted(fake, registry)


def test_reads_and_writes_of_models_and_versions(
    registry: Any, calls: Callable[..., int], fake: FakeDynamoDb
) -> None:
    tag, version_tag = RegisteredModelTag("k", "v"), ModelVersionTag("k", "v")
    assert calls("create_registered_model", "m", [tag], "text") == 1
    assert calls("create_model_version", "m", "s3://bucket/a", RUN, [version_tag]) == 2 <= 3
    assert calls("create_model_version", "m", "s3://bucket/b", RUN) == 2
    assert calls("create_model_version", "m", "models:/m/1") == 3
    assert calls("get_model_version", "m", 1) == 1
    assert calls("get_model_version_download_uri", "m", 1) == 1
    assert calls("set_registered_model_alias", "m", "best", 1) == 2
    assert calls("get_model_version_by_alias", "m", "best") == 2
    assert calls("transition_model_version_stage", "m", 1, "Staging", False) == 2
    assert calls("get_model_version_by_alias", "m", "best") == 1
    assert calls("get_registered_model", "m") == 1 <= 2
    assert calls("get_latest_versions", "m") == 1
    assert calls("transition_model_version_stage", "m", 3, "Staging", True) == 6
    assert calls("update_model_version", "m", 2, "d") == 2
    assert calls("set_model_version_tag", "m", 2, version_tag) == 2
    assert calls("set_model_version_tag", "m", 3, version_tag) == 2
    assert calls("set_registered_model_tag", "m", tag) == 2
    assert calls("update_registered_model", "m", "d") == 2
    assert calls("rename_registered_model", "m", "n") == 2
    assert calls("delete_model_version", "n", 3) == 3
    assert calls("search_model_versions", "name = 'n'") == 2
    assert calls("search_model_versions", f"run_id = '{RUN}'") == 2
    assert calls("search_model_versions", "source_path = 's3://bucket/a'") == 2
    assert calls("delete_registered_model", "n") == 8
    assert not fake.weak_reads


def test_a_process_that_sees_a_model_first_needs_one_call_more(
    registry: Any, fake: FakeDynamoDb
) -> None:
    registry.create_registered_model("m")
    registry.create_model_version("m", "s")
    other = DynamoDbRegistryStore(registry.table)
    for expected in (2, 1, 1):
        fake.calls.clear()
        other.get_model_version("m", 1)
        assert len(fake.calls) == expected


def test_a_page_of_a_hundred_models_is_two_calls(
    registry: Any, fake: FakeDynamoDb, calls: Callable[..., int]
) -> None:
    for number in range(101):
        registry.create_registered_model(f"model {number:03d}")
    for number in range(4, 7):
        registry.create_model_version(f"model {number:03d}", "s")
    assert calls("search_registered_models") == 2
    page = registry.search_registered_models()
    assert len(page) == 100
    assert calls("search_registered_models", None, 100, None, page.token) == 2
    assert calls("search_registered_models", "name LIKE '%9'", 100) == 2
    assert calls("search_registered_models", "name = 'model 001'") == 2
    assert calls("search_registered_models", None, 10, ["timestamp DESC"]) == 3
    prompts = "tags.`mlflow.prompt.is_prompt` = 'true'"
    assert calls("search_registered_models", prompts) == 1
    # A version that is too long to be copied into the model's record costs one call more.
    registry.create_model_version("model 005", "s", tags=[ModelVersionTag("t", "x" * 9000)])
    assert calls("search_registered_models") == 3
    assert calls("get_registered_model", "model 005") == 2


def test_versions_of_a_large_model_are_paged_in_the_order_of_their_numbers(
    registry: Any, fake: FakeDynamoDb, calls: Callable[..., int]
) -> None:
    registry.create_registered_model("m")
    for _ in range(15):
        registry.create_model_version("m", "s")
    newest = ("name = 'm'", 10, ["version_number DESC"])
    assert calls("search_model_versions", *newest) == 2
    page = registry.search_model_versions(*newest)
    assert [one.version for one in page] == list(range(15, 5, -1))
    assert calls("search_model_versions", *newest, page.token) == 2
    assert registry.search_model_versions(*newest, page.token)[0].version == 5


def test_versions_of_models_with_one_version_are_read_with_the_models(
    registry: Any, fake: FakeDynamoDb, calls: Callable[..., int]
) -> None:
    for number in range(5):
        registry.create_registered_model(f"m{number}")
        registry.create_model_version(f"m{number}", "s")
    assert calls("search_model_versions") == 3  # both lists, the models
    registry.create_model_version("m1", "s")
    assert calls("search_model_versions") == 4
    assert len(registry.search_model_versions()) == 6


def test_ten_thousand_versions_are_few_queries_at_once(registry: Any) -> None:
    """Items as they really are must let 1,000 of them fit the one Query that reads them."""
    registry.create_registered_model("m")
    tags = [ModelVersionTag(f"tag {i}", "a value") for i in range(5)]
    for number in range(3):
        registry.create_model_version("m", f"s3://bucket/{RUN}/{number}", RUN, tags, "", "text")
    (head, *_), *_ = registry._model_and("m"), None
    items = list(registry.table.query_all(head.partition, prefix=keys.VERSIONS))
    size = max(sum(len(str(k)) + len(v if isinstance(v, bytes) else str(v)) for k, v in
                   item.items()) for item in items)  # fmt: skip
    assert size * 1000 < 1024 * 1024


def test_people_who_make_versions_of_different_models_share_nothing(
    registry: Any, fake: FakeDynamoDb
) -> None:
    for number in range(5):
        registry.create_registered_model(f"m{number}")
    fake.written.clear()
    for number in range(5):
        name = f"m{number}"
        registry.create_model_version(name, f"s3://bucket/{number}", f"run {number}")
        registry.set_model_version_tag(name, 1, ModelVersionTag("k", "v"))
        registry.set_registered_model_alias(name, "best", 1)
        registry.transition_model_version_stage(name, 1, "Production", True)
        registry.delete_model_version(name, 1)
    partitions = [pk.partition("#")[0] for pk in fake.written]
    # Each of the five writes to its model, to the list of its run and to that of its source.
    assert sorted(partitions) == ["RM"] * 5 + ["RR"] * 5 + ["RS"] * 5


def test_prompts_do_not_share_the_list_of_their_source(registry: Any, fake: FakeDynamoDb) -> None:
    registry.create_prompt("p")
    fake.written.clear()
    registry.create_prompt_version("p", "text")
    assert {pk.partition("#")[0] for pk in fake.written} == {"RM"}
