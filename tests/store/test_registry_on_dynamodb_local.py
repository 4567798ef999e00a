"""The registry with several writers, and behind a real MLflow server, on DynamoDB Local."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersionTag
from mlflow.exceptions import MlflowException

from dynamodb_store import keys, records
from dynamodb_store.provision import create_table
from dynamodb_store.registry.store import DynamoDbRegistryStore
from dynamodb_store.table import Table
from tests.fakes.fake_dynamodb import FakeDynamoDb
from tests.stack import Process, http, start_mlflow
from tests.store.conftest import local_store

pytestmark = pytest.mark.heavy


@pytest.fixture
def local(dynamodb_local: Any) -> DynamoDbRegistryStore:
    return DynamoDbRegistryStore(local_store(dynamodb_local).table)


def at_once(work: Any, times: int) -> list[Any]:
    def attempt(number: int) -> Any:
        try:
            return work(number)
        except MlflowException as error:
            return error.error_code

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(attempt, range(times)))


def test_versions_made_at_once_have_numbers_of_their_own(local: Any) -> None:
    local.create_registered_model("m")

    def make(writer: int) -> list[int]:
        return [local.create_model_version("m", f"s{writer}-{i}", "run").version for i in range(5)]

    made = [number for numbers in at_once(make, 6) for number in numbers]
    assert sorted(made) == list(range(1, 31))
    assert len(local.search_model_versions("run_id = 'run'")) == 30
    assert local.get_registered_model("m").latest_versions[0].version == 30


def test_of_many_who_take_a_name_exactly_one_gets_it(local: Any) -> None:
    answers = at_once(lambda _: local.create_registered_model("name").name, 8)
    assert answers.count("RESOURCE_ALREADY_EXISTS") == 7
    for number in range(8):
        local.create_registered_model(f"m{number}")
    answers = at_once(lambda number: local.rename_registered_model(f"m{number}", "taken").name, 8)
    assert answers.count("RESOURCE_ALREADY_EXISTS") == 7
    assert len(local.search_registered_models()) == 9


def test_what_changes_at_once_agrees_in_the_end(local: Any) -> None:
    local.create_registered_model("m")
    for _ in range(8):
        local.create_model_version("m", "s")

    def change(number: int) -> None:
        version = number + 1
        local.transition_model_version_stage("m", version, "Staging", version % 2 == 0)
        local.set_model_version_tag("m", version, ModelVersionTag("k", str(version)))
        local.set_registered_model_alias("m", f"a{version}", version)
        if version > 6:
            local.delete_model_version("m", version)

    assert at_once(change, 8) == [None] * 8
    versions = {one.version: one for one in local.search_model_versions("name = 'm'")}
    assert set(versions) == set(range(1, 7))
    assert {number: one.tags["k"] for number, one in versions.items()} == {
        number: str(number) for number in versions
    }
    model = local.get_registered_model("m")
    assert model.aliases == {f"a{number}": number for number in versions}
    latest: dict[str, int] = {}
    for number in sorted(versions):
        latest[versions[number].current_stage] = number
    assert {one.current_stage: one.version for one in model.latest_versions} == latest
    assert {one.version: one.tags for one in model.latest_versions} == {
        number: versions[number].tags for number in latest.values()
    }


def test_a_model_with_ten_thousand_versions(dynamodb_local: Any) -> None:
    table = local_store(dynamodb_local).table
    store = DynamoDbRegistryStore(table)
    store.create_registered_model("m")
    store.create_model_version("m", "s3://bucket/a", "run", [ModelVersionTag("k", "v")])
    head = store._model("m")
    (first,) = table.query_all(head.partition, prefix=keys.VERSIONS)
    numbers = range(2, 10_001)
    table.batch_write({**first, "sk": keys.version(number)} for number in numbers)
    table.batch_write(
        {"pk": head.partition, "sk": keys.in_stage("None", number)} for number in numbers
    )
    head.body["last"] = 10_000
    head.body["latest"]["None"]["version"] = 10_000
    records.save(table, head)
    client = FakeDynamoDb(table._client)
    counted = DynamoDbRegistryStore(Table(client, table.uri))

    def calls(method: str, *args: Any, **more: Any) -> tuple[Any, int]:
        client.calls.clear()
        return getattr(counted, method)(*args, **more), len(client.calls)

    assert calls("get_model_version", "m", 5000)[1] == 2
    assert calls("get_registered_model", "m")[1] == 1
    found, used = calls("search_model_versions", "name = 'm'")
    assert (len(found), used) == (10_000, 1 + 10)
    order = ["version_number DESC"]
    page, used = calls("search_model_versions", "name = 'm'", max_results=20, order_by=order)
    assert ([one.version for one in page], used) == (list(range(10_000, 9_980, -1)), 2)
    assert calls("rename_registered_model", "m", "n")[1] == 2
    assert calls("create_model_version", "n", "s")[1] == 2
    assert calls("delete_model_version", "n", 10_001)[1] == 4
    moved, used = calls("transition_model_version_stage", "n", 9_999, "Production", True)
    assert (moved.last_updated_timestamp > 0, used) == (True, 3)
    assert [one.version for one in counted.get_latest_versions("n")] == [9_999, 10_000]
    store.delete_registered_model("n")
    assert list(table.query_all(head.partition)) == []


@pytest.fixture(scope="module")
def server(dynamodb_local: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("server")
    uri = dynamodb_local.store_url(f"mlflow-{uuid.uuid4().hex}")
    create_table(uri)
    process = start_mlflow(folder, backend=uri)
    process.wait_for("/health")
    yield process
    process.stop()


@pytest.fixture
def client(server: Process, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    mlflow.set_tracking_uri(server.url)
    mlflow.set_registry_uri(server.url)
    return MlflowClient(server.url, server.url)


@pytest.mark.filterwarnings("ignore")  # MLflow's, of its own type hints
def test_a_model_is_logged_registered_aliased_loaded_and_searched(
    client: MlflowClient, server: Process
) -> None:
    mlflow.set_experiment("models")
    with mlflow.start_run() as run:
        mlflow.pyfunc.log_model(
            name="model",
            python_model=lambda model_input: [2 * one for one in model_input],
            pip_requirements=[],
            registered_model_name="doubler ☃",
        )
    made = client.get_model_version("doubler ☃", "1")
    assert (made.run_id, made.status) == (run.info.run_id, "READY")
    client.set_registered_model_alias("doubler ☃", "champion", "1")
    loaded = mlflow.pyfunc.load_model("models:/doubler ☃@champion")
    assert loaded.predict([1, 2, 3]) == [2, 4, 6]
    client.rename_registered_model("doubler ☃", "doubler")
    assert mlflow.pyfunc.load_model("models:/doubler/1").predict([5]) == [10]
    client.transition_model_version_stage("doubler", "1", "Production")
    copy = client.copy_model_version("models:/doubler@champion", "copy")
    assert copy.source == "models:/doubler/1"
    assert mlflow.pyfunc.load_model("models:/copy/latest").predict([7]) == [14]
    assert [one.name for one in client.search_registered_models()] == ["copy", "doubler"]
    (one,) = client.search_model_versions(f"run_id = '{run.info.run_id}' and name = 'doubler'")
    assert one.current_stage == "Production"
    ajax = f"{server.url}/ajax-api/2.0/mlflow"
    page = http("GET", f"{ajax}/registered-models/search?max_results=1").json()
    assert [one["name"] for one in page["registered_models"]] == ["copy"]
    rest = http(
        "GET", f"{ajax}/registered-models/search?page_token={page['next_page_token']}"
    ).json()
    assert [one["name"] for one in rest["registered_models"]] == ["doubler"]
    assert rest["registered_models"][0]["aliases"] == [{"alias": "champion", "version": "1"}]
    client.delete_model_version("copy", "1")
    client.delete_registered_model("copy")
    with pytest.raises(MlflowException, match="not found"):
        client.get_registered_model("copy")


def test_prompts_by_the_real_client(client: MlflowClient) -> None:
    first = mlflow.genai.register_prompt("greeting", "Hello {{name}}", tags={"lang": "en"})
    mlflow.genai.register_prompt("greeting", [{"role": "user", "content": "Hi {{name}} ☃"}])
    assert first.version == 1
    mlflow.genai.set_prompt_alias("greeting", "best", 2)
    assert mlflow.genai.load_prompt("prompts:/greeting@best").template[0]["role"] == "user"
    assert mlflow.genai.load_prompt("greeting", version=1).format(name="you") == "Hello you"
    assert [one.name for one in mlflow.genai.search_prompts()] == ["greeting"]
    assert "greeting" not in [one.name for one in client.search_registered_models()]
    assert len(client.search_prompt_versions("greeting")) == 2
    with pytest.raises(MlflowException, match=r"already (exists|taken)"):
        client.create_registered_model("greeting")
    client.delete_prompt_version("greeting", "1")
    client.delete_prompt_version("greeting", "2")
    client.delete_prompt("greeting")
    assert list(mlflow.genai.search_prompts()) == []


def test_webhooks_over_http(client: MlflowClient) -> None:
    url = "https://8.8.8.8/hook"
    made = client.create_webhook("hook", url, ["model_version.created"], secret="a secret")
    assert [one.name for one in client.list_webhooks()] == ["hook"]
    assert client.update_webhook(made.webhook_id, status="DISABLED").status == "DISABLED"
    client.create_registered_model("with a webhook")
    client.create_model_version("with a webhook", "s3://bucket/a")
    client.delete_webhook(made.webhook_id)
    assert client.list_webhooks() == []
