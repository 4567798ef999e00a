"""Import and export of the model registry: models, versions, aliases, prompts, webhooks."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent

from dynamodb_store.registry.store import DynamoDbRegistryStore
from dynamodb_store.table import Table
from dynamodb_store.transfer.exporting import export_sql
from dynamodb_store.transfer.importing import import_sql
from dynamodb_store.transfer.sql import Sql
from dynamodb_store.uri import parse_uri
from tests.fakes.fake_dynamodb import FakeDynamoDb
from tests.store.conftest import MOTO, Pauses
from tests.store.registry_both import Clock, Registries

TABLES = (
    "registered_models", "registered_model_tags", "registered_model_aliases", "model_versions",
    "model_version_tags", "webhooks", "webhook_events",
)  # fmt: skip
RUN = "0" * 31 + "1"
URL = "https://93.184.216.34/hook"
EVENTS = [WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED)]


def fill_registry(store: Any, letter: str = "🚀") -> None:
    """Models with versions in every stage, a deleted one, a prompt (of ``letter``), webhooks."""
    store.create_registered_model("m ☃ #", [RegisteredModelTag("k", "v")], "text")
    for number in range(4):
        tags = [ModelVersionTag("a", ""), ModelVersionTag("large", "☃" * 3000)]
        store.create_model_version("m ☃ #", f"s3://b/{number}", RUN, tags, "link", "d")
    store.transition_model_version_stage("m ☃ #", "1", "Production", False)
    store.transition_model_version_stage("m ☃ #", "2", "Staging", False)
    store.set_registered_model_alias("m ☃ #", "champion", "2")
    store.delete_model_version("m ☃ #", "4")
    store.create_registered_model("renamed", [])
    store.create_model_version("renamed", "source")
    store.rename_registered_model("renamed", "new name")
    store.create_registered_model("empty")
    is_prompt = "mlflow.prompt.is_prompt"
    store.create_registered_model("prompt", [RegisteredModelTag(is_prompt, "true")])
    for text in ("one {{x}}", letter * 20000):
        tags = [ModelVersionTag(is_prompt, "true"), ModelVersionTag("mlflow.prompt.text", text)]
        store.create_model_version("prompt", "prompt-template", tags=tags)
    # MLflow's own column has a key that it makes up: what it encrypts, only it can read.
    store.create_webhook("hook", URL, EVENTS, "d")
    store.delete_webhook(store.create_webhook("deleted", URL, EVENTS, "d", "secret").webhook_id)


def contents(path: Path) -> dict[str, list[Any]]:
    with sqlite3.connect(path) as database:
        found = {
            name: sorted(database.execute(f"select * from {name}").fetchall(), key=repr)
            for name in TABLES
        }
    database.close()
    return found


def test_the_registry_survives_there_and_back(
    sql_registry: Any,
    fake: FakeDynamoDb,
    pauses: Pauses,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    empty = (tmp_path / "mlflow.db").read_bytes()
    fill_registry(sql_registry)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute(
            "update model_versions set user_id = 'me', status = 'PENDING_REGISTRATION', "
            "status_message = 'old' where name = 'new name'"
        )
    database.close()
    (tmp_path / "target.db").write_bytes(empty)
    with sqlite3.connect(tmp_path / "target.db") as database:
        database.execute("delete from experiments")
    database.close()
    source, target = Sql(f"sqlite:///{tmp_path}/mlflow.db"), Sql(f"sqlite:///{tmp_path}/target.db")
    table = Table(fake, parse_uri(MOTO), now=pauses.now, pause=pauses.pause)

    outcome = import_sql(source, table, str)
    assert outcome.differences == []
    assert outcome.source.counts["model_versions"] == 7
    assert export_sql(table, target, str).differences == []
    assert contents(tmp_path / "target.db") == contents(tmp_path / "mlflow.db")
    for one in (source, target):
        one.close()

    clock = Clock()
    clock.seconds = 4_000_000_000  # later than the real time, at which all was made
    monkeypatch.setattr("mlflow.utils.time.time", clock)
    both = Registries(sql_registry, DynamoDbRegistryStore(table, None), clock)
    for name in ("m ☃ #", "new name", "renamed", "empty", "prompt"):
        both.get_registered_model(name)
        both.get_latest_versions(name)
        for number in ("1", "2", "3", "4"):
            both.get_model_version(name, number)
    both.get_model_version_by_alias("m ☃ #", "champion")
    for text in ("", "name = 'new name'", "tags.k = 'v'", "tag.`mlflow.prompt.is_prompt` = 'true'"):
        both.search_registered_models(text)
    for text in ("", "name = 'm ☃ #'", f"run_id = '{RUN}'", "source_path = 's3://b/1'"):
        both.search_model_versions(text)
    assert len(both.list_webhooks()) == 1
    # and they go on from there
    both.create_model_version("m ☃ #", "s3://b/9")
    both.transition_model_version_stage("m ☃ #", "3", "Production", True)
    both.rename_registered_model("m ☃ #", "m2")
    both.delete_model_version("prompt", "2")
    both.delete_registered_model("empty")
    both.get_registered_model("m2")
    both.search_registered_models()
