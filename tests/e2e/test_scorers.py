"""Scorers that are scorers are registered as before (attacks: tests/attacks/corpus/ai.py)."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from mlflow.genai.judges import make_judge
from mlflow.genai.scorers import Guidelines, Safety, get_scorer

from tests.e2e.world import API, name_of, new_experiment, new_run, ok, refused, share
from tests.stack import Answer, Stack

pytestmark = pytest.mark.e2e
V3 = "/api/3.0/mlflow"
JUDGE: dict[str, Any] = {"instructions": "Is {{ outputs }} good?", "model": "openai:/gpt-4o"}


def register(stack: Stack, who: str, experiment: str, **scorer: Any) -> Answer:
    text = json.dumps({"name": "s", "mlflow_version": "3.17.2", **scorer})
    body = {"experiment_id": experiment, "name": name_of("scorer"), "serialized_scorer": text}
    return stack.call(who, "POST", f"{V3}/scorers/register", body)


def new_trace(stack: Stack, who: str, experiment: str) -> str:
    trace = f"tr-{uuid.uuid4().hex}"
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    info = {
        "trace_id": trace,
        "trace_location": place,
        "request_time": "2026-01-02T00:00:00Z",
        "state": "OK",
    }
    ok(stack.call(who, "POST", f"{V3}/traces", {"trace": {"trace_info": info}}))
    return trace


def test_the_client_registers_scorers_of_mlflow_and_judges(stack: Stack) -> None:
    experiment = new_experiment(stack, "alice")
    with stack.client_as("bob"):
        Guidelines(name="kind", guidelines=["Be kind."]).register(experiment_id=experiment)
        Safety(inference_params={"temperature": 0}).register(experiment_id=experiment)
        made = make_judge("good", **JUDGE, inference_params={"max_tokens": 50, "top_p": 1})
        made.register(experiment_id=experiment)
        found = get_scorer(name="good", experiment_id=experiment)
        assert found.instructions == JUDGE["instructions"]
        assert found.inference_params == {"max_tokens": 50, "top_p": 1}


def test_the_examples_of_an_aligned_judge_must_be_readable(stack: Stack) -> None:
    mine, hers = new_experiment(stack, "carol"), new_experiment(stack, "alice")
    traces = [new_trace(stack, "carol", mine), new_trace(stack, "alice", hers)]
    base = {"name": "s", "instructions_judge_pydantic_data": JUDGE}
    aligned = {"base_judge": base, "episodic_trace_ids": traces, "semantic_memory": []}
    refused(register(stack, "carol", mine, memory_augmented_judge_data=aligned))
    ok(share(stack, "alice", "experiment", hers, "user:carol", "reader"))
    ok(register(stack, "carol", mine, memory_augmented_judge_data=aligned))


def test_what_makes_more_of_a_scorer_is_for_admins(stack: Stack) -> None:
    experiment = new_experiment(stack, "carol")
    judge = {**JUDGE, "inference_params": {"api_base": "https://llm.example.com"}}
    said = refused(register(stack, "carol", experiment, instructions_judge_pydantic_data=judge))
    assert "inference_params.api_base" in said
    ok(register(stack, "dave", experiment, instructions_judge_pydantic_data=judge))


def test_a_logged_model_with_resources_that_are_an_object(stack: Stack) -> None:
    run = new_run(stack, "carol", new_experiment(stack, "carol"))
    model = {"artifact_path": "m", "flavors": {}, "utc_time_created": "2026-01-02", "run_id": run}
    for resources in (None, {"api_version": "1", "databricks": {}}):
        text = json.dumps({**model, "resources": resources, "metadata": {"x": float("nan")}})
        body = {"run_id": run, "model_json": text}
        ok(stack.call("carol", "POST", f"{API}/runs/log-model", body))


def test_admins_name_the_experiments_of_the_ai_gateway(stack: Stack) -> None:
    name = f"gateway/{name_of('chat')}"
    new_experiment(stack, "dave", name)
    new_experiment(stack, "carol", f"my-{name}")
