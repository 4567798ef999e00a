"""Several writers at once, and a real MLflow server with the real client, on DynamoDB Local."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

from dynamodb_store.provision import create_table
from tests.stack import Process, http, start_mlflow
from tests.store.conftest import local_store

pytestmark = pytest.mark.heavy


@pytest.fixture
def local(dynamodb_local: Any) -> Any:
    return local_store(dynamodb_local)


def test_concurrent_batches_to_one_run_lose_nothing(local: Any) -> None:
    run_id = local.create_run("0", "u", 1, [], None).info.run_id

    def write(writer: int) -> None:
        for number in range(5):
            local.log_batch(
                run_id,
                [
                    Metric("shared", writer + number / 10, 1, number),
                    Metric(f"m{writer}", 1, 1, number),
                ],
                [Param(f"p{writer}-{number}", "v")],
                [RunTag(f"t{writer}-{number}", "v")],
            )
            local.set_tag(run_id, RunTag(f"s{writer}-{number}", "v"))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(6)))
    run = local.get_run(run_id)
    assert len(run.data.params) == 30
    assert len([key for key in run.data.tags if key[0] in "ts"]) == 60
    assert len(local.get_metric_history(run_id, "shared")) == 30
    assert run.data.metrics["shared"] == 5.4
    assert all(len(local.get_metric_history(run_id, f"m{i}")) == 5 for i in range(6))


def test_of_many_who_take_a_name_exactly_one_gets_it(local: Any) -> None:
    def take(_: int) -> str:
        try:
            return str(local.create_experiment("name"))
        except MlflowException as error:
            return error.error_code

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(take, range(8)))
    assert answers.count("RESOURCE_ALREADY_EXISTS") == 7


def test_one_value_of_a_param_wins(local: Any) -> None:
    run_id = local.create_run("0", "u", 1, [], None).info.run_id

    def log(value: int) -> bool:
        try:
            local.log_param(run_id, Param("p", str(value)))
        except MlflowException:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(log, range(8)))
    assert won.count(True) == 1
    assert local.get_run(run_id).data.params == {"p": str(won.index(True))}


@pytest.fixture(scope="module")
def server(dynamodb_local: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("server")
    uri = dynamodb_local.store_url("mlflow")
    create_table(uri)
    # With its job runners: a test below is about what MLflow says of them on this store.
    process = start_mlflow(folder, backend=uri, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="true")
    process.wait_for("/health")
    yield process
    process.stop()


def test_the_real_client_on_a_real_server(server: Process, tmp_path: Path) -> None:
    client = MlflowClient(server.url, registry_uri=server.url)
    experiment_id = client.create_experiment("e2e ☃/#", tags={"team": ""})
    assert client.get_experiment_by_name("e2e ☃/#").experiment_id == experiment_id
    run = client.create_run(experiment_id, tags={"a": "1"})
    run_id = run.info.run_id
    for step in range(3):
        client.log_metric(run_id, "loss", 1 / (step + 1), step=step)
    client.log_metric(run_id, "bad", math.nan)
    client.log_param(run_id, "lr", 0.1)
    client.log_batch(run_id, [Metric("loss", i, i, i) for i in range(100, 1100)], [], [])
    client.set_tag(run_id, "note", "🚀")
    (tmp_path / "file.txt").write_text("content")
    client.log_artifact(run_id, str(tmp_path / "file.txt"))
    assert [one.path for one in client.list_artifacts(run_id)] == ["file.txt"]
    client.set_terminated(run_id)
    (found,) = client.search_runs([experiment_id], "metrics.loss > 3 and tags.note = '🚀'")
    assert found.data.params == {"lr": "0.1"}
    assert math.isnan(found.data.metrics["bad"])
    assert found.info.status == "FINISHED"
    assert len(client.get_metric_history(run_id, "loss")) == 1003
    assert {one.name for one in client.search_experiments()} == {"Default", "e2e ☃/#"}
    client.delete_run(run_id)
    assert client.search_runs([experiment_id], run_view_type=ViewType.ACTIVE_ONLY) == []
    client.restore_run(run_id)


def test_what_the_ui_asks_for(server: Process) -> None:
    client = MlflowClient(server.url)
    run_id = client.create_run("0").info.run_id
    client.log_batch(run_id, [Metric("m", i, i, i) for i in range(400)], [], [])
    ajax = f"{server.url}/ajax-api/2.0/mlflow"
    points = http(
        "GET",
        f"{ajax}/metrics/get-history-bulk-interval?run_ids={run_id}&metric_key=m&max_results=50",
    )
    assert points.status == 200
    assert len(points.json()["metrics"]) == 50
    bulk = http("GET", f"{ajax}/metrics/get-history-bulk?run_id={run_id}&metric_key=m")
    assert len(bulk.json()["metrics"]) == 400
    datasets = http(
        "POST", f"{ajax}/experiments/search-datasets", json_body={"experiment_ids": ["0"]}
    )
    assert datasets.status == 200
    models = http(
        "POST",
        f"{ajax}/logged-models/search",
        json_body={"experiment_ids": ["0"]},
    )
    assert models.status == 200


@pytest.mark.filterwarnings("ignore")
def test_models_logged_by_the_real_client(server: Process, dynamodb_local: Any) -> None:
    class Doubles(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            return [2 * one for one in model_input]

    mlflow.set_tracking_uri(server.url)
    mlflow.set_registry_uri(server.url)
    client = MlflowClient(server.url)
    experiment_id = client.create_experiment("of models")
    with mlflow.start_run(experiment_id=experiment_id) as run:
        made = mlflow.pyfunc.log_model(
            name="doubles", python_model=Doubles(), params={"lr": 0.1}, model_type="toy",
            registered_model_name="registered",
        )  # fmt: skip
        mlflow.log_metric("acc", 0.5, model_id=made.model_id)
        mlflow.log_metrics({"acc": 0.75, "loss": 2.0}, step=3, model_id=made.model_id)
    model = mlflow.get_logged_model(made.model_id)
    assert (model.status, model.params["lr"], model.model_type) == ("READY", "0.1", "toy")
    assert sorted(metric.value for metric in model.metrics) == [0.5, 0.75, 2.0]
    assert "registered" in model.tags["mlflow.modelVersions"]
    assert mlflow.pyfunc.load_model(made.model_uri).predict([1, 2]) == [2, 4]
    assert client.get_run(run.info.run_id).outputs.model_outputs[0].model_id == made.model_id
    other = client.create_logged_model(experiment_id, name="other")
    client.set_logged_model_tags(other.model_id, {"k": "v"})
    found = client.search_logged_models(
        [experiment_id], order_by=[{"field_name": "metrics.acc", "ascending": False}]
    )
    assert [one.model_id for one in found] == [made.model_id, other.model_id]
    assert len(client.search_logged_models([experiment_id], "metrics.acc > 0.7")) == 1
    client.delete_logged_model(other.model_id)
    done = _gc(server, dynamodb_local, "--logged-model-ids", other.model_id)
    assert f"Logged model with ID {other.model_id} has been permanently deleted" in done.stdout


def test_many_runs_log_to_one_model_at_once(local: Any) -> None:
    model_id = local.create_logged_model("0", "m").model_id
    runs = [local.create_run("0", "u", 1, [], None).info.run_id for _ in range(8)]

    def write(run_id: str) -> None:
        for step in range(10):
            local.log_metric(run_id, Metric("m", step, step, step, model_id))
            local.log_batch(run_id, [Metric(f"b{step}", 1, 1, 1, model_id)], [], [])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, runs))
    assert len(local.get_logged_model(model_id).metrics) == 160


def _gc(server: Process, dynamodb_local: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlflow", "gc",
         "--backend-store-uri", dynamodb_local.store_url("mlflow"), *arguments],
        env={**os.environ, "MLFLOW_TRACKING_URI": server.url},
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip


def test_mlflow_gc_removes_a_deleted_experiment(
    server: Process, dynamodb_local: Any, tmp_path: Path
) -> None:
    client = MlflowClient(server.url)
    experiment_id = client.create_experiment("to be collected")
    run_id = client.create_run(experiment_id).info.run_id
    client.log_metric(run_id, "m", 1.0)
    client.delete_experiment(experiment_id)
    uri = dynamodb_local.store_url("mlflow")
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", uri,
         "--artifacts-destination", str(tmp_path), "--experiment-ids", experiment_id],
        env={**os.environ, "MLFLOW_TRACKING_URI": server.url},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"Run with ID {run_id} has been permanently deleted" in done.stdout
    for look in (lambda: client.get_run(run_id), lambda: client.get_experiment(experiment_id)):
        with pytest.raises(MlflowException, match=r"not found|No Experiment"):
            look()


def test_the_ai_gateway_is_managed_here_but_called_on_sql_only(server: Process) -> None:
    def post(path: str, body: dict[str, Any]) -> Any:
        return http("POST", f"{server.url}{path}", json_body=body)

    api = "/api/3.0/mlflow/gateway"
    value = {"secret_name": "s ☃", "secret_value": {"api_key": "sk-0123456789"}}
    secret = post(f"{api}/secrets/create", value).json()["secret"]
    assert secret["masked_values"] == {"api_key": "sk-...6789"}
    model = {"name": "m", "secret_id": secret["secret_id"], "provider": "openai"}
    made = post(f"{api}/model-definitions/create", {**model, "model_name": "gpt"}).json()
    config = {
        "model_definition_id": made["model_definition"]["model_definition_id"],
        "linkage_type": "PRIMARY",
    }
    post(f"{api}/endpoints/create", {"name": "endpoint", "model_configs": [config]})
    (listed,) = http("GET", f"{server.url}{api}/endpoints/list").json()["endpoints"]
    assert listed["model_mappings"][0]["model_definition"]["secret_name"] == "s ☃"
    assert "sk-0123456789" not in server.log.read_text()
    # What docs/store.md says that MLflow does only on SQL:
    called = post("/gateway/endpoint/mlflow/invocations", {"messages": []})
    assert called.status == 500
    assert "only available with SqlAlchemyStore" in called.json()["detail"]
    jobs = post("/ajax-api/3.0/jobs/search", {})
    assert (jobs.status, jobs.json()["detail"]) == (400, "Job store requires a backend store URI")
    judge = {"model": "gateway:/endpoint", "instructions": "{{ trace }}", "name": "x"}
    scorer = json.dumps({"name": "x", "instructions_judge_pydantic_data": judge})
    scored = post(
        "/ajax-api/3.0/mlflow/scorer/invoke",
        {"experiment_id": "0", "serialized_scorer": scorer, "trace_ids": ["tr-1"]},
    )
    assert scored.status == 500
    assert "requires a database backend store URI" in scored.json()["message"]


def test_a_dataset_of_many_records_given_by_two_at_once(local: Any) -> None:
    dataset_id = local.create_dataset("large", None, ["0"]).dataset_id
    given = [{"inputs": {"question": f"what is {n}?"}, "outputs": {"n": n}} for n in range(3000)]

    def give(writer: int) -> int:
        more = [{**one, "tags": {f"writer {writer}": "x"}} for one in given]
        return int(local.upsert_dataset_records(dataset_id, more)["inserted"])

    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(give, range(2))) == 3000
    assert local.get_dataset(dataset_id).profile == '{"num_records": 3000}'
    pages, token = [], None
    while True:
        page, token = local._load_dataset_records(dataset_id, 1000, token)
        pages.append(page)
        if token is None:
            break
    assert [len(page) for page in pages] == [1000, 1000, 1000]
    records = {one.dataset_record_id: one for page in pages for one in page}
    assert len(records) == 3000
    assert all(set(one.tags) == {"writer 0", "writer 1"} for one in records.values())
    local.delete_dataset(dataset_id)
    assert local._load_dataset_records(dataset_id) == ([], None)
