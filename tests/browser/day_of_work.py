"""Run as a script: what a team logs with MLflow's real client, one of everything that its UI shows.

Prints the names and ids, as JSON, on its last line. The one argument begins every name.
"""

from __future__ import annotations

import json
import math
import sys
from contextlib import suppress
from typing import Any

import matplotlib
import mlflow
import numpy as np
from mlflow.entities import AssessmentSource, Metric
from mlflow.genai import datasets, label_schemas, review_queues
from mlflow.genai.label_schemas import InputPassFail, InputText
from mlflow.genai.scorers import Guidelines, scorer

matplotlib.use("Agg")
STEPS = 200
RUNS = 30


def main(prefix: str) -> dict[str, Any]:
    client = mlflow.MlflowClient()
    made: dict[str, Any] = {"prefix": prefix}
    made["training"] = mlflow.create_experiment(f"{prefix}-training", tags={"team": "a/b #1"})
    made["assistant"] = mlflow.create_experiment(
        f"{prefix}-assistant", tags={"mlflow.experimentKind": "genai_development"}
    )
    mlflow.set_experiment(experiment_id=made["training"])
    client.set_experiment_tag(made["training"], "mlflow.note.content", "**Churn**, winter season")
    made["runs"] = runs(client)
    made.update(nested())
    made.update(model(client, prefix))
    mlflow.set_experiment(experiment_id=made["assistant"])
    made["prompt"] = prompt(prefix)
    made["traces"] = traces(made["prompt"])
    made["dataset"] = evaluation_dataset(prefix)
    made.update(reviews(made["traces"]))
    evaluation()
    scorers()
    return made


def runs(client: mlflow.MlflowClient) -> list[str]:
    """Runs with 200 steps of two metrics, params, tags and a dataset."""
    table = mlflow.data.from_numpy(np.arange(30).reshape(10, 3), name="winter")
    ids = []
    for number in range(RUNS):
        with mlflow.start_run(run_name=f"run-{number:02}") as run:
            rate = 0.001 * (number + 1)
            mlflow.log_params({"depth": number % 5, "rate": rate, "note": "ü # / space"})
            mlflow.set_tags({"season": "winter" if number % 2 else "summer", "owner": "alice"})
            points = [
                Metric(name, value, 1_700_000_000_000 + step * 1000, step)
                for step in range(STEPS)
                for name, value in (
                    ("loss", math.exp(-rate * step) + 0.01 * math.sin(step)),
                    ("val/accuracy", 1 - math.exp(-rate * step)),
                )
            ]
            client.log_batch(run.info.run_id, metrics=points)
            mlflow.log_input(table, context="training")
            ids.append(run.info.run_id)
    client.set_terminated(ids[3], "FAILED")
    return ids


def nested() -> dict[str, str]:
    """A run with two children, a text, a table and a picture."""
    with mlflow.start_run(run_name="search", description="Best of two.") as parent:
        mlflow.log_text("what was learnt", "notes/notes.txt")
        mlflow.log_dict({"answer": 42}, "answer.json")
        mlflow.log_table({"q": ["why", "how"], "a": ["because", "so"]}, "table.json")
        picture = np.zeros((64, 64, 3), dtype=np.uint8)
        picture[16:48, 16:48] = [200, 80, 20]
        mlflow.log_image(picture, "square.png")
        for step in range(3):
            mlflow.log_image(picture + step, key="progress", step=step)
        for child in range(2):
            with mlflow.start_run(run_name=f"search-{child}", nested=True):
                mlflow.log_metric("loss", 0.5 - child / 10)
        return {"parent": parent.info.run_id}


def model(client: mlflow.MlflowClient, prefix: str) -> dict[str, Any]:
    """A scikit-learn model, logged by autolog, registered twice, with an alias."""
    from sklearn.linear_model import LogisticRegression

    name, model_runs = f"{prefix}-churn", []
    mlflow.sklearn.autolog(silent=True)
    for number in range(2):
        with mlflow.start_run(run_name=f"autologged-{number}") as run:
            rows = np.arange(20.0).reshape(10, 2)
            LogisticRegression(C=1.0 + number).fit(rows, [0] * 5 + [1] * 5)
        (logged,) = mlflow.search_logged_models(
            filter_string=f"source_run_id = '{run.info.run_id}'", output_format="list"
        )
        mlflow.register_model(logged.model_uri, name, tags={"checked": "yes"})
        model_runs.append(run.info.run_id)
    mlflow.sklearn.autolog(disable=True)
    client.set_registered_model_alias(name, "champion", "1")
    client.update_registered_model(name, "Who leaves, *and why*.")
    return {"model": name, "logged_model": logged.model_id, "model_runs": model_runs}


def prompt(prefix: str) -> str:
    """A prompt with two versions and an alias."""
    name = f"{prefix}-prompt"
    mlflow.genai.register_prompt(name, template="Answer {{question}}.", commit_message="first")
    mlflow.genai.register_prompt(
        name,
        template=[
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "{{question}}"},
        ],
        commit_message="as a chat",
    )
    mlflow.genai.set_prompt_alias(name, "production", 2)
    return name


def traces(prompt_name: str) -> list[str]:
    """Conversations of four questions: nested spans, tokens, cost, errors, feedback."""
    ids = []
    for number in range(20):
        with suppress(ValueError):
            answer(number, prompt_name)
        ids.append(str(mlflow.get_last_active_trace_id()))
    mlflow.flush_trace_async_logging()
    person = AssessmentSource("HUMAN", "alice")
    judge = AssessmentSource("LLM_JUDGE", "judge-1")
    for number, trace in enumerate(ids):
        mlflow.log_feedback(
            trace_id=trace, name="correct", value=number % 3 > 0, rationale="as read", source=person
        )
        mlflow.log_feedback(trace_id=trace, name="relevance", value=number / 20, source=judge)
        if number % 2:
            mlflow.log_expectation(trace_id=trace, name="expected", value="42", source=person)
    return ids


@mlflow.trace(name="assistant", span_type="AGENT")
def answer(number: int, prompt_name: str) -> str:
    mlflow.update_current_trace(
        tags={"topic": "billing" if number % 2 else "delivery"},
        metadata={
            "mlflow.trace.session": f"session-{number // 4}",
            "mlflow.trace.user": f"user-{number % 3}",
        },
    )
    with mlflow.start_span("search", span_type="RETRIEVER") as span:
        span.set_inputs({"query": f"question {number}"})
        span.set_outputs([{"page_content": "text", "metadata": {"doc_uri": "doc-1"}}])
    mlflow.genai.load_prompt(f"prompts:/{prompt_name}@production")
    with mlflow.start_span("model", span_type="CHAT_MODEL") as span:
        span.set_inputs({"messages": [{"role": "user", "content": f"question {number}"}]})
        span.set_attribute("mlflow.llm.model", "small" if number % 2 else "large")
        span.set_attribute("mlflow.llm.provider", "local")
        span.set_attribute(
            "mlflow.chat.tokenUsage",
            {"input_tokens": 100 + number, "output_tokens": 20, "total_tokens": 120 + number},
        )
        span.set_attribute(
            "mlflow.llm.cost",
            {"input_cost": 0.001, "output_cost": 0.002, "total_cost": 0.003},
        )
        span.set_outputs({"choices": [{"message": {"role": "assistant", "content": "42"}}]})
    with mlflow.start_span("tool", span_type="TOOL") as span:
        span.set_inputs({"number": number})
        if number % 7 == 6:
            raise ValueError("the tool broke")
        span.set_outputs({"found": number})
    return f"answer {number}"


def evaluation_dataset(prefix: str) -> str:
    """Records from traces and by hand."""
    made = datasets.create_dataset(name=f"{prefix}-golden", tags={"purpose": "regression"})
    found = mlflow.search_traces(return_type="list", max_results=5)
    made.merge_records(found)
    made.merge_records(
        [{"inputs": {"question": "why"}, "expectations": {"expected_response": "because"}}]
    )
    return made.dataset_id


def reviews(trace_ids: list[str]) -> dict[str, str]:
    """Questions for reviewers, and a queue of traces for them."""
    quality = label_schemas.create_label_schema(
        "quality", type="feedback", input=InputPassFail(positive_label="Good", negative_label="Bad")
    )
    label_schemas.create_label_schema("better answer", type="expectation", input=InputText())
    queue = review_queues.create_review_queue(
        "first look", queue_type="custom", users=["alice"], schema_ids=[quality.schema_id]
    )
    review_queues.add_items_to_review_queue(queue.queue_id, item_ids=trace_ids[:5])
    return {"queue": queue.queue_id}


@scorer
def is_short(outputs: Any) -> bool:
    return len(str(outputs)) < 20


def evaluation() -> None:
    """An evaluation run over rows, with a scorer in Python."""
    mlflow.genai.evaluate(
        data=[{"inputs": {"question": f"q{i}"}, "outputs": "a" * i * 9} for i in range(4)],
        scorers=[is_short],
    )


def scorers() -> None:
    """Judges as the UI lists them; nothing is called."""
    for version in ("polite", "polite and short"):
        Guidelines(name="manners", guidelines=f"Be {version}.", model="openai:/gpt-4o").register()


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
