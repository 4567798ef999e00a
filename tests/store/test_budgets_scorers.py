"""Calls to DynamoDB for each call on scorers, and two callers at once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from mlflow.entities.gateway_guardrail import GuardrailAction, GuardrailStage
from mlflow.exceptions import MlflowException

from tests.fakes.fake_dynamodb import FakeDynamoDb, lose_answers, throttle


def judge(instructions: str = "is {{ outputs }} good?") -> str:
    data = {"instructions": instructions, "model": "openai:/gpt"}
    return json.dumps({"name": "a judge", "instructions_judge_pydantic_data": data})


def test_calls(dynamo: Any, fake: FakeDynamoDb, calls: Callable[..., int]) -> None:
    assert calls("register_scorer", "0", "a", judge()) == 3
    assert calls("register_scorer", "0", "a", judge()) == 3
    assert calls("get_scorer", "0", "a") == 3
    assert calls("list_scorers", "0") == 3
    assert calls("list_scorers_across_experiments", ["0", "1"]) == 3
    assert calls("list_scorer_versions", "0", "a") == 3
    assert calls("upsert_online_scoring_config", "0", "a", 0) == 4
    assert calls("get_online_scoring_configs", ["x"]) == 1
    assert calls("get_active_online_scorers") == 1
    assert calls("delete_scorer", "0", "a", 1) == 6
    assert calls("delete_scorer", "0", "a") <= 8
    assert fake.weak_reads == []


def test_versions_registered_at_once_get_numbers_of_their_own(
    dynamo: Any, fake: FakeDynamoDb
) -> None:
    again: list[Any] = [None]

    def meanwhile(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "transact_write_items" and again:
            again.clear()
            dynamo.register_scorer("0", "a", judge("theirs {{ outputs }}"))

    fake.faults.append(meanwhile)
    mine = dynamo.register_scorer("0", "a", judge())
    assert mine.scorer_version == 2
    versions = dynamo.list_scorer_versions("0", "a")
    assert [one.scorer_version for one in versions] == [1, 2]
    assert "theirs" in versions[0]._serialized_scorer
    assert len({one.scorer_id for one in versions}) == 1


def test_lost_answers_and_throttling_register_once(dynamo: Any, fake: FakeDynamoDb) -> None:
    fake.faults.append(lose_answers(fake))
    dynamo.register_scorer("0", "a", judge())
    dynamo.register_scorer("0", "a", judge())
    dynamo.delete_scorer("0", "a", 1)
    fake.faults.clear()
    fake.faults.append(throttle(4))
    assert [one.scorer_version for one in dynamo.list_scorer_versions("0", "a")] == [2]


def test_a_version_that_a_guardrail_runs_stays(dynamo: Any) -> None:
    scorer = dynamo.register_scorer("0", "a", judge())
    dynamo.register_scorer("0", "a", judge())
    guardrail = dynamo.create_gateway_guardrail(
        "g", scorer.scorer_id, 1, GuardrailStage.BEFORE, GuardrailAction.VALIDATION
    )
    with pytest.raises(MlflowException, match="version 7 not found"):
        dynamo.create_gateway_guardrail(
            "g", scorer.scorer_id, 7, GuardrailStage.BEFORE, GuardrailAction.VALIDATION
        )
    for version in (1, None):
        with pytest.raises(MlflowException, match="guardrail uses") as refused:
            dynamo.delete_scorer("0", "a", version)
        assert refused.value.error_code == "BAD_REQUEST"
    dynamo.delete_scorer("0", "a", 2)
    assert dynamo.get_scorer("0", "a").scorer_version == 1
    dynamo.delete_gateway_guardrail(guardrail.guardrail_id)
    dynamo.delete_scorer("0", "a")
    assert dynamo.list_scorers("0") == []


def test_many_and_large_versions_leave_nothing_behind(dynamo: Any, fake: FakeDynamoDb) -> None:
    for _ in range(45):
        dynamo.register_scorer("0", "a", judge())
    noise = os.urandom(400_000).hex()
    large = dynamo.register_scorer("0", "a", judge(noise))
    assert noise in dynamo.get_scorer("0", "a")._serialized_scorer
    assert fake.largest_item < 400_000
    for bad in ("no json", "[1]", "null"):
        with pytest.raises(MlflowException, match="JSON"):
            dynamo.register_scorer("0", "a", bad)
    dynamo.upsert_online_scoring_config("0", "a", 0)
    dynamo.delete_scorer("0", "a")
    left = [item["pk"]["S"] for item in fake.scan(TableName="mlflow")["Items"]]
    assert not [pk for pk in left if pk.startswith("SC") or large.scorer_id in pk]
    dynamo.register_scorer("0", "b", judge(noise))
    dynamo.delete_experiment("0")
    dynamo._hard_delete_experiment("0")
    left = [item["pk"]["S"] for item in fake.scan(TableName="mlflow")["Items"]]
    assert not [pk for pk in left if pk.startswith("SC")]
