"""What is in a serialized scorer: traces that it loads, and what makes more of it than a scorer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.routes.scorers import Scorer, read_scorer

_JUDGE = {"instructions": "Is {{ outputs }} good?", "model": "openai:/gpt-4o"}


def _built_in(**data: Any) -> dict[str, Any]:
    name = data.pop("scorer", "Guidelines")
    return {"name": "g", "builtin_scorer_class": name, "builtin_scorer_pydantic_data": data}


def _judge(**more: Any) -> dict[str, Any]:
    return {"name": "j", "instructions_judge_pydantic_data": {**_JUDGE, **more}}


def _aligned(base: dict[str, Any], traces: Any) -> dict[str, Any]:
    data = {"base_judge": base, "episodic_trace_ids": traces, "semantic_memory": []}
    return {"name": "a", "memory_augmented_judge_data": data}


def _ensemble(*scorers: dict[str, Any]) -> dict[str, Any]:
    return {"name": "e", "ensemble_scorer_data": {"ensemble_fn": "minimum", "scorers": [*scorers]}}


@pytest.mark.parametrize(
    "scorer",
    [
        _built_in(model="gateway:/chat", guidelines=["be kind"], inference_params=None),
        _built_in(scorer="Safety", extra_headers=None, inference_params={"temperature": 0}),
        _judge(inference_params={"max_tokens": 10, "top_p": 1, "reasoning": {"effort": "low"}}),
        _judge(feedback_value_type={"type": "string", "enum": ["base_url"]}),
        {**_judge(), "builtin_scorer_class": None, "call_source": None},
        _judge(model="bedrock:/arn:aws:bedrock:eu-1:1:inference-profile/eu.anthropic.claude-v1:0"),
        _judge(model="databricks"),
        _aligned(_judge(), None),
        _ensemble(_built_in(), _judge()),
        {},
    ],
)
def test_a_scorer_that_is_one(scorer: dict[str, Any]) -> None:
    assert read_scorer(json.dumps(scorer), "serialized_scorer") == Scorer((), ())


@pytest.mark.parametrize(
    ("scorer", "steers"),
    [
        (_built_in(scorer="invoke_judge_model"), "builtin_scorer_class invoke_judge_model"),
        (_built_in(scorer="InstructionsJudge"), "builtin_scorer_class InstructionsJudge"),
        (_built_in(scorer=""), "builtin_scorer_class "),
        (_built_in(scorer=["Safety"]), "builtin_scorer_class ['Safety']"),
        (_built_in(base_url="http://127.0.0.1"), "base_url"),
        (_built_in(extra_headers={"Authorization": "x"}), "extra_headers"),
        (_judge(inference_params={"api_base": "http://x"}), "inference_params.api_base"),
        (_judge(inference_params={"model": "other"}), "inference_params.model"),
        (_judge(inference_params=[["top_p", 1]]), "inference_params"),
        (_judge(model="endpoints:/../x"), "model endpoints:/../x"),
        (_built_in(model="endpoints:/x?y="), "model endpoints:/x?y="),
        (_built_in(model="vertex_ai:/a%2e%2e/x"), "model vertex_ai:/a%2e%2e/x"),
        (_built_in(model="endpoints:/x#"), "model endpoints:/x#"),
        (_built_in(model=["a"]), "model ['a']"),
        ({"name": "c", "call_source": "import os"}, "call_source"),
        (_aligned(_built_in(scorer="invoke_judge_model"), []), "builtin_scorer_class"),
        (_ensemble(_judge(), _ensemble(_judge(base_url="x"))), "base_url"),
    ],
)
def test_what_makes_more_of_it(scorer: dict[str, Any], steers: str) -> None:
    found = read_scorer(json.dumps(scorer), "serialized_scorer")
    assert any(one.startswith(steers) for one in found.steers), found
    assert found.trace_ids == ()


def test_the_traces_of_every_level() -> None:
    scorer = _ensemble(_aligned(_judge(), ["tr-1", "tr-2"]), _aligned(_judge(), ["tr-2", "tr-3"]))
    found = read_scorer(json.dumps(scorer), "serialized_scorer")
    assert sorted(found.trace_ids) == ["tr-1", "tr-2", "tr-3"]
    assert found.steers == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "safety",
        '{"name": NaN}',
        '{"builtin_scorer_class": "invoke_judge_model", "builtin_scorer_class": "Safety"}',
        '{"name": "\ud800"}',
        json.dumps(_aligned(_judge(), "tr-1")),
        json.dumps(_aligned(_judge(), [1])),
        "[" * 100_000,
    ],
)
def test_what_could_be_read_otherwise_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="'scorer'"):
        read_scorer(text, "scorer")
