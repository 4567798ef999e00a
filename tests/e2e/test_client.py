"""A data scientist's day with the stock MLflow client: alice works, the others get their due.

bob is in alice's group (editor on her experiment, reader on her model), carol is not, dave is
an admin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException, RestException
from requests import HTTPError
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tests.e2e.world import name_of, ok, share, unshare
from tests.stack import Stack

pytestmark = [
    pytest.mark.e2e,
    # What the client and scikit-learn warn about is theirs.
    pytest.mark.filterwarnings("ignore"),
]


@dataclass(frozen=True)
class Work:
    """What alice made."""

    experiment: str
    experiment_name: str
    run: str
    trained: str
    logged_model: str
    model: str
    trace: str
    prompt: str
    dataset: str


@pytest.fixture(scope="module")
def work(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    """The whole day, as alice."""
    with stack.client_as("alice"):
        yield _a_day(tmp_path_factory.mktemp("alice"))


def _a_day(folder: Path) -> Work:
    name = name_of("churn")
    experiment = mlflow.set_experiment(name).experiment_id
    run = _by_hand(folder)
    trained, logged_model = _autologged(experiment)
    model = name_of("churn-model")
    version = mlflow.register_model(f"models:/{logged_model}", model)
    MlflowClient().set_registered_model_alias(model, "champion", version.version)
    prompt = name_of("greeting")
    mlflow.genai.register_prompt(prompt, "Hello {{name}}")
    dataset = mlflow.genai.create_dataset(name_of("golden"), experiment_id=[experiment])
    dataset.merge_records([{"inputs": {"q": "1+1"}, "expectations": {"a": "2"}}])
    return Work(
        experiment, name, run, trained, logged_model, model, _traced(), prompt, dataset.dataset_id
    )


def _by_hand(folder: Path) -> str:
    (folder / "notes.txt").write_text("a note")
    with mlflow.start_run(run_name="by hand") as run:
        mlflow.log_param("depth", 3)
        mlflow.log_params({"a": 1, "b": "two"})
        mlflow.log_metric("loss", 0.5, step=0)
        mlflow.log_metric("loss", 0.25, step=1)
        mlflow.log_metric("nan", math.nan)
        mlflow.log_metric("inf", math.inf)
        mlflow.log_metrics({"x": 1.0, "y": 2.0})
        mlflow.set_tags({"stage": "dev", "with/slash and space": "é"})
        mlflow.log_text("hello", "texts/hello.txt")
        mlflow.log_dict({"a": 1}, "data.json")
        mlflow.log_artifact(str(folder / "notes.txt"), "notes")
    return str(run.info.run_id)


def _autologged(experiment: str) -> tuple[str, str]:
    features, labels = load_iris(return_X_y=True)
    mlflow.sklearn.autolog(log_datasets=True)
    try:
        with mlflow.start_run() as run:
            LogisticRegression(max_iter=200).fit(features, labels)
    finally:
        mlflow.sklearn.autolog(disable=True)
    (logged,) = mlflow.search_logged_models(experiment_ids=[experiment], output_format="list")
    return str(run.info.run_id), str(logged.model_id)


def _traced() -> str:
    @mlflow.trace
    def add_one(number: int) -> int:
        return number + 1

    add_one(1)
    mlflow.flush_trace_async_logging()
    trace = mlflow.get_last_active_trace_id()
    assert trace is not None
    return str(trace)


# --- alice ------------------------------------------------------------------------------------


def test_a_run_reads_back_as_it_was_logged(stack: Stack, work: Work) -> None:
    with stack.client_as("alice"):
        run = mlflow.get_run(work.run)
        history = MlflowClient().get_metric_history(work.run, "loss")
    assert run.data.params == {"depth": "3", "a": "1", "b": "two"}
    assert run.data.metrics["x"] == 1.0
    assert math.isnan(run.data.metrics["nan"])
    assert run.data.tags["with/slash and space"] == "é"
    assert [(m.step, m.value) for m in history] == [(0, 0.5), (1, 0.25)]
    assert run.info.status == "FINISHED"


def test_runs_belong_to_the_authenticated_person(stack: Stack, work: Work) -> None:
    with stack.client_as("alice"):
        assert mlflow.get_run(work.run).data.tags["mlflow.user"] == "alice"
    with stack.client_as("bob"):
        run = MlflowClient().create_run(work.experiment, tags={"mlflow.user": "alice"})
        assert mlflow.get_run(run.info.run_id).data.tags["mlflow.user"] == "bob"


def test_a_thousand_metrics_go_in_one_batch(stack: Stack, work: Work) -> None:
    with stack.client_as("alice"):
        client = MlflowClient()
        run = client.create_run(work.experiment).info.run_id
        client.log_batch(
            run,
            metrics=[Metric(f"m{n}", n / 7, 1, 0) for n in range(800)],
            params=[Param(f"p{n}", str(n)) for n in range(100)],
            tags=[RunTag(f"t{n}", str(n)) for n in range(100)],
        )
        data = client.get_run(run).data
    assert len(data.metrics) == 800
    assert data.metrics["m7"] == 1.0
    assert len(data.params) == 100


def test_artifacts_are_listed_downloaded_and_deleted(stack: Stack, work: Work) -> None:
    with stack.client_as("alice"):
        client = MlflowClient()
        assert {f.path for f in client.list_artifacts(work.run)} == {"texts", "data.json", "notes"}
        assert [f.path for f in client.list_artifacts(work.run, "texts")] == ["texts/hello.txt"]
        assert mlflow.artifacts.load_text(f"runs:/{work.run}/texts/hello.txt") == "hello"
        folder = mlflow.artifacts.download_artifacts(f"runs:/{work.run}/notes")
        assert (Path(folder) / "notes.txt").read_text() == "a note"

        run = client.create_run(work.experiment)
        mlflow.log_text("gone soon", "a/b.txt", run_id=run.info.run_id)
        repository = mlflow.store.artifact.artifact_repository_registry.get_artifact_repository(
            run.info.artifact_uri
        )
        repository.delete_artifacts("a/b.txt")
        assert client.list_artifacts(run.info.run_id, "a") == []


def test_an_autologged_model_is_registered_and_loaded_by_its_alias(
    stack: Stack, work: Work
) -> None:
    with stack.client_as("alice"):
        loaded = mlflow.sklearn.load_model(f"models:/{work.model}@champion")
        trained = mlflow.get_run(work.trained)
        logged = mlflow.get_logged_model(work.logged_model)
    features, labels = load_iris(return_X_y=True)
    assert loaded.score(features, labels) > 0.9
    assert "training_accuracy_score" in trained.data.metrics
    assert trained.inputs.dataset_inputs
    assert logged.source_run_id == work.trained


def test_searches_find_what_alice_made(stack: Stack, work: Work) -> None:
    with stack.client_as("alice"):
        client = MlflowClient()
        runs = mlflow.search_runs([work.experiment], "metrics.x > 0", output_format="list")
        assert [r.info.run_id for r in runs] == [work.run]
        assert work.experiment in {e.experiment_id for e in mlflow.search_experiments()}
        assert [m.name for m in client.search_registered_models(f"name='{work.model}'")] == [
            work.model
        ]
        assert [v.version for v in client.search_model_versions(f"name='{work.model}'")] == ["1"]
        traces = mlflow.search_traces(locations=[work.experiment], return_type="list")
        assert [t.info.trace_id for t in traces] == [work.trace]
        assert work.prompt in {p.name for p in mlflow.genai.search_prompts()}


def test_traces_take_tags_and_feedback(stack: Stack, work: Work) -> None:
    with stack.client_as("alice"):
        mlflow.set_trace_tag(work.trace, "reviewed", "yes")
        mlflow.log_feedback(trace_id=work.trace, name="good", value=True)
        trace = mlflow.get_trace(work.trace)
    assert trace.info.tags["reviewed"] == "yes"
    assert [a.name for a in trace.info.assessments] == ["good"]
    assert [span.name for span in trace.data.spans] == ["add_one"]


def test_prompts_and_datasets_load_back(stack: Stack, work: Work) -> None:
    with stack.client_as("alice"):
        prompt = mlflow.genai.load_prompt(f"prompts:/{work.prompt}/1")
        assert prompt.format(name="world") == "Hello world"
        assert mlflow.genai.load_prompt("prompts:/no-such-prompt/1", allow_missing=True) is None
        dataset = mlflow.genai.get_dataset(dataset_id=work.dataset)
        assert len(dataset.to_df()) == 1
        found = mlflow.genai.search_datasets(experiment_ids=[work.experiment])
        assert [d.dataset_id for d in found] == [work.dataset]


# --- bob: editor on the experiment, reader on the model -----------------------------------------


def test_bob_works_in_the_experiment_of_his_group(stack: Stack, work: Work) -> None:
    with stack.client_as("bob"):
        mlflow.set_experiment(work.experiment_name)
        with mlflow.start_run() as run:
            mlflow.log_metric("x", -1.0)
            mlflow.log_text("from bob", "bob.txt")
        client = MlflowClient()
        client.log_metric(work.run, "from_bob", 1.0)
        assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/bob.txt") == "from bob"
        assert mlflow.artifacts.load_text(f"runs:/{work.run}/texts/hello.txt") == "hello"
        client.delete_run(run.info.run_id)
        client.restore_run(run.info.run_id)


def test_bob_reads_and_tags_the_model_and_changes_nothing_else(stack: Stack, work: Work) -> None:
    with stack.client_as("bob"):
        client = MlflowClient()
        assert mlflow.sklearn.load_model(f"models:/{work.model}@champion") is not None
        client.set_registered_model_tag(work.model, "seen-by", "bob")
        client.set_model_version_tag(work.model, "1", "seen-by", "bob")
        for change in (
            lambda: client.create_model_version(work.model, "x", run_id=work.run),
            lambda: client.update_registered_model(work.model, "mine"),
            lambda: client.set_registered_model_alias(work.model, "champion", "1"),
            lambda: client.delete_registered_model_alias(work.model, "champion"),
            lambda: client.rename_registered_model(work.model, name_of("taken")),
            lambda: client.delete_model_version(work.model, "1"),
            lambda: client.delete_registered_model(work.model),
        ):
            said = _denied(change)
            assert "user:bob" in said
    with stack.client_as("alice"):
        assert MlflowClient().get_registered_model(work.model).tags["seen-by"] == "bob"


def test_bob_uses_the_prompt_and_cannot_put_words_into_it(stack: Stack, work: Work) -> None:
    """MLflow keeps the text of a prompt in a tag of its version, and bob may set tags."""
    uri = f"prompts:/{work.prompt}/1"
    with stack.client_as("bob"):
        client = MlflowClient()
        mlflow.set_experiment(work.experiment_name)
        with mlflow.start_run():
            assert mlflow.genai.load_prompt(uri).format(name="bob") == "Hello bob"
        client.set_prompt_version_tag(work.prompt, "1", "seen-by", "bob")
        for key in ("mlflow.prompt.text", "_mlflow_prompt_type"):
            said = _denied(lambda key=key: client.set_prompt_version_tag(work.prompt, 1, key, "x"))
            assert f"'{key}'" in said
            assert "model-versions/update" in said
        said = _denied(
            lambda: client.set_registered_model_tag(work.model, "mlflow.prompt.is_prompt", "true")
        )
        assert "registered-models/update" in said
    with stack.client_as("alice"):
        prompt = mlflow.genai.load_prompt(uri)
        assert prompt.template == "Hello {{name}}"
        assert prompt.tags["seen-by"] == "bob"
        MlflowClient().set_prompt_version_tag(work.prompt, 1, "mlflow.prompt.text", "Hi {{name}}")
        assert mlflow.genai.load_prompt(uri, cache_ttl_seconds=0).template == "Hi {{name}}"
        MlflowClient().set_prompt_version_tag(
            work.prompt, 1, "mlflow.prompt.text", "Hello {{name}}"
        )


def test_a_reader_labels_a_run_and_does_not_rewrite_its_record(stack: Stack, work: Work) -> None:
    ok(share(stack, "alice", "experiment", work.experiment, "user:carol", "reader"))
    with stack.client_as("carol"):
        client = MlflowClient()
        client.set_tag(work.run, "seen-by", "carol")
        client.set_tag(work.run, "mlflow.note.content", "Looks good.")
        client.set_experiment_tag(work.experiment, "seen-by", "carol")
        for key in ("mlflow.runName", "mlflow.user", "mlflow.log-model.history"):
            said = _denied(lambda key=key: client.set_tag(work.run, key, "mine"))
            assert "runs/update" in said
        said = _denied(
            lambda: client.set_experiment_tag(work.experiment, "mlflow.trace.archiveNow", "{}")
        )
        assert "mlflow.trace.archiveNow" in said
    ok(unshare(stack, "alice", "experiment", work.experiment, "user:carol"))
    with stack.client_as("bob"):
        name = MlflowClient().get_run(work.run).info.run_name
        MlflowClient().set_tag(work.run, "mlflow.runName", "renamed by an editor")
        assert MlflowClient().get_run(work.run).info.run_name == "renamed by an editor"
        MlflowClient().set_tag(work.run, "mlflow.runName", name)


def test_bob_may_not_delete_or_rename_the_experiment(stack: Stack, work: Work) -> None:
    with stack.client_as("bob"):
        client = MlflowClient()
        assert "manager" in _denied(lambda: client.delete_experiment(work.experiment))
        _denied(lambda: client.rename_experiment(work.experiment, name_of("bobs")))
        _denied(lambda: client.delete_traces(work.experiment, trace_ids=[work.trace]))


# --- carol: another group ---------------------------------------------------------------------


def test_carol_sees_nothing_of_it(stack: Stack, work: Work) -> None:
    with stack.client_as("carol"):
        client = MlflowClient()
        for look in (
            lambda: client.get_experiment(work.experiment),
            lambda: client.get_run(work.run),
            lambda: client.get_metric_history(work.run, "loss"),
            lambda: client.get_logged_model(work.logged_model),
            lambda: client.log_metric(work.run, "z", 1),
            lambda: client.create_run(work.experiment),
            lambda: client.list_artifacts(work.run),
            lambda: client.get_trace(work.trace),
            lambda: mlflow.genai.get_dataset(dataset_id=work.dataset),
            lambda: mlflow.log_feedback(trace_id=work.trace, name="bad", value=True),
        ):
            _denied(look)


def test_carol_cannot_tell_hidden_names_from_free_ones(stack: Stack, work: Work) -> None:
    with stack.client_as("carol"):
        client = MlflowClient()
        hidden = _denied(lambda: client.get_experiment(work.experiment))
        absent = _denied(lambda: client.get_experiment("99999999"))
        assert _plain(hidden) == _plain(absent)
        assert client.get_experiment_by_name(work.experiment_name) is None
        missing = _denied(lambda: client.get_registered_model(name_of("free")), NOT_FOUND)
        taken = _denied(lambda: client.get_registered_model(work.model), NOT_FOUND)
        assert _plain(missing) == _plain(taken)
        _denied(lambda: mlflow.sklearn.load_model(f"models:/{work.model}@champion"), NOT_FOUND)


def test_carol_finds_nothing_of_it_in_any_search(stack: Stack, work: Work) -> None:
    with stack.client_as("carol"):
        client = MlflowClient()
        assert work.experiment not in {e.experiment_id for e in mlflow.search_experiments()}
        assert client.search_runs([work.experiment]) == []
        assert client.search_registered_models(f"name='{work.model}'") == []
        assert client.search_model_versions(f"name='{work.model}'") == []
        assert mlflow.search_traces(locations=[work.experiment], return_type="list") == []
        assert mlflow.search_logged_models([work.experiment], output_format="list") == []
        assert mlflow.genai.search_datasets(experiment_ids=[work.experiment]) == []
        assert work.prompt not in {p.name for p in mlflow.genai.search_prompts()}


def test_carol_gets_no_artifact_and_hears_why(stack: Stack, work: Work) -> None:
    with stack.client_as("alice"):
        uri = mlflow.get_run(work.run).info.artifact_uri
    with stack.client_as("carol"):
        with pytest.raises((MlflowException, HTTPError)) as caught:
            mlflow.artifacts.load_text(f"runs:/{work.run}/texts/hello.txt")
        assert "user:carol may not" in str(caught.value)
        with pytest.raises((MlflowException, HTTPError)) as caught:
            mlflow.artifacts.load_text(f"{uri}/texts/hello.txt")
        assert "user:carol may not" in str(caught.value)


def test_carol_may_not_take_a_name_by_setting_the_experiment(stack: Stack, work: Work) -> None:
    with stack.client_as("carol"):
        with pytest.raises(MlflowException) as caught:
            mlflow.set_experiment(work.experiment_name)
        assert "taken" in str(caught.value) or "exists" in str(caught.value)


# --- dave: admin --------------------------------------------------------------------------------


def test_dave_does_everything(stack: Stack, work: Work) -> None:
    with stack.client_as("dave"):
        client = MlflowClient()
        assert client.get_experiment(work.experiment).name == work.experiment_name
        assert work.experiment in {e.experiment_id for e in mlflow.search_experiments()}
        assert mlflow.artifacts.load_text(f"runs:/{work.run}/texts/hello.txt") == "hello"
        client.log_metric(work.run, "from_dave", 1.0)
        client.update_registered_model(work.model, "looked at by dave")
        assert client.get_trace(work.trace).info.trace_id == work.trace
        client.delete_experiment(work.experiment)
        client.restore_experiment(work.experiment)
        # What does not exist is MLflow's own sentence for an admin.
        with pytest.raises(RestException, match="No Experiment with id=99999999"):
            client.get_experiment("99999999")


NOT_FOUND = "RESOURCE_DOES_NOT_EXIST"


def _denied(call: Callable[[], Any], code: str = "PERMISSION_DENIED") -> str:
    with pytest.raises((MlflowException, HTTPError)) as caught:
        call()
    said = str(caught.value)
    if isinstance(caught.value, MlflowException):
        assert caught.value.error_code == code, said
    else:
        assert code in said
    return said


def _plain(said: str) -> str:
    """The sentence without its request id."""
    return said.partition(" (request ")[0]
